"""Extensions that misbehave: what the caller sees, and that nothing of them stays. And published ones,
as they come from their registries."""

import hashlib
import importlib.metadata
import json
import os
import shutil
import urllib.request

import pytest

from extension_kit import READER, Probe, publish_probe
from harness import ROOT, Daemon, descendants, make_function, unique_name, wait_until

STATES = ("socket:", "pipe:", "net:", "mnt:", "anon_inode:")


@pytest.fixture(scope="module")
def module_daemon():
    # No spares: what there is, is somebody's.
    d = Daemon("--spares", "0", "--init-timeout", "2s")
    d.client("lambda")
    yield d
    d.close()


@pytest.fixture(scope="module")
def layer(module_daemon):
    arn, delete = publish_probe(module_daemon.client("lambda"))
    yield arn
    delete()


def descriptors(pid):
    """Those that sandboxes cost; the log's and the store's files come and go on their own."""
    n = 0
    for name in os.listdir("/proc/%d/fd" % pid):
        try:
            n += os.readlink("/proc/%d/fd/%s" % (pid, name)).startswith(STATES)
        except OSError:
            pass
    return n


def namespaces(pids):
    found = set()
    for pid in pids:
        for kind in ("net", "mnt", "pid"):
            try:
                found.add(os.readlink("/proc/%d/ns/%s" % (pid, kind)))
            except OSError:
                pass
    return len(found)


def cgroups(d):
    tag = "lambkin-" + hashlib.md5(d.data_dir.encode()).hexdigest()[:12]
    return sum(len(dirs) for folder, dirs, _ in os.walk("/sys/fs/cgroup")
               if os.path.basename(folder) == tag)


def counts(d):
    with urllib.request.urlopen(d.url + "/_lambkin/health", timeout=60) as r:
        environments = json.load(r)["environments"]["total"]
    processes, own = descendants(d.pid), d.children()
    with open("/proc/%d/mountinfo" % own["keeper"]) as f:
        mounts = len(f.readlines())
    return {"environments": environments, "processes": len(processes),
            "namespaces": namespaces(processes), "cgroups": cgroups(d), "mounts": mounts,
            "keeper's descriptors": descriptors(own["keeper"]),
            "server's descriptors": descriptors(own["server"])}


@pytest.fixture(scope="module")
def at_rest(module_daemon, layer):
    """What there is without any function, once one was there: the keeper has made its spare
    sandboxes when nothing has changed for a while."""
    d, seen = module_daemon, []
    warm = make_function(d, "python", source=READER, Layers=[layer])
    warm.call()
    warm.log_lines()  # a client, and its connection
    warm.delete()

    def settled():
        seen.append(counts(d))
        return seen[-1]["environments"] == 0 and len(seen) > 15 and \
            all(c == seen[-1] for c in seen[-15:])
    wait_until(settled, what="the daemon comes to rest")
    return seen[-1]


@pytest.fixture
def misbehaving(module_daemon, layer, at_rest):
    """misbehaving("hang-next", Timeout=2); afterwards all that it cost is gone."""
    d, before = module_daemon, at_rest
    made = []

    def make(do, events="INVOKE,SHUTDOWN", **options):
        f = make_function(d, "python", source=READER, Layers=[layer], Environment={
            "Variables": {"EXT_DO": do, "EXT_EVENTS": events}}, **{"Timeout": 20, **options})
        made.append(f)
        return Probe(f)

    yield make
    for f in made:
        f.delete()
    last = {}

    def gone():
        last.update(counts(d))
        return all(last[what] <= before[what] for what in before)
    try:
        wait_until(gone)
    except AssertionError:
        raise AssertionError("before %s, and now %s" % (before, last))


@pytest.mark.parametrize("do, error", [
    ("noregister", "Sandbox.Timedout"),
    ("hang-next", "Sandbox.Timedout"),
    ("exit-init", "Extension.Crash"),
    ("crash-init", "Extension.Crash"),
    ("error-init", "Extension.InitError"),
])
def test_init_fails(misbehaving, do, error):
    late = error == "Sandbox.Timedout"
    f = misbehaving(do, Timeout=2 if late else 20)
    for _ in range(1 if late else 2):
        answer = f.invoke()
        assert answer.error == "Unhandled" and answer.payload["errorType"] == error, answer
    if late:
        assert "Task timed out after 2.00 seconds" in answer.payload["errorMessage"]


def test_a_crash_while_invoked(misbehaving):
    """The answer may be there before the crash; the next call has a new environment."""
    f = misbehaving("crash-invoke")
    for _ in range(3):
        answer = f.invoke()
        assert answer.error is None or answer.payload["errorType"] == "Extension.Crash", answer


def test_an_error_is_reported_while_invoked(misbehaving):
    f = misbehaving("error-exit")
    for _ in range(2):
        assert f.invoke().error is None


def test_registering_twice(misbehaving):
    f = misbehaving("twice")
    status, body = f.call()["answers"][0]
    assert status == 403 and body["errorType"] == "Extension.AlreadyRegistered"


def test_events_that_do_not_exist(misbehaving):
    """It is refused, and gives up."""
    f = misbehaving("", events="INVOKE,LUNCH")
    assert f.invoke().payload["errorType"] == "Extension.Crash"


def test_a_flood_in_init(misbehaving):
    f = misbehaving("flood")
    assert f.call()["answers"] == []
    wait_until(lambda: "flooded" in [line.strip() for line in f.log_lines()])
    assert sum(line.startswith("xxx") for line in f.log_lines()) >= 20000


def test_one_that_refuses_to_die(misbehaving):
    """It ignores SIGTERM and SHUTDOWN: two seconds later it is gone with its sandbox."""
    f = misbehaving("stay,chatty")
    f.call()
    f.call()


def test_a_runtime_that_crashes_beside_an_extension(misbehaving):
    f = misbehaving("")
    for _ in range(2):
        answer = f.invoke({"exit": 3})
        assert answer.payload["errorType"] == "Runtime.ExitError"
    assert f.invoke().error is None


def test_without_events_it_is_not_told_of_the_end(misbehaving):
    f = misbehaving("chatty", events="")
    f.call()
    assert not any("probe heard" in line for line in f.log_lines())


# ---- published ones, unmodified ------------------------------------------------------------------

OTEL = os.path.join(ROOT, "test", "node", "node_modules", "@serverless",
                    "aws-lambda-otel-extension-dist", "extension.zip")


@pytest.mark.skipif(not os.path.exists(OTEL), reason="the npm package is not installed (test/node)")
@pytest.mark.skipif(not shutil.which("node"), reason="no node")
def test_otel_extension_from_npm(lam, make_function):
    """Extensions API, Logs API, an exec wrapper, and a post to it after the answer."""
    name = unique_name("otel")
    with open(OTEL, "rb") as f:
        made = lam.publish_layer_version(LayerName=name, Content={"ZipFile": f.read()})
    f = make_function("nodejs20.x", handler="index.handler", Layers=[made["LayerVersionArn"]],
                      Timeout=60, MemorySize=512, files={"index.js": """
exports.handler = async (event) => ({ hello: event.name });
"""}, Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/otel-extension/otel-handler",
                                 "SLS_OTEL_REPORT_TYPE": "json"}})
    try:
        assert f.call({"name": "metrics"}) == {"hello": "metrics"}

        def reported(kind):
            # The report of the platform and the spans of the function, joined by the extension.
            return any(line.startswith('[{"%s"' % kind) for line in f.log_lines())
        wait_until(lambda: reported("resourceMetrics") and reported("resourceSpans"))
        lines = f.log_lines()
        assert any(line.startswith("LOGS\tName: otel-extension\tState: Subscribed") for line in lines)
        assert any("faas.duration" in line for line in lines), lines
    finally:
        lam.delete_layer_version(LayerName=name, VersionNumber=made["Version"])


def hears_sigterm(lam, f):
    rounds = iter(range(1000))

    def heard():  # it has half a second for that, as on AWS: not always enough on a busy machine
        assert f.call() == "hello"
        lam.update_function_configuration(FunctionName=f.name, Description=str(next(rounds)))
        f.wait_active()
        return any("the function heard SIGTERM" in line for line in f.log_lines())
    wait_until(heard)


def test_sigterm_extension_from_pypi(lam, make_function):
    """An internal one: with it, the function hears SIGTERM before its environment ends."""
    files = {}
    for distribution in ("lambda-sigterm", "urllib3"):
        try:
            listed = importlib.metadata.distribution(distribution).files
        except importlib.metadata.PackageNotFoundError:
            pytest.skip("%s is not installed (tools/requirements-test.txt)" % distribution)
        for path in listed:
            if str(path).endswith(".py"):
                with open(path.locate(), "rb") as source:
                    files[str(path)] = source.read()
    f = make_function("python", files={**files, "app.py": """
import signal, sys
import lambda_sigterm

def bye(*_):
    print("the function heard SIGTERM", flush=True)
    sys.exit(0)

signal.signal(signal.SIGTERM, bye)
lambda_sigterm.register()

def handler(event, context):
    return "hello"
"""}, Timeout=20)
    hears_sigterm(lam, f)


@pytest.mark.skipif(not shutil.which("node"), reason="no node")
def test_nodejs_hears_sigterm(lam, make_function):
    """The usual way to end gracefully: an internal extension without events, and a listener."""
    hears_sigterm(lam, make_function("node", source="""
import http from 'node:http';
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
await new Promise((resolve, reject) => {
    const request = http.request({ host, port, method: 'POST',
        path: '/2020-01-01/extension/register',
        headers: { 'Lambda-Extension-Name': 'graceful' } }, (response) => {
        response.resume();
        const id = response.headers['lambda-extension-identifier'];
        http.get({ host, port, path: '/2020-01-01/extension/event/next',
            headers: { 'Lambda-Extension-Identifier': id } }).on('error', () => {});
        response.on('end', resolve);
    });
    request.on('error', reject);
    request.end('{"events":[]}');
});
process.on('SIGTERM', async () => {
    await new Promise((resolve) => setTimeout(resolve, 10));
    console.log('the function heard SIGTERM');
    process.exit(0);
});
export const handler = async () => 'hello';
""", Timeout=20))
