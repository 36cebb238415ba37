"""Web frameworks behind their usual Lambda adapters, unmodified, through HTTP APIs and URLs."""

import importlib.metadata
import json
import os
import subprocess

import pytest

from gateway_kit import Api, echo_function, request
from harness import ROOT, clean_environment, make_function
from test_websocket_api import FUNCTION, WsApi

NODE = os.path.join(ROOT, "test", "node")

EXPRESS = """
import serverlessExpress from "@codegenie/serverless-express";
import express from "express";
const app = express();
app.use(express.json());
app.get("/hello/:name", (req, res) => {
    res.cookie("a", "1"); res.cookie("b", "2");
    res.json({ name: req.params.name, q: req.query, ip: req.ip });
});
app.post("/items", (req, res) => res.status(201).set("x-made", "yes").json(req.body));
app.get("/binary", (req, res) => res.type("application/octet-stream").send(Buffer.from([0, 255])));
app.get("/moved", (req, res) => res.redirect("/hello/x"));
// Express's own 404 page wants more of a socket than the adapter imitates.
app.use((req, res) => res.status(404).json({ message: "nothing here" }));
export const handler = serverlessExpress({
    app, binarySettings: { contentTypes: ["application/octet-stream"] } });
"""

HONO = """
import { Hono } from "hono";
import { handle, streamHandle } from "hono/aws-lambda";
import { stream } from "hono/streaming";
const app = new Hono();
app.get("/hello/:name", (c) => {
    c.header("set-cookie", "a=1"); c.header("set-cookie", "b=2", { append: true });
    return c.json({ name: c.req.param("name"), q: c.req.query() });
});
app.post("/items", async (c) => c.json(await c.req.json(), 201, { "x-made": "yes" }));
app.get("/binary", (c) => c.body(new Uint8Array([0, 255]), 200,
    { "content-type": "application/octet-stream" }));
app.get("/moved", (c) => c.redirect("/hello/x"));
app.get("/stream", (c) => stream(c, async (s) => {
    for (let i = 0; i < 3; i++) await s.write("part" + i + ";");
}));
export const handler = handle(app);
export const streaming = streamHandle(app);
"""

ASGI = """
import json
from mangum import Mangum

async def app(scope, receive, send):
    assert scope["type"] == "http"
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    status, headers, answer = 404, [], b"nothing here"
    path = scope["path"]
    if path.startswith("/hello/"):
        status = 200
        headers = [(b"content-type", b"application/json"), (b"set-cookie", b"a=1"),
                   (b"set-cookie", b"b=2")]
        answer = json.dumps({"name": path[7:], "q": dict(
            p.split("=") for p in scope["query_string"].decode().split("&"))}).encode()
    elif path == "/items":
        status, headers, answer = 201, [(b"x-made", b"yes"),
                                        (b"content-type", b"application/json")], body
    elif path == "/binary":
        status, headers, answer = 200, [(b"content-type", b"application/octet-stream")], b"\\0\\xff"
    elif path == "/moved":
        status, headers, answer = 302, [(b"location", b"/hello/x")], b""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": answer})

handler = Mangum(app, lifespan="off")
"""


WSGI = """
from apig_wsgi import make_lambda_handler
from flask import Flask, jsonify, make_response, redirect, request
app = Flask(__name__)

@app.get("/hello/<name>")
def hello(name):
    answer = make_response(jsonify(name=name, q=dict(request.args), ip=request.remote_addr,
                                   scheme=request.scheme))
    answer.set_cookie("a", "1")
    answer.set_cookie("b", "2")
    return answer

@app.post("/items")
def items():
    return request.get_json(), 201, {"x-made": "yes"}

@app.get("/binary")
def binary():
    return b"\\0\\xff", 200, {"content-type": "application/octet-stream"}

@app.get("/moved")
def moved():
    return redirect("/hello/x")

handler = make_lambda_handler(app.wsgi_app, binary_support=True)
"""


def bundled(source, scratch):
    """As its author would ship it: one file by esbuild, resolved from test/node."""
    out = os.path.join(scratch, "index.js")
    subprocess.run([os.path.join(NODE, "node_modules", ".bin", "esbuild"), "--bundle",
                    "--platform=node", "--target=node18", "--outfile=" + out,
                    "--log-level=warning"], input=source.encode(), cwd=NODE, check=True, timeout=120)
    with open(out) as f:
        return {"index.js": f.read()}


def package(name):
    """The files of an installed Python package."""
    module = pytest.importorskip(name, reason="pip's %s is not installed" % name)
    if not hasattr(module, "__path__"):  # one file
        with open(module.__file__) as f:
            return {name + ".py": f.read()}
    root = os.path.dirname(module.__file__)
    files = {}
    for folder, _, names in os.walk(root):
        for n in names:
            if n.endswith(".py"):
                path = os.path.join(folder, n)
                with open(path) as f:
                    files[name + "/" + os.path.relpath(path, root)] = f.read()
    return files


def metadata(*names):
    """What importlib.metadata finds of them: Flask asks for versions."""
    files = {}
    for name in names:
        d = importlib.metadata.distribution(name)
        files["%s-%s.dist-info/METADATA" % (name, d.version)] = d.read_text("METADATA")
    return files


def node_module(name):
    return pytest.mark.skipif(
        not os.path.isdir(os.path.join(NODE, "node_modules", name)),
        reason="npm's %s is not installed (make deps)" % name)


def apart(kind):
    """Whether cookies arrive apart: Hono asks Headers.getSetCookie for that, which Debian 12's
    Node.js 18 does not have."""
    return kind != "hono" or subprocess.run(
        ["node", "-e", "process.exit(new Headers().getSetCookie ? 0 : 1)"],
        env=clean_environment(), stdin=subprocess.DEVNULL, timeout=60).returncode == 0


def application(kind, scratch):
    if kind == "mangum":
        return "python", dict(package("mangum"), **package("typing_extensions"), **{"app.py": ASGI})
    if kind == "flask":
        files = {"app.py": WSGI}
        for name in ("apig_wsgi", "flask", "werkzeug", "jinja2", "markupsafe", "click",
                     "itsdangerous", "blinker", "typing_extensions"):
            files.update(package(name))
        files.update(metadata("flask", "werkzeug"))
        return "python", files
    return "node", bundled(EXPRESS if kind == "express" else HONO, scratch)


@pytest.mark.parametrize("version", ["2.0", "1.0"])
@pytest.mark.parametrize("kind", [
    pytest.param("express", marks=[pytest.mark.needs("node", "npm"),
                                   node_module("@codegenie/serverless-express")]),
    pytest.param("hono", marks=[pytest.mark.needs("node", "npm"), node_module("hono")]),
    "mangum", "flask"])
def test_application(daemon, scratch, kind, version):
    runtime, files = application(kind, scratch)
    f, a = make_function(daemon, runtime, files=files, MemorySize=256), Api(daemon)
    i = a.integration(f, version)
    a.route("ANY /{proxy+}", i)
    r, data = a.call("/hello/you%20all?x=1&y=2")
    assert r.status == 200, data
    e = json.loads(data)
    assert e["name"] == "you all" and e["q"] == {"x": "1", "y": "2"}
    cookies = [c.split(";")[0] for c in r.headers.get_all("set-cookie")]
    assert cookies == (["a=1", "b=2"] if apart(kind) else ["a=1, b=2"])
    r, data = a.call("/items", "POST", b'{"k": [1, "\xc3\xa9"]}',
                     [("Content-Type", "application/json")])
    assert r.status == 201 and r.getheader("x-made") == "yes"
    assert json.loads(data) == {"k": [1, "é"]}
    r, data = a.call("/binary")
    assert data == b"\x00\xff" and r.getheader("content-type") == "application/octet-stream"
    r, _ = a.call("/moved")
    assert r.status == 302 and r.getheader("location") == "/hello/x"
    assert a.call("/none")[0].status == 404
    a.gw.delete_api(ApiId=a.id)
    f.delete()


@pytest.mark.needs("node", "npm")
@node_module("hono")
def test_hono_streams(daemon, scratch):
    f = make_function(daemon, "node", files=bundled(HONO, scratch), handler="index.streaming",
                      MemorySize=256)
    url = daemon.client("lambda").create_function_url_config(
        FunctionName=f.name, AuthType="NONE", InvokeMode="RESPONSE_STREAM")["FunctionUrl"]
    r, data = request(daemon, url.split("//")[1].split(":")[0], path="/stream")
    assert (r.status, data) == (200, b"part0;part1;part2;")
    f.delete()


# ---- the JavaScript SDK --------------------------------------------------------------------------

def drive(daemon, *arguments):
    r = subprocess.run(["node", os.path.join(NODE, "gateway.mjs"), daemon.url, *arguments],
                       env=clean_environment(HOME=daemon.scratch), stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=180)
    assert r.returncode == 0, r.stderr[-3000:]
    return json.loads(r.stdout)


@pytest.mark.needs("node", "npm")
@node_module("@aws-sdk/client-apigatewayv2")
def test_javascript_sdk(daemon):
    f = echo_function(daemon)
    seen = drive(daemon, f.arn, "http")
    assert seen["name"] == "js" and seen["created"] and seen["keys"] == ["GET /js/{x}"]
    assert seen["event"]["pathParameters"] == {"x": "1"}
    assert seen["missing"] == "NotFoundException"
    f.delete()


@pytest.mark.needs("node", "npm")
@node_module("@aws-sdk/client-apigatewayv2")
def test_javascript_sdk_makes_what_stands_beside_functions(daemon):
    sqs = daemon.client("sqs")
    url = sqs.create_queue(QueueName="js-parts")["QueueUrl"]
    assert drive(daemon, url, "parts") == {
        "sent": 200, "link": "AVAILABLE", "template": {"a": ""}, "response": "$default",
        "route": "$default"}
    got = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20)["Messages"][0]
    assert got["Body"] == "from js"
    sqs.delete_queue(QueueUrl=url)


@pytest.mark.needs("node", "npm")
@node_module("@aws-sdk/client-apigatewaymanagementapi")
def test_javascript_sdk_posts_to_connections(daemon):
    f = echo_function(daemon, FUNCTION)
    a = WsApi(daemon, f)
    ws = a.open()
    ws.send("x")
    i = json.loads(ws.text())["requestContext"]["connectionId"]
    assert drive(daemon, a.id, "post", i, "from node") == {"ip": "127.0.0.1",
                                                           "gone": "GoneException"}
    assert ws.text() == "from node"
    ws.close()
    a.gw.delete_api(ApiId=a.id)
    f.delete()
