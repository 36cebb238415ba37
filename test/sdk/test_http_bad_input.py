"""Hostile clients, functions, authorizers and upstream servers before and behind the gateways.

The framing of HTTP/1 and HTTP/2 has tables of its own in test/unit/http; what is here goes through
the whole daemon, byte by byte as a stranger would send it.
"""

import json
import socket
import threading

import pytest

from gateway_kit import Api, Server, echo_function, request
from harness import make_function, wait_until


@pytest.fixture(scope="module")
def echo(daemon):
    f = echo_function(daemon)
    yield f
    f.delete()


@pytest.fixture(scope="module")
def api(daemon, echo):
    a = Api(daemon)
    i = a.integration(echo)
    a.route("GET /admin", i)
    a.route("GET /files/{name}", i)
    a.route("GET /deep/{rest+}", i)
    a.route("POST /post", i)
    yield a
    a.gw.delete_api(ApiId=a.id)


def raw(daemon, data, chunks=1):
    """Everything that comes back for these bytes, until the server closes or has answered."""
    s = socket.create_connection(("127.0.0.1", daemon.port), timeout=60)
    try:
        step = max(1, len(data) // chunks)
        for at in range(0, len(data), step):
            s.sendall(data[at:at + step])
        s.shutdown(socket.SHUT_WR)
        answer = b""
        while more := s.recv(65536):
            answer += more
        return answer
    except (ConnectionResetError, BrokenPipeError):
        return answer if "answer" in locals() else b""
    finally:
        s.close()


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def head(api, method, target, *headers):
    lines = ["%s %s HTTP/1.1" % (method, target), "Host: " + api.host, *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


# ---- requests ------------------------------------------------------------------------------------

@pytest.mark.parametrize("path, status", [
    ("/admin", 200), ("/admin?x", 200), ("/files/a", 200),
    # Nothing is normalised on the way to a route: what is not the path is another path.
    ("/x/../admin", 404), ("/./admin", 404), ("//admin", 404), ("/admin/", 404),
    ("/x/%2e%2e/admin", 404), ("/%2e/admin", 404), ("/%61dmin", 404), ("/ADMIN", 404),
    ("/admin%00", 404), ("/admin%2f", 404), ("/admin;x=1", 404), ("/admin%3Fx", 404),
    ("/files/a/b", 404), ("/files/", 404), ("/files/%zz", 400), ("/files/%2", 400)])
def test_paths_are_routed_as_they_are(api, path, status):
    assert api.call(path)[0].status == status


def test_encoded_slashes_do_not_split_a_segment(api):
    e = api.json("/files/a%2Fb%2f..%5C")
    assert e["routeKey"] == "GET /files/{name}" and e["pathParameters"] == {"name": "a/b/..\\"}
    e = api.json("/deep/a/../%2e%2e/b")
    assert e["pathParameters"] == {"rest": "a/../../b"}
    assert api.json("/files/%00")["pathParameters"] == {"name": "\0"}


@pytest.mark.parametrize("what, data", [
    ("both lengths", ["Content-Length: 4", "Transfer-Encoding: chunked"]),
    ("two lengths", ["Content-Length: 4", "Content-Length: 5"]),
    ("a folded header", ["X-A: b\r\n c"]),
    ("a bare CR", ["X-A: b\rc"]),
    ("a null byte", ["X-A: b\0c"]),
    ("an obscured encoding", ["Transfer-Encoding : chunked"]),
    ("a list of encodings", ["Transfer-Encoding: gzip, chunked"]),
    ("another host", ["Host: other.example"])])
def test_ambiguous_requests(daemon, api, what, data):
    smuggled = head(api, "GET", "/admin")
    for chunks in (1, 7):
        answer = raw(daemon, head(api, "POST", "/post", *data) + b"0\r\n\r\n" + smuggled, chunks)
        assert status_of(answer) == 400, (what, answer[:200])
        assert answer.count(b"HTTP/1.1 ") == 1, what  # what was behind it was never answered


def test_forms_of_targets(daemon, api):
    for target in ("http://%s/admin" % api.host, api.host + ":80", "admin", "*", "/a b", "/\xe4"):
        assert status_of(raw(daemon, head(api, "GET", target))) == 400, target
    assert status_of(raw(daemon, head(api, "CONNECT", api.host + ":80"))) == 400


def test_a_megabyte_of_headers(daemon, api):
    for headers in (["X-A: " + "a" * 1000000], ["X-%d: y" % n for n in range(20000)],
                    ["Cookie: " + "a=b; " * 200000]):
        assert status_of(raw(daemon, head(api, "GET", "/admin", *headers), 16)) == 431
    assert api.call("/admin")[0].status == 200


def test_as_many_headers_as_there_may_be(api):
    e = api.json("/admin", headers=[("X-Same", "v%d" % n) for n in range(240)])
    assert e["headers"]["x-same"] == ",".join("v%d" % n for n in range(240))


def test_a_client_that_leaves(daemon, api):
    """Neither a half request nor an answer that nobody takes holds anything."""
    for data in (b"GET /adm", head(api, "POST", "/post", "Content-Length: 100") + b"half",
                 head(api, "GET", "/admin")):
        for _ in range(20):
            s = socket.create_connection(("127.0.0.1", daemon.port), timeout=60)
            s.sendall(data)
            s.close()
    assert api.call("/admin")[0].status == 200


@pytest.mark.needs("node")
def test_a_client_that_does_not_read(new_daemon):
    """A streamed answer of 50 MB waits in the function, not in the daemon."""
    d = new_daemon("--drain", "1s")
    f = make_function(d, "node", source="""
export const handler = awslambda.streamifyResponse(async (event, stream) => {
    const piece = Buffer.alloc(65536, "x");
    for (let i = 0; i < 800; i++) {
        if (i === 10) console.log("it has begun");
        if (!stream.write(piece)) await new Promise((go) => stream.once("drain", go));
    }
    console.log("all is written");
    stream.end();
});
""")
    url = d.client("lambda").create_function_url_config(
        FunctionName=f.name, AuthType="NONE", InvokeMode="RESPONSE_STREAM")["FunctionUrl"]
    host = url.split("//")[1].split(":")[0]

    def memory_kib():
        with open("/proc/%d/status" % d.children()["server"]) as status:
            return int(next(line for line in status if line.startswith("VmRSS")).split()[1])

    request(d, host)  # what the first answer costs
    before = memory_kib()
    sockets = []
    for _ in range(4):
        s = socket.create_connection(("127.0.0.1", d.port), timeout=60)
        s.sendall(("GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % host).encode())
        assert s.recv(100).startswith(b"HTTP/1.1 200")  # and no more
        sockets.append(s)
    wait_until(lambda: sum("it has begun" in line for line in f.log_lines()) == 5)
    for _ in range(100):  # while they would go on if nothing held them back
        assert request(d, "127.0.0.1", path="/_lambkin/health")[0].status == 200
        assert memory_kib() - before < 60 * 1024
    assert sum("all is written" in line for line in f.log_lines()) == 1
    for s in sockets:
        s.close()


# ---- authorizers ---------------------------------------------------------------------------------

AUTHORIZER = """
import json, os, time
def handler(event, context):
    what = event["identitySource"][0]
    if what == "hang":
        time.sleep(20)
    if what == "exit":
        os._exit(1)
    answers = {
        "good": {"isAuthorized": True},
        "text": "yes", "null": None, "list": [True], "number": 1,
        "truthy": {"isAuthorized": "true"}, "one": {"isAuthorized": 1}, "missing": {},
        "policy": {"principalId": "x", "policyDocument": {"Statement": [
            {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}]}},
        "context": {"isAuthorized": True, "context": {"a": {"b": [1, "\\r\\nx-evil: 1"]}}},
        "bad context": {"isAuthorized": True, "context": "text"},
        "deep": {"isAuthorized": True, "context": json.loads('{"a":' * 90 + "1" + "}" * 90)},
        "long": {"isAuthorized": True, "context": {"a": "x" * 400000}},
    }
    return answers[what]
"""


def guarded(daemon, echo, authorizer, **more):
    a = Api(daemon)
    options = dict(
        ApiId=a.id, Name="l", AuthorizerType="REQUEST", AuthorizerPayloadFormatVersion="2.0",
        EnableSimpleResponses=True, IdentitySource=["$request.header.X-Token"],
        AuthorizerUri="arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/%s/invocations"
                      % authorizer, AuthorizerResultTtlInSeconds=0)
    options.update(more)
    k = a.gw.create_authorizer(**options)["AuthorizerId"]
    a.route("GET /x", a.integration(echo), AuthorizationType="CUSTOM", AuthorizerId=k)
    return a


def test_authorizers_that_fail(daemon, echo):
    f = echo_function(daemon, AUTHORIZER)
    a = guarded(daemon, echo, f.arn)
    expected = {"good": 200, "context": 200, "bad context": 200, "deep": 200, "long": 200}
    for what in ("good", "text", "null", "list", "number", "truthy", "one", "missing", "policy",
                 "context", "bad context", "deep", "long", "unknown", "exit"):
        r, data = a.call("/x", headers=[("X-Token", what)])
        assert r.status == expected.get(what, 500), (what, r.status, data[:200])
        assert r.getheader("x-evil") is None
        if r.status == 500:
            assert json.loads(data) == {"message": "Internal Server Error"}, what
    assert a.call("/x", headers=[("X-Token", "")])[0].status == 401
    # None of it is let through by a cache either.
    a.gw.delete_api(ApiId=a.id)
    f.delete()


def test_an_authorizer_that_is_not_there(daemon, echo):
    f = echo_function(daemon, AUTHORIZER)
    a = guarded(daemon, echo, f.arn)
    assert a.call("/x", headers=[("X-Token", "good")])[0].status == 200
    f.delete()
    r, data = a.call("/x", headers=[("X-Token", "good")])
    assert r.status == 500 and json.loads(data) == {"message": "Internal Server Error"}
    a.gw.delete_api(ApiId=a.id)


def test_an_authorizer_that_takes_too_long(new_daemon):
    d = new_daemon("--time-scale", "0.05", "--drain", "1s")  # ten seconds are half a second
    e, f = echo_function(d), echo_function(d, AUTHORIZER)
    a = guarded(d, e, f.arn)
    assert a.call("/x", headers=[("X-Token", "good")])[0].status in (200, 500)  # cold
    r, data = a.call("/x", headers=[("X-Token", "hang")])
    assert r.status == 500 and json.loads(data) == {"message": "Internal Server Error"}
    wait_until(lambda: a.call("/x", headers=[("X-Token", "good")])[0].status == 200)


# ---- servers behind HTTP_PROXY -------------------------------------------------------------------

class RawServer:
    """Says the same bytes to whoever connects, and remembers what it heard."""

    def __init__(self, answer):
        self.answer, self.heard = answer, []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        c.settimeout(60)
        try:
            data = b""
            while b"\r\n\r\n" not in data:
                more = c.recv(65536)
                if not more:
                    return
                data += more
            self.heard.append(data)
            if self.answer is None:
                while c.recv(65536):
                    pass
                return
            c.sendall(self.answer)
        except OSError:
            pass
        finally:
            c.close()

    def close(self):
        self.socket.close()


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize("what, answer, statuses", [
    ("nothing", b"", (502, 503)),
    ("no HTTP", b"SSH-2.0-OpenSSH\r\n", (502, 503)),
    ("cut in the head", OK + b"Content-Le", (502, 503)),
    ("cut in the body", OK + b"Content-Length: 100\r\n\r\nhalf", (502, 503)),
    ("cut in a chunk", OK + b"Transfer-Encoding: chunked\r\n\r\n64\r\nhalf", (502, 503)),
    ("a bad chunk size", OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", (502, 503)),
    ("a huge chunk", OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx", (502, 503)),
    ("a negative length", OK + b"Content-Length: -1\r\n\r\nx", (502, 503)),
    ("two lengths that differ", OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy",
     (502, 503)),
    ("a long head", OK + b"X-A: " + b"a" * 2000000 + b"\r\n\r\n", (502, 503)),
    ("too much", OK + b"Content-Length: 11000000\r\n\r\n" + b"x" * 11000000, (502, 503)),
    ("status 999", b"HTTP/1.1 999 x\r\nContent-Length: 0\r\n\r\n", (502, 503)),
    ("a null in a header", OK + b"X-A: a\0b\r\nContent-Length: 0\r\n\r\n", (200, 502, 503)),
    ("a second answer behind it", OK + b"Content-Length: 2\r\n\r\nok" + OK + b"X-Evil: 1\r\n\r\n",
     (200,)),
    ("hop by hop", OK + b"Connection: X-Evil\r\nX-Evil: 1\r\nKeep-Alive: 1\r\nUpgrade: h2c\r\n"
     b"Content-Length: 2\r\n\r\nok", (200,)),
    ("a redirect", b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0"
     b"\r\n\r\n", (302,))])
def test_hostile_servers(daemon, what, answer, statuses):
    server, a = RawServer(answer), Api(daemon)
    a.route("GET /x", a.proxy(server.url))
    r, data = a.call("/x")
    assert r.status in statuses, (what, r.status, data[:200])
    for name in ("x-evil", "keep-alive", "upgrade"):
        assert r.getheader(name) is None, what
    if r.status >= 500:
        assert set(json.loads(data)) == {"message"}, what
    a.gw.delete_api(ApiId=a.id)
    server.close()


def test_a_server_that_does_not_answer(daemon):
    server, a = RawServer(None), Api(daemon)
    a.route("GET /x", a.proxy(server.url, TimeoutInMillis=300))
    r, data = a.call("/x")
    assert r.status in (503, 504) and set(json.loads(data)) == {"message"}
    a.gw.delete_api(ApiId=a.id)
    server.close()


def test_requests_are_framed_anew(daemon):
    """What goes to the server behind is one request, whatever the client's looked like."""
    server, a = RawServer(OK + b"Content-Length: 2\r\n\r\nok"), Api(daemon)
    a.route("POST /x", a.proxy(server.url))
    chunked = head(a, "POST", "/x", "Transfer-Encoding: chunked", "Connection: X-Hop, close",
                   "X-Hop: 1", "TE: trailers", "Proxy-Connection: x")
    body = b"5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n"
    assert status_of(raw(daemon, chunked + body, 9)) == 200
    heard = wait_until(lambda: server.heard and server.heard[0]).lower()
    assert heard.count(b"content-length: 5\r\n") == 1 and b"transfer-encoding" not in heard
    for gone in (b"x-hop", b"te:", b"proxy-connection", b"x-trailer"):
        assert gone not in heard, gone
    # Ambiguous ones never get there.
    both = head(a, "POST", "/x", "Content-Length: 5", "Transfer-Encoding: chunked")
    assert status_of(raw(daemon, both + b"0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n")) == 400
    assert len(server.heard) == 1
    a.gw.delete_api(ApiId=a.id)
    server.close()
