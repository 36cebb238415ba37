"""Starts real daemons and builds real packages, for every test that talks to Lambkin from outside.

A daemon runs on a port of its own choosing with a data directory of its own, and is stopped with
all it started when its test (or the session) ends. Nothing here sleeps for a fixed time:
wait_until() looks again and again, with a generous deadline.
"""

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
import uuid
import zipfile

import boto3
from botocore.config import Config

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REGION = "us-east-1"
ROLE = "arn:aws:iam::000000000000:role/lambda"
PATIENCE_S = 60.0


def binary():
    path = os.environ.get("LAMBKIN_BIN")
    for candidate in [path] if path else ["build/src/cli/lambkin", "build-check/src/cli/lambkin"]:
        full = os.path.join(ROOT, candidate)
        if os.access(full, os.X_OK):
            return full
    raise RuntimeError("no lambkin binary; run `make`, or set LAMBKIN_BIN")


def wait_until(condition, timeout=PATIENCE_S, what=None):
    """Answers the first true value of condition(); AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("not within %.0f s: %s" % (timeout, what or condition))
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)


def free_port():
    """A port of this host's loopback that nobody listens at now."""
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def clean_environment(**more):
    """The environment for programs under test: nothing of the developer's AWS settings."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "LAMBKIN_"))}
    env.setdefault("PATH", "/usr/local/bin:/usr/bin:/bin")
    env.update(more)
    return env


def scratch_dir():
    """A new directory that every user can pass through, whatever the umask."""
    path = tempfile.mkdtemp(prefix="lambkin-test-", dir=os.environ.get("TMPDIR") or "/tmp")
    os.chmod(path, 0o755)
    return path


def process_table():
    """{pid: (parent pid, command name, state)}"""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name) as f:
                text = f.read()
        except OSError:
            continue
        head, _, tail = text.rpartition(")")
        words = tail.split()
        table[int(name)] = (int(words[1]), head.partition("(")[2], words[0])
    return table


def descendants(pid):
    table = process_table()
    found, queue = [], [pid]
    while queue:
        parent = queue.pop()
        for child, (its_parent, _, _) in table.items():
            if its_parent == parent:
                found.append(child)
                queue.append(child)
    return found


def alive(pid):
    entry = process_table().get(pid)
    return entry is not None and entry[2] != "Z"


class Daemon:
    """One `lambkin serve`, its temporary data directory, and clients for it."""

    def __init__(self, *args, env=None, data_dir=None, user=None, start=True):
        """user: the number of a user to run as instead of root."""
        self.scratch = scratch_dir()
        self.user = user
        self.binary = binary()
        if user is not None:
            os.chown(self.scratch, user, user)
            # That user may not be able to reach the build directory.
            self.binary = shutil.copy(self.binary, os.path.join(self.scratch, "lambkin"))
            os.chmod(self.binary, 0o755)
        self.data_dir = data_dir or os.path.join(self.scratch, "data")
        self.args = list(args)
        self.env = env or {}
        self.process = None
        self.port = 0
        self.log_path = os.path.join(self.scratch, "daemon.log")
        self.ready_line = ""
        self.starts = 0
        self._clients = {}
        self._lock = threading.Lock()
        if start:
            self.start()

    def start(self, port=None):
        command = [self.binary, "serve", "--port", str(self.port if port is None else port),
                   "--data-dir", self.data_dir] + self.args
        self.starts += 1
        with open(self.log_path, "ab") as log:
            # In a session of its own: a Ctrl-C at the terminal is not meant for it.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=clean_environment(**self.env), start_new_session=True, cwd="/",
                **({} if self.user is None else
                   {"user": self.user, "group": self.user, "extra_groups": []}))
        line = []
        reader = threading.Thread(target=lambda p=self.process: line.append(p.stdout.readline()),
                                  daemon=True)
        reader.start()
        reader.join(PATIENCE_S)
        text = (line[0] if line else b"").decode(errors="replace")
        m = re.search(r"ready on (https?)://([^ ]+):(\d+) in ([\d.]+) ms", text)
        if not m:
            code = self.process.poll()
            self.kill()
            raise RuntimeError("the daemon did not get ready (line %r, exit %s):\n%s" % (
                text, code, self.log_text()[-4000:]))
        self.ready_line = text.strip()
        self.port = int(m.group(3))
        self.ready_ms = float(m.group(4))
        # Whatever else it may print must not fill the pipe.
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        return self

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    @property
    def pid(self):
        return self.process.pid

    def log_text(self, since=0):
        try:
            with open(self.log_path, "rb") as f:
                f.seek(since)
                return f.read().decode(errors="replace")
        except OSError:
            return ""

    def log_size(self):
        return os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0

    def children(self):
        """{"keeper": pid, "server": pid} as they are now."""
        found = {}
        for pid, (parent, _, state) in process_table().items():
            if parent != self.process.pid or state == "Z":
                continue
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            for role in ("keeper", "server"):
                if role.encode() in words[:3]:
                    found[role] = pid
        return found

    def client(self, service, **options):
        """A boto3 client; without options one and the same for the daemon's life."""
        key = (service, self.port)
        plain = not options
        with self._lock:
            if plain and key in self._clients:
                return self._clients[key]
            config = options.pop("config", None)
            base = Config(retries={"max_attempts": 0}, connect_timeout=10, read_timeout=120,
                          max_pool_connections=128, parameter_validation=False)
            session = boto3.session.Session()
            made = session.client(
                service, endpoint_url=self.url, region_name=options.pop("region_name", REGION),
                aws_access_key_id=options.pop("access_key", "test"),
                aws_secret_access_key=options.pop("secret_key", "test"),
                aws_session_token=options.pop("session_token", None),
                config=base.merge(config) if config else base, **options)
            if plain:
                self._clients[key] = made
            return made

    def cli_environment(self, **more):
        """For the AWS CLI and our own verbs."""
        return clean_environment(
            AWS_ENDPOINT_URL=self.url, AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test",
            AWS_DEFAULT_REGION=REGION, AWS_REGION=REGION, AWS_EC2_METADATA_DISABLED="true",
            AWS_PAGER="", HOME=self.scratch, **more)

    def cli(self, *args, stdin=None, timeout=120, **more):
        """Runs `lambkin ARGS…`; a CompletedProcess with text output."""
        return subprocess.run([binary(), *args], env=self.cli_environment(**more), input=stdin,
                              stdin=None if stdin is not None else subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=timeout)

    def kill(self, sig=signal.SIGKILL):
        """Answers when the daemon's own processes have ended, so that it can be started again."""
        if self.process and self.process.poll() is None:
            own = list(self.children().values())
            self.process.send_signal(sig)
            self.process.wait(PATIENCE_S)
            wait_until(lambda: not any(alive(pid) for pid in own), what="keeper and server ended")

    def stop(self):
        """SIGTERM, as an init system does; answers the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError("the daemon did not end after SIGTERM:\n" +
                                     self.log_text()[-4000:])
        return self.process.returncode

    def restart(self):
        self.stop()
        return self.start()

    def close(self):
        try:
            self.stop()
        finally:
            self.kill()
            shutil.rmtree(self.scratch, ignore_errors=True)


# ---- packages ------------------------------------------------------------------------------------

def build_zip(files, executable=()):
    """A zip of {name: text or bytes}; the names in `executable` get mode 0755."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, content in files.items():
            info = zipfile.ZipInfo(name, date_time=(2026, 1, 1, 0, 0, 0))
            mode = 0o755 if name in executable else 0o644
            info.external_attr = (stat.S_IFREG | mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(info, content)
    return out.getvalue()


_compiled = {}
_compile_lock = threading.Lock()


def compile_c(source, *flags):
    """The bytes of a static executable made from C source text (or from a file's path)."""
    if os.path.exists(os.path.join(ROOT, source[:200])):
        with open(os.path.join(ROOT, source)) as f:
            source = f.read()
    key = (source, flags)
    with _compile_lock:
        if key not in _compiled:
            with tempfile.TemporaryDirectory(prefix="lambkin-cc-") as d:
                out = os.path.join(d, "bootstrap")
                subprocess.run(["cc", "-O1", "-static", "-std=gnu17", *flags, "-x", "c", "-",
                                "-o", out, "-lpthread"], input=source.encode(), check=True)
                with open(out, "rb") as f:
                    _compiled[key] = f.read()
        return _compiled[key]


# ---- functions -----------------------------------------------------------------------------------

PYTHON_HELLO = """
def handler(event, context):
    return {"hello": event.get("name", "world"), "request_id": context.aws_request_id}
"""

NODE_HELLO = """
export const handler = async (event, context) =>
    ({ hello: event.name ?? "world", request_id: context.awsRequestId });
"""

RUNTIMES = {"python": "python3.11", "node": "nodejs20.x", "native": "provided.al2023"}


class Answer:
    """What Invoke answered."""

    def __init__(self, response):
        self.status = response["StatusCode"]
        self.error = response.get("FunctionError")
        self.version = response.get("ExecutedVersion")
        self.raw = response["Payload"].read()
        self.request_id = response["ResponseMetadata"]["RequestId"]
        self.tail = base64.b64decode(response.get("LogResult", "")).decode(errors="replace")

    @property
    def payload(self):
        return json.loads(self.raw) if self.raw else None

    def __repr__(self):
        return "Answer(%s, error=%s, %r, tail=%r)" % (
            self.status, self.error, self.raw[:1000], self.tail)


class Function:
    def __init__(self, daemon, name, arn):
        self.daemon, self.name, self.arn = daemon, name, arn
        self.lam = daemon.client("lambda")

    def invoke(self, event=None, raw=None, tail=True, **more):
        """Invokes and answers an Answer; errors of the API raise ClientError."""
        body = raw if raw is not None else json.dumps({} if event is None else event).encode()
        return Answer(self.lam.invoke(FunctionName=self.name, Payload=body,
                                      LogType="Tail" if tail else "None", **more))

    def call(self, event=None, **more):
        """The payload; fails when the function failed."""
        answer = self.invoke(event, **more)
        assert answer.error is None, answer
        return answer.payload

    def log_lines(self):
        """Every line in the function's log group, oldest first."""
        logs = self.daemon.client("logs")
        lines, token = [], {}
        while True:
            try:
                page = logs.filter_log_events(logGroupName="/aws/lambda/" + self.name, **token)
            except logs.exceptions.ResourceNotFoundException:
                return lines
            lines += [e["message"] for e in page["events"]]
            if not page.get("nextToken"):
                return lines
            token = {"nextToken": page["nextToken"]}

    def wait_active(self):
        def ready():
            c = self.lam.get_function_configuration(FunctionName=self.name)
            assert c.get("State") != "Failed", c
            return c.get("State", "Active") == "Active" and \
                c.get("LastUpdateStatus", "Successful") == "Successful"
        wait_until(ready, what="%s is active" % self.name)
        return self

    def delete(self):
        self.lam.delete_function(FunctionName=self.name)


def unique_name(prefix="f"):
    return "%s-%s" % (prefix, uuid.uuid4().hex[:10])


def make_function(daemon, kind="python", source=None, files=None, name=None, handler=None,
                  wait=True, package=None, **options):
    """Creates a function of `kind` (python, node, native, or a runtime's name) and waits for it.

    source: the text of its one file (a C program for native); or files: {name: content}; or
    package: a zip that was built before.
    options: further CreateFunction parameters (Timeout, MemorySize, Environment, …).
    """
    runtime = RUNTIMES.get(kind, kind)
    executable = ()
    if runtime.startswith("python"):
        files = files or {"app.py": source or PYTHON_HELLO}
        handler = handler or "app.handler"
    elif runtime.startswith("nodejs"):
        files = files or {"index.mjs": source or NODE_HELLO}
        handler = handler or "index.handler"
    else:
        if files is None:
            program = source or "examples/native-c/bootstrap.c"
            files = {"bootstrap": compile_c(program) if isinstance(program, str) else program}
        executable = ("bootstrap",)
        handler = handler or "bootstrap"
    name = name or unique_name(kind.replace(".", ""))
    options.setdefault("Timeout", 30)
    created = daemon.client("lambda").create_function(
        FunctionName=name, Runtime=runtime, Role=ROLE, Handler=handler,
        Code={"ZipFile": package or build_zip(files, executable)}, **options)
    function = Function(daemon, name, created["FunctionArn"])
    return function.wait_active() if wait else function
