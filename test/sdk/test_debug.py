"""`lambkin invoke --debug`: real debuggers' protocols (DAP, Chrome DevTools) reach the function."""

import base64
import glob
import importlib.metadata
import json
import os
import shutil
import socket
import struct
import subprocess
import urllib.request

import pytest
from botocore.exceptions import ClientError

from harness import binary, free_port, wait_until


def listens(port):
    with open("/proc/net/tcp") as f:
        return any(line.split()[1] == "0100007F:%04X" % port and line.split()[3] == "0A"
                   for line in f.readlines()[1:])


class Debugged:
    """`lambkin invoke --debug` under way."""

    def __init__(self, daemon, name, event, *flags):
        self.port = free_port()
        self.process = subprocess.Popen(
            [binary(), "invoke", name, json.dumps(event), "--debug", str(self.port), *flags],
            env=daemon.cli_environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True)

    def connect(self):
        wait_until(lambda: listens(self.port) or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()
        return socket.create_connection(("127.0.0.1", self.port), 60)

    def result(self):
        out, err = self.process.communicate(timeout=60)
        wait_until(lambda: not listens(self.port), what="the port is closed")
        return self.process.returncode, out, err

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def debugged(daemon):
    made = []

    def make(*args, on=None):
        made.append(Debugged(on or daemon, *args))
        return made[-1]

    yield make
    for d in made:
        d.end()


# ---- Python: the Debug Adapter Protocol ----------------------------------------------------------

class Dap:
    def __init__(self, sock):
        self.file, self.seq, self.events = sock.makefile("rwb"), 0, []

    def read(self):
        length = 0
        while True:
            line = self.file.readline()
            assert line, "the debugger's connection ended"
            if line == b"\r\n":
                return json.loads(self.file.read(length))
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)

    def send(self, command, arguments=None):
        self.seq += 1
        body = json.dumps({"seq": self.seq, "type": "request", "command": command,
                           "arguments": arguments or {}}).encode()
        self.file.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.file.flush()
        return self.seq

    def answer(self, seq):
        while True:
            m = self.read()
            if m["type"] == "response" and m["request_seq"] == seq:
                assert m["success"], m
                return m.get("body")
            if m["type"] == "event":
                self.events.append(m)

    def ask(self, command, arguments=None):
        return self.answer(self.send(command, arguments))

    def event(self, name):
        while True:
            for e in self.events:
                if e["event"] == name:
                    self.events.remove(e)
                    return e["body"] if "body" in e else {}
            m = self.read()
            if m["type"] == "event":
                self.events.append(m)


def debugpy_files():
    """debugpy as it lies in this Python's site-packages, for a function's package."""
    files = {}
    for f in importlib.metadata.files("debugpy"):
        path = str(f)
        if path.startswith("debugpy/") and not path.endswith((".pyc", ".so")) and ".." not in path:
            with open(f.locate(), "rb") as source:
                files[path] = source.read()
    return files


APP = '''
def handler(event, context):
    name = event["name"]
    return {"hello": name, "left": context.get_remaining_time_in_millis()}
'''


def test_python_stops_at_a_breakpoint(make_function, debugged):
    pytest.importorskip("debugpy")
    f = make_function("python", files={"app.py": APP, **debugpy_files()}, Timeout=1)
    d = debugged(f.name, {"name": "you"})
    dap = Dap(d.connect())
    dap.ask("initialize", {"clientID": "test", "adapterID": "debugpy", "linesStartAt1": True,
                           "pathFormat": "path"})
    attached = dap.send("attach", {"justMyCode": True})
    dap.event("initialized")
    set_ = dap.ask("setBreakpoints", {"source": {"path": "/var/task/app.py"},
                                      "breakpoints": [{"line": 4}]})
    assert set_["breakpoints"][0]["line"] == 4
    dap.ask("configurationDone")
    dap.answer(attached)
    stopped = dap.event("stopped")
    assert stopped["reason"] == "breakpoint"
    frame = dap.ask("stackTrace", {"threadId": stopped["threadId"]})["stackFrames"][0]
    assert (frame["name"], frame["line"]) == ("handler", 4)
    assert dap.ask("evaluate", {"expression": "event['name']", "frameId": frame["id"],
                                "context": "watch"})["result"] == "'you'"
    dap.ask("evaluate", {"expression": "name = 'changed'", "frameId": frame["id"], "context": "repl"})
    # The limit of one second does not run: other invocations are served all the while.
    assert f.call({"name": "meanwhile"})["hello"] == "meanwhile"
    dap.send("continue", {"threadId": stopped["threadId"]})  # its answer may come after the end
    code, out, err = d.result()
    answer = json.loads(out)
    assert code == 0 and answer["hello"] == "changed" and answer["left"] > 3600 * 1000
    assert "127.0.0.1:%d" % d.port in err and '"type": "debugpy"' in err and "/var/task" in err


def test_python_without_debugpy_says_so(make_function, debugged):
    if glob.glob("/usr/lib/python3*/*-packages/debugpy") + \
            glob.glob("/usr/local/lib/python3*/*-packages/debugpy"):
        pytest.skip("this host's Python has debugpy")
    f = make_function("python", source=APP)
    code, out, _ = debugged(f.name, {"name": "you"}).result()
    error = json.loads(out)
    assert code == 1 and error["errorType"] == "Runtime.DebuggerNotFound"
    assert "pip install debugpy" in error["errorMessage"]
    assert f.call({"name": "still"})["hello"] == "still"


# ---- Node.js: the Chrome DevTools protocol -------------------------------------------------------

class DevTools:
    def __init__(self, port):
        # Its address is asked for over HTTP, on a connection of its own.
        def target():
            with urllib.request.urlopen("http://127.0.0.1:%d/json/list" % port, timeout=60) as r:
                return json.load(r)[0]["webSocketDebuggerUrl"]
        path = "/" + target().split("/", 3)[3]
        self.sock = socket.create_connection(("127.0.0.1", port), 60)
        self.file = self.sock.makefile("rb")
        self.sock.sendall(("GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                           "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                           "Sec-WebSocket-Key: %s\r\n\r\n" % (
                               path, port, base64.b64encode(os.urandom(16)).decode())).encode())
        assert b" 101 " in self.file.readline()
        while self.file.readline() != b"\r\n":
            pass
        self.id, self.events = 0, []

    def read(self):
        first, second = self.file.read(2)
        length = second & 127
        if length >= 126:
            length = int.from_bytes(self.file.read(2 if length == 126 else 8), "big")
        data = self.file.read(length)
        assert first == 0x81, "not a text frame"
        return json.loads(data)

    def send(self, method, **params):
        self.id += 1
        body = json.dumps({"id": self.id, "method": method, "params": params}).encode()
        self.sock.sendall(b"\x81" + struct.pack("!BH", 0xfe, len(body)) + b"\0\0\0\0" + body)

    def ask(self, method, **params):
        self.send(method, **params)
        while True:
            m = self.read()
            if m.get("id") == self.id:
                assert "error" not in m, m
                return m["result"]
            self.events.append(m)

    def event(self, method):
        while True:
            for e in self.events:
                if e["method"] == method:
                    self.events.remove(e)
                    return e["params"]
            self.events.append(self.read())


NODE = '''export const handler = async (event) => {
    let name = event.name;
    return { hello: name };
};
'''


def test_node_stops_at_a_breakpoint(make_function, debugged):
    if not shutil.which("node"):
        pytest.skip("no node")
    f = make_function("node", source=NODE, Timeout=1)
    d = debugged(f.name, {"name": "you"})
    d.connect().close()
    tools = DevTools(d.port)
    tools.ask("Runtime.enable")
    tools.ask("Debugger.enable")
    tools.ask("Debugger.setBreakpointByUrl", lineNumber=2, urlRegex=".*/index\\.mjs$")
    tools.ask("Runtime.runIfWaitingForDebugger")
    frame = tools.event("Debugger.paused")["callFrames"][0]
    assert frame["functionName"] == "handler"
    assert tools.ask("Debugger.evaluateOnCallFrame", callFrameId=frame["callFrameId"],
                     expression="event.name")["result"]["value"] == "you"
    tools.ask("Debugger.evaluateOnCallFrame", callFrameId=frame["callFrameId"],
              expression="name = 'changed'")
    assert f.call({"name": "meanwhile"})["hello"] == "meanwhile"
    tools.send("Debugger.resume")  # its answer may come after the end
    code, out, err = d.result()
    assert code == 0 and json.loads(out) == {"hello": "changed"}
    assert '"type": "node"' in err and '"port": %d' % d.port in err


def test_without_isolation(new_daemon, debugged):
    """Where a sandbox has no loopback of its own, the debugger listens at a port that was free."""
    if not shutil.which("node"):
        pytest.skip("no node")
    from harness import make_function as make
    d = new_daemon("--isolation", "none")
    f = make(d, "node", source=NODE)
    session = debugged(f.name, {"name": "plain"}, on=d)
    session.connect().close()
    tools = DevTools(session.port)
    tools.send("Runtime.runIfWaitingForDebugger")
    code, out, _ = session.result()
    assert code == 0 and json.loads(out) == {"hello": "plain"}


# ---- who may, and what is left -------------------------------------------------------------------

def test_the_port_is_the_hosts_loopback_and_ends_with_its_caller(make_function, debugged, daemon):
    if not shutil.which("node"):
        pytest.skip("no node")
    f = make_function("node", source=NODE)
    d = debugged(f.name, {})
    tools = DevTools(wait_until(lambda: listens(d.port) and d.port))
    with pytest.raises(OSError):  # not at another address of this host
        socket.create_connection((socket.gethostbyname(socket.gethostname()) if
                                  socket.gethostbyname(socket.gethostname()) != "127.0.0.1"
                                  else "127.0.0.2", d.port), 5)
    # A second session at the same port is refused, and does not disturb the first.
    r = daemon.cli("invoke", f.name, "--debug", str(d.port))
    assert r.returncode == 1 and json.loads(r.stdout)["errorType"] == "Debugger.PortNotFree"
    d.process.kill()
    wait_until(lambda: not listens(d.port), what="the session ends with its caller")
    with pytest.raises((AssertionError, ValueError, OSError)):
        while True:
            tools.read()
    assert f.call({"name": "after"}) == {"hello": "after"}


def test_wrong_calls(make_function, daemon, lam):
    f = make_function("python", source=APP)
    native = make_function("native")
    r = daemon.cli("invoke", native.name, "--debug")
    assert r.returncode == 1 and "not a Python or Node.js function" in r.stderr
    assert daemon.cli("invoke", f.name, "--debug", "--async").returncode == 2
    assert daemon.cli("invoke", f.name, "--debug=99999").returncode == 1

    def raw(**headers):
        def add(request, **_):
            for name, value in headers.items():
                request.headers[name.replace("_", "-")] = value
        c = daemon.client("lambda", config=None, region_name="us-east-1")
        c.meta.events.register("before-sign.lambda.Invoke", add)
        return c
    for value in ("0", "x", "-1"):
        with pytest.raises(ClientError, match="InvalidParameterValueException"):
            raw(X_Lambkin_Debug=value).invoke(FunctionName=f.name)
    with pytest.raises(ClientError, match="InvalidParameterValueException"):
        raw(X_Lambkin_Debug="7000").invoke(FunctionName=native.name)


def test_not_from_inside_of_a_function(make_function, new_daemon):
    """Even where nobody has to sign: a function is not its own owner."""
    d = new_daemon("--no-auth")
    f = make_function("python", on=d, Timeout=30, source="""
import os, urllib.error, urllib.request
def handler(event, context):
    req = urllib.request.Request(
        os.environ["AWS_ENDPOINT_URL"] + "/2015-03-31/functions/%s/invocations" % context.function_name,
        data=b"{}", headers={"X-Lambkin-Debug": "5678"})
    try:
        return urllib.request.urlopen(req).read().decode()
    except urllib.error.HTTPError as e:
        return [e.code, e.headers.get("x-amzn-errortype")]
""")
    assert f.call() == [403, "AccessDeniedException"]
