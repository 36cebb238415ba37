"""WebSocket APIs whose routes call HTTP servers, functions without a proxy, mocks; models."""

import base64
import json
import uuid

import pytest
from botocore.exceptions import ClientError

from gateway_kit import Server, echo_function
from harness import wait_until
from websocket_kit import Refused, WebSocket


class Sockets:
    """A WebSocket API that is made of integrations."""

    def __init__(self, daemon, **stage):
        self.daemon, self.gw = daemon, daemon.client("apigatewayv2")
        made = self.gw.create_api(Name="ws-" + uuid.uuid4().hex[:8], ProtocolType="WEBSOCKET",
                                  RouteSelectionExpression="$request.body.action")
        self.id, self.host = made["ApiId"], made["ApiEndpoint"].split("//")[1]
        self.gw.create_stage(ApiId=self.id, StageName="live", AutoDeploy=True,
                             StageVariables={"v": "stage's"}, **stage)

    def route(self, key, kind, uri=None, two_way=True, responses=(), method="POST", route=None,
              **more):
        if uri:
            more["IntegrationUri"] = uri
        if kind.startswith("HTTP"):
            more["IntegrationMethod"] = method
        i = self.gw.create_integration(ApiId=self.id, IntegrationType=kind, **more)["IntegrationId"]
        for response in responses:
            self.gw.create_integration_response(ApiId=self.id, IntegrationId=i, **response)
        made = self.gw.create_route(
            ApiId=self.id, RouteKey=key, Target="integrations/" + i,
            **({"RouteResponseSelectionExpression": "$default"} if two_way else {}),
            **(route or {}))
        if two_way:
            self.gw.create_route_response(ApiId=self.id, RouteId=made["RouteId"],
                                          RouteResponseKey="$default")
        return i

    def open(self, query="", headers=()):
        return WebSocket(self.daemon.port, self.host, "/live" + query, headers)


@pytest.fixture
def sockets(daemon):
    made = []

    def factory(**stage):
        made.append(Sockets(daemon, **stage))
        return made[-1]

    yield factory
    for s in made:
        s.gw.delete_api(ApiId=s.id)


@pytest.fixture
def mirror():
    seen = []

    def answer(h):
        seen.append(h.path)
        body = {"method": h.command, "path": h.path, "body": h.body.decode("latin-1"),
                "headers": {k.lower(): v for k, v in h.headers.items()}}
        status = int(h.headers.get("x-status", 200))
        if "binary" in h.path:
            h.reply(status, b"\xff\x00")
        else:
            h.reply(status, json.dumps(body).encode(), [("Content-Type", "application/json")])

    s = Server(answer)
    s.seen = seen
    yield s
    s.close()


def ask(ws, message):
    ws.send(json.dumps(message) if not isinstance(message, str) else message)
    return ws.text()


def refused(fn, **arguments):
    with pytest.raises(ClientError) as e:
        fn(**arguments)
    assert e.value.response["Error"]["Code"] == "BadRequestException"
    return e.value.response["Error"]["Message"]


def test_http_proxy(sockets, mirror):
    s = sockets()
    s.route("$default", "HTTP_PROXY", mirror.url + "/p", RequestParameters={
        "integration.request.header.x-connection": "context.connectionId",
        "integration.request.header.x-route": "context.routeKey",
        "integration.request.header.x-static": "'fixed'",
        "integration.request.header.x-variable": "stageVariables.v",
        "integration.request.querystring.n": "route.request.body.n"})
    s.route("quiet", "HTTP_PROXY", mirror.url + "/quiet", two_way=False)
    s.route("binary", "HTTP_PROXY", mirror.url + "/binary")
    ws = s.open()
    got = json.loads(ask(ws, {"n": "a b"}))
    assert got["method"] == "POST" and got["path"] == "/p?n=a%20b"
    assert json.loads(got["body"]) == {"n": "a b"}
    h = got["headers"]
    assert h["content-type"] == "application/json" and h["x-static"] == "fixed"
    assert h["x-route"] == "$default" and h["x-variable"] == "stage's" and h["x-connection"]
    assert json.loads(ask(ws, "text"))["headers"]["content-type"].startswith("text/plain")
    ws.send('{"action": "quiet"}')
    wait_until(lambda: "/quiet" in mirror.seen)
    ws.send('{"action": "binary"}')
    assert ws.receive() == (2, b"\xff\x00")
    ws.close()


def test_http_with_templates(sockets, mirror):
    s = sockets()
    s.route("order", "HTTP", mirror.url + "/orders/{id}", RequestTemplates={
        "$default": '{"item": $input.json(\'$.item\'), "by": "$context.connectionId", '
                    '"note": "$util.escapeJavaScript($input.path(\'$.note\'))"}',
        "plain": "id=$input.path('$.item').id"},
        TemplateSelectionExpression="${request.body.as}",
        RequestParameters={"integration.request.path.id": "route.request.body.item.id",
                           "integration.request.header.x-status": "route.request.body.status"},
        responses=[
            {"IntegrationResponseKey": "$default", "ResponseTemplates": {
                "$default": "done: $input.path('$.path') by ${context.routeKey}"}},
            {"IntegrationResponseKey": "/4\\d\\d/", "TemplateSelectionExpression":
                "${integration.response.statuscode}", "ResponseTemplates": {
                    "404": "nothing", "$default": "refused"}},
            {"IntegrationResponseKey": "/5\\d\\d/"}])
    ws = s.open()
    order = {"action": "order", "item": {"id": "a/b", "n": [1]}, "note": 'say "hi"\n'}
    assert ask(ws, order) == "done: /orders/a%2Fb by order"
    assert ask(ws, dict(order, status="404")) == "nothing"
    assert ask(ws, dict(order, status="403")) == "refused"
    got = json.loads(ask(ws, dict(order, status="500")))  # without a template: as it came
    assert json.loads(got["body"])["item"] == order["item"]
    assert json.loads(got["body"])["note"] == 'say "hi"\n'
    assert json.loads(ask(ws, dict(order, status="500", **{"as": "plain"})))["body"] == "id=a/b"
    # A step out of the place that the URI names is not made.
    assert json.loads(ask(ws, dict(order, item={"id": ".."})))["message"] == \
        "Internal server error"
    ws.close()


def test_answers_that_are_too_long(sockets, mirror):
    s = sockets()
    s.route("$default", "MOCK", RequestTemplates={"$default": '{"statusCode": 200}'}, responses=[{
        "IntegrationResponseKey": "$default",
        "ResponseTemplates": {"$default": "$context.connectionId " + "x" * (128 * 1024)}}])
    ws = s.open()
    assert json.loads(ask(ws, "x"))["message"] == "Internal server error"
    ws.close()


def test_no_integration_response_fits(sockets, mirror):
    s = sockets()
    s.route("$default", "HTTP", mirror.url, responses=[{"IntegrationResponseKey": "/3\\d\\d/"}])
    ws = s.open()
    assert json.loads(ask(ws, "x"))["message"] == "Internal server error"
    ws.close()


def test_a_server_that_is_not_there(sockets, mirror):
    port = mirror.port
    mirror.close()
    s = sockets()
    s.route("$default", "HTTP_PROXY", "http://127.0.0.1:%d" % port)
    ws = s.open()
    answer = json.loads(ask(ws, "x"))
    assert answer["message"] == "Internal server error" and answer["connectionId"]
    ws.close()


@pytest.mark.parametrize("behaviour, templates, passes", [
    ("WHEN_NO_MATCH", {}, True), ("WHEN_NO_MATCH", {"a": "t"}, True),
    ("WHEN_NO_TEMPLATES", {}, True), ("WHEN_NO_TEMPLATES", {"a": "t"}, False),
    ("NEVER", {}, False), ("NEVER", {"a": "t"}, False)])
def test_passthrough(sockets, mirror, behaviour, templates, passes):
    s = sockets()
    s.route("$default", "HTTP", mirror.url, PassthroughBehavior=behaviour,
            RequestTemplates=templates, TemplateSelectionExpression="${request.body.t}",
            responses=[{"IntegrationResponseKey": "$default"}])
    ws = s.open()
    answer = json.loads(ask(ws, '{"t": "b"}'))
    if passes:
        assert answer["body"] == '{"t": "b"}'
    else:
        assert answer["message"] == "Unsupported Media Type"
    if templates:
        assert json.loads(ask(ws, '{"t": "a"}'))["body"] == "t"
    ws.close()


def test_mocks(sockets):
    s = sockets()
    s.route("$connect", "MOCK", two_way=False, TemplateSelectionExpression="200",
            RequestTemplates={"200": '{"statusCode": 200}'})
    s.route("ping", "MOCK", TemplateSelectionExpression="\\$default",
            RequestTemplates={"$default": '{"statusCode": $input.path(\'$.code\')}'},
            responses=[{"IntegrationResponseKey": "$default",
                        "TemplateSelectionExpression": "\\$default",
                        "ResponseTemplates": {"$default": '{"pong": "$context.connectionId", '
                                              '"at": $context.requestTimeEpoch}'}},
                       {"IntegrationResponseKey": "/418/",
                        "ResponseTemplates": {"$default": "\\$teapot #1"}}])
    ws = s.open()
    answer = json.loads(ask(ws, {"action": "ping", "code": 200}))
    assert answer["pong"] and answer["at"] > 1.7e12
    assert ask(ws, {"action": "ping", "code": 418}) == "$teapot #1"
    assert json.loads(ask(ws, {"action": "ping"}))["message"] == "Internal server error"
    ws.close()


def test_connecting_through_integrations(sockets, mirror):
    s = sockets()
    i = s.route("$connect", "HTTP_PROXY", mirror.url + "/connect", two_way=False,
                RequestParameters={
                    "integration.request.header.x-status": "route.request.querystring.status",
                    "integration.request.header.x-agent": "route.request.header.user-agent"})
    s.open().close()
    for status, seen in (("403", 403), ("500", 500), ("302", 502)):
        with pytest.raises(Refused) as e:
            s.open("?status=" + status)
        assert e.value.status == seen
    s.gw.update_integration(ApiId=s.id, IntegrationId=i, IntegrationType="MOCK",
                            TemplateSelectionExpression="200",
                            RequestTemplates={"200": '{"statusCode": 401}'})
    with pytest.raises(Refused) as e:
        s.open()
    assert e.value.status == 401


def test_parameters_that_connecting_needs(sockets):
    s = sockets()
    s.route("$connect", "MOCK", two_way=False, route={"RequestParameters": {
        "route.request.querystring.room": {"Required": True},
        "route.request.header.x-who": {"Required": True},
        "route.request.header.x-any": {"Required": False}}})
    s.open("?room=1", [("X-Who", "me")]).close()
    with pytest.raises(Refused) as e:
        s.open("?room=1")
    assert e.value.status == 400 and json.loads(e.value.body)["message"] == \
        "Missing required request parameters: [x-who]"


def test_functions_without_a_proxy(sockets, daemon):
    f = echo_function(daemon, """
def handler(event, context):
    if event.get("fail"):
        raise ValueError("bad order: " + event["fail"])
    return {"got": event}
""")
    s = sockets()
    s.route("$default", "AWS", f.arn, RequestTemplates={
        "$default": '{"text": $input.json("$.t"), "fail": "$!input.path("$.fail")"}'},
        responses=[{"IntegrationResponseKey": "$default"},
                   {"IntegrationResponseKey": "/bad order.*/", "ResponseTemplates": {
                       "$default": "sorry: $input.path('$.errorMessage')"}}])
    s.route("whole", "AWS", f.arn, responses=[{
        "IntegrationResponseKey": "$default",
        "ResponseTemplates": {"$default": "$input.json('$.got.n')"}}])
    ws = s.open()
    assert json.loads(ask(ws, {"t": [1]})) == {"got": {"text": [1], "fail": ""}}
    assert ask(ws, {"t": 1, "fail": "none left"}) == "sorry: bad order: none left"
    assert ask(ws, {"action": "whole", "n": {"a": 1}}) in ('{"a": 1}', '{"a":1}')
    ws.close()
    f.delete()


def test_content_handling(sockets, mirror):
    s = sockets()
    s.route("$default", "HTTP", mirror.url + "/x", ContentHandlingStrategy="CONVERT_TO_TEXT",
            responses=[{"IntegrationResponseKey": "$default",
                        "ResponseTemplates": {"$default": "$input.path('$.body')"},
                        "ContentHandlingStrategy": "CONVERT_TO_BINARY"}])
    ws = s.open()
    ws.frame(2, b"\xfe\x01")
    assert ws.receive() == (2, b"\xfe\x01")  # there as base64, and back
    ws.close()


def test_what_is_refused(sockets, mirror):
    s = sockets()
    new = dict(ApiId=s.id, IntegrationUri=mirror.url, IntegrationMethod="POST")
    for name in ("#set($x = 1)", "#if(true)a#end", "#foreach($i in $input.path('$'))x#end"):
        assert "#" + name[1:3] in refused(s.gw.create_integration, IntegrationType="HTTP",
                                          RequestTemplates={"$default": name}, **new)
    for text in ("$util.parseJson('{}')", "$input.path('$.a').size()", "$input.foo",
                 "$util.escapeJavaScript($x)", "$input.json('$"):
        refused(s.gw.create_integration, IntegrationType="HTTP",
                RequestTemplates={"$default": text}, **new)
    refused(s.gw.create_integration, IntegrationType="HTTP", PassthroughBehavior="SOMETIMES", **new)
    refused(s.gw.create_integration, ApiId=s.id, IntegrationType="AWS", IntegrationUri=
            "arn:aws:apigateway:us-east-1:dynamodb:action/PutItem")
    refused(s.gw.create_integration, ApiId=s.id, IntegrationType="AWS_PROXY",
            IntegrationSubtype="SQS-PurgeQueue", RequestParameters={"QueueUrl": "x"})
    i = s.gw.create_integration(IntegrationType="HTTP", **new)["IntegrationId"]
    for key in ("2xx", "/", "//", "$other"):
        refused(s.gw.create_integration_response, ApiId=s.id, IntegrationId=i,
                IntegrationResponseKey=key)
    assert "API keys" in refused(s.gw.create_route, ApiId=s.id, RouteKey="k", ApiKeyRequired=True)
    r = s.gw.create_route(ApiId=s.id, RouteKey="k")["RouteId"]
    refused(s.gw.create_route_response, ApiId=s.id, RouteId=r, RouteResponseKey="other")


def test_records_of_responses_and_models(sockets, mirror):
    s = sockets()
    gw = s.gw
    i = s.route("a", "HTTP", mirror.url)
    got = gw.get_integration(ApiId=s.id, IntegrationId=i)
    assert got["PassthroughBehavior"] == "WHEN_NO_MATCH" and got["TimeoutInMillis"] == 29000
    assert got["IntegrationResponseSelectionExpression"] == "${integration.response.statuscode}"
    r = gw.create_integration_response(ApiId=s.id, IntegrationId=i,
                                       IntegrationResponseKey="/200/")["IntegrationResponseId"]
    at = dict(ApiId=s.id, IntegrationId=i, IntegrationResponseId=r)
    assert gw.update_integration_response(
        ResponseTemplates={"$default": "x"}, **at)["IntegrationResponseKey"] == "/200/"
    assert gw.get_integration_response(**at)["ResponseTemplates"] == {"$default": "x"}
    assert len(gw.get_integration_responses(ApiId=s.id, IntegrationId=i)["Items"]) == 1
    gw.delete_integration_response(**at)
    assert gw.get_integration_responses(ApiId=s.id, IntegrationId=i)["Items"] == []
    schema = {"type": "object", "properties": {"a": {"type": "string"}, "b": {
        "type": "object", "properties": {"c": {"type": "integer"}}}, "d": {"type": "array"}}}
    made = gw.create_model(ApiId=s.id, Name="Order", Schema=json.dumps(schema))
    m = dict(ApiId=s.id, ModelId=made["ModelId"])
    assert made["ContentType"] == "application/json" and json.loads(made["Schema"]) == schema
    assert json.loads(gw.get_model_template(**m)["Value"]) == {"a": "", "b": {"c": 0}, "d": []}
    assert gw.update_model(Description="d", **m)["Name"] == "Order"
    assert [x["ModelId"] for x in gw.get_models(ApiId=s.id)["Items"]] == [m["ModelId"]]
    with pytest.raises(gw.exceptions.ConflictException):
        gw.create_model(ApiId=s.id, Name="Order", Schema="{}")
    for name, text in (("a b", "{}"), ("A", "no json"), ("B", "[]")):
        refused(gw.create_model, ApiId=s.id, Name=name, Schema=text)
    gw.delete_model(**m)
    with pytest.raises(gw.exceptions.NotFoundException):
        gw.get_model(**m)


def test_messages_must_fit_their_model(sockets, mirror):
    s = sockets()
    s.gw.create_model(ApiId=s.id, Name="Order", Schema=json.dumps({
        "$schema": "http://json-schema.org/draft-04/schema#", "type": "object",
        "properties": {"n": {"type": "integer", "minimum": 1, "maximum": 9},
                       "tags": {"type": "array", "items": {"$ref": "#/definitions/tag"},
                                "maxItems": 2}},
        "required": ["n"], "definitions": {"tag": {"type": "string", "pattern": "^[a-z]+$"}}}))
    s.gw.create_model(ApiId=s.id, Name="Any", Schema="{}")
    s.route("order", "HTTP_PROXY", mirror.url, route={
        "ModelSelectionExpression": "$request.body.action",
        "RequestModels": {"order": "Order"}})
    s.route("kind", "HTTP_PROXY", mirror.url, route={
        "ModelSelectionExpression": "${request.body.kind}",
        "RequestModels": {"strict": "Order", "$default": "Any"}})
    ws = s.open()
    for fits, more in [(True, {"n": 1}), (True, {"n": 9, "tags": ["a", "b"]}), (False, {}),
                       (False, {"n": 0}), (False, {"n": 10}), (False, {"n": 1.5}),
                       (False, {"n": "1"}), (False, {"n": 1, "tags": ["A"]}),
                       (False, {"n": 1, "tags": ["a", "b", "c"]})]:
        for message in (dict(more, action="order"), dict(more, action="kind", kind="strict")):
            answer = json.loads(ask(ws, message))
            assert ("body" in answer) == fits, (message, answer)
            assert fits or answer["message"] == "Invalid request body"
    assert "body" in json.loads(ask(ws, {"action": "kind", "n": "anything"}))
    ws.close()


def test_access_log_of_messages(sockets, mirror, daemon):
    logs, group = daemon.client("logs"), "/ws/" + uuid.uuid4().hex[:8]
    logs.create_log_group(logGroupName=group)
    names = ["eventType", "routeKey", "status", "connectionId", "integrationStatus",
             "integrationErrorMessage", "requestId", "apiId", "identity.sourceIp"]
    s = sockets(AccessLogSettings={
        "DestinationArn": "arn:aws:logs:us-east-1:000000000000:log-group:" + group,
        "Format": json.dumps({n: "$context." + n for n in names})})
    s.route("$connect", "MOCK", two_way=False)
    s.route("$disconnect", "MOCK", two_way=False)
    s.route("$default", "HTTP", mirror.url, responses=[{"IntegrationResponseKey": "/3../"}])
    ws = s.open()
    ask(ws, "x")
    ws.close()

    def lines():
        events = logs.filter_log_events(logGroupName=group)["events"]
        return {e["eventType"]: e for e in
                (json.loads(x["message"]) for x in events)} if len(events) == 3 else None

    by_type = wait_until(lines)
    assert by_type["CONNECT"]["status"] == "101" and by_type["CONNECT"]["routeKey"] == "$connect"
    assert by_type["DISCONNECT"]["connectionId"] == by_type["CONNECT"]["connectionId"]
    message = by_type["MESSAGE"]
    assert message["status"] == "500" and message["integrationStatus"] == "500"
    assert "No match for output mapping" in message["integrationErrorMessage"]


def test_throttling_by_route(sockets, mirror):
    s = sockets(RouteSettings={"slow": {"ThrottlingRateLimit": 0.01, "ThrottlingBurstLimit": 1}})
    s.route("slow", "MOCK", responses=[{"IntegrationResponseKey": "$default", "ResponseTemplates":
                                        {"$default": "ok"}}])
    s.route("$default", "MOCK", responses=[{"IntegrationResponseKey": "$default",
                                            "ResponseTemplates": {"$default": "ok"}}])
    ws = s.open()
    assert ask(ws, {"action": "slow"}) == "ok"
    assert json.loads(ask(ws, {"action": "slow"}))["message"] == "Too Many Requests"
    assert [ask(ws, "x") for _ in range(5)] == ["ok"] * 5
    ws.close()


def test_a_deployment_holds_responses_and_models(sockets, mirror):
    s = sockets()
    gw = s.gw
    gw.create_stage(ApiId=s.id, StageName="pinned")
    gw.create_model(ApiId=s.id, Name="M", Schema='{"required": ["x"]}')
    i = s.route("$default", "MOCK", responses=[{
        "IntegrationResponseKey": "$default", "ResponseTemplates": {"$default": "first"}}],
        route={"ModelSelectionExpression": "$request.body.k", "RequestModels": {"$default": "M"}})
    gw.create_deployment(ApiId=s.id, StageName="pinned")
    r = gw.get_integration_responses(ApiId=s.id, IntegrationId=i)["Items"][0]
    gw.update_integration_response(
        ApiId=s.id, IntegrationId=i, IntegrationResponseId=r["IntegrationResponseId"],
        ResponseTemplates={"$default": "second"})
    live, pinned = s.open(), WebSocket(s.daemon.port, s.host, "/pinned")
    assert ask(live, {"x": 1}) == "second" and ask(pinned, {"x": 1}) == "first"
    assert json.loads(ask(pinned, {}))["message"] == "Invalid request body"
    live.close()
    pinned.close()


def test_base64_functions_of_templates(sockets):
    s = sockets()
    s.route("$default", "MOCK", responses=[{"IntegrationResponseKey": "$default",
            "ResponseTemplates": {"$default": "$util.base64Encode($context.routeKey) "
                                  "$util.base64Decode('aGk=') $util.urlEncode('a b&') "
                                  "$util.urlDecode('a+b%26') $stageVariables.v $nothing ## gone\n"
                                  "#* gone *#$!{context.none}|"}}])
    ws = s.open()
    assert ask(ws, "x") == "%s hi a%%20b%%26 a b& stage's $nothing |" % \
        base64.b64encode(b"$default").decode()
    ws.close()
