"""Function URLs, called over plain HTTP as a browser or curl would."""

import base64
import http.client
import json
import subprocess

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from harness import REGION

ECHO = """
def handler(event, context):
    return event
"""


@pytest.fixture
def url_of(daemon):
    def factory(f, auth="NONE", **more):
        r = daemon.client("lambda").create_function_url_config(FunctionName=f.name, AuthType=auth,
                                                               **more)
        assert r["FunctionUrl"].startswith("http")
        host = r["FunctionUrl"].split("//", 1)[1].split("/", 1)[0]
        return host.split(":", 1)[0]
    return factory


def call(daemon, host, method="GET", path="/", body=None, headers=()):
    c = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=60)
    c.putrequest(method, path, skip_host=True)
    c.putheader("Host", "%s:%d" % (host, daemon.port))
    for k, v in headers:
        c.putheader(k, v)
    if body is not None:
        c.putheader("Content-Length", str(len(body)))
    c.endheaders(body)
    r = c.getresponse()
    data = r.read()
    c.close()
    return r, data


def test_event_of_format_2(daemon, make_function, url_of):
    f = make_function(source=ECHO)
    host = url_of(f)
    r, data = call(daemon, host, "POST", "/a/b%20c?x=1&y=a%20b&x=2", b'{"k": 1}',
                   [("Content-Type", "application/json"), ("Cookie", "a=1; b=2"),
                    ("X-Twice", "1"), ("X-Twice", "2"), ("User-Agent", "test")])
    assert r.status == 200
    e = json.loads(data)
    assert e["version"] == "2.0" and e["routeKey"] == "$default"
    assert e["rawPath"] == "/a/b%20c" and e["rawQueryString"] == "x=1&y=a%20b&x=2"
    assert e["queryStringParameters"] == {"x": "1,2", "y": "a b"}
    assert e["cookies"] == ["a=1", "b=2"]
    assert e["headers"]["x-twice"] == "1,2" and e["headers"]["cookie"] == "a=1; b=2"
    assert e["body"] == '{"k": 1}' and e["isBase64Encoded"] is False
    context = e["requestContext"]
    assert context["accountId"] == "anonymous"
    assert context["http"]["method"] == "POST" and context["http"]["sourceIp"] == "127.0.0.1"
    assert context["http"]["userAgent"] == "test"
    assert context["domainName"] == host and context["stage"] == "$default"
    assert host.startswith(context["domainPrefix"] + ".lambda-url.")


def test_binary_body_is_base64(daemon, make_function, url_of):
    host = url_of(make_function(source=ECHO))
    blob = bytes(range(256))
    _, data = call(daemon, host, "PUT", "/", blob, [("Content-Type", "application/octet-stream")])
    e = json.loads(data)
    assert e["isBase64Encoded"] is True and base64.b64decode(e["body"]) == blob


def test_answers(daemon, make_function, url_of):
    host = url_of(make_function(source="""
import base64
ANSWERS = {
    "/full": {"statusCode": 201, "headers": {"X-A": "b", "Content-Type": "text/plain"},
              "cookies": ["a=1", "b=2"], "body": "made"},
    "/binary": {"statusCode": 200, "isBase64Encoded": True,
                "body": base64.b64encode(bytes(range(256))).decode()},
    "/string": "hello",
    "/object": {"a": 1},
    "/bad-status": {"statusCode": "x"},
    "/bad-body": {"statusCode": 200, "body": {"not": "text"}},
    "/empty": {"statusCode": 204},
}
def handler(event, context):
    if event["rawPath"] == "/throw":
        raise ValueError("no")
    return ANSWERS[event["rawPath"]]
"""))
    r, data = call(daemon, host, path="/full")
    assert (r.status, data, r.getheader("x-a")) == (201, b"made", "b")
    assert r.headers.get_all("set-cookie") == ["a=1", "b=2"]
    r, data = call(daemon, host, path="/binary")
    assert data == bytes(range(256))
    r, data = call(daemon, host, path="/string")
    assert (r.status, data, r.getheader("content-type")) == (200, b"hello", "application/json")
    r, data = call(daemon, host, path="/object")
    assert json.loads(data) == {"a": 1}
    r, _ = call(daemon, host, path="/empty")
    assert r.status == 204
    for path in ("/bad-status", "/bad-body", "/throw"):
        r, data = call(daemon, host, path=path)
        assert r.status == 502, path


def test_cors(daemon, make_function, url_of):
    host = url_of(make_function(source=ECHO), Cors={
        "AllowOrigins": ["https://a.example"], "AllowMethods": ["GET"],
        "AllowHeaders": ["x-k"], "MaxAge": 60})
    r, data = call(daemon, host, "OPTIONS", "/", headers=[
        ("Origin", "https://a.example"), ("Access-Control-Request-Method", "GET")])
    assert r.status == 200 and data == b""
    assert r.getheader("access-control-allow-origin") == "https://a.example"
    assert r.getheader("access-control-allow-methods") == "GET"
    assert r.getheader("access-control-allow-headers") == "x-k"
    assert r.getheader("access-control-max-age") == "60"
    r, _ = call(daemon, host, headers=[("Origin", "https://a.example")])
    assert r.getheader("access-control-allow-origin") == "https://a.example"
    r, _ = call(daemon, host, headers=[("Origin", "https://b.example")])
    assert r.getheader("access-control-allow-origin") is None


def test_iam(daemon, make_function, url_of):
    host = url_of(make_function(source=ECHO), auth="AWS_IAM")
    r, data = call(daemon, host)
    assert r.status == 403 and json.loads(data) == {"Message": "Forbidden"}
    request = AWSRequest("GET", "http://%s:%d/x" % (host, daemon.port))
    SigV4Auth(Credentials("test", "test"), "lambda", REGION).add_auth(request)
    r, data = call(daemon, host, path="/x", headers=[
        (k, v) for k, v in request.headers.items() if k.lower() != "host"])
    assert r.status == 200
    iam = json.loads(data)["requestContext"]["authorizer"]["iam"]
    assert iam["accessKey"] == "test" and iam["accountId"] == "000000000000"


def test_path_style_and_unknown(daemon, make_function, url_of):
    f = make_function(source=ECHO)
    url_of(f)
    r, data = call(daemon, "127.0.0.1", path="/_url/%s/p/q?z=1" % f.name)
    assert r.status == 200 and json.loads(data)["rawPath"] == "/p/q"
    r, data = call(daemon, "nobody.lambda-url.us-east-1.localhost")
    assert r.status == 403 and json.loads(data) == {"Message": "Forbidden"}


@pytest.mark.needs("node")
def test_stream(daemon, make_function, url_of):
    host = url_of(make_function("node", source="""
export const handler = awslambda.streamifyResponse(async (event, stream) => {
    stream = awslambda.HttpResponseStream.from(stream, {
        statusCode: 206, headers: { "x-s": "1", "content-type": "text/plain" },
        cookies: ["c=1"] });
    for (let i = 0; i < 5; i++) stream.write("part" + i + ";");
    stream.end();
});
"""), InvokeMode="RESPONSE_STREAM")
    r, data = call(daemon, host)
    assert (r.status, r.getheader("x-s"), r.getheader("set-cookie")) == (206, "1", "c=1")
    assert data == b"part0;part1;part2;part3;part4;"


def test_large_body_is_refused(daemon, make_function, url_of):
    host = url_of(make_function(source=ECHO))
    r, _ = call(daemon, host, "POST", "/", b"x" * (7 << 20), [("Content-Type", "text/plain")])
    assert r.status == 413


def test_body_from_a_file(daemon, make_function, url_of):
    """Longer than what the front door keeps in memory."""
    host = url_of(make_function(source="""
def handler(event, context):
    return {"statusCode": 200, "body": str(len(event["body"]))}
"""))
    r, data = call(daemon, host, "POST", "/", b"x" * (3 << 20), [("Content-Type", "text/plain")])
    assert (r.status, data) == (200, b"%d" % (3 << 20))


@pytest.mark.needs("curl")
def test_curl_finds_it_by_its_name(daemon, make_function):
    """As it is printed: nothing but the URL."""
    f = make_function(source=ECHO)
    url = daemon.client("lambda").create_function_url_config(
        FunctionName=f.name, AuthType="NONE")["FunctionUrl"]
    r = subprocess.run(["curl", "-sS", "--noproxy", "*", "-d", "a=b", url + "x?y=%20"],
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr
    e = json.loads(r.stdout)
    assert (e["rawPath"], e["rawQueryString"]) == ("/x", "y=%20")
    assert base64.b64decode(e["body"]) == b"a=b"  # what curl says is a form is no text
