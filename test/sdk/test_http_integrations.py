"""HTTP APIs: integrations with services, VPC links, parameter mapping, deployments, many routes."""

import json
import os
import socket
import sqlite3
import ssl
import threading
import time
import uuid
import xml.etree.ElementTree as ET

import pytest
from botocore.exceptions import ClientError

from gateway_kit import Api, Server, echo_function, request
from harness import wait_until

ROLE = "arn:aws:iam::000000000000:role/gateway"


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
def mirror():
    """A server that answers what it was sent."""
    def answer(h):
        body = {"method": h.command, "path": h.path, "body": h.body.decode("latin-1"),
                "headers": [[k.lower(), v] for k, v in h.headers.items()]}
        h.reply(int(h.headers.get("x-status", 200)), json.dumps(body).encode(),
                [("Content-Type", "application/json"), ("X-Secret", "s"), ("X-Kind", "mirror")])

    s = Server(answer)
    yield s
    s.close()


@pytest.fixture
def queue(daemon):
    sqs = daemon.client("sqs")
    url = sqs.create_queue(QueueName="q-" + uuid.uuid4().hex[:8])["QueueUrl"]
    yield sqs, url
    sqs.delete_queue(QueueUrl=url)


def fails(code, fn, **arguments):
    with pytest.raises(ClientError) as e:
        fn(**arguments)
    assert e.value.response["Error"]["Code"] == code, e.value
    return e.value.response["Error"]["Message"]


def subtype(api, name, parameters, **more):
    more.setdefault("CredentialsArn", ROLE)
    more.setdefault("PayloadFormatVersion", "1.0")
    return api.gw.create_integration(
        ApiId=api.id, IntegrationType="AWS_PROXY", IntegrationSubtype=name,
        RequestParameters=parameters, **more)["IntegrationId"]


def text_of(xml, tag):
    found = [e.text for e in ET.fromstring(xml).iter() if e.tag.split("}")[-1] == tag]
    return found[0] if found else None


# ---- services ------------------------------------------------------------------------------------

def test_sqs_send_message(api, queue):
    a, (sqs, url) = api(), queue
    i = subtype(a, "SQS-SendMessage", {
        "QueueUrl": url, "MessageBody": "$request.body.order",
        "DelaySeconds": "0",
        "MessageAttributes": '{"who": {"DataType": "String", "StringValue": '
                             '"${request.header.x-who}"}}'})
    a.route("POST /orders", i)
    r, data = a.call("/orders", "POST", b'{"order": {"id": [1, 2]}}', [("X-Who", "me")])
    assert r.status == 200 and r.getheader("content-type") == "text/xml", data
    got = sqs.receive_message(QueueUrl=url, MessageAttributeNames=["All"],
                              WaitTimeSeconds=20)["Messages"][0]
    assert json.loads(got["Body"]) == {"id": [1, 2]}
    assert got["MessageAttributes"]["who"]["StringValue"] == "me"
    assert text_of(data, "MessageId") == got["MessageId"]
    # What the expression asks for is not there; the body is no JSON.
    for body in (b'{"other": 1}', b"not json", b""):
        assert a.call("/orders", "POST", body)[0].status == 400
    whole = subtype(a, "SQS-SendMessage", {"QueueUrl": "${stageVariables.queue}",
                                           "MessageBody": "$request.body"})
    a.gw.update_stage(ApiId=a.id, StageName="$default", StageVariables={"queue": url})
    a.route("POST /all", whole)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])
    assert a.call("/all", "POST", b"as it is")[0].status == 200
    assert sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"][0]["Body"] == \
        "as it is"


def test_sqs_receive_delete_and_purge(api, queue):
    a, (sqs, url) = api(), queue
    a.route("GET /messages", subtype(a, "SQS-ReceiveMessage", {
        "QueueUrl": url, "MaxNumberOfMessages": "$request.querystring.n",
        "WaitTimeSeconds": "$request.querystring.wait", "AttributeNames": '["All"]'}))
    a.route("DELETE /messages/{handle}", subtype(a, "SQS-DeleteMessage", {
        "QueueUrl": url, "ReceiptHandle": "$request.path.handle"}))
    a.route("DELETE /messages", subtype(a, "SQS-PurgeQueue", {"QueueUrl": url}))
    began = time.monotonic()
    r, data = a.call("/messages?n=1&wait=1")  # a long poll that finds nothing
    assert r.status == 200 and text_of(data, "Body") is None
    assert time.monotonic() - began >= 0.9
    sqs.send_message(QueueUrl=url, MessageBody="one")
    r, data = a.call("/messages?n=1&wait=20")
    assert text_of(data, "Body") == "one" and b"SentTimestamp" in data
    from urllib.parse import quote
    r, data = a.call("/messages/" + quote(text_of(data, "ReceiptHandle"), safe=""), "DELETE")
    assert r.status == 200, data
    # The service's own errors go to the client.
    r, data = a.call("/messages?n=11")
    assert r.status == 400 and text_of(data, "Code") == "InvalidParameterValue", data
    r, data = a.call("/messages/none", "DELETE")
    assert r.status in (400, 404) and text_of(data, "Code") == "ReceiptHandleIsInvalid", data
    assert a.call("/messages?n=x")[0].status == 400
    sqs.send_message(QueueUrl=url, MessageBody="two")
    assert a.call("/messages", "DELETE")[0].status == 200
    assert "Messages" not in sqs.receive_message(QueueUrl=url)


def test_a_poll_whose_client_leaves(api, queue, daemon):
    a, (sqs, url) = api(), queue
    a.route("GET /m", subtype(a, "SQS-ReceiveMessage", {"QueueUrl": url, "WaitTimeSeconds": "20"}))
    for _ in range(3):
        s = socket.create_connection(("127.0.0.1", daemon.port))
        s.sendall(b"GET /m HTTP/1.1\r\nHost: %s\r\n\r\n" % a.host.encode())
        s.close()
    sqs.send_message(QueueUrl=url, MessageBody="still here")
    r, data = a.call("/m")
    assert r.status == 200


def test_services_that_are_not_here(api):
    a = api()
    for n, (name, parameters) in enumerate([
            ("EventBridge-PutEvents", {"Detail": "$request.body", "DetailType": "t",
                                       "Source": "s"}),
            ("StepFunctions-StartExecution", {"StateMachineArn": "arn"}),
            ("StepFunctions-StartSyncExecution", {"StateMachineArn": "arn"}),
            ("StepFunctions-StopExecution", {"ExecutionArn": "arn"}),
            ("Kinesis-PutRecord", {"StreamName": "s", "Data": "d", "PartitionKey": "k"}),
            ("AppConfig-GetConfiguration", {"Application": "a", "Environment": "e",
                                            "Configuration": "c", "ClientId": "i"})]):
        a.route("GET /%d" % n, subtype(a, name, parameters))
        r, data = a.call("/%d" % n)
        assert r.status == 501 and name in json.loads(data)["message"]


def test_what_a_subtype_must_have(api):
    a = api()
    for name, parameters, more in [
            ("SQS-Nothing", {}, {}), ("SQS-SendMessage", {"QueueUrl": "u"}, {}),
            ("SQS-PurgeQueue", {"QueueUrl": "u", "Other": "x"}, {}),
            ("SQS-PurgeQueue", {"QueueUrl": "u"}, {"PayloadFormatVersion": "2.0"}),
            ("SQS-PurgeQueue", {"QueueUrl": "u"}, {"ResponseParameters": {"1": {"x": "y"}}})]:
        fails("BadRequestException", subtype, api=a, name=name, parameters=parameters, **more)
    fails("BadRequestException", a.gw.create_integration, ApiId=a.id, IntegrationType="AWS_PROXY",
          IntegrationSubtype="SQS-PurgeQueue", RequestParameters={"QueueUrl": "u"},
          PayloadFormatVersion="1.0")


# ---- VPC links -----------------------------------------------------------------------------------

def test_vpc_links(api, mirror, daemon):
    a = api()
    link = a.gw.create_vpc_link(Name="l", SubnetIds=["subnet-1", "subnet-2"], Tags={"a": "b"})
    assert link["VpcLinkStatus"] == "AVAILABLE" and link["VpcLinkVersion"] == "V2"
    assert link["SecurityGroupIds"] == [] and link["CreatedDate"]
    i = link["VpcLinkId"]
    assert a.gw.update_vpc_link(VpcLinkId=i, Name="m")["SubnetIds"] == ["subnet-1", "subnet-2"]
    assert a.gw.get_vpc_link(VpcLinkId=i)["Name"] == "m"
    assert i in [v["VpcLinkId"] for v in a.gw.get_vpc_links(MaxResults="500")["Items"]]
    fails("BadRequestException", a.gw.create_vpc_link, Name="l", SubnetIds=[])
    # A URL is a private address; a listener's ARN leads to where the link's tag says.
    a.route("GET /direct", a.proxy(mirror.url + "/d", "GET", ConnectionType="VPC_LINK",
                                   ConnectionId=i))
    listener = "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/a/b/c"
    a.route("ANY /alb/{proxy+}", a.proxy(
        listener, ConnectionType="VPC_LINK", ConnectionId=i,
        RequestParameters={"overwrite:path": "/api/$request.path.proxy"}))
    assert a.json("/direct")["path"] == "/d"
    assert a.call("/alb/x")[0].status == 500
    arn = "arn:aws:apigateway:us-east-1::/vpclinks/" + i
    a.gw.tag_resource(ResourceArn=arn, Tags={"lambkin:target": mirror.url})
    assert a.gw.get_tags(ResourceArn=arn)["Tags"]["a"] == "b"
    assert a.json("/alb/x/y?z=1")["path"] == "/api/x/y?z=1"
    fails("BadRequestException", a.proxy, url=mirror.url, ConnectionType="VPC_LINK")
    fails("BadRequestException", a.proxy, url=mirror.url, ConnectionType="VPC_LINK",
          ConnectionId="none")
    fails("BadRequestException", a.proxy, url=listener)
    a.gw.delete_vpc_link(VpcLinkId=i)
    fails("NotFoundException", a.gw.get_vpc_link, VpcLinkId=i)


@pytest.fixture
def tls_server(tmp_path):
    """(port, names): a TLS server with a certificate that nobody signed; the names it was asked for."""
    import datetime
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "internal.example")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (x509.CertificateBuilder().subject_name(name).issuer_name(name)
            .public_key(key.public_key()).serial_number(1).not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256()))
    pem = tmp_path / "server.pem"
    pem.write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()) + cert.public_bytes(serialization.Encoding.PEM))
    context, names = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), []
    context.load_cert_chain(str(pem))
    context.sni_callback = lambda sock, asked, ctx: names.append(asked)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                one = listener.accept()[0]
            except OSError:
                return
            try:
                context.wrap_socket(one, server_side=True).close()
            except OSError:
                one.close()

    threading.Thread(target=serve, daemon=True).start()
    yield listener.getsockname()[1], names
    listener.close()


def test_the_name_that_a_private_server_must_show(api, tls_server):
    """It is asked for by that name, at the URI's address, and refused for its certificate."""
    a, (port, names) = api(), tls_server
    link = a.gw.create_vpc_link(Name="l", SubnetIds=["s"])["VpcLinkId"]
    for host in ("127.0.0.1", "localhost"):
        a.route("GET /" + host, a.proxy("https://%s:%d/x" % (host, port), ConnectionType="VPC_LINK",
                                        ConnectionId=link, TlsConfig={
                                            "ServerNameToVerify": "internal.example"}))
        assert a.call("/" + host)[0].status == 502
    assert names == ["internal.example"] * 2
    a.gw.delete_vpc_link(VpcLinkId=link)


def test_services_and_links_in_openapi(daemon, queue, mirror):
    gw, (sqs, url) = daemon.client("apigatewayv2"), queue
    link = gw.create_vpc_link(Name="l", SubnetIds=["s"])["VpcLinkId"]
    integrations = {
        "/send": {"type": "aws_proxy", "integrationSubtype": "SQS-SendMessage",
                  "credentials": ROLE, "payloadFormatVersion": "1.0",
                  "requestParameters": {"QueueUrl": url, "MessageBody": "$request.body"}},
        "/private": {"type": "http_proxy", "httpMethod": "ANY", "uri": mirror.url + "/p",
                     "payloadFormatVersion": "1.0", "connectionType": "VPC_LINK",
                     "connectionId": link, "tlsConfig": {"serverNameToVerify": "x.example"}}}
    made = gw.import_api(Body=json.dumps({
        "openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "paths": {
            path: {"post": {"x-amazon-apigateway-integration": i}}
            for path, i in integrations.items()}}))["ApiId"]
    gw.create_stage(ApiId=made, StageName="$default", AutoDeploy=True)
    host = made + ".execute-api.us-east-1.localhost"
    assert request(daemon, host, "POST", "/send", b"imported")[0].status == 200
    assert sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"][0]["Body"] == \
        "imported"
    assert json.loads(request(daemon, host, "POST", "/private", b"x")[1])["path"] == "/p"
    out = json.loads(gw.export_api(ApiId=made, OutputType="JSON",
                                   Specification="OAS30")["body"].read())
    for path, i in integrations.items():
        got = out["paths"][path]["post"]["x-amazon-apigateway-integration"]
        assert {k: v for k, v in got.items() if k in i} == i
    gw.delete_api(ApiId=made)
    gw.delete_vpc_link(VpcLinkId=link)


# ---- parameter mapping ---------------------------------------------------------------------------

def test_request_parameters(api, mirror):
    a = api(stage="s")
    a.gw.update_stage(ApiId=a.id, StageName="s", StageVariables={"v": "var"})
    a.route("ANY /m/{id}", a.proxy(mirror.url + "/base", RequestParameters={
        "append:header.x-a": "$request.header.x-a",
        "overwrite:header.x-b": "${context.routeKey} for ${request.path.id}",
        "remove:header.x-c": "",
        "append:querystring.q": "$stageVariables.v",
        "overwrite:querystring.w": "$request.body.a[1].b",
        "remove:querystring.r": "",
        "overwrite:path": "/to/$request.path.id",
        "overwrite:header.x-m": "$request.querystring.many",
        "overwrite:header.x-none": "$request.header.none",
        "overwrite:header.x-part": "<${request.header.none}>"}))
    got = a.json("/s/m/7?q=0&r=1&w=0&many=1&many=2", "POST", b'{"a": [0, {"b": "deep"}]}',
                 [("X-A", "1"), ("X-A", "2"), ("X-B", "old"), ("X-C", "gone")])
    headers = {}
    for k, v in got["headers"]:
        headers.setdefault(k, []).append(v)
    path, query = got["path"].split("?")
    assert path == "/to/7"
    assert sorted(query.split("&")) == ["many=1", "many=2", "q=0", "q=var", "w=deep"]
    assert headers["x-a"] == ["1", "2", "1,2"] and headers["x-b"] == ["ANY /m/{id} for 7"]
    assert "x-c" not in headers and "x-none" not in headers and headers["x-part"] == ["<>"]
    assert headers["x-m"] == ["1,2"]


def test_request_parameters_of_a_function(api, echo):
    a = api()
    a.route("POST /f/{id}", a.integration(echo, RequestParameters={
        "append:header.x-new": "$request.body.name", "remove:header.x-old": "",
        "overwrite:querystring.id": "$request.path.id", "overwrite:path": "/other"}))
    e = a.json("/f/9?id=1&k=2", "POST", b'{"name": "n"}', [("X-Old", "o"),
                                                          ("Content-Type", "application/json")])
    assert e["headers"]["x-new"] == "n" and "x-old" not in e["headers"]
    assert e["queryStringParameters"] == {"id": "9", "k": "2"}
    assert e["rawPath"] == "/other" and json.loads(e["body"]) == {"name": "n"}


def test_response_parameters(api, mirror):
    a = api()
    a.route("GET /r", a.proxy(mirror.url, ResponseParameters={
        "200": {"remove:header.x-secret": "", "append:header.x-kind": "$response.header.x-secret",
                "overwrite:header.x-path": "$response.body.path",
                "overwrite:header.x-id": "$context.apiId"},
        "404": {"overwrite:statuscode": "403", "overwrite:header.x-was": "404"}}))
    r, _ = a.call("/r")
    assert r.status == 200 and r.getheader("x-secret") is None
    assert r.getheader("x-kind") == "mirror, s"
    assert r.getheader("x-path") == "/" and r.getheader("x-id") == a.id
    r, _ = a.call("/r", headers=[("X-Status", "404")])
    assert r.status == 403 and r.getheader("x-was") == "404" and r.getheader("x-secret") == "s"


def test_mappings_that_are_refused(api, mirror):
    a = api()
    for key in ("append:header.authorization", "overwrite:header.X-Amzn-Trace-Id", "header.x",
                "append:path", "drop:header.x", "append:header.", "overwrite:statuscode",
                "overwrite:header.access-control-allow-origin"):
        fails("BadRequestException", a.proxy, url=mirror.url, RequestParameters={key: "x"})
    for status, key in (("99", "remove:header.x"), ("200", "remove:path"), ("x", "remove:header.x"),
                        ("200", "append:statuscode")):
        fails("BadRequestException", a.proxy, url=mirror.url, ResponseParameters={status: {key: "x"}})


def test_stage_variables_in_uris(api, mirror, echo):
    a = api()
    a.gw.update_stage(ApiId=a.id, StageName="$default", StageVariables={
        "host": mirror.url.split("//")[1], "function": echo.arn.rsplit(":", 1)[1]})
    a.route("GET /h", a.proxy("http://${stageVariables.host}/v"))
    a.route("GET /f", a.gw.create_integration(
        ApiId=a.id, IntegrationType="AWS_PROXY", PayloadFormatVersion="2.0",
        IntegrationUri=echo.arn.rsplit(":", 1)[0] + ":${stageVariables.function}")
        ["IntegrationId"])
    assert a.json("/h")["path"] == "/v"
    assert a.json("/f")["routeKey"] == "GET /f"


# ---- deployments, throttling, logs ---------------------------------------------------------------

def test_a_deployment_pins_what_is_served(api, echo):
    a = api(stage="live", auto=False)
    first = a.integration(echo)
    route = a.route("GET /a", first)
    assert a.call("/live/a")[0].status == 404
    d = a.gw.create_deployment(ApiId=a.id, StageName="live")["DeploymentId"]
    assert a.call("/live/a")[0].status == 200
    a.gw.update_route(ApiId=a.id, RouteId=route, RouteKey="GET /b")
    a.route("GET /c", first)
    assert [a.call("/live/" + p)[0].status for p in "abc"] == [200, 404, 404]
    a.gw.create_deployment(ApiId=a.id, StageName="live")
    assert [a.call("/live/" + p)[0].status for p in "abc"] == [404, 200, 200]
    a.gw.update_stage(ApiId=a.id, StageName="live", DeploymentId=d)
    assert [a.call("/live/" + p)[0].status for p in "abc"] == [200, 404, 404]


def test_routes_change_in_place(api, echo, mirror):
    a = api()
    i, other = a.integration(echo), a.proxy(mirror.url)
    r = a.route("GET /a/{x}", i)
    assert a.json("/a/1")["pathParameters"] == {"x": "1"}
    a.gw.update_route(ApiId=a.id, RouteId=r, Target="integrations/" + other)
    assert a.json("/a/1")["method"] == "GET"
    a.gw.update_route(ApiId=a.id, RouteId=r, RouteKey="GET /b/{x+}")
    assert a.call("/a/1")[0].status == 404 and a.json("/b/1/2")["method"] == "GET"
    everything = a.route("$default", i)
    assert a.json("/a/1")["routeKey"] == "$default"
    a.gw.delete_route(ApiId=a.id, RouteId=r)
    assert a.json("/b/1")["routeKey"] == "$default"
    a.gw.delete_route(ApiId=a.id, RouteId=everything)
    assert a.call("/b/1")[0].status == 404
    fails("NotFoundException", a.gw.delete_route, ApiId=a.id, RouteId=r)
    # A key that was given up may be taken again.
    again = a.route("GET /b/{x+}", i)
    assert a.json("/b/1")["routeKey"] == "GET /b/{x+}"
    fails("ConflictException", a.gw.create_route, ApiId=a.id, RouteKey="GET /b/{x+}")
    a.gw.update_route(ApiId=a.id, RouteId=again, RouteKey="GET /b/{x+}")


def test_routes_change_while_others_are_called(api, mirror, daemon):
    """What is not changed answers all the time; what was made answers at once."""
    a = api()
    i = a.proxy(mirror.url)
    a.route("GET /stable/{x}", i)
    wrong, done = [], threading.Event()

    def call():
        while not done.is_set():
            r, _ = a.call("/stable/1")
            if r.status != 200:
                wrong.append(("stable", r.status))

    def change(n):
        for k in range(30):
            r = a.route("GET /t%d/r%d/{y}" % (n, k), i)
            if a.call("/t%d/r%d/z" % (n, k))[0].status != 200:
                wrong.append(("made", n, k))
            a.gw.delete_route(ApiId=a.id, RouteId=r)
            if a.call("/t%d/r%d/z" % (n, k))[0].status != 404:
                wrong.append(("deleted", n, k))

    callers = [threading.Thread(target=call) for _ in range(2)]
    changers = [threading.Thread(target=change, args=(n,)) for n in range(3)]
    for t in callers + changers:
        t.start()
    for t in changers:
        t.join()
    done.set()
    for t in callers:
        t.join()
    assert wrong == []


def processor_seconds(daemon):
    """What the server's threads have used."""
    total = 0
    folder = "/proc/%d/task" % daemon.children()["server"]
    for task in os.listdir(folder):
        try:
            with open("%s/%s/schedstat" % (folder, task)) as f:
                total += int(f.read().split()[0])
        except OSError:
            pass  # it has just ended
    return total / 1e9


def test_making_routes_costs_the_same_however_many_there_are(api, echo, daemon):
    if not os.path.exists("/proc/self/schedstat"):
        pytest.skip("the kernel does not count scheduling")
    a = api()
    i = a.integration(echo)

    def make(first, n):
        before = processor_seconds(daemon)
        for k in range(first, first + n):
            a.route("GET /items/i%d/{x}" % k, i)
        return processor_seconds(daemon) - before

    make(0, 50)
    few = min(make(50, 50), make(100, 50))
    make(150, 700)
    many = min(make(850, 50), make(900, 50))
    assert many < 2.5 * few, (few, many)
    assert a.json("/items/i949/y")["pathParameters"] == {"x": "y"}
    assert a.call("/items/i950/y")[0].status == 404


def test_a_routes_own_throttling_replaces_the_stages(api, mirror):
    a = api()
    i = a.proxy(mirror.url)
    a.route("GET /narrow", i)
    a.route("GET /wide", i)
    a.gw.update_stage(ApiId=a.id, StageName="$default", DefaultRouteSettings={
        "ThrottlingRateLimit": 0.01, "ThrottlingBurstLimit": 2}, RouteSettings={
            "GET /wide": {"ThrottlingRateLimit": 1000, "ThrottlingBurstLimit": 100}})
    assert [a.call("/wide")[0].status for _ in range(10)] == [200] * 10
    assert [a.call("/narrow")[0].status for _ in range(3)] == [200, 200, 429]
    assert a.call("/wide")[0].status == 200


def test_access_log_variables(api, mirror, daemon):
    logs = daemon.client("logs")
    group = "/gw/" + uuid.uuid4().hex[:8]
    logs.create_log_group(logGroupName=group)
    names = ["status", "integration.status", "integrationStatus", "responseLength", "apiId",
             "routeKey", "httpMethod", "path", "protocol", "stage", "identity.sourceIp",
             "identity.userAgent", "requestId", "extendedRequestId", "domainName", "accountId",
             "requestTimeEpoch", "error.responseType", "error.message", "dataProcessed"]
    a = api()
    a.route("GET /l", a.proxy(mirror.url, ResponseParameters={
        "404": {"overwrite:statuscode": "200"}}))
    a.gw.update_stage(ApiId=a.id, StageName="$default", AccessLogSettings={
        "DestinationArn": "arn:aws:logs:us-east-1:000000000000:log-group:%s" % group,
        "Format": json.dumps({n: "$context." + n for n in names})})
    _, data = a.call("/l", headers=[("X-Status", "404"), ("User-Agent", 'a"b')])
    a.call("/none")

    def lines():
        events = logs.filter_log_events(logGroupName=group)["events"]
        return [json.loads(e["message"]) for e in events] if len(events) == 2 else None

    ok, missing = sorted(wait_until(lines), key=lambda e: e["status"])
    assert ok["status"] == "200" and ok["integrationStatus"] == ok["integration.status"] == "404"
    assert ok["responseLength"] == str(len(data)) and ok["identity.userAgent"] == 'a"b'
    assert ok["routeKey"] == "GET /l" and ok["apiId"] == a.id and ok["stage"] == "$default"
    assert ok["error.message"] == "-" and ok["identity.sourceIp"] == "127.0.0.1"
    assert missing["status"] == "404" and missing["error.message"] == "Not Found"
    assert missing["error.responseType"] == "RESOURCE_NOT_FOUND"


# ---- who is asking, as both formats tell it ------------------------------------------------------

AUTHORIZER = """
def handler(event, context):
    return {"isAuthorized": True, "context": {"k": "v", "n": 1}}
"""


def test_authorizers_in_both_formats(api, echo, daemon):
    """One authorizer with a cache, routes of both formats: each is told in its own way."""
    f = echo_function(daemon, AUTHORIZER)
    a = api()
    auth = a.gw.create_authorizer(
        ApiId=a.id, Name="a", AuthorizerType="REQUEST", AuthorizerPayloadFormatVersion="2.0",
        EnableSimpleResponses=True, AuthorizerUri=f.arn, AuthorizerResultTtlInSeconds=300,
        IdentitySource=["$request.header.x-auth"])["AuthorizerId"]
    a.route("GET /v2", a.integration(echo, "2.0"), AuthorizationType="CUSTOM", AuthorizerId=auth)
    head = [("X-Auth", "me")]
    assert a.json("/v2", headers=head)["requestContext"]["authorizer"] == {
        "lambda": {"k": "v", "n": 1}}
    first = v1_event(a, daemon, "/v1", head, AuthorizationType="CUSTOM", AuthorizerId=auth)
    assert first["requestContext"]["authorizer"] == {"principalId": "", "k": "v", "n": 1}
    assert a.json("/v2", headers=head)["requestContext"]["authorizer"] == {
        "lambda": {"k": "v", "n": 1}}
    f.delete()


WRAP = """
import json
import os
import sqlite3
def handler(event, context):
    return {"statusCode": 200, "body": json.dumps(event)}
"""


def v1_event(a, daemon, path, headers=(), query="", sign=False, **route):
    f = echo_function(daemon, WRAP)
    a.route("GET " + path, a.integration(f, "1.0"), **route)
    headers = list(headers)
    if sign:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials
        r = AWSRequest("GET", "http://%s:%d%s" % (a.host, daemon.port, path))
        SigV4Auth(Credentials("test", "test"), "execute-api", "us-east-1").add_auth(r)
        headers += [(k, v) for k, v in r.headers.items() if k.lower() != "host"]
    try:
        return a.json(path + query, headers=headers)
    finally:
        f.delete()


def test_iam_in_format_1(api, daemon):
    a = api()
    e = v1_event(a, daemon, "/iam", sign=True, AuthorizationType="AWS_IAM")
    identity = e["requestContext"]["identity"]
    assert "authorizer" not in e["requestContext"]
    assert identity["accessKey"] == "test" and identity["accountId"] == "000000000000"
    assert identity["userArn"].startswith("arn:aws:iam::") and identity["caller"]
    assert identity["cognitoIdentityId"] is None


def test_jwt_in_format_1(api, daemon):
    from gateway_kit import Issuer
    issuer, a = Issuer(), api()
    auth = a.gw.create_authorizer(
        ApiId=a.id, Name="j", AuthorizerType="JWT", IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": issuer.url, "Audience": ["me"]})["AuthorizerId"]
    e = v1_event(a, daemon, "/jwt", [("Authorization", "Bearer " + issuer.token(scope="a b"))],
                 AuthorizationType="JWT", AuthorizerId=auth)
    got = e["requestContext"]["authorizer"]
    assert got["claims"]["sub"] == "user" and got["scopes"] == ["a", "b"]
    issuer.server.close()


def test_multi_values_in_format_1(api, daemon):
    a = api()
    e = v1_event(a, daemon, "/m", [("X-A", "1"), ("X-A", "2"), ("Cookie", "a=1")],
                 "?q=1&q=2&r=%20x&e=")
    assert e["multiValueHeaders"]["x-a"] == ["1", "2"] and e["headers"]["x-a"] == "1,2"
    assert e["multiValueQueryStringParameters"] == {"q": ["1", "2"], "r": [" x"], "e": [""]}
    assert e["queryStringParameters"]["q"] == "2" and e["headers"]["cookie"] == "a=1"


def test_routes_of_an_older_database(new_daemon, mirror):
    """Before keys had a column, there was nothing in it: it is filled when the daemon starts."""
    d = new_daemon()
    a = Api(d)
    i = a.proxy(mirror.url)
    for n in range(3):
        a.route("GET /r%d" % n, i)
    d.stop()
    with sqlite3.connect(os.path.join(d.data_dir, "db", "gateway.db")) as db:
        assert db.execute("UPDATE resource SET name = NULL WHERE kind = 'route'").rowcount == 3
    db.close()
    d.start()
    a.gw, a.daemon = d.client("apigatewayv2"), d
    assert a.json("/r1")["path"] == "/"
    fails("ConflictException", a.gw.create_route, ApiId=a.id, RouteKey="GET /r2")
    a.route("GET /r3", i)
    assert a.json("/r3")["path"] == "/"
    d.stop()
