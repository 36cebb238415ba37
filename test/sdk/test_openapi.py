"""ImportApi, ReimportApi and ExportApi: OpenAPI 3 with API Gateway's extensions."""

import json

import pytest
from botocore.exceptions import ClientError

from gateway_kit import Api, echo_function, request


@pytest.fixture(scope="module")
def echo(daemon):
    f = echo_function(daemon)
    yield f
    f.delete()


@pytest.fixture
def gw(daemon):
    client, made = daemon.client("apigatewayv2"), []
    real = client.import_api

    def tracked(**arguments):
        made.append(real(**arguments))
        return made[-1]

    client.import_api = tracked
    yield client
    client.import_api = real
    for api in made:
        client.delete_api(ApiId=api["ApiId"])


def document(echo, **more):
    lam = {"type": "aws_proxy", "httpMethod": "POST", "payloadFormatVersion": "2.0",
           "uri": "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/%s/invocations"
                  % echo.arn}
    d = {
        "openapi": "3.0.1",
        "info": {"title": "pets", "version": "7", "description": "all of them"},
        "tags": [{"name": "team", "x-amazon-apigateway-tag-value": "red"}, {"name": "plain"}],
        "servers": [{"url": "https://example.com/base/"}],
        "paths": {
            "/pets/{id}": {
                "parameters": [{"name": "id", "in": "path", "required": True}],
                "get": {"operationId": "getPet", "security": [{"jwt": ["read"]}],
                        "x-amazon-apigateway-integration": lam, "responses": {}},
                "delete": {"x-amazon-apigateway-auth": {"type": "AWS_IAM"},
                           "x-amazon-apigateway-integration":
                               {"$ref": "#/components/x-amazon-apigateway-integrations/shared"}},
            },
            "/any": {"x-amazon-apigateway-any-method": {
                "security": [{"lambda": []}], "x-amazon-apigateway-integration":
                    {"$ref": "#/components/x-amazon-apigateway-integrations/shared"}}},
            "/open": {"get": {"x-amazon-apigateway-integration": lam}},
            "/$default": {"x-amazon-apigateway-any-method": {
                "isDefaultRoute": True, "x-amazon-apigateway-integration": {
                    "type": "HTTP_PROXY", "httpMethod": "ANY", "uri": "http://127.0.0.1:1/",
                    "payloadFormatVersion": 1.0, "timeoutInMillis": 1234,
                    "requestParameters": {"append:header.a": "b"}}}},
        },
        "components": {
            "securitySchemes": {
                "jwt": {"type": "oauth2", "flows": {}, "x-amazon-apigateway-authorizer": {
                    "type": "jwt", "identitySource": "$request.header.Authorization",
                    "jwtConfiguration": {"issuer": "https://i", "audience": ["a"]}}},
                "lambda": {"type": "apiKey", "name": "n", "in": "header",
                           "x-amazon-apigateway-authorizer": {
                               "type": "request", "authorizerPayloadFormatVersion": "2.0",
                               "identitySource": "$request.header.A, $request.querystring.b",
                               "authorizerUri": lam["uri"], "enableSimpleResponses": True}}},
            "x-amazon-apigateway-integrations": {"shared": lam},
        },
        "x-amazon-apigateway-cors": {"allowOrigins": ["*"], "maxAge": 5},
        "x-amazon-apigateway-importexport-version": "1.0",
    }
    d.update(more)
    return d


def read_yaml(text):
    """By another reader than ours."""
    return pytest.importorskip("yaml", reason="no PyYAML").safe_load(text)


def routes(gw, api_id):
    return {r["RouteKey"]: r for r in gw.get_routes(ApiId=api_id)["Items"]}


def test_import(daemon, gw, echo):
    api = gw.import_api(Body=json.dumps(document(echo)))
    i = api["ApiId"]
    assert (api["Name"], api["Version"], api["Description"]) == ("pets", "7", "all of them")
    assert api["Tags"] == {"team": "red"} and api["CorsConfiguration"]["MaxAge"] == 5
    assert api["ProtocolType"] == "HTTP" and api["ApiEndpoint"].startswith("http://" + i)
    there = routes(gw, i)
    assert set(there) == {"GET /pets/{id}", "DELETE /pets/{id}", "ANY /any", "GET /open",
                          "$default"}
    names = {a["AuthorizerId"]: a["Name"] for a in gw.get_authorizers(ApiId=i)["Items"]}
    get = there["GET /pets/{id}"]
    assert get["OperationName"] == "getPet" and get["AuthorizationType"] == "JWT"
    assert get["AuthorizationScopes"] == ["read"] and names[get["AuthorizerId"]] == "jwt"
    assert there["DELETE /pets/{id}"]["AuthorizationType"] == "AWS_IAM"
    assert names[there["ANY /any"]["AuthorizerId"]] == "lambda"
    assert there["ANY /any"]["Target"] == there["DELETE /pets/{id}"]["Target"]
    assert len(gw.get_integrations(ApiId=i)["Items"]) == 4
    proxy = gw.get_integration(ApiId=i, IntegrationId=there["$default"]["Target"].split("/")[1])
    assert proxy["TimeoutInMillis"] == 1234 and proxy["PayloadFormatVersion"] == "1.0"
    assert proxy["RequestParameters"] == {"append:header.a": "b"}
    gw.create_stage(ApiId=i, StageName="$default", AutoDeploy=True)
    host = api["ApiEndpoint"].split("//")[1].split(":")[0]
    assert request(daemon, host, path="/open")[0].status == 200
    assert request(daemon, host, path="/pets/1")[0].status == 401


def test_export_and_import_again(daemon, gw, echo):
    first = gw.import_api(Body=json.dumps(document(echo)))["ApiId"]
    out = gw.export_api(ApiId=first, Specification="OAS30", OutputType="JSON")["body"].read()
    second = gw.import_api(Body=out.decode())["ApiId"]
    again = gw.export_api(ApiId=second, Specification="OAS30", OutputType="YAML")["body"].read()
    a, b = json.loads(out), read_yaml(again)
    assert a.pop("servers") != b.pop("servers")
    # Only the order of what has no order may differ.
    assert a == b
    assert a["paths"]["/pets/{id}"]["get"]["security"] == [{"jwt": ["read"]}]
    assert a["paths"]["/pets/{id}"]["get"]["parameters"][0]["name"] == "id"
    plain = json.loads(gw.export_api(ApiId=first, Specification="OAS30", OutputType="JSON",
                                     IncludeExtensions=False)["body"].read())
    assert "x-amazon" not in json.dumps(plain) and "/open" in plain["paths"]
    for bad in ({"Specification": "OAS20"}, {"OutputType": "XML"}, {"ExportVersion": "2"},
                {"ApiId": "none"}, {"StageName": "none"}):
        arguments = dict(ApiId=first, Specification="OAS30", OutputType="JSON")
        arguments.update(bad)
        with pytest.raises(ClientError):
            gw.export_api(**arguments)


def test_export_of_what_a_stage_has_deployed(daemon, echo):
    a = Api(daemon, stage="prod", auto=False)
    i = a.integration(echo)
    a.route("GET /old", i)
    a.gw.create_deployment(ApiId=a.id, StageName="prod")
    a.route("GET /new", i)

    def paths(**more):
        body = a.gw.export_api(ApiId=a.id, Specification="OAS30", OutputType="JSON", **more)
        return set(json.loads(body["body"].read())["paths"])
    assert paths() == {"/old", "/new"} and paths(StageName="prod") == {"/old"}
    a.gw.delete_api(ApiId=a.id)


def test_reimport_replaces(gw, echo):
    i = gw.import_api(Body=json.dumps(document(echo)))["ApiId"]
    d = document(echo, paths={"/only": {"get": {
        "x-amazon-apigateway-integration": {
            "type": "aws_proxy", "uri": echo.arn, "payloadFormatVersion": "2.0"}}}})
    d["info"] = {"title": "new", "version": "8"}
    del d["x-amazon-apigateway-cors"]
    api = gw.reimport_api(ApiId=i, Body=json.dumps(d), Basepath="prepend")
    assert api["ApiId"] == i and api["Name"] == "new" and "CorsConfiguration" not in api
    assert set(routes(gw, i)) == {"GET /base/only"}
    assert len(gw.get_integrations(ApiId=i)["Items"]) == 1
    with pytest.raises(gw.exceptions.NotFoundException):
        gw.reimport_api(ApiId="none", Body=json.dumps(d))


YAML = """
# As people write them: anchors, block texts, numbers and keys without quotes.
openapi: 3.0.1
info:
  title: yaml pets
  version: 2026-11-21
  description: >
    all
    of them
servers:
- url: https://example.com/{basePath}
  variables:
    basePath: {default: /v1/shop/}
x-functions:
  lambda: &lambda
    type: aws_proxy
    httpMethod: POST
    payloadFormatVersion: 2.0
    uri: %s
    timeoutInMillis: 0x4d2
paths:
  /pets/{id}:
    get:
      operationId: getPet
      responses:
        200:
          description: a pet
      x-amazon-apigateway-integration: *lambda
  /on:
    x-amazon-apigateway-any-method:
      x-amazon-apigateway-integration: *lambda
x-amazon-apigateway-cors:
  allowOrigins: ["*"]
  maxAge: 5
  allowCredentials: no
"""


def test_yaml(daemon, gw, echo):
    text = YAML.replace("  allowCredentials: no\n", "") % echo.arn
    api = gw.import_api(Body=text)
    assert (api["Name"], api["Version"]) == ("yaml pets", "2026-11-21")
    assert api["Description"] == "all of them\n" and api["CorsConfiguration"]["MaxAge"] == 5
    there = routes(gw, api["ApiId"])
    assert set(there) == {"GET /pets/{id}", "ANY /on"}
    made = gw.get_integrations(ApiId=api["ApiId"])["Items"]
    assert {i["PayloadFormatVersion"] for i in made} == {"2.0"}
    assert {i["TimeoutInMillis"] for i in made} == {1234}
    gw.create_stage(ApiId=api["ApiId"], StageName="$default", AutoDeploy=True)
    host = api["ApiEndpoint"].split("//")[1].split(":")[0]
    assert request(daemon, host, path="/on")[0].status == 200
    out = gw.export_api(ApiId=api["ApiId"], Specification="OAS30", OutputType="YAML")
    out = out["body"].read().decode()
    assert 'openapi: "3.0.1"\n' in out and "  /pets/{id}:\n    get:\n" in out
    plain = gw.export_api(ApiId=api["ApiId"], Specification="OAS30", OutputType="JSON")
    assert read_yaml(out) == json.loads(plain["body"].read())
    again = gw.reimport_api(ApiId=api["ApiId"], Body=out)
    assert again["Name"] == "yaml pets" and set(routes(gw, api["ApiId"])) == set(there)
    with pytest.raises(gw.exceptions.BadRequestException):  # "no" is a word
        gw.import_api(Body=YAML % echo.arn)


@pytest.mark.parametrize("server, prepended, split", [
    ({"url": "https://example.com/a/b/c/"}, "/a/b/c", "/b/c"),
    ({"url": "https://example.com/a"}, "/a", ""),
    ({"url": "https://example.com"}, "", ""),
    ({"url": "/a/b"}, "/a/b", "/b"),
    ({"url": "https://example.com/{basePath}", "variables": {"basePath": {"default": "x/y"}}},
     "/x/y", "/y"),
    ({"url": "https://example.com/a", "variables": {"basePath": {"default": "/"}}}, "", "")])
def test_basepath(gw, echo, server, prepended, split):
    d = document(echo, servers=[server], paths={"/e": {"get": {}}})
    for mode, prefix in (("ignore", ""), ("prepend", prepended), ("split", split)):
        i = gw.import_api(Body=json.dumps(d), Basepath=mode)["ApiId"]
        assert list(routes(gw, i)) == ["GET %s/e" % prefix], mode
    with pytest.raises(gw.exceptions.BadRequestException):
        gw.import_api(Body=json.dumps(d), Basepath="other")


def test_warnings(gw, echo):
    d = document(echo, paths={"/a": {"get": {"security": [{"nobody": []}]}}})
    api = gw.import_api(Body=json.dumps(d))
    assert len(api["Warnings"]) == 2 and "GET /a" in api["Warnings"][0]
    with pytest.raises(gw.exceptions.BadRequestException):
        gw.import_api(Body=json.dumps(d), FailOnWarnings=True)


def bad_documents(echo):
    def ref(to, **components):
        d = document(echo)
        d["paths"]["/open"]["get"]["x-amazon-apigateway-integration"] = {"$ref": to}
        d["components"].update(components)
        return d

    def route(path="/x", **integration):
        return document(echo, paths={path: {"get": {
            "x-amazon-apigateway-integration": dict({
                "type": "http_proxy", "httpMethod": "GET", "uri": "http://x/",
                "payloadFormatVersion": "1.0"}, **integration)}}})

    yield "dangling", ref("#/components/none")
    yield "dangling elsewhere", document(echo, x={"schema": {"$ref": "#/nowhere"}})
    yield "outside", ref("http://127.0.0.1/x.json#/a")
    yield "a file", ref("/etc/passwd")
    yield "itself", ref("#/components/a", a={"$ref": "#/components/a"})
    yield "a circle", ref("#/components/a", a={"$ref": "#/components/b"},
                          b={"$ref": "#/components/a"})
    yield "version 2", document(echo, openapi="2.0")
    yield "no title", document(echo, info={})
    yield "no paths", document(echo, paths=[])
    yield "a bad path", route("/a/{b+}/c")
    yield "a bad type", route(type="mock")
    yield "a bad uri", route(uri="ftp://x")
    yield "a number for a uri", route(uri=7)
    yield "a list of parameters", route(requestParameters=["a"])
    yield "a bad timeout", route(timeoutInMillis=10 ** 9)
    yield "too many references", document(echo, x=[{"$ref": "#/info"}] * 5001)
    yield "a bad cors", document(echo, **{"x-amazon-apigateway-cors": {"maxAge": "x"}})


def laughs():
    text = "x0: &x0 [ha,ha,ha,ha,ha,ha,ha,ha,ha]\n"
    for n in range(1, 20):
        text += "x%d: &x%d [%s]\n" % (n, n, ",".join(["*x%d" % (n - 1)] * 9))
    return text


def test_bad_documents(gw, echo):
    before = len(gw.get_apis(MaxResults="500")["Items"])
    for what, d in bad_documents(echo):
        with pytest.raises(ClientError) as e:
            gw.import_api(Body=json.dumps(d))
        assert e.value.response["Error"]["Code"] == "BadRequestException", what
    for what, text in (("only a version", "openapi: 3.0.1\n"), ("empty", ""), ("cut", '{"openapi":'),
                       ("deep", "[" * 100000), ("deep in YAML", "- " * 100000),
                       ("no YAML", "openapi: 3.0.1\n\tinfo: x"), ("a text", "openapi"),
                       ("two documents", "--- {}\n--- {}\n"), ("a tag", "!Ref x"),
                       ("an alias of nothing", "openapi: *v"), ("laughs", laughs()),
                       ("an alias of itself", "openapi: 3.0.1\npaths: &p {/a: *p}"),
                       ("a dangling reference", "openapi: 3.0.1\ninfo: {title: x}\npaths: "
                        "{/a: {$ref: '#/components/a'}}"),
                       ("a circle", "openapi: 3.0.1\ninfo: {title: x}\npaths: {/a: {$ref: "
                        "'#/x'}}\nx: {$ref: '#/y'}\ny: {$ref: '#/x'}")):
        with pytest.raises(ClientError) as e:
            gw.import_api(Body=text)
        assert e.value.response["Error"]["Code"] == "BadRequestException", what
    assert len(gw.get_apis(MaxResults="500")["Items"]) == before  # nothing is left of them


def test_many_routes(gw, echo):
    d = document(echo, paths={"/r%d/{x}" % n: {"get": {"x-amazon-apigateway-integration": {
        "$ref": "#/components/x-amazon-apigateway-integrations/shared"}}} for n in range(1000)})
    i = gw.import_api(Body=json.dumps(d))["ApiId"]
    assert len(gw.get_integrations(ApiId=i)["Items"]) == 1
    assert len(gw.get_routes(ApiId=i, MaxResults="500")["Items"]) == 500
