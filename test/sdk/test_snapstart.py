"""SnapStart: versions whose INIT is run when they are published, through boto3."""

import concurrent.futures
import contextlib
import json
import os
import re
import signal
import time
import urllib.request

import pytest

import harness
from harness import build_zip, wait_until
import test_lambda_functions
from test_daemon import cgroups_of

ON = {"ApplyOn": "PublishedVersions"}

COUNTING = """
import os, random, time, uuid
import snapshot_restore_py as hooks

born = uuid.uuid4().hex
started = time.time()
random.seed(7)
calls = []


@hooks.register_before_snapshot
def first():
    calls.append("before one")


hooks.register_before_snapshot(lambda *a, **k: calls.append("before two %s %s" % (a, k)), 1, x=2)
hooks.register_after_restore(calls.append, "after one")


@hooks.register_after_restore
def second():
    calls.append("after two")
    print("restored " + born)


def handler(event, context):
    time.sleep(event.get("sleep", 0))
    return {"born": born, "calls": calls, "random": [random.random() for _ in range(4)],
            "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
            "stream": os.environ["AWS_LAMBDA_LOG_STREAM_NAME"],
            "key": os.environ["AWS_ACCESS_KEY_ID"],
            "started": started, "version": context.function_version}
"""


@pytest.fixture
def make_snap(make_function):
    def make(source=COUNTING, **options):
        kind = options.pop("kind", "python")
        return make_function(kind, source, SnapStart=ON, **options)
    return make


@contextlib.contextmanager
def refused(code, status, says=""):
    with test_lambda_functions.refused(code, status) as r:
        yield
    assert says in r.error["Error"]["Message"], r.error


def state(f, version="1"):
    return f.lam.get_function_configuration(FunctionName=f.name, Qualifier=version)


def settled(f, version="1"):
    """The version's configuration, once it is not Pending."""
    return wait_until(lambda: (lambda c: c if c["State"] != "Pending" else None)(state(f, version)),
                      what="version %s is not pending" % version)


def published(f):
    f.lam.publish_version(FunctionName=f.name)
    c = settled(f)
    assert c["State"] == "Active", c
    return c


def snapshots(daemon):
    return daemon_metric(daemon, "lambkin_snapshots")


def daemon_metric(daemon, name):
    with urllib.request.urlopen(daemon.url + "/_lambkin/metrics", timeout=30) as r:
        m = re.search(r"^%s(?:\{[^}]*\})? (\d+)" % name, r.read().decode(), re.M)
    return int(m.group(1)) if m else 0


def stream_lines(f, stream):
    """One environment's lines, in the order in which they were written."""
    logs = f.daemon.client("logs")
    try:
        events = logs.get_log_events(logGroupName="/aws/lambda/" + f.name, logStreamName=stream,
                                     startFromHead=True)["events"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [e["message"] for e in events]


def call(f, event=None, version="1"):
    answer = f.invoke(event, Qualifier=version)
    assert answer.error is None, answer
    return answer


def test_states_and_answers(make_snap):
    f = make_snap()
    assert f.lam.get_function_configuration(FunctionName=f.name)["SnapStart"] == {
        "ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    r = f.lam.publish_version(FunctionName=f.name)
    assert (r["State"], r["StateReasonCode"]) == ("Pending", "Creating")
    assert r["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    f.lam.get_waiter("published_version_active").wait(
        FunctionName=f.name, Qualifier="1", WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    c = state(f)
    assert c["State"] == "Active" and "StateReason" not in c and "StateReasonCode" not in c
    assert c["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}

    answer = call(f)
    got = answer.payload
    assert got["type"] == "snap-start" and got["version"] == "1"
    assert got["calls"] == ["before two (1,) {'x': 2}", "before one", "after one", "after two"]
    # $LATEST has no snapshot.
    plain = f.call()
    assert plain["type"] == "on-demand" and plain["calls"] == []

    report = next(line for line in answer.tail.splitlines() if line.startswith("REPORT"))
    m = re.search(r"\tRestore Duration: ([\d.]+) ms\tBilled Restore Duration: (\d+) ms", report)
    assert m and "Init Duration" not in report
    duration = float(re.search(r"\tDuration: ([\d.]+) ms", report).group(1))
    billed = int(re.search(r"Billed Duration: (\d+) ms", report).group(1))
    assert billed >= duration + int(m.group(2)) - 1
    lines = wait_until(lambda: (lambda all: all if any(x.startswith("REPORT") for x in all) else None)(
        stream_lines(f, got["stream"])))
    order = [x.split()[0] for x in lines]
    order = [x for x in order if x.startswith(("INIT_", "RESTORE_", "START", "END", "REPORT"))]
    assert order == ["INIT_START", "INIT_REPORT", "RESTORE_START", "RESTORE_REPORT", "START", "END",
                     "REPORT"]
    assert any(re.match(r"RESTORE_REPORT Restore Duration: [\d.]+ ms$", x) for x in lines)
    # The second invocation of an environment tells neither.
    again = call(f)
    assert "Restore Duration" not in again.tail
    assert again.payload["calls"] == got["calls"]


def test_environments_differ(make_snap, daemon):
    f = make_snap()
    published(f)
    wait_until(lambda: snapshots(daemon) > 0)
    first = {}  # of each environment: its first answer

    def enough():
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for answer in pool.map(lambda _: call(f, {"sleep": 0.5}), range(4)):
                first.setdefault(answer.payload["stream"], answer.payload)
        return len(first) >= 3
    wait_until(enough)
    assert len({a["key"] for a in first.values()}) == len(first)
    # Module code seeded with a constant: what follows the restore is seeded anew.
    assert len({tuple(a["random"]) for a in first.values()}) == len(first)


def test_ready_before_it_is_called(make_snap, daemon):
    f = make_snap("import time\ntime.sleep(1)\n" + COUNTING)
    published(f)
    wait_until(lambda: snapshots(daemon) > 0)
    before = time.time()
    answer = f.lam.invoke(FunctionName=f.name, Qualifier="1", Payload=b"{}")
    assert json.loads(answer["Payload"].read())["started"] < before
    assert 'start;desc="restored"' in answer["ResponseMetadata"]["HTTPHeaders"]["server-timing"]


@pytest.mark.parametrize("source, code, says", [
    ("raise ValueError('no luck')\n", "FunctionError.RuntimeInitError", "ValueError: no luck"),
    ("import os\nos._exit(3)\n", "FunctionError.RuntimeInitError", "exit status 3"),
    ("import nowhere_to_be_found\n", "FunctionError.RuntimeInitError", "nowhere_to_be_found"),
    ("import snapshot_restore_py as s\n@s.register_before_snapshot\ndef f():\n"
     "    raise KeyError('hook')\ndef handler(e, c): pass\n",
     "FunctionError.RuntimeInitError", "KeyError: 'hook'"),
])
def test_failed(make_snap, source, code, says):
    f = make_snap(source)
    f.lam.publish_version(FunctionName=f.name)
    c = settled(f)
    assert c["State"] == "Failed" and c["StateReasonCode"] == code, c
    assert says in c["StateReason"]
    with refused("ResourceConflictException", 409):
        f.invoke(Qualifier="1")
    # $LATEST is not concerned, and another version may do better.
    f.lam.update_function_code(FunctionName=f.name, ZipFile=build_zip({"app.py": COUNTING}))
    f.wait_active()
    assert f.call()["version"] == "$LATEST"
    assert f.lam.publish_version(FunctionName=f.name)["Version"] == "2"
    assert settled(f, "2")["State"] == "Active"
    assert call(f, version="2").payload["type"] == "snap-start"


def test_pending(make_snap):
    """What one may do with a version whose INIT still runs."""
    f = make_snap("import time\ntime.sleep(4)\n" + COUNTING)
    f.lam.publish_version(FunctionName=f.name)
    with refused("ResourceConflictException", 409, "Pending"):
        f.invoke(Qualifier="1")
    f.lam.create_alias(FunctionName=f.name, Name="live", FunctionVersion="1")
    # The code changes while it starts: the version is what it was.
    f.lam.update_function_code(FunctionName=f.name, ZipFile=build_zip(
        {"app.py": "def handler(e, c): return 'new'\n"}))
    assert settled(f)["State"] == "Active"
    assert call(f, version="live").payload["version"] == "1"
    assert f.call() == "new"


def test_after_restore_fails(make_snap):
    f = make_snap("import snapshot_restore_py as s\n@s.register_after_restore\ndef f():\n"
                  "    raise RuntimeError('no database')\ndef handler(e, c): return 1\n")
    published(f)
    for _ in range(2):
        with refused("SnapStartException", 400, "RuntimeError: no database"):
            f.invoke(Qualifier="1")
    lines = wait_until(lambda: (lambda all: all if any("RESTORE_REPORT" in x for x in all) else None)(
        f.log_lines()))
    assert any("[ERROR] RuntimeError: no database" in x for x in lines)
    assert any("Status: error\tError Type: Runtime.AfterRestoreError" in x for x in lines)


def test_time_limits(new_daemon):
    """AWS: 130 seconds for INIT, 10 for the restore. Both follow the setting."""
    d = new_daemon("--init-timeout", "200ms")
    slow = harness.make_function(d, "python", "import time\ntime.sleep(60)\n", SnapStart=ON, Timeout=1)
    hook = harness.make_function(
        d, "python", "import snapshot_restore_py as s, time\ns.register_after_restore(time.sleep, 60)\n"
        "def handler(e, c): return 1\n", SnapStart=ON)
    slow.lam.publish_version(FunctionName=slow.name)
    published(hook)
    with refused("SnapStartTimeoutException", 408):
        hook.invoke(Qualifier="1")
    c = settled(slow)
    assert (c["State"], c["StateReasonCode"]) == ("Failed", "FunctionError.InitTimeout")


def test_exclusions(make_snap, make_function):
    f = make_function("python", COUNTING, EphemeralStorage={"Size": 600})
    with refused("InvalidParameterValueException", 400, "SnapStart"):
        f.lam.update_function_configuration(FunctionName=f.name, SnapStart=ON)
    f.lam.update_function_configuration(FunctionName=f.name, SnapStart=ON,
                                        EphemeralStorage={"Size": 512})
    f.wait_active()
    with refused("InvalidParameterValueException", 400, "SnapStart"):
        f.lam.update_function_configuration(FunctionName=f.name, EphemeralStorage={"Size": 513})
    published(f)
    with refused("InvalidParameterValueException", 400, "SnapStart"):
        f.lam.put_provisioned_concurrency_config(
            FunctionName=f.name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    with refused("ValidationException", 400):
        f.lam.update_function_configuration(FunctionName=f.name, SnapStart={"ApplyOn": "Always"})
    f.lam.update_function_configuration(FunctionName=f.name, SnapStart={"ApplyOn": "None"})
    f.wait_active()
    f.lam.create_alias(FunctionName=f.name, Name="live", FunctionVersion="1")
    two = f.lam.publish_version(FunctionName=f.name)
    assert two["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}
    assert call(f, version="2").payload["type"] == "on-demand"
    # Not by way of an alias, either.
    f.lam.update_alias(FunctionName=f.name, Name="live", FunctionVersion="2")
    f.lam.put_provisioned_concurrency_config(
        FunctionName=f.name, Qualifier="live", ProvisionedConcurrentExecutions=1)
    with refused("InvalidParameterValueException", 400, "SnapStart"):
        f.lam.update_alias(FunctionName=f.name, Name="live", FunctionVersion="1")
    f.lam.delete_provisioned_concurrency_config(FunctionName=f.name, Qualifier="live")


def test_publish_with_the_function(daemon, make_function):
    """CreateFunction and UpdateFunctionCode with Publish."""
    f = make_function("python", COUNTING, SnapStart=ON, Publish=True)
    assert settled(f)["State"] == "Active"
    assert call(f).payload["type"] == "snap-start"
    r = f.lam.update_function_code(FunctionName=f.name, Publish=True, ZipFile=build_zip(
        {"app.py": COUNTING + "# two\n"}))
    assert r["Version"] == "2"
    assert settled(f, "2")["State"] == "Active"
    assert call(f, version="2").payload["version"] == "2"


def test_json_log(make_snap):
    f = make_snap(LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "DEBUG"})
    published(f)
    call(f)
    def events():
        found = {}
        for line in f.log_lines():
            e = json.loads(line) if line.startswith("{") else {}
            if str(e.get("type", "")).startswith("platform."):
                found.setdefault(e["type"], e["record"])
        return found if "platform.report" in found else None
    e = wait_until(events)
    assert e["platform.initStart"]["initializationType"] == "snap-start"
    assert e["platform.restoreStart"]["functionVersion"] == "1"
    assert e["platform.restoreRuntimeDone"]["status"] == "success"
    assert e["platform.restoreReport"]["metrics"]["durationMs"] > 0
    metrics = e["platform.report"]["metrics"]
    assert metrics["restoreDurationMs"] > 0 and metrics["billedRestoreDurationMs"] >= 1
    assert "initDurationMs" not in metrics


def test_other_runtimes(make_function):
    """Runtimes without hooks: INIT is done ahead all the same."""
    node = make_function("node", "const born = Date.now();\nexport const handler = async () => "
                         "[born, process.env.AWS_LAMBDA_INITIALIZATION_TYPE];\n", SnapStart=ON)
    native = make_function("native", SnapStart=ON)
    published(node)
    published(native)
    before = time.time() * 1000
    answer = call(node)
    assert answer.payload[0] < before and answer.payload[1] == "snap-start"
    assert "Restore Duration" in answer.tail
    assert "Restore Duration" in call(native, {"name": "x"}).tail


RIC = """
import http.client, json, os
c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
R = "/2018-06-01/runtime/"
def ask(method, path, body=None, headers={}):
    c.request(method, R + path, body, headers)
    r = c.getresponse()
    return r.status, r.read(), r.headers
seen = []
seen.append(ask("POST", "restore/error", b"{}")[0])
seen.append(ask("GET", "restore/next")[0])
seen.append(ask("GET", "restore/next")[0])
if os.environ.get("FAIL"):
    ask("POST", "restore/error", json.dumps({"errorType": "Hook", "errorMessage": "bad hook"}),
        {"Lambda-Runtime-Function-Error-Type": "Runtime.AfterRestoreError"})
while True:
    _, event, head = ask("GET", "invocation/next")
    ask("POST", "invocation/%s/response" % head["Lambda-Runtime-Aws-Request-Id"],
        json.dumps(seen))
"""


@pytest.mark.parametrize("fail", [False, True])
def test_http_runtime_api(make_function, fail):
    f = make_function("provided.al2023", files={
        "bootstrap": "#!/bin/sh\nexec /usr/bin/python3 -S /var/task/loop.py\n", "loop.py": RIC},
        SnapStart=ON, Environment={"Variables": {"FAIL": "1"} if fail else {"FINE": "1"}})
    published(f)
    if fail:
        with refused("SnapStartException", 400, "Hook: bad hook"):
            f.invoke(Qualifier="1")
    else:
        # Out of turn is refused: an error before there is a restore, a second restore/next.
        assert call(f).payload == [403, 200, 403]


# ---- nothing is left ----------------------------------------------------------------------------


EXTENSION = """#!/usr/bin/python3 -S
import http.client, json, os
c = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
c.request("POST", "/2020-01-01/extension/register", json.dumps({"events": ["INVOKE"]}),
          {"Lambda-Extension-Name": "watch"})
r = c.getresponse()
me = r.headers["Lambda-Extension-Identifier"]
r.read()
while True:
    c.request("GET", "/2020-01-01/extension/event/next", headers={"Lambda-Extension-Identifier": me})
    print("heard", json.loads(c.getresponse().read())["eventType"], flush=True)
"""


def environments(d):
    return daemon_metric(d, "lambkin_environments")


def target(pid, n):
    try:
        return os.readlink("/proc/%d/fd/%s" % (pid, n))
    except OSError:
        return ""


def everything(d):
    """Counts of what an environment is made of, of the whole daemon."""
    pids = [d.pid] + harness.descendants(d.pid)
    fds, namespaces = 0, set()
    for pid in pids:
        try:
            # A log group outlives its function, and its file stays open.
            fds += sum("/logs/" not in target(pid, n) for n in os.listdir("/proc/%d/fd" % pid))
            namespaces |= {os.readlink("/proc/%d/ns/%s" % (pid, n)) for n in ("mnt", "net", "pid")}
        except OSError:
            pass
    with open("/proc/%d/mountinfo" % d.children()["keeper"]) as f:
        mounts = len(f.readlines())
    return {"processes": len(pids), "descriptors": fds, "namespaces": len(namespaces),
            "mounts": mounts, "cgroups": len(cgroups_of(pids))}


def test_deleted_in_the_middle(new_daemon):
    d = new_daemon("--spares", "0")
    endless = "import time\nwhile True: time.sleep(1)\n"

    def round_of_all():
        def make(source):
            return harness.make_function(d, "python", source, SnapStart=ON, Publish=True)

        # A version, and a whole function, whose INIT runs.
        f = make(endless)
        wait_until(lambda: environments(d) == 1, what="INIT runs")
        f.lam.delete_function(FunctionName=f.name, Qualifier="1")
        wait_until(lambda: environments(d) == 0, what="INIT was ended")
        with refused("ResourceNotFoundException", 404):
            f.invoke(Qualifier="1")
        f.delete()
        f = make(endless)
        wait_until(lambda: environments(d) == 1, what="INIT runs")
        f.delete()
        # One that failed; one that was called, with the next one kept.
        f = make("raise ValueError\n")
        assert settled(f)["State"] == "Failed"
        f.delete()
        f = make(COUNTING)
        assert settled(f)["State"] == "Active"
        call(f)
        wait_until(lambda: snapshots(d) == 1)
        f.delete()
        with refused("ResourceNotFoundException", 404):
            f.invoke(Qualifier="1")
        wait_until(lambda: environments(d) == 0, what="the environments have ended")
        assert snapshots(d) == 0

    round_of_all()
    before = everything(d)
    round_of_all()
    round_of_all()
    wait_until(lambda: all(everything(d)[k] <= before[k] for k in before),
               what="nothing is left: %s then, %s now" % (before, everything(d)))


def test_restart(new_daemon):
    d = new_daemon()
    f = harness.make_function(d, "python", COUNTING, SnapStart=ON)
    published(f)
    slow = harness.make_function(d, "python", "import time\ntime.sleep(4)\n" + COUNTING,
                                 SnapStart=ON, Publish=True)
    assert state(slow)["State"] == "Pending"
    d.restart()
    f, slow = (harness.Function(d, x.name, x.arn) for x in (f, slow))
    assert state(f)["State"] == "Active"
    wait_until(lambda: snapshots(d) >= 1, what="the snapshot was made again")
    assert "Restore Duration" in call(f).tail
    assert settled(slow)["State"] == "Active"
    call(slow)


def test_keeper_dies(new_daemon):
    """Everything that was kept is lost with it, and made again; a version in the making too."""
    d = new_daemon()
    f = harness.make_function(d, "python", COUNTING, SnapStart=ON)
    published(f)
    wait_until(lambda: snapshots(d) == 1)
    slow = harness.make_function(d, "python", "import time\ntime.sleep(2)\n" + COUNTING,
                                 SnapStart=ON, Publish=True)
    keeper = d.children()["keeper"]
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: d.children().get("keeper", keeper) != keeper, what="there is a new keeper")
    assert settled(slow)["State"] == "Active"
    wait_until(lambda: snapshots(d) >= 2, what="both are kept again")
    assert "Restore Duration" in call(f).tail
    call(slow)


def test_extension(new_daemon):
    """INIT waits for it, and the restored environment's invocations reach it."""
    d = new_daemon()
    lam = d.client("lambda")
    layer = lam.publish_layer_version(LayerName="watch", Content={"ZipFile": build_zip(
        {"extensions/watch": EXTENSION}, executable=("extensions/watch",))})["LayerVersionArn"]
    f = harness.make_function(d, "python", COUNTING, SnapStart=ON, Layers=[layer])
    published(f)
    assert "Restore Duration" in call(f).tail
    call(f)
    wait_until(lambda: sum("heard INVOKE" in x for x in f.log_lines()) == 2)


def test_little_memory(new_daemon):
    """More versions than the budget has room for: all answer, and the last used are ready."""
    d = new_daemon("--memory-budget", "256m")
    made = [harness.make_function(d, "python", COUNTING, SnapStart=ON, Publish=True)
            for _ in range(6)]
    for f in made:
        assert settled(f)["State"] == "Active"
    for f in made:
        assert call(f).payload["type"] == "snap-start"
    assert environments(d) <= 33
