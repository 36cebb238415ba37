"""kill -9 of the server at random moments under load: nothing that was acknowledged is lost.

The main process and its listener live on, so clients wait for the new server instead of being
refused. ROUNDS kills; then every function, version, alias, tag and log line that was acknowledged
must be there, and the daemon must still work.
"""

import os
import random
import signal
import threading
import time

from botocore.exceptions import ClientError

from harness import ROLE, Daemon, build_zip, make_function, wait_until

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "100"))
SEED = int(os.environ.get("CRASH_SEED", "20261121"))

ZIP = build_zip({"app.py": "def handler(e, c):\n    print('line', e['n'])\n    return e['n']\n"})


class Writer(threading.Thread):
    """Writes without pause, and remembers what was acknowledged; errors of a kill are expected."""

    def __init__(self, daemon, number):
        super().__init__(daemon=True)
        self.daemon_under_test = daemon
        self.number = number
        self.stop = threading.Event()
        self.done = 0
        self.surprises = []

    def run(self):
        n = 0
        while not self.stop.is_set():
            n += 1
            try:
                self.write("%d-%d" % (self.number, n), n)
                self.done += 1
            except ClientError as e:
                # A write whose answer was lost may be there: then it is a conflict the next time.
                status = e.response["ResponseMetadata"]["HTTPStatusCode"]
                code = e.response["Error"]["Code"]
                if status < 500 and code not in ("ResourceConflictException",
                                                 "ResourceAlreadyExistsException",
                                                 "TooManyRequestsException"):
                    self.surprises.append(repr(e))
            except Exception:
                pass  # the connection was cut: not acknowledged


class Functions(Writer):
    def __init__(self, *args):
        super().__init__(*args)
        self.functions, self.aliases, self.tags = {}, {}, {}

    def write(self, name, n):
        lam = self.daemon_under_test.client("lambda")
        name = "crash-" + name
        made = lam.create_function(FunctionName=name, Runtime="python3.11", Role=ROLE,
                                   Handler="app.handler", Code={"ZipFile": ZIP},
                                   Description="number %d" % n, Publish=True)
        self.functions[name] = (made["CodeSha256"], "number %d" % n)
        lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
        self.aliases[name] = "1"
        lam.tag_resource(Resource=made["FunctionArn"].removesuffix(":1"), Tags={"n": str(n)})
        self.tags[name] = str(n)


class Lines(Writer):
    """PutLogEvents to a stream of its own."""

    group = "/crash/lines"

    def __init__(self, *args):
        super().__init__(*args)
        self.stream = "stream-%d" % self.number
        self.lines = []
        logs = self.daemon_under_test.client("logs")
        try:
            logs.create_log_group(logGroupName=self.group)
        except logs.exceptions.ResourceAlreadyExistsException:
            pass
        logs.create_log_stream(logGroupName=self.group, logStreamName=self.stream)

    def write(self, name, n):
        line = "line " + name
        self.daemon_under_test.client("logs").put_log_events(
            logGroupName=self.group, logStreamName=self.stream,
            logEvents=[{"timestamp": int(time.time() * 1000), "message": line}])
        self.lines.append(line)


class Invocations(Writer):
    """Invokes; an answer that came is right."""

    def __init__(self, daemon, number, function):
        super().__init__(daemon, number)
        self.function = function

    def write(self, name, n):
        answer = self.function.invoke({"n": n}, tail=False)
        if answer.error is None and answer.payload != n:
            self.surprises.append("%r answered %r" % (n, answer.raw))


def all_lines(daemon, group):
    logs = daemon.client("logs")
    lines, token = [], {}
    while True:
        page = logs.filter_log_events(logGroupName=group, **token)
        lines += [e["message"] for e in page["events"]]
        if not page.get("nextToken"):
            return lines
        token = {"nextToken": page["nextToken"]}


def test_kill_9_of_the_server_loses_nothing():
    rng = random.Random(SEED)
    daemon = Daemon()
    try:
        function = make_function(daemon, "python",
                                 "def handler(e, c):\n    print('n', e['n'])\n    return e['n']\n")
        writers = [Functions(daemon, 0), Lines(daemon, 1), Lines(daemon, 2),
                   Invocations(daemon, 3, function)]
        for w in writers:
            w.start()
        for _ in range(ROUNDS):
            server = wait_until(lambda: daemon.children().get("server"), what="a server")
            time.sleep(rng.uniform(0.0, 0.25))
            try:
                os.kill(server, signal.SIGKILL)
            except ProcessLookupError:
                pass
            wait_until(lambda: daemon.children().get("server") not in (None, server),
                       what="the next server")
        for w in writers:
            w.stop.set()
        for w in writers:
            w.join(150)
            assert not w.is_alive(), "a client hangs"
            assert not w.surprises, w.surprises[:5]
        check(daemon, writers)
        # and again after a full stop
        daemon.restart()
        check(daemon, writers)
        assert wait_until(lambda: function.invoke({"n": 7}).payload == 7)
    finally:
        daemon.close()


def check(daemon, writers):
    functions, lines = writers[0], writers[1:3]
    lam = daemon.client("lambda")
    there = {}
    for page in lam.get_paginator("list_functions").paginate():
        for f in page["Functions"]:
            there[f["FunctionName"]] = (f["CodeSha256"], f["Description"])
    missing = {n: v for n, v in functions.functions.items() if there.get(n) != v}
    assert not missing, missing
    for name, version in functions.aliases.items():
        assert lam.get_alias(FunctionName=name, Name="live")["FunctionVersion"] == version
    for name, tag in functions.tags.items():
        assert lam.get_function(FunctionName=name)["Tags"] == {"n": tag}
    kept = set(all_lines(daemon, Lines.group))
    for w in lines:
        lost = [l for l in w.lines if l not in kept]
        assert not lost, "%d of %d lines lost: %s" % (len(lost), len(w.lines), lost[:5])
    assert functions.functions and all(w.lines for w in lines), "the load never got through"
    print("\nkept: %d functions, %d aliases, %d lines, %d invocations, after %d kills" % (
        len(functions.functions), len(functions.aliases), sum(len(w.lines) for w in lines),
        writers[3].done, ROUNDS))
