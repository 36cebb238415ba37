"""HTTP APIs of API Gateway, made through boto3 and called as browsers call them."""

import base64
import json
import uuid

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from gateway_kit import Api, Server, b64, echo_function, request
from harness import REGION, wait_until


@pytest.fixture(scope="module")
def echo(daemon):
    f = echo_function(daemon)
    yield f
    f.delete()


@pytest.fixture
def api(daemon):
    made = []

    def factory(**options):
        a = Api(daemon, **options)
        made.append(a)
        return a

    yield factory
    for a in made:
        a.gw.delete_api(ApiId=a.id)


@pytest.fixture
def server():
    made = []

    def factory(answer):
        made.append(Server(answer))
        return made[-1]

    yield factory
    for s in made:
        s.close()


def fails(code, fn, **arguments):
    with pytest.raises(ClientError) as e:
        fn(**arguments)
    assert e.value.response["Error"]["Code"] == code, e.value
    return e.value.response["Error"]["Message"]


# ---- the control plane ---------------------------------------------------------------------------

def test_api_crud(daemon):
    gw = daemon.client("apigatewayv2")
    made = gw.create_api(Name="first", ProtocolType="HTTP", Description="d", Tags={"a": "1"},
                         CorsConfiguration={"AllowOrigins": ["*"], "MaxAge": 5})
    assert made["ResponseMetadata"]["HTTPStatusCode"] == 201
    i = made["ApiId"]
    assert made["ApiEndpoint"] == "http://%s.execute-api.us-east-1.localhost:%d" % (i, daemon.port)
    got = gw.get_api(ApiId=i)
    assert got["Name"] == "first" and got["CorsConfiguration"]["MaxAge"] == 5
    assert got["RouteSelectionExpression"] == "$request.method $request.path"
    assert got["CreatedDate"].tzinfo is not None and got["Tags"] == {"a": "1"}
    assert gw.update_api(ApiId=i, Name="second")["Description"] == "d"
    assert gw.get_api(ApiId=i)["Name"] == "second"
    gw.delete_cors_configuration(ApiId=i)
    assert "CorsConfiguration" not in gw.get_api(ApiId=i)
    arn = "arn:aws:apigateway:us-east-1::/apis/" + i
    gw.tag_resource(ResourceArn=arn, Tags={"b": "2"})
    assert gw.get_tags(ResourceArn=arn)["Tags"] == {"a": "1", "b": "2"}
    gw.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert gw.get_api(ApiId=i)["Tags"] == {"b": "2"}
    assert i in [a["ApiId"] for a in gw.get_apis(MaxResults="500")["Items"]]
    gw.delete_api(ApiId=i)
    fails("NotFoundException", gw.get_api, ApiId=i)
    fails("NotFoundException", gw.get_routes, ApiId=i)
    fails("BadRequestException", gw.create_api, Name="x", ProtocolType="WEBSOCKET")


def test_pages(daemon, api):
    a = api(stage=None)
    names = ["s%d" % n for n in range(5)]
    for n in names:
        a.gw.create_stage(ApiId=a.id, StageName=n)
    seen, token = [], {}
    while True:
        page = a.gw.get_stages(ApiId=a.id, MaxResults="2", **token)
        assert len(page["Items"]) <= 2
        seen += [s["StageName"] for s in page["Items"]]
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert sorted(seen) == names
    fails("BadRequestException", a.gw.get_stages, ApiId=a.id, MaxResults="x")


def test_what_stands_below_an_api(api, echo):
    a = api(stage=None)
    gw, i = a.gw, a.integration(echo, Description="one")
    assert gw.get_integration(ApiId=a.id, IntegrationId=i)["TimeoutInMillis"] == 30000
    assert gw.update_integration(ApiId=a.id, IntegrationId=i,
                                 TimeoutInMillis=1000)["Description"] == "one"
    assert [x["IntegrationId"] for x in gw.get_integrations(ApiId=a.id)["Items"]] == [i]
    r = a.route("GET /a/{b}", i)
    assert gw.get_route(ApiId=a.id, RouteId=r)["AuthorizationType"] == "NONE"
    assert gw.update_route(ApiId=a.id, RouteId=r, RouteKey="GET /c")["RouteKey"] == "GET /c"
    fails("ConflictException", gw.create_route, ApiId=a.id, RouteKey="GET /c")
    fails("BadRequestException", gw.create_route, ApiId=a.id, RouteKey="get /c")
    fails("BadRequestException", gw.create_route, ApiId=a.id, RouteKey="GET /{a+}/b")
    fails("NotFoundException", gw.create_route, ApiId=a.id, RouteKey="GET /d",
          Target="integrations/none")
    fails("BadRequestException", gw.create_integration, ApiId=a.id, IntegrationType="AWS_PROXY",
          IntegrationUri="not an arn", PayloadFormatVersion="2.0")
    auth = gw.create_authorizer(ApiId=a.id, Name="j", AuthorizerType="JWT",
                                IdentitySource=["$request.header.Authorization"],
                                JwtConfiguration={"Issuer": "https://i", "Audience": ["x"]})
    k = auth["AuthorizerId"]
    assert gw.update_authorizer(ApiId=a.id, AuthorizerId=k, Name="k")["Name"] == "k"
    assert len(gw.get_authorizers(ApiId=a.id)["Items"]) == 1
    gw.update_route(ApiId=a.id, RouteId=r, AuthorizationType="JWT", AuthorizerId=k)
    fails("BadRequestException", gw.update_route, ApiId=a.id, RouteId=r, AuthorizerId="nobody")
    s = gw.create_stage(ApiId=a.id, StageName="dev", StageVariables={"k": "v"})
    assert s["StageVariables"] == {"k": "v"}
    fails("ConflictException", gw.create_stage, ApiId=a.id, StageName="dev")
    fails("BadRequestException", gw.create_stage, ApiId=a.id, StageName="a/b")
    d = gw.create_deployment(ApiId=a.id, StageName="dev", Description="x")
    assert d["DeploymentStatus"] == "DEPLOYED"
    assert gw.get_stage(ApiId=a.id, StageName="dev")["DeploymentId"] == d["DeploymentId"]
    assert len(gw.get_deployments(ApiId=a.id)["Items"]) == 1
    gw.update_stage(ApiId=a.id, StageName="dev", RouteSettings={
        "GET /c": {"ThrottlingRateLimit": 1.0}})
    gw.delete_route_settings(ApiId=a.id, StageName="dev", RouteKey="GET /c")
    assert gw.get_stage(ApiId=a.id, StageName="dev")["RouteSettings"] == {}
    gw.delete_stage(ApiId=a.id, StageName="dev")
    gw.delete_deployment(ApiId=a.id, DeploymentId=d["DeploymentId"])
    gw.delete_route(ApiId=a.id, RouteId=r)
    gw.delete_authorizer(ApiId=a.id, AuthorizerId=k)
    gw.delete_integration(ApiId=a.id, IntegrationId=i)
    fails("NotFoundException", gw.delete_integration, ApiId=a.id, IntegrationId=i)


def test_it_is_all_there_after_a_restart(new_daemon):
    d = new_daemon()
    f = echo_function(d)
    a = Api(d, Target=f.arn)
    a.json("/x")
    port = d.port
    d.stop()
    d.start(port=port)
    assert a.json("/y")["rawPath"] == "/y"


# ---- events and answers --------------------------------------------------------------------------

def test_quick_create(api, echo):
    a = api(Target=echo.arn)
    e = a.json("/any/path?q=1", method="PATCH", body=b"hi", headers=[("Cookie", "a=b")])
    assert e["routeKey"] == "$default" and e["rawPath"] == "/any/path" and e["cookies"] == ["a=b"]
    assert a.gw.get_stages(ApiId=a.id)["Items"][0]["StageName"] == "$default"


def test_event_2(api, echo):
    a = api()
    a.route("POST /users/{id}/{rest+}", a.integration(echo))
    a.gw.update_stage(ApiId=a.id, StageName="$default", StageVariables={"k": "v"})
    e = a.json("/users/a%20b/c/d%2Fe?x=1&x=2&y=", method="POST", body=b'{"j":1}',
               headers=[("Content-Type", "application/json"), ("X-A", "1"), ("X-A", "2")])
    assert e["version"] == "2.0" and e["routeKey"] == "POST /users/{id}/{rest+}"
    assert e["pathParameters"] == {"id": "a b", "rest": "c/d/e"}
    assert e["rawPath"] == "/users/a b/c/d/e" and e["rawQueryString"] == "x=1&x=2&y="
    assert e["queryStringParameters"] == {"x": "1,2", "y": ""}
    assert e["headers"]["x-a"] == "1,2" and e["stageVariables"] == {"k": "v"}
    assert e["body"] == '{"j":1}' and e["isBase64Encoded"] is False
    c = e["requestContext"]
    assert c["apiId"] == a.id and c["stage"] == "$default" and c["accountId"] == "000000000000"
    assert c["domainName"] == a.host and c["domainPrefix"] == a.id
    assert c["http"]["path"] == "/users/a b/c/d/e" and c["http"]["method"] == "POST"
    assert "authorizer" not in c


def test_event_1(api, echo):
    a = api(stage="dev")
    f = echo_function(a.daemon, "import json\ndef handler(e, c):\n"
                                "    return {'statusCode': 200, 'body': json.dumps(e),\n"
                                "            'multiValueHeaders': {'x-m': ['1', '2']}}\n")
    a.route("ANY /p/{id}", a.integration(f, "1.0"))
    r, data = a.call("/dev/p/7?x=1&x=2", headers=[("X-A", "1"), ("X-A", "2")])
    assert r.headers.get_all("x-m") == ["1", "2"]
    e = json.loads(data)
    assert e["version"] == "1.0" and e["resource"] == "/p/{id}" and e["httpMethod"] == "GET"
    assert e["multiValueHeaders"]["x-a"] == ["1", "2"]
    assert e["queryStringParameters"] == {"x": "2"}
    assert e["multiValueQueryStringParameters"] == {"x": ["1", "2"]}
    assert e["pathParameters"] == {"id": "7"} and e["stageVariables"] is None
    assert e["path"] == "/dev/p/7" and e["requestContext"]["stage"] == "dev"
    assert e["requestContext"]["identity"]["sourceIp"] == "127.0.0.1"
    f.delete()


def test_answers(api):
    a = api()
    f = echo_function(a.daemon, """
import base64
ANSWERS = {
    "/full": {"statusCode": 201, "headers": {"X-A": "b"}, "cookies": ["a=1", "b=2"], "body": "m"},
    "/binary": {"statusCode": 200, "isBase64Encoded": True,
                "body": base64.b64encode(bytes(range(256))).decode()},
    "/text": "hello",
    "/split": {"statusCode": 200, "headers": {"x": "a\\r\\nset-cookie: evil=1"}},
    "/name": {"statusCode": 200, "headers": {"a b": "c"}},
    "/framing": {"statusCode": 200, "headers": {"Content-Length": "5", "Transfer-Encoding": "x",
                                                "Connection": "close"}, "body": "abc"},
}
def handler(event, context):
    return ANSWERS[event["rawPath"]]
""")
    a.route("$default", a.integration(f))
    r, data = a.call("/full")
    assert (r.status, data, r.getheader("x-a")) == (201, b"m", "b")
    assert r.headers.get_all("set-cookie") == ["a=1", "b=2"] and r.getheader("apigw-requestid")
    assert a.call("/binary")[1] == bytes(range(256))
    assert a.call("/text")[1] == b"hello"
    r, data = a.call("/framing")
    assert (r.status, data) == (200, b"abc")
    for path in ("/split", "/name", "/throws"):
        r, data = a.call(path)
        assert r.status == 500 and json.loads(data) == {"message": "Internal Server Error"}, path
        assert r.getheader("set-cookie") is None
    f.delete()
    r, data = a.call("/full")
    assert r.status == 500


def test_routes_are_chosen_by_how_much_they_say(api, echo):
    a = api()
    i = a.integration(echo)
    for key in ("ANY /a", "GET /a/{x}", "GET /a/b", "ANY /{all+}", "POST /a"):
        a.route(key, i)
    for method, path, key in (("GET", "/a", "ANY /a"), ("POST", "/a", "POST /a"),
                              ("GET", "/a/b", "GET /a/b"), ("GET", "/a/c", "GET /a/{x}"),
                              ("PUT", "/a/c", "ANY /{all+}"), ("GET", "/z/y", "ANY /{all+}")):
        assert a.json(path, method=method)["routeKey"] == key, (method, path)
    r, data = a.call("/")
    assert r.status == 404 and json.loads(data) == {"message": "Not Found"}


def test_stages_and_deployments(api, echo):
    a = api(stage=None)
    a.gw.create_stage(ApiId=a.id, StageName="prod")
    assert a.call("/prod/a")[0].status == 404  # nothing is deployed there
    i = a.integration(echo)
    a.route("GET /a", i)
    assert a.call("/prod/a")[0].status == 404
    a.gw.create_deployment(ApiId=a.id, StageName="prod")
    assert a.json("/prod/a")["rawPath"] == "/prod/a"
    a.route("GET /b", i)
    assert a.call("/prod/b")[0].status == 404  # frozen
    a.gw.create_stage(ApiId=a.id, StageName="live", AutoDeploy=True)
    assert a.json("/live/b")["requestContext"]["stage"] == "live"
    d = a.gw.create_deployment(ApiId=a.id)
    a.gw.update_stage(ApiId=a.id, StageName="prod", DeploymentId=d["DeploymentId"])
    assert a.json("/prod/b")
    assert a.call("/none/b")[0].status == 404


def test_path_style(api, daemon, echo):
    a = api(Target=echo.arn)
    r, data = request(daemon, "127.0.0.1", path="/_api/%s/x/y?z=1" % a.id)
    assert r.status == 200 and json.loads(data)["rawPath"] == "/x/y"
    assert request(daemon, "127.0.0.1", path="/_api/nobody/x")[0].status == 404
    assert request(daemon, "nobody.execute-api.us-east-1.localhost")[0].status == 404


def test_the_endpoint_can_be_disabled(api, echo):
    a = api(Target=echo.arn, DisableExecuteApiEndpoint=True)
    assert a.call("/")[0].status == 404


def test_cors(api, echo):
    a = api(CorsConfiguration={"AllowOrigins": ["https://a.example"], "AllowMethods": ["GET"],
                               "AllowHeaders": ["x-k"], "ExposeHeaders": ["x-e"], "MaxAge": 60,
                               "AllowCredentials": True})
    a.route("GET /", a.integration(echo))
    r, data = a.call("/", "OPTIONS", headers=[("Origin", "https://a.example"),
                                              ("Access-Control-Request-Method", "GET")])
    assert r.status == 204 and data == b""
    assert r.getheader("access-control-allow-origin") == "https://a.example"
    assert r.getheader("access-control-allow-methods") == "GET"
    assert r.getheader("access-control-allow-headers") == "x-k"
    assert r.getheader("access-control-max-age") == "60"
    r, _ = a.call("/", headers=[("Origin", "https://a.example")])
    assert r.getheader("access-control-expose-headers") == "x-e"
    assert r.getheader("access-control-allow-credentials") == "true"
    r, _ = a.call("/", headers=[("Origin", "https://b.example")])
    assert r.getheader("access-control-allow-origin") is None
    r, _ = a.call("/none", headers=[("Origin", "https://a.example")])
    assert r.status == 404 and r.getheader("access-control-allow-origin") == "https://a.example"


def test_throttling(api, echo):
    a = api()
    i = a.integration(echo)
    a.route("GET /slow", i)
    a.route("GET /fast", i)
    a.gw.update_stage(ApiId=a.id, StageName="$default", RouteSettings={
        "GET /slow": {"ThrottlingRateLimit": 0.001, "ThrottlingBurstLimit": 2}})
    answers = [a.call("/slow") for _ in range(4)]
    assert [r.status for r, _ in answers] == [200, 200, 429, 429]
    assert json.loads(answers[3][1]) == {"message": "Too Many Requests"}
    assert a.call("/fast")[0].status == 200
    a.gw.update_stage(ApiId=a.id, StageName="$default", DefaultRouteSettings={
        "ThrottlingRateLimit": 0.001, "ThrottlingBurstLimit": 1})
    assert [a.call("/fast")[0].status for _ in range(2)] == [200, 429]


def test_bad_requests(api, echo):
    a = api(Target=echo.arn)
    assert a.json("/a/../b")["rawPath"] == "/a/../b"  # the function decides
    r, _ = a.call("/", "POST", body=b"x" * (7 << 20), headers=[("Content-Type", "text/plain")])
    assert r.status == 413
    b = api()
    b.route("GET /{x}", b.integration(echo))
    assert b.call("/%zz")[0].status == 400


def test_integration_timeout(api):
    """The client is told; the function goes on."""
    a = api()
    f = echo_function(a.daemon, """
import time
def handler(event, context):
    time.sleep(float(event["queryStringParameters"]["s"]))
    print("came to its end")
    return "done"
""")
    a.route("GET /x", a.integration(f, TimeoutInMillis=500))
    assert a.call("/x?s=0")[1] == b"done"
    r, data = a.call("/x?s=1.5")
    assert r.status == 503 and json.loads(data) == {"message": "Service Unavailable"}
    wait_until(lambda: sum("came to its end" in line for line in f.log_lines()) == 2)
    f.delete()


# ---- authorisation -------------------------------------------------------------------------------

def test_iam(api, echo):
    a = api()
    a.route("GET /x", a.integration(echo), AuthorizationType="AWS_IAM")
    r, data = a.call("/x")
    assert r.status == 403 and json.loads(data) == {"message": "Forbidden"}
    signed = AWSRequest("GET", "http://%s:%d/x" % (a.host, a.daemon.port))
    SigV4Auth(Credentials("test", "test"), "execute-api", REGION).add_auth(signed)
    headers = [(k, v) for k, v in signed.headers.items() if k.lower() != "host"]
    e = a.json("/x", headers=headers)
    assert e["requestContext"]["authorizer"]["iam"]["accessKey"] == "test"
    broken = [(k, v[:-1] + ("0" if v[-1] != "0" else "1") if k == "Authorization" else v)
              for k, v in headers]
    assert a.call("/x", headers=broken)[0].status == 403


AUTHORIZER = """
def handler(event, context):
    token = event["identitySource"][0] if isinstance(event["identitySource"], list) \\
        else event["identitySource"]
    print("asked about " + token)
    if token == "throw":
        raise ValueError("no")
    if token == "nonsense":
        return {"what": 1}
    if event["version"] == "2.0":
        return {"isAuthorized": token == "good", "context": {"who": token, "n": 1}}
    return {"principalId": "p", "context": {"who": token}, "policyDocument": {
        "Version": "2012-10-17", "Statement": [
            {"Action": "execute-api:Invoke", "Effect": "Allow" if token == "good" else "Deny",
             "Resource": event["methodArn"]}]}}
"""


@pytest.fixture(scope="module")
def authorizer(daemon):
    f = echo_function(daemon, AUTHORIZER)
    yield f
    f.delete()


def with_authorizer(a, function, **more):
    options = dict(ApiId=a.id, Name="l", AuthorizerType="REQUEST",
                   AuthorizerUri="arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/"
                                 + function.arn + "/invocations",
                   IdentitySource=["$request.header.X-Token"], AuthorizerResultTtlInSeconds=0)
    options.update(more)
    return a.gw.create_authorizer(**options)["AuthorizerId"]


def test_lambda_authorizer_simple(api, echo, authorizer):
    a = api()
    k = with_authorizer(a, authorizer, AuthorizerPayloadFormatVersion="2.0",
                        EnableSimpleResponses=True)
    a.route("GET /x", a.integration(echo), AuthorizationType="CUSTOM", AuthorizerId=k)
    e = a.json("/x", headers=[("X-Token", "good")])
    assert e["requestContext"]["authorizer"] == {"lambda": {"who": "good", "n": 1}}
    for token, status, message in (("bad", 403, "Forbidden"), ("throw", 500, None),
                                   ("nonsense", 500, None), (None, 401, "Unauthorized")):
        r, data = a.call("/x", headers=[("X-Token", token)] if token else [])
        assert r.status == status, token
        assert json.loads(data) == {"message": message or "Internal Server Error"}


def test_identity_sources_are_told_apart(api, echo):
    a = api()
    f = echo_function(a.daemon, """
def handler(event, context):
    return {"isAuthorized": True, "context": {"n": len(event["identitySource"]),
                                              "first": event["identitySource"][0]}}
""")
    k = with_authorizer(a, f, AuthorizerPayloadFormatVersion="2.0", EnableSimpleResponses=True,
                        IdentitySource=["$request.querystring.a", "$request.querystring.b"],
                        AuthorizerResultTtlInSeconds=300)
    a.route("GET /x", a.integration(echo), AuthorizationType="CUSTOM", AuthorizerId=k)
    for query, first in (("a=1%0A2&b=3", "1\n2"), ("a=1&b=2%0A3", "1")):
        e = a.json("/x?" + query)
        assert e["requestContext"]["authorizer"]["lambda"] == {"n": 2, "first": first}
    assert a.call("/x?a=1")[0].status == 401
    f.delete()


def test_lambda_authorizer_policy_and_cache(api, echo, authorizer):
    a = api()
    k = with_authorizer(a, authorizer, AuthorizerPayloadFormatVersion="1.0",
                        AuthorizerResultTtlInSeconds=300)
    i = a.integration(echo)
    for path in ("x", "y"):
        a.route("GET /" + path, i, AuthorizationType="CUSTOM", AuthorizerId=k)
    before = [line for line in authorizer.log_lines() if "asked about good" in line]
    for _ in range(3):
        e = a.json("/x", headers=[("X-Token", "good")])
        assert e["requestContext"]["authorizer"]["lambda"]["who"] == "good"
    # What was kept says nothing of another route.
    assert a.call("/y", headers=[("X-Token", "good")])[0].status == 403
    assert a.call("/x", headers=[("X-Token", "bad")])[0].status == 403
    after = [line for line in authorizer.log_lines() if "asked about good" in line]
    assert len(after) == len(before) + 1
    a.gw.reset_authorizers_cache(ApiId=a.id, StageName="$default")
    a.json("/x", headers=[("X-Token", "good")])
    after = [line for line in authorizer.log_lines() if "asked about good" in line]
    assert len(after) == len(before) + 2


# ---- HTTP_PROXY ----------------------------------------------------------------------------------

def mirror(h):
    if h.path.startswith("/hop"):
        h.reply(200, b"ok", [("Connection", "x-private"), ("X-Private", "1"), ("X-Public", "2")])
        return
    h.reply(207, json.dumps({"method": h.command, "path": h.path, "body": h.body.decode(),
                             "headers": [[k.lower(), v] for k, v in h.headers.items()]}).encode(),
            [("Content-Type", "application/json"), ("X-Up", "1")])


def test_http_proxy(api, server):
    s, a = server(mirror), api()
    a.route("ANY /v/{p+}", a.proxy(s.url + "/base/{p}"))
    r, data = a.call("/v/a%20b/c?q=1&r=%2F", "POST", b"payload", [("X-A", "1"), ("X-A", "2")])
    assert r.status == 207 and r.getheader("x-up") == "1"
    e = json.loads(data)
    assert (e["method"], e["path"], e["body"]) == ("POST", "/base/a%20b/c?q=1&r=%2F", "payload")
    assert [v for k, v in e["headers"] if k == "x-a"] == ["1", "2"]
    assert [v for k, v in e["headers"] if k == "host"] == ["127.0.0.1:%d" % s.port]
    assert [v for k, v in e["headers"] if k == "forwarded"][0].startswith("for=127.0.0.1;host=")


def test_http_proxy_lets_nothing_through_that_is_the_connections(api, server):
    s, a = server(mirror), api()
    a.route("ANY /v/{p+}", a.proxy(s.url + "/base/{p}"))
    a.route("GET /hop", a.proxy(s.url + "/hop"))
    r, data = a.call("/v/x", "POST", b"ab", [
        ("Connection", "close, X-Hop"), ("X-Hop", "1"), ("TE", "trailers"), ("Keep-Alive", "1"),
        ("Proxy-Authorization", "Basic x"), ("X-Stay", "1")])
    names = [k for k, _ in json.loads(data)["headers"]]
    assert "x-stay" in names and names.count("content-length") == 1
    for gone in ("x-hop", "te", "keep-alive", "proxy-authorization", "transfer-encoding"):
        assert gone not in names, gone
    r, _ = a.call("/hop")
    assert r.getheader("x-public") == "2" and r.getheader("x-private") is None
    for path in ("/v/../../etc", "/v/%2e%2e/%2e%2e/etc", "/v/..%2fetc"):
        assert a.call(path)[0].status == 400, path


def test_http_proxy_parameters(api, server):
    s, a = server(mirror), api()
    i = a.proxy(s.url + "/base", RequestParameters={
        "append:header.x-req": "$request.header.x-in", "overwrite:header.x-two": "${request.method}!",
        "remove:header.x-gone": "''", "append:querystring.who": "$request.path.id",
        "overwrite:path": "$request.path", "append:header.x-evil": "$request.querystring.evil",
        "append:header.x-ctx": "$context.apiId", "append:header.x-none": "$request.header.none"},
        ResponseParameters={"207": {"overwrite:statuscode": "203", "append:header.x-new": "new",
                                    "remove:header.x-up": "''"}})
    a.route("GET /p/{id}", i)
    r, data = a.call("/p/7?evil=a%0D%0Ax-split:1", headers=[
        ("X-In", "in"), ("X-Two", "1"), ("X-Gone", "1")])
    assert (r.status, r.getheader("x-new"), r.getheader("x-up")) == (203, "new", None)
    e = json.loads(data)
    headers = dict(e["headers"])
    assert e["path"] == "/p/7?evil=a%0D%0Ax-split:1&who=7"
    assert headers["x-req"] == "in" and headers["x-two"] == "GET!" and headers["x-ctx"] == a.id
    for none in ("x-gone", "x-evil", "x-split", "x-none"):
        assert none not in headers, none


def test_http_proxy_without_a_server(api, server):
    s, a = server(mirror), api()
    url = s.url
    s.close()
    a.route("GET /x", a.proxy(url + "/x"))
    r, data = a.call("/x")
    assert r.status in (502, 503) and "message" in json.loads(data)


# ---- custom domains, access logs -----------------------------------------------------------------

def test_custom_domain(api, daemon, echo):
    a, b = api(), api(stage="dev")
    for x, stage in ((a, "$default"), (b, "dev")):
        x.route("GET /{p+}", x.integration(echo))
    gw, name = a.gw, "www-%s.example.test" % uuid.uuid4().hex[:8]
    made = gw.create_domain_name(DomainName=name, DomainNameConfigurations=[
        {"CertificateArn": "arn:aws:acm:us-east-1:000000000000:certificate/x"}])
    assert made["DomainName"] == name
    first = gw.create_api_mapping(DomainName=name, ApiId=a.id, Stage="$default")
    gw.create_api_mapping(DomainName=name, ApiId=b.id, Stage="dev", ApiMappingKey="v1/b")
    for path, x in (("/one", a), ("/v1/b/two", b), ("/v1/bb", a)):
        r, data = request(daemon, name, path=path)
        e = json.loads(data)
        assert r.status == 200 and e["requestContext"]["apiId"] == x.id, path
        assert e["requestContext"]["domainName"] == name
    assert len(gw.get_api_mappings(DomainName=name)["Items"]) == 2
    fails("BadRequestException", gw.create_api_mapping, DomainName=name, ApiId=a.id, Stage="none")
    gw.delete_api_mapping(DomainName=name, ApiMappingId=first["ApiMappingId"])
    assert request(daemon, name, path="/v1/b/two")[0].status == 200
    gw.delete_domain_name(DomainName=name)
    fails("NotFoundException", gw.get_domain_name, DomainName=name)


def test_access_logs(api, daemon, echo):
    a, logs = api(), daemon.client("logs")
    group = "/gateway/" + uuid.uuid4().hex[:8]
    logs.create_log_group(logGroupName=group)
    a.route("GET /x/{id}", a.integration(echo))
    a.gw.update_stage(ApiId=a.id, StageName="$default", AccessLogSettings={
        "DestinationArn": "arn:aws:logs:us-east-1:000000000000:log-group:" + group,
        "Format": '{"id":"$context.requestId","s":$context.status,"r":"$context.routeKey",'
                  '"ua":"$context.identity.userAgent","none":"$context.error.message"}'})
    r, _ = a.call("/x/1", headers=[("User-Agent", 'a"b')])
    a.call("/y")

    def lines():
        found = [e["message"] for e in logs.filter_log_events(logGroupName=group)["events"]]
        return found if len(found) == 2 else None

    first, second = [json.loads(line) for line in wait_until(lines)]
    assert first == {"id": r.getheader("apigw-requestid"), "s": 200, "r": "GET /x/{id}",
                     "ua": 'a"b', "none": "-"}
    assert second["s"] == 404 and second["none"] == "Not Found"
    a.gw.delete_access_log_settings(ApiId=a.id, StageName="$default")
    assert "AccessLogSettings" not in a.gw.get_stage(ApiId=a.id, StageName="$default")


# ---- the command line ----------------------------------------------------------------------------

def test_url_and_routes(daemon, api):
    f = echo_function(daemon)
    r = daemon.cli("url", f.name)
    assert r.returncode == 1
    made = json.loads(daemon.cli("url", f.name, "--create").stdout)
    assert made["AuthType"] == "NONE"
    assert json.loads(daemon.cli("url", f.name).stdout)["FunctionUrl"] == made["FunctionUrl"]
    a = api()
    a.route("GET /x/{y}", a.integration(f), AuthorizationType="AWS_IAM")
    shown = json.loads(daemon.cli("routes").stdout)
    assert made["FunctionUrl"] in [u["FunctionUrl"] for u in shown["functionUrls"]]
    mine = [x for x in shown["apis"] if x["id"] == a.id][0]
    assert mine["stages"] == [{"name": "$default", "routes": [
        {"key": "GET /x/{y}", "function": f.name, "authorization": "iam"}]}]
    assert mine["endpoint"] == a.endpoint
    name = "routes-%s.example.com" % uuid.uuid4().hex[:6]
    a.gw.create_domain_name(DomainName=name, DomainNameConfigurations=[])
    a.gw.create_api_mapping(DomainName=name, ApiId=a.id, Stage="$default", ApiMappingKey="v1")
    shown = json.loads(daemon.cli("routes").stdout)
    assert {"url": "http://%s:%d/v1" % (name, daemon.port), "api": a.id, "stage": "$default"} \
        in shown["domains"]
    a.gw.delete_domain_name(DomainName=name)
    f.delete()
