"""Drives a bootstrap over a socket pair, as the daemon does, with no daemon."""

import glob
import json
import os
import re
import shutil
import socket
import struct
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INIT, INVOKE = 1, 2
READY, INIT_ERROR, RESPONSE, ERROR = 16, 17, 18, 19
STREAM_BEGIN, STREAM_CHUNK, STREAM_END, STREAM_ERROR, LOG, NEXT = 20, 21, 22, 23, 24, 25
WAIT_S = 60


def pythons():
    """One of each Python from 3.8: the system's and what pyenv installed."""
    found = {}
    home = os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv")
    for path in sorted(glob.glob("/usr/bin/python3.*") + glob.glob(home + "/versions/3.*/bin/python3.*")):
        m = re.fullmatch(r".*/python3\.(\d+)", path)
        if m and int(m.group(1)) >= 8:
            found.setdefault(int(m.group(1)), path)
    return [found[k] for k in sorted(found)]


def node():
    path = shutil.which("node")
    return os.path.realpath(path) if path else None


class Bootstrap:
    def __init__(self, argv, directory, handler, env=None, spare=False, wrapper=None):
        ours, theirs = socket.socketpair()
        ours.settimeout(WAIT_S)
        self.socket, self.data = ours, b""
        read, write = os.pipe()
        argv = (["/bin/sh", "-c", wrapper + ' exec "$0" "$@"'] if wrapper else []) + argv
        argv += ["--spare"] if spare else []

        def in_child():
            os.dup2(theirs.fileno(), 3, inheritable=True)

        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=write, stderr=write, close_fds=False,
            preexec_fn=in_child, env={"PATH": "/usr/bin:/bin", "LANG": "en_US.UTF-8"})
        os.close(write)
        theirs.close()
        self.output = os.fdopen(read, "rb")
        variables = {
            "PATH": "/usr/bin:/bin", "LANG": "en_US.UTF-8", "TZ": ":UTC",
            "AWS_LAMBDA_FUNCTION_NAME": "fn", "AWS_LAMBDA_FUNCTION_VERSION": "7",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/fn",
            "AWS_LAMBDA_LOG_STREAM_NAME": "stream", "AWS_EXECUTION_ENV": "AWS_Lambda_python3.12",
            **(env or {})}
        self.sequence = 0
        self.logs = []
        self.send(INIT, 0, json.dumps({
            "handler": handler, "env": variables, "task_root": str(directory),
            "layer_root": str(directory) + "/opt", "runtime_root": str(directory) + "/runtime",
        }).encode())
        self.first = self.answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
        try:
            self.process.wait(WAIT_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()
            self.output.close()

    def send(self, kind, sequence, body):
        self.socket.sendall(struct.pack("<IBBHQ", len(body), kind, 0, 0, sequence) + body)

    def need(self, n):
        while len(self.data) < n:
            more = self.socket.recv(1 << 16)
            if not more:
                raise EOFError
            self.data += more

    def frame(self):
        self.need(16)
        size, kind, flags, _, sequence = struct.unpack("<IBBHQ", self.data[:16])
        self.need(16 + size)
        body, self.data = self.data[16:16 + size], self.data[16 + size:]
        return kind, flags, sequence, body

    def answer(self):
        """The next frame that is no log line; log lines are kept."""
        while True:
            kind, flags, sequence, body = self.frame()
            if kind == LOG:
                self.logs.append(body.decode())
                continue
            return Answer(kind, flags, sequence, body)

    def post(self, payload, request_id="id-1", trace="Root=1-2-3", client="", identity="", timeout_s=30):
        self.sequence += 1
        fields = [s.encode() for s in (request_id, "arn:aws:lambda:x", trace, client, identity, "")]
        head = struct.pack("<Q6I", int((time.time() + timeout_s) * 1000), *map(len, fields))
        self.send(INVOKE, self.sequence, head + b"".join(fields) + payload)

    def invoke(self, event, **more):
        payload = event if isinstance(event, bytes) else json.dumps(event).encode()
        self.post(payload, **more)
        answer = self.answer()
        assert answer.sequence == self.sequence
        return answer

    def text(self):
        """Everything printed; the process must be at its end."""
        self.socket.shutdown(socket.SHUT_WR)
        self.process.wait(WAIT_S)
        return self.output.read().decode()


class Answer:
    def __init__(self, kind, flags, sequence, body):
        self.kind, self.flags, self.sequence, self.body = kind, flags, sequence, body
        self.error_type = None
        if kind in (ERROR, INIT_ERROR, STREAM_ERROR):
            n = struct.unpack("<I", body[:4])[0]
            self.error_type = body[4:4 + n].decode()
            self.body = body[4 + n:]

    @property
    def json(self):
        return json.loads(self.body)
