"""The daemon's processes: readiness, the lock, stopping, dying, and what is left afterwards."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.request

import pytest

from harness import (alive, binary, clean_environment, descendants, make_function, process_table,
                     scratch_dir, wait_until)

SLOW = """
import time
def handler(event, context):
    time.sleep(event.get("s", 0))
    return "slept"
"""


def get(daemon, path):
    with urllib.request.urlopen(daemon.url + path, timeout=30) as r:
        return r.status, r.read()


def mounts_below(path):
    with open("/proc/mounts") as f:
        return [line for line in f if path in line]


def cgroups_of(pids):
    """The daemon's own cgroups: those of its descendants that carry its mark. Other daemons that
    run on the machine are none of our business."""
    marks = set()
    for pid in pids:
        try:
            with open("/proc/%d/cgroup" % pid) as f:
                marks |= set(re.findall(r"lambkin-[0-9a-f]+", f.read()))
        except OSError:
            pass
    return {os.path.join(top, d) for top, dirs, _ in os.walk("/sys/fs/cgroup") for d in dirs
            if d in marks}


def run_serve(*args, env=None, timeout=60):
    return subprocess.run([binary(), "serve", *args], env=clean_environment(**(env or {})),
                          stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=timeout)


def test_ready_line_and_health(daemon):
    assert daemon.ready_line.startswith("lambkin ")
    assert "data " + daemon.data_dir in daemon.ready_line
    for path in ("/_lambkin/health", "/_localstack/health"):
        status, body = get(daemon, path)
        assert status == 200
        assert isinstance(json.loads(body), dict)


def test_health_and_doctor_say_what_protects(daemon, new_daemon):
    """The degree that was asked for, each protection by name, and what is missing."""
    protections = {"mounts", "pids", "network", "users", "seccomp", "landlock", "memory", "cpu",
                   "processes", "freezer"}

    def protection(d):
        def connected():
            have = json.loads(get(d, "/_lambkin/health")[1])["isolation"]
            return have if have["connected"] else None
        return wait_until(connected, what="the keeper has greeted the server")
    have = protection(daemon)
    assert have["asked"] == "strict"
    assert protections <= set(have)
    # Landlock and the freezer are extras; strict would not have started without the rest.
    assert all(have[p] for p in protections - {"landlock", "freezer"}), have
    report = json.loads(subprocess.run([binary(), "doctor", "--json"], env=clean_environment(),
                                       capture_output=True, text=True).stdout)
    assert report["strict_possible"]
    assert all(f["ok"] for f in report["facts"] if f["needed"]), report["facts"]

    bare = new_daemon("--isolation", "none")
    have = protection(bare)
    assert have["asked"] == "none" and not have["complete"] and have["missing"]
    assert not any(have[p] for p in ("mounts", "pids", "network", "users")), have
    assert "isolation" in bare.log_text()


def test_three_processes(daemon):
    children = daemon.children()
    assert set(children) == {"keeper", "server"}


@pytest.mark.needs("root")
def test_server_is_unprivileged(daemon):
    with open("/proc/%d/status" % daemon.children()["server"]) as f:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
    assert status["Uid"].split()[0] != "0"
    assert int(status["CapEff"], 16) == 0
    assert status["NoNewPrivs"] == "1"


def test_second_daemon_is_refused(daemon):
    r = run_serve("--port", "0", "--data-dir", daemon.data_dir)
    assert r.returncode == 1
    assert "another lambkin is running" in r.stderr
    assert daemon.data_dir in r.stderr


def test_port_taken_is_said(daemon, scratch):
    r = run_serve("--port", str(daemon.port), "--data-dir", os.path.join(scratch, "d"))
    assert r.returncode == 1
    assert "port %d is taken" % daemon.port in r.stderr


@pytest.mark.parametrize("args, text", [
    (["--listen", "0.0.0.0"], "refusing to listen on 0.0.0.0"),
    (["--port", "70000"], "port"),
    (["--isolation", "some"], "isolation"),
    (["--nonsense"], "nonsense"),
    (["--account", "12"], "12 digits"),
    (["--outbound-networks", "10.0.0.0/8, nowhere"], "outbound-networks: "),
    (["stray"], "stray"),
])
def test_bad_settings(scratch, args, text):
    r = run_serve("--data-dir", os.path.join(scratch, "d"), "--port", "0", *args)
    assert r.returncode in (1, 2)
    assert text in r.stderr
    assert r.stderr.count("\n") <= 2, r.stderr


def test_settings_from_file_and_environment(new_daemon, scratch):
    path = os.path.join(scratch, "lambkin.conf")
    with open(path, "w") as f:
        f.write("# ours\naccess-key = AKIDFILE\nsecret-key = \"s3cret\"\nregion = eu-west-1\n")
    d = new_daemon("--config", path, env={"LAMBKIN_SECRET_KEY": "from-environment"})
    lam = d.client("lambda", access_key="AKIDFILE", secret_key="from-environment",
                   region_name="eu-west-1")
    assert lam.list_functions()["Functions"] == []
    with pytest.raises(Exception) as e:
        d.client("lambda").list_functions()
    assert "UnrecognizedClientException" in str(e.value)


def test_ephemeral_leaves_no_directory(scratch):
    p = subprocess.Popen([binary(), "serve", "--port", "0", "--ephemeral"],
                         env=clean_environment(TMPDIR=scratch), stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = p.stdout.readline()
        assert "ready on" in line, line + p.stderr.read()
        assert len(os.listdir(scratch)) == 1
    finally:
        p.send_signal(signal.SIGTERM)
        p.communicate(timeout=60)
    assert p.returncode == 0
    assert os.listdir(scratch) == []


def test_ready_fd(scratch):
    r, w = os.pipe()
    p = subprocess.Popen([binary(), "serve", "--port", "0", "--data-dir",
                          os.path.join(scratch, "d"), "--ready-fd", str(w)],
                         env=clean_environment(), stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=[w])
    os.close(w)
    try:
        with os.fdopen(r) as f:
            assert "ready on http://127.0.0.1:" in f.read()  # ends: it was closed
    finally:
        p.send_signal(signal.SIGTERM)
        assert p.wait(60) == 0


def test_sigterm_lets_running_invocations_finish(new_daemon):
    d = new_daemon()
    f = make_function(d, "python", SLOW)
    f.call()
    answers = []
    t = threading.Thread(target=lambda: answers.append(f.call({"s": 1.5})))
    t.start()
    wait_until(lambda: json.loads(get(d, "/_lambkin/health")[1]), what="health")
    time.sleep(0.3)  # until the call is on its way; it lasts five times as long
    assert d.stop() == 0
    t.join(60)
    assert answers == ["slept"]


def test_sigterm_cuts_off_what_is_too_slow(new_daemon):
    d = new_daemon("--drain", "300ms")
    f = make_function(d, "python", SLOW, Timeout=60)
    f.call()
    errors = []

    def call():
        try:
            errors.append(f.invoke({"s": 50}))
        except Exception as e:
            errors.append(e)

    t = threading.Thread(target=call)
    t.start()
    time.sleep(0.5)
    started = time.monotonic()
    assert d.stop() == 0
    assert time.monotonic() - started < 30
    t.join(60)
    assert len(errors) == 1


def test_nothing_is_left(new_daemon):
    d = new_daemon()
    for kind in ("python", "node", "native"):
        make_function(d, kind).call({"name": "x"})
    pids = descendants(d.pid)
    assert len(pids) > 2
    data_dir = d.data_dir
    cgroups = cgroups_of(pids)
    with urllib.request.urlopen(d.url + "/_lambkin/health") as r:
        assert cgroups or json.load(r)["isolation"]["cgroup"] == "none"
    assert d.stop() == 0
    wait_until(lambda: not [p for p in pids if alive(p)], what="every process has ended")
    assert mounts_below(data_dir) == []
    wait_until(lambda: not [c for c in cgroups if os.path.exists(c)], what="no cgroup is left")


def test_main_killed_leaves_no_orphans(new_daemon):
    d = new_daemon()
    make_function(d, "python").call()
    pids = descendants(d.pid)
    d.kill()
    wait_until(lambda: not [p for p in pids if alive(p)], what="every process has ended")
    # and the data directory is free again
    d.start(port=0)
    assert d.client("lambda").list_functions()["Functions"]


def test_server_killed_is_repaired(new_daemon):
    d = new_daemon()
    f = make_function(d, "python")
    assert f.call()["hello"] == "world"
    for _ in range(3):
        old = d.children()["server"]
        os.kill(old, signal.SIGKILL)
        wait_until(lambda: d.children().get("server") not in (None, old), what="a new server")
        # The listener never closed: the call waits for the new server.
        assert wait_until(lambda: try_call(f))["hello"] == "world"
    assert d.process.poll() is None
    assert "the server ended (killed by signal 9)" in d.log_text()


def test_keeper_killed_is_repaired(new_daemon):
    d = new_daemon()
    f = make_function(d, "python")
    f.call()
    old = d.children()["keeper"]
    server = d.children()["server"]
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: d.children().get("keeper") not in (None, old), what="a new keeper")
    assert wait_until(lambda: try_call(f))["hello"] == "world"
    assert d.children()["server"] == server
    assert "the keeper ended (killed by signal 9)" in d.log_text()


def try_call(f):
    try:
        answer = f.invoke()
        return answer.payload if answer.error is None else None
    except Exception:
        return None


def test_restart_keeps_everything(new_daemon):
    d = new_daemon()
    f = make_function(d, "python", Environment={"Variables": {"AB": "c"}})
    f.call({"name": "before"})
    lam = d.client("lambda")
    version = lam.publish_version(FunctionName=f.name)["Version"]
    lam.create_alias(FunctionName=f.name, Name="live", FunctionVersion=version)
    lines = wait_until(lambda: [l for l in f.log_lines() if l.startswith("REPORT")])
    d.restart()
    assert lam.get_function_configuration(FunctionName=f.name)["Environment"]["Variables"] == {
        "AB": "c"}
    assert lam.get_alias(FunctionName=f.name, Name="live")["FunctionVersion"] == version
    assert f.call({"name": "after"})["hello"] == "after"
    assert set(lines) <= set(f.log_lines())


def test_no_auth(new_daemon):
    d = new_daemon("--no-auth")
    assert "WITHOUT AUTHENTICATION" in d.ready_line
    lam = d.client("lambda", access_key="anything", secret_key="else")
    assert lam.list_functions()["Functions"] == []


def test_https(new_daemon):
    import ssl
    d = new_daemon("--tls-port", "0")
    url = d.ready_line.partition("and ")[2].split()[0]
    assert url.startswith("https://127.0.0.1:")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with urllib.request.urlopen(url + "/_lambkin/health", context=context, timeout=30) as r:
        assert r.status == 200


@pytest.mark.needs("root")
def test_without_root(new_daemon, scratch):
    """As an ordinary user: user namespaces, everything but what only root or a delegated cgroup
    gives, and strict isolation refused with the reason."""
    env = {"PATH": "/usr/bin:/bin", "HOME": scratch}
    d = new_daemon("--isolation", "best-effort", user=61500, env=env, start=False)
    facts = json.loads(subprocess.run([d.binary, "doctor", "--json"], env=clean_environment(**env),
                                      user=61500, group=61500, extra_groups=[],
                                      capture_output=True, text=True).stdout)
    users = [f for f in facts["facts"] if f["name"] == "user namespaces"]
    if not users or not users[0]["ok"]:
        pytest.skip("this host has no user namespaces for ordinary users: %s" % users)
    d.start()
    for pid in [d.pid, *d.children().values()]:
        with open("/proc/%d/status" % pid) as f:
            assert "\nUid:\t61500\t61500\t61500" in f.read()
    assert make_function(d, "python").call({"name": "you"})["hello"] == "you"
    # Only what that user's PATH offers can run.
    if any("node" in os.path.basename(i["path"]) for i in facts["interpreters"]):
        assert make_function(d, "node").call({"name": "you"})["hello"] == "you"
    if shutil.which("cc"):
        assert make_function(d, "native").invoke({"name": "you"}).error is None
    health = json.loads(get(d, "/_lambkin/health")[1])
    assert health["isolation"]["asked"] == "best-effort"
    if not facts["strict_possible"]:
        assert not health["isolation"]["complete"] and health["isolation"]["missing"]
        strict = new_daemon("--isolation", "strict", user=61500, env=env, start=False)
        with pytest.raises(RuntimeError) as e:
            strict.start()
        assert "strict isolation is not possible here" in str(e.value)


def test_closed_standard_descriptors(scratch):
    """Started by something that closed 0, 1 and 2: nothing is written to the wrong file."""
    data = os.path.join(scratch, "d")
    command = "exec %s serve --port 0 --data-dir %s <&- >&- 2>&-" % (binary(), data)
    p = subprocess.Popen(["sh", "-c", command], env=clean_environment())
    try:
        wait_until(lambda: os.path.exists(os.path.join(data, "db")) and len(descendants(p.pid)) >= 2)
    finally:
        p.send_signal(signal.SIGTERM)
        assert p.wait(60) == 0
