"""Who may call: signatures, keys, sessions, the clock; and what an unknown request is told."""

import datetime
import json
import socket
import urllib.error
import urllib.request

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from harness import unique_name
from test_lambda_functions import refused
from test_lambda_invoke import send, signed

LIST = "/2015-03-31/functions/"


def error(answer):
    status, headers, body = answer
    return status, headers.get("x-amzn-errortype", "").split(":")[0], json.loads(body)


def test_right_and_wrong_keys(daemon):
    assert daemon.client("lambda").list_functions()["Functions"] is not None
    with refused("InvalidSignatureException", 403) as e:
        daemon.client("lambda", secret_key="wrong").list_functions()
    assert "does not match" in e.message
    # Any other key is no key: neither a made-up one nor an account's number.
    for key in ("AKIAIOSFODNN7EXAMPLE", "000000000000", "123456789012"):
        with refused("UnrecognizedClientException", 403) as e:
            daemon.client("lambda", access_key=key).list_functions()
        assert "security token" in e.message
    with refused("UnrecognizedClientException", 403):
        daemon.client("logs", access_key="nobody").describe_log_groups()


def test_unsigned(daemon):
    status, kind, body = error(send(daemon, "GET", LIST))
    assert status == 403 and kind.startswith("MissingAuthenticationToken")
    status, _, _ = send(daemon, "POST", "/2015-03-31/functions/x/invocations", b"{}")
    assert status == 403


def test_altered_after_signing(daemon):
    body = b'{"a":1}'
    path = "/2015-03-31/functions/none-such/invocations"
    headers = signed(daemon, "POST", path, body)
    assert send(daemon, "POST", path, body, headers)[0] == 404  # the signature is right
    assert send(daemon, "POST", path, b'{"a":2}', headers)[0] in (400, 403)
    assert send(daemon, "POST", path + "?Qualifier=1", body, headers)[0] == 403
    assert send(daemon, "POST", path.replace("none", "nine"), body, headers)[0] == 403
    for broken in ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA256 Credential=test", "Basic dGVzdDp0ZXN0",
                   headers["Authorization"].replace("SignedHeaders", "Signed"),
                   headers["Authorization"][:-5]):
        assert send(daemon, "POST", path, body,
                    {**headers, "Authorization": broken})[0] in (400, 403)


def test_scope(daemon):
    path = LIST
    status, _, _ = send(daemon, "GET", path, headers=signed(daemon, "GET", path, service="nothing"))
    assert status == 404


def at(daemon, when, auth=SigV4Auth, **more):
    request = AWSRequest("GET", daemon.url + LIST)
    signer = auth(Credentials("test", "test"), "lambda", "us-east-1", **more)
    import botocore.auth as module
    real = module.get_current_datetime if hasattr(module, "get_current_datetime") else None
    if real is None:
        pytest.skip("this botocore reads its clock elsewhere")
    module.get_current_datetime = lambda *a, **k: when
    try:
        signer.add_auth(request)
    finally:
        module.get_current_datetime = real
    return request


def test_clock_skew(daemon):
    now = datetime.datetime.utcnow()
    for minutes, right in ((0, True), (-10, True), (10, True), (-20, False), (20, False)):
        request = at(daemon, now + datetime.timedelta(minutes=minutes))
        status, _, body = send(daemon, "GET", LIST, headers=dict(request.headers.items()))
        assert (status == 200) == right, (minutes, status, body)


def test_presigned(daemon):
    request = AWSRequest("GET", daemon.url + LIST)
    SigV4QueryAuth(Credentials("test", "test"), "lambda", "us-east-1", expires=60).add_auth(request)
    with urllib.request.urlopen(request.url, timeout=30) as r:
        assert r.status == 200
    for broken in (request.url.replace("Expires=60", "Expires=61"),
                   request.url.replace("X-Amz-Date=", "X-Amz-Date=1"),
                   request.url.split("&X-Amz-Signature")[0]):
        with pytest.raises(urllib.error.HTTPError) as e:
            urllib.request.urlopen(broken, timeout=30)
        assert e.value.code in (400, 403)


def test_environments_sign_as_their_function(make_function, daemon):
    f = make_function("python", """
import os
def handler(event, context):
    return [os.environ[k] for k in
            ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")]
""")
    key, secret, token = f.call()
    mine = daemon.client("lambda", access_key=key, secret_key=secret, session_token=token)
    assert mine.get_function(FunctionName=f.name)["Configuration"]["FunctionName"] == f.name
    # Without its token, or with another, the key is worth nothing.
    for bad in (None, token[:-1] + ("A" if token[-1] != "A" else "B")):
        with pytest.raises(ClientError) as e:
            daemon.client("lambda", access_key=key, secret_key=secret,
                          session_token=bad).list_functions()
        assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    # Another environment has others, and they end with the environment.
    g = make_function("python", """
import os
def handler(event, context):
    return os.environ["AWS_ACCESS_KEY_ID"]
""")
    assert g.call() != key
    f.delete()
    from harness import wait_until

    def useless():
        try:
            mine.list_functions()
            return False
        except ClientError as e:
            return e.response["Error"]["Code"] == "UnrecognizedClientException"
    wait_until(useless, what="the key of a gone environment is refused")


def test_no_auth(new_daemon):
    d = new_daemon("--no-auth")
    assert send(d, "GET", LIST)[0] == 200
    assert d.client("lambda", access_key="any", secret_key="thing").list_functions()
    assert "no-auth" in d.log_text()


def test_unknown_requests(daemon):
    status, kind, body = error(send(daemon, "GET", "/"))
    assert status == 404 and kind == "UnknownOperationException"
    path = "/2015-03-31/nothing"
    status, _, _ = send(daemon, "GET", path, headers=signed(daemon, "GET", path))
    assert status in (403, 404)
    headers = {"X-Amz-Target": "Logs_20140328.NoSuchThing",
               "Content-Type": "application/x-amz-json-1.1"}
    status, headers, body = send(daemon, "POST", "/", b"{}", signed(
        daemon, "POST", "/", b"{}", headers, service="logs"))
    assert status in (400, 404) and b"UnknownOperation" in body
    # In the model, but not here.
    with pytest.raises(ClientError) as e:
        daemon.client("lambda").list_code_signing_configs()
    assert "not implemented" in e.value.response["Error"]["Message"]


def test_request_ids_differ(daemon):
    lam = daemon.client("lambda")
    ids = {lam.list_functions()["ResponseMetadata"]["RequestId"] for _ in range(5)}
    assert len(ids) == 5 and all(len(i) == 36 for i in ids)


def test_pages(daemon):
    daemon.client("lambda").list_functions()
    health = json.loads(send(daemon, "GET", "/_lambkin/health")[2])
    assert health["status"] == "running"
    assert health["services"]["lambda"] == "running"
    assert health["isolation"]["connected"] is True
    status, headers, body = send(daemon, "GET", "/_lambkin/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    assert b'lambkin_calls_total{service="lambda",operation="ListFunctions",result="ok"}' in body
    assert send(daemon, "POST", "/_lambkin/health")[0] == 405
    assert "lambda" in json.loads(send(daemon, "GET", "/_localstack/health")[2])["services"]


def test_a_body_that_nobody_needs(daemon):
    """It is refused before it is received: a stranger must not fill the disk."""
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=60) as s:
        s.sendall(b"POST /2015-03-31/functions/x/invocations HTTP/1.1\r\nhost: x\r\n"
                  b"content-length: 1000000000\r\n\r\n")
        assert s.recv(4096).startswith(b"HTTP/1.1 413")
