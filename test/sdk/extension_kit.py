"""An external extension for tests, in a layer: what it does is told by variables of its function.

EXT_EVENTS      what it registers for; "" for nothing
EXT_SUBSCRIBE   a list of [path, body] that it PUTs, in order; the answers are kept
EXT_LISTEN      "http" (default), "tcp", "" (nobody listens), "hang" (accepts, never answers)
EXT_PORT        where it listens; default 4243, at sandbox.localdomain; others at 127.0.0.1
EXT_DO          "crash-init", "exit-init", "twice", "late-subscribe", "hang-next", "crash-invoke",
                "error-init", "error-exit", "stay" (ignores SIGTERM and SHUTDOWN),
                "hold" (the listener answers once the function has said {"go": true}),
                "noregister", "chatty" (prints at each event), "flood"
EXT_KEEP        where it keeps what it got; default /tmp/probe

There lie batches.jsonl (a batch a line) and answers.jsonl; the function reads them. What it has at SHUTDOWN it prints, as lines that begin with FINAL.
"""

import re
import urllib.request

from harness import build_zip, unique_name, wait_until

PROBE = r'''#!/usr/bin/python3 -S
import http.server, json, os, signal, socket, sys, threading, time, urllib.request, urllib.error

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
DO = os.environ.get("EXT_DO", "").split(",")
PORT = int(os.environ.get("EXT_PORT", "4243"))
KEEP = os.environ.get("EXT_KEEP", "/tmp/probe") + "/"
os.makedirs(KEEP, exist_ok=True)


def keep(name, value):
    with open(KEEP + name, "a") as f:
        f.write(json.dumps(value) + "\n")


def ask(method, path, body=None, **headers):
    data = None if body is None else json.dumps(body).encode() if not isinstance(body, str) else body.encode()
    req = urllib.request.Request("http://%s%s" % (API, path), data=data, method=method,
                                 headers={k.replace("_", "-"): v for k, v in headers.items()})
    try:
        with urllib.request.urlopen(req) as r:
            return r.status, r.headers, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers, e.read().decode()


class Listener(http.server.BaseHTTPRequestHandler):
    def take(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        while "hold" in DO and not os.path.exists(KEEP + "go"):
            time.sleep(0.01)
        keep("batches.jsonl", {"method": self.command, "path": self.path,
                               "type": self.headers["Content-Type"], "events": json.loads(body)})
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"OK")
    do_POST = do_PUT = take

    def log_message(self, *args):
        pass


def serve_tcp():
    s = socket.create_server(("127.0.0.1", PORT))
    while True:
        c, _ = s.accept()
        for line in c.makefile():
            keep("batches.jsonl", {"events": [json.loads(line)]})


how = os.environ.get("EXT_LISTEN", "http")
if how == "http":
    server = http.server.ThreadingHTTPServer(
        ("sandbox.localdomain" if PORT == 4243 else "127.0.0.1", PORT), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
elif how == "tcp":
    threading.Thread(target=serve_tcp, daemon=True).start()
elif how == "hang":
    hanging = socket.create_server(("127.0.0.1", PORT))

if "noregister" in DO:
    time.sleep(3600)
if "exit-init" in DO:
    sys.exit(3)
if "stay" in DO:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
events = os.environ.get("EXT_EVENTS", "INVOKE,SHUTDOWN")
registration = {"events": events.split(",") if events else []}
status, headers, body = ask("POST", "/2020-01-01/extension/register", registration,
                            Lambda_Extension_Name="probe")
me = headers["Lambda-Extension-Identifier"]
if "twice" in DO:
    status, _, body = ask("POST", "/2020-01-01/extension/register", registration,
                          Lambda_Extension_Name="probe")
    keep("answers.jsonl", [status, json.loads(body)])
if "crash-init" in DO:
    os.abort()
if "error-init" in DO:
    ask("POST", "/2020-01-01/extension/init/error", {}, Lambda_Extension_Identifier=me,
        Lambda_Extension_Function_Error_Type="Probe.Wrong")


def subscribe():
    for path, body in json.loads(os.environ.get("EXT_SUBSCRIBE", "[]")):
        status, _, answer = ask("PUT", path, body, Lambda_Extension_Identifier=me)
        keep("answers.jsonl", [status, json.loads(answer)])


if "late-subscribe" not in DO:
    subscribe()
if "flood" in DO:
    line = "x" * 99
    for _ in range(20000):
        print(line)
    print("flooded", flush=True)
while True:
    if "hang-next" in DO:
        time.sleep(3600)
    status, _, body = ask("GET", "/2020-01-01/extension/event/next", Lambda_Extension_Identifier=me)
    event = json.loads(body)
    if "chatty" in DO:
        print("probe heard", event["eventType"], flush=True)
    if event["eventType"] == "SHUTDOWN":
        if "stay" in DO:
            time.sleep(3600)
        time.sleep(0.2)  # what is on its way
        with open(KEEP + "batches.jsonl") as f:
            for line in f:
                for e in json.loads(line)["events"]:
                    print("FINAL " + json.dumps(e), flush=True)
        sys.exit(0)
    if "late-subscribe" in DO:
        subscribe()
    if "crash-invoke" in DO:
        os.abort()
    if "error-exit" in DO:
        ask("POST", "/2020-01-01/extension/exit/error", {}, Lambda_Extension_Identifier=me,
            Lambda_Extension_Function_Error_Type="Probe.Wrong")
'''

# Answers with what the extension has; "say" prints lines, "wait" waits for an event of that type.
READER = r'''
import json, os, time

KEEP = os.environ.get("EXT_KEEP", "/tmp/probe") + "/"

def lines(name):
    try:
        with open(KEEP + name) as f:
            return [json.loads(line) for line in f.read().split("\n")[:-1]]
    except FileNotFoundError:
        return []

def handler(event, context):
    if event.get("go"):
        open(KEEP + "go", "w").close()
    for line in event.get("say", []):
        print(line)
    for _ in range(event.get("repeat", 0)):
        print("y" * 99)
    if event.get("fail"):
        raise ValueError("as asked")
    if event.get("exit"):
        os._exit(event["exit"])
    if event.get("sleep"):
        time.sleep(event["sleep"])
    return {"batches": lines("batches.jsonl"), "answers": lines("answers.jsonl"),
            "environment": os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]}
'''


def publish_probe(lam):
    """A layer with the extension: (its ARN, a function that deletes it)."""
    name = unique_name("probe")
    made = lam.publish_layer_version(LayerName=name, Content={
        "ZipFile": build_zip({"extensions/probe": PROBE}, executable=("extensions/probe",))})
    return made["LayerVersionArn"], lambda: lam.delete_layer_version(LayerName=name,
                                                                     VersionNumber=made["Version"])


def http_to(path="/", port=4243, **more):
    return {"protocol": "HTTP", "URI": "http://sandbox.localdomain:%d%s" % (port, path), **more}


class Probe:
    """A function with the extension. call() is always answered by the environment of the first call:
    another one would be started for a call that comes before the extension asks for its next event,
    so that is waited for."""

    def __init__(self, function):
        self.function, self.name, self.environment = function, function.name, None
        self.log_lines = function.log_lines

    def states(self):
        """How many environments are in which state, as the daemon's metrics say."""
        with urllib.request.urlopen(self.function.daemon.url + "/_lambkin/metrics", timeout=60) as r:
            text = r.read().decode()
        return {m[1]: int(m[2]) for m in re.finditer(
            r'^lambkin_function_environments\{[^}]*function="%s"[^}]*state="(\w+)"[^}]*\} (\S+)$' % self.name,
            text, re.M)}

    def quiet(self):
        def at_rest():
            states = self.states()
            return not states or states["busy"] + states["starting"] == 0
        wait_until(at_rest, what="%s is at rest" % self.name)

    def invoke(self, event=None, **more):
        self.quiet()
        return self.function.invoke(event, **more)

    def call(self, event=None):
        self.quiet()
        answer = self.function.call(event)
        self.environment = self.environment or answer["environment"]
        assert answer["environment"] == self.environment, "another environment was started"
        return answer
