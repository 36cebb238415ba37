"""WebSocket APIs: routes, authorizers, @connections, limits."""

import json
import uuid

import pytest

from gateway_kit import echo_function
from harness import REGION, wait_until
from websocket_kit import Refused, WebSocket

FUNCTION = """
import json
def handler(event, context):
    c = event["requestContext"]
    print("event " + json.dumps(event))
    if c["eventType"] == "CONNECT":
        q = event.get("queryStringParameters") or {}
        answer = {"statusCode": int(q.get("status", 200))}
        if "proto" in q:
            answer["headers"] = {"Sec-WebSocket-Protocol": q["proto"]}
        return answer
    if event.get("body") == "throw":
        raise ValueError("no")
    return {"statusCode": 200, "body": json.dumps(event)}
"""


class WsApi:
    def __init__(self, d, function, routes=("$connect", "$disconnect", "$default"), connect=None):
        self.daemon, self.gw = d, d.client("apigatewayv2")
        made = self.gw.create_api(Name="ws-" + uuid.uuid4().hex[:8], ProtocolType="WEBSOCKET",
                                  RouteSelectionExpression="$request.body.action")
        self.id, self.endpoint = made["ApiId"], made["ApiEndpoint"]
        self.host = self.endpoint.split("//")[1]
        i = self.gw.create_integration(ApiId=self.id, IntegrationType="AWS_PROXY",
                                       IntegrationUri=function.arn)["IntegrationId"]
        for key in routes:
            more = (connect or {}) if key == "$connect" else {} if key[0] == "$" and \
                key != "$default" else {"RouteResponseSelectionExpression": "$default"}
            if "Authorizer" in more:
                more = dict(more)
                more["AuthorizerId"] = self.gw.create_authorizer(
                    ApiId=self.id, **more.pop("Authorizer"))["AuthorizerId"]
            self.gw.create_route(ApiId=self.id, RouteKey=key, Target="integrations/" + i, **more)
        self.gw.create_stage(ApiId=self.id, StageName="live", AutoDeploy=True,
                             StageVariables={"k": "v"})

    def open(self, query="", headers=(), stage="live"):
        return WebSocket(self.daemon.port, self.host, "/%s%s" % (stage, query), headers)

    def manage(self, **more):
        import boto3
        from botocore.config import Config
        return boto3.client(
            "apigatewaymanagementapi", region_name=REGION,
            endpoint_url="%s/_api/%s/live" % (self.daemon.url, self.id),
            aws_access_key_id=more.get("key", "test"), aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}))


@pytest.fixture(scope="module")
def function(daemon):
    f = echo_function(daemon, FUNCTION)
    yield f
    f.delete()


@pytest.fixture(scope="module")
def api(daemon, function):
    a = WsApi(daemon, function, ("$connect", "$disconnect", "$default", "hello"))
    yield a
    a.gw.delete_api(ApiId=a.id)


def events(function, kind, connection=None):
    found = [json.loads(line.split("event ", 1)[1]) for line in function.log_lines()
             if "event {" in line]
    return [e for e in found if e["requestContext"]["eventType"] == kind and
            connection in (None, e["requestContext"]["connectionId"])]


def test_a_conversation(api, function):
    assert api.endpoint.startswith("ws://%s.execute-api." % api.id)
    ws = api.open("?a=1&a=2", [("X-A", "b")])
    ws.send(json.dumps({"action": "hello", "x": 1}))
    e = json.loads(ws.text())
    c = e["requestContext"]
    assert c["routeKey"] == "hello" and c["eventType"] == "MESSAGE" and c["stage"] == "live"
    assert json.loads(e["body"]) == {"action": "hello", "x": 1} and not e["isBase64Encoded"]
    assert c["messageId"] and c["identity"]["sourceIp"] == "127.0.0.1" and c["apiId"] == api.id
    assert e["stageVariables"] == {"k": "v"} and "headers" not in e
    for text in ("not json", '{"action": "unknown"}', '{"action": {"a": 1}}', "[]",
                 '{"action": "$connect"}', ""):
        ws.send(text)
        e = json.loads(ws.text())
        assert e["requestContext"]["routeKey"] == "$default" and e["body"] == text
    ws.frame(2, b"\xff\x00")
    e = json.loads(ws.text())
    assert e["isBase64Encoded"] is True and e["body"] == "/wA="
    connection = c["connectionId"]
    connect = events(function, "CONNECT", connection)[0]
    assert connect["headers"]["x-a"] == "b" and connect["requestContext"]["routeKey"] == "$connect"
    assert connect["multiValueQueryStringParameters"] == {"a": ["1", "2"]}
    ws.close()
    gone = wait_until(lambda: events(function, "DISCONNECT", connection))[0]
    assert gone["requestContext"]["disconnectStatusCode"] == 1000
    assert gone["requestContext"]["routeKey"] == "$disconnect"


def test_connect_can_refuse(api):
    for status, seen in ((403, 403), (401, 401), (500, 500), (302, 502)):
        with pytest.raises(Refused) as e:
            api.open("?status=%d" % status)
        assert e.value.status == seen
    with pytest.raises(Refused) as e:
        api.open(stage="none")
    assert e.value.status == 404
    assert api.open("?proto=chat").headers["sec-websocket-protocol"] == "chat"


def test_a_function_that_fails(api):
    ws = api.open()
    ws.send("throw")
    e = json.loads(ws.text())
    assert e["message"] == "Internal server error" and e["connectionId"] and e["requestId"]
    ws.send("again")
    assert json.loads(ws.text())["body"] == "again"
    ws.close()


def test_without_routes(daemon, function):
    a = WsApi(daemon, function, routes=("hello",))
    ws = a.open()
    ws.send("x")
    assert json.loads(ws.text())["message"] == "Forbidden"
    ws.send('{"action":"hello"}')
    assert json.loads(ws.text())["requestContext"]["routeKey"] == "hello"
    a.gw.delete_api(ApiId=a.id)
    ws.send("x")
    assert ws.closed() == 1001


def test_connections(api, daemon):
    ws, m = api.open(), api.manage()
    ws.send("x")
    i = json.loads(ws.text())["requestContext"]["connectionId"]
    m.post_to_connection(ConnectionId=i, Data=b"from the server")
    assert ws.text() == "from the server"
    m.post_to_connection(ConnectionId=i, Data=b"y" * (128 * 1024))
    assert len(ws.text()) == 128 * 1024
    got = m.get_connection(ConnectionId=i)
    assert got["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "kit"}
    assert got["LastActiveAt"] >= got["ConnectedAt"]
    # Without a stage as well: what an SDK inside a function does with AWS_ENDPOINT_URL.
    daemon.client("apigatewaymanagementapi").post_to_connection(ConnectionId=i, Data=b"plain")
    assert ws.text() == "plain"
    with pytest.raises(m.exceptions.PayloadTooLargeException):
        m.post_to_connection(ConnectionId=i, Data=b"y" * (128 * 1024 + 1))
    m.delete_connection(ConnectionId=i)
    assert ws.closed() == 1000
    ws.sock.close()

    def gone():
        try:
            m.get_connection(ConnectionId=i)
        except m.exceptions.GoneException:
            return True
    wait_until(gone)
    with pytest.raises(m.exceptions.GoneException):
        m.post_to_connection(ConnectionId="nobody", Data=b"x")


def test_connections_from_a_function(daemon):
    """A function talks to its client through the platform's endpoint, as it would on AWS."""
    f = echo_function(daemon, """
import json
def handler(event, context):
    return {"statusCode": 200, "body": event["requestContext"]["connectionId"]}
""")
    a = WsApi(daemon, f)
    ws = a.open()
    ws.send("who am I")
    i = ws.text()
    a.manage().post_to_connection(ConnectionId=i, Data=b"you")
    assert ws.text() == "you"
    ws.close()
    a.gw.delete_api(ApiId=a.id)
    f.delete()


def test_a_client_that_does_not_read(api):
    ws, m = api.open(), api.manage()
    ws.send("x")
    i = json.loads(ws.text())["requestContext"]["connectionId"]
    with pytest.raises(m.exceptions.LimitExceededException):
        for _ in range(400):
            m.post_to_connection(ConnectionId=i, Data=b"z" * (128 * 1024))
    ws.sock.close()


def test_management_is_signed(daemon, api):
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", daemon.port)
    c.request("POST", "/_api/%s/live/@connections/abc" % api.id, b"x")
    r = c.getresponse()
    assert r.status == 403 and r.getheader("x-amzn-errortype") == "ForbiddenException"
    c.close()


AUTHORIZER = """
def handler(event, context):
    print("authorizer " + event["type"] + " " + event["methodArn"])
    ok = event["headers"].get("x-auth") == "good"
    return {"principalId": "me", "context": {"k": "v"}, "policyDocument": {"Statement": [
        {"Action": "execute-api:Invoke", "Effect": "Allow" if ok else "Deny",
         "Resource": event["methodArn"]}]}}
"""


def test_authorizer(daemon, function):
    f = echo_function(daemon, AUTHORIZER)
    a = WsApi(daemon, function, connect={
        "AuthorizationType": "CUSTOM", "Authorizer": dict(
            Name="a", AuthorizerType="REQUEST", IdentitySource=["route.request.header.X-Auth"],
            AuthorizerUri="arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/%s"
                          "/invocations" % f.arn)})
    ws = a.open(headers=[("X-Auth", "good")])
    ws.send("x")
    e = json.loads(ws.text())
    assert e["requestContext"]["authorizer"] == {"principalId": "me", "k": "v"}
    ws.close()
    for headers, status in (([("X-Auth", "bad")], 403), ([], 401)):
        with pytest.raises(Refused) as refused:
            a.open(headers=headers)
        assert refused.value.status == status
    a.gw.delete_api(ApiId=a.id)
    f.delete()


def test_iam(daemon, function):
    a = WsApi(daemon, function, connect={"AuthorizationType": "AWS_IAM"})
    with pytest.raises(Refused) as refused:
        a.open()
    assert refused.value.status == 403
    a.gw.delete_api(ApiId=a.id)


@pytest.mark.parametrize("what, code", [
    ("unmasked", 1002), ("reserved bit", 1002), ("unknown opcode", 1002), ("long ping", 1002),
    ("not UTF-8", 1007), ("too big a frame", 1009), ("too big a message", 1009),
    ("continuation of nothing", 1002)])
def test_protocol_errors(api, what, code):
    ws = api.open()
    if what == "unmasked":
        ws.frame(1, b"x", masked=False)
    elif what == "reserved bit":
        ws.frame(1, b"x", reserved=4)
    elif what == "unknown opcode":
        ws.frame(3, b"x")
    elif what == "long ping":
        ws.frame(9, b"x" * 126)
    elif what == "not UTF-8":
        ws.frame(1, b"\xff\xfe")
    elif what == "too big a frame":
        ws.frame(1, b"x" * (32 * 1024 + 1))
    elif what == "too big a message":
        ws.frame(1, b"x" * 32768, fin=False)
        for _ in range(4):
            ws.frame(0, b"x" * 32768, fin=False)
    else:
        ws.frame(0, b"x")
    assert ws.closed() == code
    ws.sock.close()


def test_a_plain_request_is_no_handshake(daemon, api):
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", daemon.port)
    c.request("GET", "/_api/%s/live" % api.id)
    assert c.getresponse().status == 426
    c.close()


def test_many_at_once(api):
    """Each hears its own answers."""
    sockets = [api.open() for _ in range(40)]
    for n, ws in enumerate(sockets):
        for k in range(3):
            ws.send("%d/%d" % (n, k))
    for n, ws in enumerate(sockets):
        assert {json.loads(ws.text())["body"] for _ in range(3)} == \
            {"%d/%d" % (n, k) for k in range(3)}
    for ws in sockets:
        ws.close()


def test_idle_connections_end(new_daemon):
    d = new_daemon("--time-scale", "0.001")  # ten minutes are 0.6 s
    f = echo_function(d, FUNCTION)
    a = WsApi(d, f)
    ws = a.open()
    assert ws.closed() == 1001
    ws.sock.close()
    d.stop()


def test_shutting_down_with_open_connections(new_daemon):
    d = new_daemon()
    a = WsApi(d, echo_function(d, FUNCTION))
    ws = a.open()
    ws.send("x")
    ws.text()
    assert d.stop() == 0
    assert ws.closed() in (1001, 1006)
