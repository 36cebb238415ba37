"""Invoke through boto3 and as raw HTTP: what it answers, and every way in which it refuses."""

import base64
import json
import socket
import threading

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from harness import unique_name, wait_until
from test_lambda_functions import refused

ECHO = """
import json, os
def handler(event, context):
    if isinstance(event, dict) and event.get("fail"):
        raise ValueError("as asked")
    if isinstance(event, dict) and event.get("big"):
        return "x" * event["big"]
    if isinstance(event, dict) and event.get("context"):
        c = context.client_context
        return {"custom": c.custom if c else None, "env": c.env if c else None}
    if isinstance(event, dict) and event.get("id"):
        return context.aws_request_id
    print("printed", flush=True)
    return event
"""


@pytest.fixture(scope="module")
def echo(daemon):
    import harness
    f = harness.make_function(daemon, "python", ECHO)
    yield f
    f.delete()


@pytest.mark.parametrize("payload", [
    b"{}", b"null", b"true", b"-1.5e3", b'"text"', b"[]", b'[1,{"a":null}]', b'  {"a" : 1}  ',
    '{"gr\u00fc\u00df": "\u6f22\u5b57 \U0001f600"}'.encode(), b'"\\u0000\\ud83d\\ude00"',
    b'{"a":1,"a":2}', b'"' + b"x" * 300000 + b'"',
])
def test_payloads_arrive_as_sent(echo, payload):
    assert json.loads(echo.invoke(raw=payload).raw) == json.loads(payload)


def test_no_payload_is_an_empty_event(echo):
    r = echo.lam.invoke(FunctionName=echo.name)
    assert json.loads(r["Payload"].read()) == {}


@pytest.mark.parametrize("payload", [
    b"{", b"hello", b"{'a': 1}", b'{"a":1} x', b"[1,]", b"nul", b"\xff\xfe", b'"\xc3"', b"NaN",
    b'{"a":' + b"[" * 2000 + b"]" * 2000 + b"}",
])
def test_no_json(echo, payload):
    with refused("InvalidRequestContentException", 400) as e:
        echo.invoke(raw=payload)
    assert e.message.startswith("Could not parse request body into json")


def test_headers_of_the_answer(echo):
    r = echo.lam.invoke(FunctionName=echo.name, Payload=b'{"id": 1}', LogType="Tail")
    h = r["ResponseMetadata"]["HTTPHeaders"]
    assert r["StatusCode"] == 200 and r["ExecutedVersion"] == "$LATEST"
    assert "FunctionError" not in r
    assert h["content-type"] == "application/json"
    assert json.loads(r["Payload"].read()) == h["x-amzn-requestid"]
    tail = base64.b64decode(r["LogResult"]).decode()
    assert tail.startswith("START RequestId: " + h["x-amzn-requestid"])
    assert "REPORT RequestId: " in tail and "Billed Duration:" in tail
    assert "dur=" in h["server-timing"]
    assert h["x-amzn-trace-id"].startswith("Root=1-")
    assert "LogResult" not in echo.lam.invoke(FunctionName=echo.name, Payload=b"{}")


def test_errors_of_functions(echo):
    answer = echo.invoke({"fail": True})
    assert answer.status == 200 and answer.error == "Unhandled"
    assert answer.payload["errorType"] == "ValueError"
    assert answer.payload["errorMessage"] == "as asked"
    assert any("app.py" in line for line in answer.payload["stackTrace"])
    assert "ValueError" in answer.tail
    assert echo.call({"a": 1}) == {"a": 1}


def test_too_large(echo):
    limit = 6291456
    assert len(echo.invoke(raw=b'"' + b"x" * (limit - 2) + b'"', tail=False).raw) == limit
    with refused("RequestTooLargeException", 413) as e:
        echo.invoke(raw=b'"' + b"x" * (limit - 1) + b'"')
    assert "6291456" in e.message
    with refused("RequestTooLargeException", 413):
        echo.invoke(raw=b'"' + b"x" * (1 << 20) + b'"', InvocationType="Event", tail=False)
    answer = echo.invoke({"big": 7 << 20})
    assert answer.error == "Unhandled"
    assert answer.payload["errorType"] == "Function.ResponseSizeTooLarge"
    assert echo.call({"big": 6 << 20 >> 1}) == "x" * (3 << 20)


def test_dry_run(echo):
    r = echo.lam.invoke(FunctionName=echo.name, InvocationType="DryRun", Payload=b"{}")
    assert r["StatusCode"] == 204 and r["Payload"].read() == b""
    with refused("ResourceNotFoundException", 404):
        echo.lam.invoke(FunctionName="none-such", InvocationType="DryRun")


def test_client_context(echo):
    context = base64.b64encode(json.dumps({"custom": {"a": "b"}, "env": {"x": "y"}}).encode())
    assert echo.call({"context": 1}, ClientContext=context.decode()) == {
        "custom": {"a": "b"}, "env": {"x": "y"}}
    for bad in ("@@@", base64.b64encode(b"no json").decode(), base64.b64encode(b"[1]").decode(),
                base64.b64encode(b"  ").decode(), "e30"):
        with refused("InvalidRequestContentException", 400):
            echo.invoke({}, ClientContext=bad)
    with refused("InvalidRequestContentException", 400):
        echo.invoke({}, ClientContext=base64.b64encode(b'{"a":"%s"}' % (b"x" * 3600)).decode())


def test_wrong_values(daemon, echo):
    for more in ({"InvocationType": "Sometimes"}, {"LogType": "Head"}):
        with refused("ValidationException", 400):
            echo.lam.invoke(FunctionName=echo.name, **{"Payload": b"{}", **more})
    for name in ("nothing-here", "nothing-here:1"):
        with refused("ResourceNotFoundException", 404):
            echo.lam.invoke(FunctionName=name)
    with refused("InvalidParameterValueException", 400):
        echo.lam.invoke(FunctionName=echo.name + ":1", Qualifier="2")


def test_reserved_concurrency_throttles(echo):
    echo.lam.put_function_concurrency(FunctionName=echo.name, ReservedConcurrentExecutions=0)
    try:
        with refused("TooManyRequestsException", 429) as e:
            echo.invoke({})
        assert e.error["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    finally:
        echo.lam.delete_function_concurrency(FunctionName=echo.name)
    assert echo.call({"b": 1}) == {"b": 1}
    with refused("InvalidParameterValueException", 400):
        echo.lam.put_function_concurrency(FunctionName=echo.name, ReservedConcurrentExecutions=901)


def test_many_at_once(echo):
    answers, errors = [], []

    def one(i):
        try:
            answers.append(echo.call({"i": i}, tail=False)["i"])
        except Exception as e:  # shown below
            errors.append(e)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(24)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors[0]
    assert sorted(answers) == list(range(24))


def test_provisioned_concurrency(make_function):
    f = make_function("python")
    lam = f.lam
    lam.publish_version(FunctionName=f.name)
    with refused("InvalidParameterValueException", 400):
        lam.put_provisioned_concurrency_config(FunctionName=f.name, Qualifier="$LATEST",
                                               ProvisionedConcurrentExecutions=1)
    r = lam.put_provisioned_concurrency_config(FunctionName=f.name, Qualifier="1",
                                               ProvisionedConcurrentExecutions=2)
    assert r["ResponseMetadata"]["HTTPStatusCode"] == 202 and r["Status"] == "IN_PROGRESS"

    def ready():
        c = lam.get_provisioned_concurrency_config(FunctionName=f.name, Qualifier="1")
        assert c["Status"] != "FAILED", c
        return c["Status"] == "READY" and c
    c = wait_until(ready)
    assert c["AllocatedProvisionedConcurrentExecutions"] == 2
    listed = lam.list_provisioned_concurrency_configs(FunctionName=f.name)
    assert listed["ProvisionedConcurrencyConfigs"][0]["FunctionArn"] == f.arn + ":1"
    assert f.call({"name": "x"}, Qualifier="1")["hello"] == "x"
    with refused("InvalidParameterValueException", 400):
        lam.put_provisioned_concurrency_config(FunctionName=f.name, Qualifier="1",
                                               ProvisionedConcurrentExecutions=100000)
    lam.delete_provisioned_concurrency_config(FunctionName=f.name, Qualifier="1")
    with refused("ProvisionedConcurrencyConfigNotFoundException", 404):
        lam.get_provisioned_concurrency_config(FunctionName=f.name, Qualifier="1")


def test_deleted_and_made_again(daemon):
    import harness
    name = unique_name("again")
    for i in range(3):
        f = harness.make_function(daemon, "python", "def handler(e, c): return %d\n" % i, name=name)
        assert f.call() == i
        f.delete()
    with refused("ResourceNotFoundException", 404):
        f.invoke({})


# ---- response streams ----

def test_stream_of_an_unstreamed_answer(echo):
    r = echo.lam.invoke_with_response_stream(FunctionName=echo.name, Payload=b'{"a":1}',
                                             LogType="Tail")
    events = list(r["EventStream"])
    body = b"".join(e["PayloadChunk"]["Payload"] for e in events if "PayloadChunk" in e)
    assert json.loads(body) == {"a": 1}
    assert list(events[-1]) == ["InvokeComplete"]
    assert "ErrorCode" not in events[-1]["InvokeComplete"]
    assert b"REPORT" in base64.b64decode(events[-1]["InvokeComplete"]["LogResult"])
    with refused("ResourceNotFoundException", 404):
        echo.lam.invoke_with_response_stream(FunctionName="none-such")


def test_stream_that_fails(echo):
    r = echo.lam.invoke_with_response_stream(FunctionName=echo.name, Payload=b'{"fail":1}')
    last = list(r["EventStream"])[-1]["InvokeComplete"]
    assert last["ErrorCode"]
    assert "as asked" in last["ErrorDetails"]


# ---- as raw HTTP ----

def signed(daemon, method, path, body=b"", headers=None, key="test", secret="test",
           service="lambda"):
    request = AWSRequest(method, daemon.url + path, headers=dict(headers or {}), data=body)
    SigV4Auth(Credentials(key, secret), service, "us-east-1").add_auth(request)
    return dict(request.headers.items())


def send(daemon, method, path, body=b"", headers=None):
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    c.request(method, path, body, headers or {})
    r = c.getresponse()
    got = r.status, dict((k.lower(), v) for k, v in r.getheaders()), r.read()
    c.close()
    return got


def test_raw_invoke(daemon, echo):
    path = "/2015-03-31/functions/%s/invocations" % echo.name
    status, headers, body = send(daemon, "POST", path, b'{"a":1}',
                                 signed(daemon, "POST", path, b'{"a":1}'))
    assert (status, body) == (200, b'{"a": 1}') or json.loads(body) == {"a": 1}
    status, headers, body = send(daemon, "POST", path, b"<a/>", signed(
        daemon, "POST", path, b"<a/>", {"Content-Type": "application/xml"}))
    assert status == 415 and headers["x-amzn-errortype"].startswith("UnsupportedMediaType")
    # Percent-encoded ARN in the path.
    path = "/2015-03-31/functions/%s/invocations" % echo.arn.replace(":", "%3A")
    status, headers, body = send(daemon, "POST", path, b"5", signed(daemon, "POST", path, b"5"))
    assert (status, body) == (200, b"5")
    for path in ("/2015-03-31/functions/%zz/invocations", "/2015-03-31/functions//invocations",
                 "/2015-03-31/functions/a%2Fb/invocations"):
        status, _, _ = send(daemon, "POST", path, b"{}", signed(daemon, "POST", path, b"{}"))
        assert status in (400, 403, 404)


def test_a_client_that_leaves(daemon, make_function):
    f = make_function("python", """
import time
def handler(event, context):
    time.sleep(event.get("s", 0))
    return "done"
""")
    f.call({})
    path = "/2015-03-31/functions/%s/invocations" % f.name
    body = b'{"s": 0.3}'
    headers = signed(daemon, "POST", path, body)
    for cut in (len(body), 4):
        s = socket.create_connection(("127.0.0.1", daemon.port), timeout=30)
        head = "POST %s HTTP/1.1\r\n%scontent-length: %d\r\n\r\n" % (
            path, "".join("%s: %s\r\n" % h for h in {**headers, "host": "127.0.0.1:%d" % daemon.port}.items()),
            len(body))
        s.sendall(head.encode() + body[:cut])
        s.close()
    assert f.call({}) == "done"
