"""What functions behind URLs and HTTP APIs are told, and what becomes of what they answer.

The expected events are what AWS was seen to send, not only what its documentation says.
"""

import base64
import json
import re

import pytest

from gateway_kit import Api, echo_function, request

TARGET = ("/capture/space%20value?repeat=one&repeat=two&redirect=https%3A%2F%2Fexample.com%2Fa&"
          "plus=a+b&encoded=a%2Bb&empty=&bare&=nameless&bad=%zz&%C3%A4=%E2%82%AC")
RAW_QUERY = TARGET.split("?")[1]
HEADERS = [("Content-Type", "application/json"), ("User-Agent", "kit"), ("X-Probe", "first"),
           ("X-Probe", "second"), ("Cookie", "session=abc; theme=dark"), ("Cookie", "third=x=y"),
           ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "gopher"),
           ("Connection", "keep-alive"), ("X-Empty", "")]
QUERY = {"repeat": "one,two", "redirect": "https://example.com/a", "plus": "a b",
         "encoded": "a+b", "empty": "", "bare": "", "": "nameless", "bad": "%zz", "ä": "€"}


class Url:
    """A function URL with the same `call` as an Api."""

    def __init__(self, daemon, function, **more):
        self.daemon, self.function = daemon, function
        url = daemon.client("lambda").create_function_url_config(
            FunctionName=function.name, AuthType="NONE", **more)["FunctionUrl"]
        self.host = url.split("//")[1].split(":")[0]

    def call(self, path="/", method="GET", body=None, headers=()):
        return request(self.daemon, self.host, method, path, body, headers)

    def close(self):
        self.daemon.client("lambda").delete_function_url_config(FunctionName=self.function.name)


@pytest.fixture(scope="module")
def echo(daemon):
    f = echo_function(daemon)
    yield f
    f.delete()


@pytest.fixture(scope="module")
def gateways(daemon, echo):
    """{"url": …, "2.0": …, "1.0": …}: all before the same function."""
    made = {"url": Url(daemon, echo)}
    for version in ("2.0", "1.0"):
        made[version] = Api(daemon)
        made[version].route("ANY /{proxy+}", made[version].integration(echo, version))
        made[version].route("ANY /", made[version].integration(echo, version))
    yield made
    made.pop("url").close()
    for a in made.values():
        a.gw.delete_api(ApiId=a.id)


def event(gateway, *args, **more):
    r, data = gateway.call(*args, **more)
    assert r.status == 200, data
    e = json.loads(data)
    # Format 1.0 wants a statusCode: the echo then only says what it got.
    return e


@pytest.mark.parametrize("kind", ["url", "2.0"])
def test_format_2(daemon, gateways, kind):
    g = gateways[kind]
    e = event(g, TARGET, "POST", b'{"message":"\xce\xbb"}', HEADERS)
    assert e["rawPath"] == ("/capture/space%20value" if kind == "url" else "/capture/space value")
    assert e["rawQueryString"] == RAW_QUERY
    assert e["queryStringParameters"] == QUERY
    assert e["cookies"] == ["session=abc", "theme=dark", "third=x=y"]
    h = e["headers"]
    assert h["x-probe"] == "first,second" and h["x-empty"] == "" and h["content-length"] == "16"
    assert h["x-forwarded-for"] == "192.0.2.1, 127.0.0.1" and h["x-forwarded-proto"] == "http"
    assert h["x-forwarded-port"] == str(daemon.port) and h["host"].startswith(g.host)
    assert re.fullmatch("Root=1-[0-9a-f]{8}-[0-9a-f]{24}", h["x-amzn-trace-id"])
    assert "connection" not in h and all(name == name.lower() for name in h)
    assert h.get("cookie") == ("session=abc; theme=dark,third=x=y" if kind == "url" else None)
    c = e["requestContext"]
    assert c["http"] == {"method": "POST", "path": "/capture/space value",
                         "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "kit"}
    assert re.fullmatch(r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000", c["time"])
    assert isinstance(c["timeEpoch"], int) and c["stage"] == "$default"
    assert e["body"] == '{"message":"λ"}' and e["isBase64Encoded"] is False
    if kind == "2.0":
        assert e["pathParameters"] == {"proxy": "capture/space value"}
    else:
        assert "pathParameters" not in e and c["accountId"] == "anonymous"


def test_what_is_not_there(gateways):
    for kind in ("url", "2.0"):
        e = event(gateways[kind])
        for absent in ("body", "cookies", "queryStringParameters", "stageVariables"):
            assert absent not in e, (kind, absent)
        assert e["rawQueryString"] == "" and e["rawPath"] == "/" and not e["isBase64Encoded"]


def test_a_given_trace_id_is_kept(gateways):
    given = "Root=1-67891233-abcdef012345678912345678"
    for kind in ("url", "2.0"):
        h = event(gateways[kind], headers=[("X-Amzn-Trace-Id", given)])["headers"]
        assert h["x-amzn-trace-id"] == given


def test_format_1(daemon, gateways):
    f = echo_function(daemon, """
import json
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps(event)}
""")
    a = Api(daemon)
    a.route("ANY /{proxy+}", a.integration(f, "1.0"))
    e = a.json(TARGET, "POST", b'{"message":"x"}', HEADERS)
    assert e["path"] == e["requestContext"]["path"] == "/capture/space value"
    assert e["resource"] == "/{proxy+}" and e["httpMethod"] == "POST"
    last = dict(QUERY, repeat="two")
    assert e["queryStringParameters"] == last
    assert e["multiValueQueryStringParameters"] == {
        k: ["one", "two"] if k == "repeat" else [v] for k, v in last.items()}
    assert e["headers"]["x-probe"] == "first,second" or e["headers"]["x-probe"] == "second"
    assert e["multiValueHeaders"]["x-probe"] == ["first", "second"]
    # What every request has is written as AWS writes it.
    for name, value in (("User-Agent", "kit"), ("X-Forwarded-Proto", "http"),
                        ("X-Forwarded-For", "192.0.2.1, 127.0.0.1"), ("Content-Length", "15")):
        assert e["headers"][name] == value and e["multiValueHeaders"][name] == [value]
    assert e["headers"]["Host"].startswith(a.host)
    e = a.json("/x")
    assert e["queryStringParameters"] is None and e["body"] is None
    assert e["multiValueQueryStringParameters"] is None and e["stageVariables"] is None
    a.gw.delete_api(ApiId=a.id)
    f.delete()


@pytest.mark.parametrize("content_type, body, text", [
    ("application/json", b"{}", True),
    ("application/json; charset=utf-8", b"{}", True),
    ("APPLICATION/JSON", b"{}", True),
    ("application/problem+json", b"{}", True),
    ("application/xml", b"<a/>", True),
    ("image/svg+xml", b"<a/>", True),
    ("application/javascript", b"1", True),
    ("text/plain", "ä".encode(), True),
    ("text/csv", b"a,b", True),
    (None, b"a=b", True),
    ("application/x-www-form-urlencoded", b"a=b", False),
    ("multipart/form-data; boundary=x", b"--x--", False),
    ("application/octet-stream", b"text", False),
    ("image/png", b"\x89PNG", False),
    ("text/plain", b"\xff\xfe", False),
    ("application/json", b"\xff", False)])
def test_which_bodies_are_text(gateways, content_type, body, text):
    headers = [("Content-Type", content_type)] if content_type else []
    for kind in ("url", "2.0"):
        e = event(gateways[kind], "/", "POST", body, headers)
        assert e["isBase64Encoded"] is not text, kind
        assert (e["body"].encode() if text else base64.b64decode(e["body"])) == body


def test_methods(gateways):
    for kind in ("url", "2.0"):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            e = event(gateways[kind], "/", method)
            assert e["requestContext"]["http"]["method"] == method
        r, data = gateways[kind].call("/", "HEAD")
        assert r.status == 200 and data == b"" and int(r.getheader("content-length")) > 100


def test_a_query_of_many_pairs(gateways):
    """Its cost must not grow with the square of the pairs."""
    pairs = 20000
    for query, expected in (("a&" * pairs, {"a": "," * (pairs - 1)}),
                            ("&".join("%x=" % n for n in range(9000)),
                             {"%x" % n: "" for n in range(9000)})):
        for kind in ("url", "2.0"):
            assert event(gateways[kind], "/?" + query)["queryStringParameters"] == expected


ANSWERS = """
import base64
ANSWERS = {
    "/inferred": {"a": 1}, "/list": [1, 2], "/number": 7, "/null": None, "/text": "plain \\u00e4",
    "/status": {"statusCode": 201}, "/status-text": {"statusCode": "202", "body": "x"},
    "/body-only": {"body": "not taken apart", "headers": {"x-a": "1"}},
    "/headers": {"statusCode": 200, "headers": {"X-MiXeD": "v", "x-n": 1, "x-t": True,
                 "content-type": "text/html", "Set-Cookie": "one=1"},
                 "cookies": ["two=2; Path=/", "three=3"], "body": "b"},
    "/multi": {"statusCode": 200, "multiValueHeaders": {"x-m": ["1", "2"]}, "body": ""},
    "/base64": {"statusCode": 200, "isBase64Encoded": True,
                "body": base64.b64encode(bytes(range(256))).decode()},
    "/no-body": {"statusCode": 200, "body": None}, "/204": {"statusCode": 204, "body": "ignored"},
    "/304": {"statusCode": 304, "headers": {"etag": '"x"'}},
    "/framing": {"statusCode": 200, "body": "1234", "headers": {
        "content-length": "99", "transfer-encoding": "chunked", "connection": "close",
        "keep-alive": "x", "upgrade": "h2c", "trailer": "x"}},
    "/split": {"statusCode": 200, "headers": {"x-a": "b\\r\\nx-evil: 1"}},
    "/bad-name": {"statusCode": 200, "headers": {"x a": "b"}},
    "/bad-status": {"statusCode": 1000}, "/zero": {"statusCode": 0},
    "/bad-headers": {"statusCode": 200, "headers": "x"},
    "/bad-cookies": {"statusCode": 200, "cookies": "a=b"},
    "/cookie-split": {"statusCode": 200, "cookies": ["a=b\\r\\nx-evil: 1"]},
    "/bad-base64": {"statusCode": 200, "isBase64Encoded": True, "body": "!"},
    "/object-body": {"statusCode": 200, "body": {"a": 1}},
    "/large": {"statusCode": 200, "body": "x" * (6 * 1024 * 1024 + 200)},
}
def handler(event, context):
    path = event.get("rawPath") or event["path"]
    if path == "/throw":
        raise ValueError("no")
    if path == "/exit":
        import os
        os._exit(3)
    return ANSWERS[path]
"""


@pytest.fixture(scope="module")
def answers(daemon):
    f = echo_function(daemon, ANSWERS)
    made = {"url": Url(daemon, f)}
    for version in ("2.0", "1.0"):
        made[version] = Api(daemon)
        made[version].route("ANY /{proxy+}", made[version].integration(f, version))
    yield made
    made.pop("url").close()
    for a in made.values():
        a.gw.delete_api(ApiId=a.id)
    f.delete()


@pytest.mark.parametrize("kind", ["url", "2.0"])
def test_answers_of_format_2(answers, kind):
    def ask(path, method="GET"):
        return answers[kind].call(path, method)

    for path, body in (("/inferred", b'{"a":1}'), ("/list", b"[1,2]"), ("/number", b"7"),
                       ("/null", b"null"), ("/text", "plain ä".encode())):
        r, data = ask(path)
        assert (r.status, data.replace(b" ", b"")) == (200, body.replace(b" ", b"")), path
        assert r.getheader("content-type") == "application/json", path
    r, data = ask("/body-only")  # without a statusCode it is a body like any other
    assert json.loads(data)["body"] == "not taken apart" and r.getheader("x-a") is None
    r, data = ask("/status")
    assert (r.status, data, r.getheader("content-length")) == (201, b"", "0")
    assert ask("/status-text")[0].status == 202
    r, data = ask("/headers")
    assert (r.getheader("x-mixed"), r.getheader("x-n"), r.getheader("x-t")) == ("v", "1", "true")
    assert r.headers.get_all("content-type") == ["text/html"]
    assert r.headers.get_all("set-cookie") == ["one=1", "two=2; Path=/", "three=3"]
    r, data = ask("/multi")  # format 1.0's
    assert r.status == 200 and r.getheader("x-m") is None
    r, data = ask("/base64")
    assert data == bytes(range(256)) and r.getheader("content-length") == "256"
    r, data = ask("/base64", "HEAD")
    assert data == b"" and r.getheader("content-length") == "256"
    assert ask("/no-body")[1] == b""
    for path, status in (("/204", 204), ("/304", 304)):
        r, data = ask(path)
        assert (r.status, data) == (status, b"") and r.getheader("transfer-encoding") is None
    r, data = ask("/framing")
    assert (data, r.getheader("content-length")) == (b"1234", "4")
    for name in ("transfer-encoding", "keep-alive", "upgrade", "trailer"):
        assert r.getheader(name) is None, name


@pytest.mark.parametrize("kind", ["url", "2.0", "1.0"])
def test_malformed_answers(answers, kind):
    status, message = (502, "Internal Server Error") if kind == "url" else \
        (500, {"message": "Internal Server Error"})
    paths = ["/split", "/bad-name", "/bad-status", "/zero", "/bad-headers", "/bad-base64",
             "/object-body", "/throw", "/exit", "/large"]
    if kind != "1.0":
        paths += ["/bad-cookies", "/cookie-split"]
    else:
        paths += ["/inferred", "/list", "/text", "/null"]  # format 1.0 infers nothing
    for path in paths:
        r, data = answers[kind].call(path)
        assert r.status == status and r.getheader("x-evil") is None, (path, r.status, data)
        assert data.decode() == message or json.loads(data) == message, path
    assert answers[kind].call("/status")[0].status == 201  # and it still lives


def test_answers_of_format_1(answers):
    r, data = answers["1.0"].call("/multi")
    assert r.headers.get_all("x-m") == ["1", "2"]
    r, data = answers["1.0"].call("/status")
    assert (r.status, data, r.getheader("content-type")) == (201, b"", "text/plain")
    r, data = answers["1.0"].call("/headers")
    assert r.headers.get_all("set-cookie") == ["one=1"]  # cookies are format 2.0's


def test_options_belong_to_cors(daemon):
    f = echo_function(daemon)
    u = Url(daemon, f, Cors={"AllowOrigins": ["*"], "AllowMethods": ["GET"], "MaxAge": 7})
    asks = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "GET")]
    r, data = u.call("/", "OPTIONS", headers=asks)
    assert (r.status, data, r.getheader("access-control-max-age")) == (200, b"", "7")
    # No preflight: the function is asked.
    for headers in ([], asks[:1], asks[1:]):
        r, data = u.call("/", "OPTIONS", headers=headers)
        assert json.loads(data)["requestContext"]["http"]["method"] == "OPTIONS"
    u.close()
    f.delete()
