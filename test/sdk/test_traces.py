"""Where a request's time went: lambkin trace, Server-Timing, access logs."""

import json
import os
import pty
import re
import subprocess
import uuid

import pytest

from gateway_kit import Api, Server, echo_function, request
from harness import binary, wait_until

SLOW = """
import time
def handler(event, context):
    time.sleep(0.05)
    if event.get("type") == "REQUEST":
        return {"isAuthorized": event["identitySource"][0] == "good"}
    return "done"
"""


@pytest.fixture(scope="module")
def slow(daemon):
    f = echo_function(daemon, SLOW)
    yield f
    f.delete()


@pytest.fixture(scope="module")
def guarded(daemon, slow):
    """A function behind an authorizer, both of which take 50 ms; and a proxied server."""
    server = Server(lambda h: h.reply(200, b"up"))
    a = Api(daemon)
    k = a.gw.create_authorizer(
        ApiId=a.id, Name="l", AuthorizerType="REQUEST", AuthorizerPayloadFormatVersion="2.0",
        EnableSimpleResponses=True, IdentitySource=["$request.header.X-Token"],
        AuthorizerUri="arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/%s/invocations"
                      % slow.arn, AuthorizerResultTtlInSeconds=0)["AuthorizerId"]
    a.route("GET /x/{id}", a.integration(slow), AuthorizationType="CUSTOM", AuthorizerId=k)
    a.route("GET /up", a.proxy(server.url))
    yield a
    a.gw.delete_api(ApiId=a.id)
    server.close()


def trace_of(daemon, request_id):
    shown = json.loads(daemon.cli("trace", request_id, "--json").stdout)["requests"]
    assert len(shown) == 1
    return shown[0]


def on_a_terminal(daemon, *args):
    """What a person sees: without one, the output is JSON."""
    ours, its = pty.openpty()
    p = subprocess.Popen([binary(), *args], env=daemon.cli_environment(), stdin=its, stdout=its,
                         stderr=its)
    os.close(its)
    seen = b""
    try:
        while more := os.read(ours, 65536):
            seen += more
    except OSError:  # EIO: it has ended
        pass
    os.close(ours)
    assert p.wait(60) == 0, seen
    return seen.decode()


def timings(response):
    """{"gateway": ms, …} of a Server-Timing header."""
    return {k: float(v) for k, v in re.findall(r"(\w+);dur=([\d.]+)",
                                               response.getheader("server-timing"))}


def test_trace_of_an_api(daemon, guarded, slow):
    r, data = guarded.call("/x/7?q=1", headers=[("X-Token", "good"), ("X-Lambkin-Timing", "1")])
    assert (r.status, data) == (200, b"done")
    t = trace_of(daemon, r.getheader("apigw-requestid"))
    assert (t["status"], t["method"], t["route"]) == (200, "GET", "GET /x/{id}")
    assert t["function"] == slow.name and t["where"] == guarded.host + "/x/7"
    assert t["authorizerUs"] >= 50000 and t["functionUs"] >= 50000
    assert t["integrationUs"] >= t["functionUs"]
    assert t["totalUs"] == t["gatewayUs"] + t["authorizerUs"] + t["integrationUs"]
    seen = timings(r)
    assert seen["authorizer"] >= 50 and seen["integration"] >= seen["function"] >= 50
    r, _ = guarded.call("/x/7", headers=[("X-Token", "bad"), ("X-Lambkin-Timing", "1")])
    assert r.status == 403 and set(timings(r)) <= {"gateway", "authorizer"}
    t = trace_of(daemon, r.getheader("apigw-requestid"))
    assert t["status"] == 403 and t["authorizerUs"] >= 50000 and "integrationUs" not in t
    r, _ = guarded.call("/up")
    assert r.getheader("server-timing") is None  # nobody asked
    t = trace_of(daemon, r.getheader("apigw-requestid"))
    assert t["integrationUs"] > 0 and "functionUs" not in t and "function" not in t
    r, _ = guarded.call("/none")
    assert trace_of(daemon, r.getheader("apigw-requestid"))["status"] == 404


def test_trace_of_a_function_url(daemon, slow):
    url = daemon.client("lambda").create_function_url_config(
        FunctionName=slow.name, AuthType="NONE")["FunctionUrl"]
    host = url.split("//")[1].split(":")[0]
    r, _ = request(daemon, host, path="/p", headers=[("X-Lambkin-Timing", "1")])
    assert timings(r)["function"] >= 50
    t = trace_of(daemon, r.getheader("x-amzn-requestid"))
    assert t["where"] == host + "/p" and t["functionUs"] >= 50000 and t["start"]
    shown = on_a_terminal(daemon, "trace", r.getheader("x-amzn-requestid"))
    assert "TOTAL ms" in shown and "GET %s/p (%s)" % (host, slow.name) in shown
    assert "no request" in on_a_terminal(daemon, "trace", "nobody")


def test_access_log(daemon, guarded):
    logs, group = daemon.client("logs"), "/gateway/" + uuid.uuid4().hex[:8]
    logs.create_log_group(logGroupName=group)
    guarded.gw.update_stage(ApiId=guarded.id, StageName="$default", AccessLogSettings={
        "DestinationArn": "arn:aws:logs:us-east-1:000000000000:log-group:" + group,
        "Format": '{"s":$context.status,"a":"$context.authorizer.latency",'
                  '"as":"$context.authorizer.status","i":"$context.integrationLatency",'
                  '"f":"$context.lambkin.functionLatency","r":"$context.responseLatency"}'})
    guarded.call("/x/1", headers=[("X-Token", "good")])
    guarded.call("/x/1", headers=[("X-Token", "bad")])

    def lines():
        found = [e["message"] for e in logs.filter_log_events(logGroupName=group)["events"]]
        return found if len(found) == 2 else None

    good, bad = [json.loads(line) for line in wait_until(lines)]
    assert good["s"] == 200 and good["as"] == "200" and int(good["a"]) >= 50
    assert int(good["r"]) >= int(good["a"]) + int(good["i"]) - 1
    assert int(good["i"]) >= int(good["f"]) >= 50
    assert (bad["s"], bad["as"], bad["i"], bad["f"]) == (403, "403", "-", "-")
    guarded.gw.delete_access_log_settings(ApiId=guarded.id, StageName="$default")
