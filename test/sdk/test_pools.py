"""Pools of ready sandboxes: when they come, what they are used for, what happens when they cannot
be had; and that nothing is left behind, whatever went wrong (environments, mounts, namespaces,
cgroups and descriptors are counted before and after).
"""

import json
import os
import re
import shutil
import signal
import tempfile
import threading
import urllib.request

import pytest
from botocore.exceptions import ClientError

import harness
from harness import wait_until


POOL = ("--loops", "2", "--spares", "2")
FULL = 4  # spares of a kind with these settings


def metrics(daemon):
    """{"name" or 'name{labels}': value} of /_lambkin/metrics."""
    with urllib.request.urlopen(daemon.url + "/_lambkin/metrics", timeout=30) as answer:
        text = answer.read().decode()
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            found[name] = float(value)
    return found


def metric(daemon, name, **labels):
    """The sum over all series of `name` that carry the labels."""
    wanted = ['%s="%s"' % l for l in labels.items()]
    return sum(v for k, v in metrics(daemon).items()
               if k.partition("{")[0] == name and all(w in k for w in wanted))


def starts_of(answer):
    """(how it started, why) of a raw answer of Invoke."""
    timing = answer["ResponseMetadata"]["HTTPHeaders"]["server-timing"]
    return re.search(r'start;desc="(\w+)"', timing).group(1)


def how(function, event=b"{}", **more):
    return starts_of(function.lam.invoke(FunctionName=function.name, Payload=event, **more))


def open_descriptors(pid, port):
    """Without those of clients, which keep their connections to `port` as long as they like, and
    those of log groups, which stay when their function has gone."""
    clients = set()
    with open("/proc/net/tcp") as f:
        for line in f:
            words = line.split()
            if words[1].endswith(":%04X" % port) and words[3] == "01":
                clients.add("socket:[%s]" % words[9])
    n = 0
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            target = os.readlink("/proc/%d/fd/%s" % (pid, fd))
            n += target not in clients and "/data/logs/" not in target
        except OSError:
            pass
    return n


def counts(daemon):
    """What a sandbox is made of, as the host sees it: all of this daemon only."""
    pids = harness.descendants(daemon.pid)
    spaces, groups = set(), set()
    for pid in pids:
        for kind in ("net", "mnt", "pid"):
            try:
                spaces.add(os.readlink("/proc/%d/ns/%s" % (pid, kind)))
            except OSError:
                pass
        try:
            with open("/proc/%d/cgroup" % pid) as f:
                groups |= {line.split(":", 2)[2].strip() for line in f}
        except OSError:
            pass
    with open("/proc/mounts") as f:
        mounts = sum(1 for line in f if daemon.data_dir in line)
    children = daemon.children()
    return {"environments": metric(daemon, "lambkin_environments"), "processes": len(pids),
            "namespaces": len(spaces), "cgroups": len(groups), "mounts": mounts,
            "keeper": open_descriptors(children["keeper"], daemon.port),
            "server": open_descriptors(children["server"], daemon.port)}


def at_rest(daemon, kinds=1, more=0):
    """The counts once the pools are full and nothing but `more` environments is beside them."""
    wait_for_spares(daemon, kinds * FULL)
    seen = []

    def rests():
        seen.append(counts(daemon))
        return seen[-1]["environments"] == kinds * FULL + more and len(seen) > 5 and \
            all(s == seen[-1] for s in seen[-5:]) and seen[-1]
    return wait_until(rests, what="%d environments beside the pool" % more)


def settles(daemon, before):
    """Waits until everything is as before."""
    def same():
        now = counts(daemon)
        return all(now[k] <= before[k] for k in before)
    try:
        wait_until(same, what="as before")
    except AssertionError:
        raise AssertionError("before %s\nafter  %s\n%s" % (
            before, counts(daemon), {k: v for k, v in metrics(daemon).items() if v and (
                "environments" in k or "spares" in k)})) from None


def spares(daemon):
    return metric(daemon, "lambkin_spares")


def wait_for_spares(daemon, n=1):
    if not can_have_spares(daemon):
        pytest.skip("code cannot be mounted into waiting sandboxes on this host")
    wait_until(lambda: spares(daemon) >= n, what="%d spares" % n)


def can_have_spares(daemon):
    with urllib.request.urlopen(daemon.url + "/_lambkin/health", timeout=30) as answer:
        return json.load(answer)["isolation"].get("mounts", True)


def test_create_function_alone_brings_spares_up(new_daemon):
    d = new_daemon()
    assert spares(d) == 0
    f = harness.make_function(d, "python")
    wait_for_spares(d, 2)
    assert metric(d, "lambkin_function_invocations_total") == 0
    assert how(f) == "spare"
    d.restart()  # and they are there for the functions of before
    wait_for_spares(d, 2)
    assert how(f) == "spare"


def test_demand_makes_the_pool_larger_and_then_it_shrinks(new_daemon):
    d = new_daemon("--spares", "1", "--loops", "1")
    functions = [harness.make_function(d, "native", wait=False) for _ in range(4)]
    for f in functions:
        f.wait_active()
    wait_for_spares(d)
    threads = [threading.Thread(target=f.call) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    wait_until(lambda: spares(d) > 1, what="more spares than the least number")
    wait_until(lambda: spares(d) == 1, what="the least number again")


def test_a_small_budget_has_few_spares_and_everybody_is_served(new_daemon):
    d = new_daemon("--memory-budget", "64m", "--spares", "8")
    functions = [harness.make_function(d, "python", wait=False) for _ in range(6)]
    for f in functions:
        f.wait_active()
    wait_for_spares(d)
    for _ in range(2):
        for f in functions:
            assert f.call({"name": "x"})["hello"] == "x"
            assert spares(d) <= 2 + 2  # half of 64 MB; two loops may start one at a time


def test_no_budget_at_all_still_answers(new_daemon):
    d = new_daemon("--memory-budget", "1m")
    f, g = harness.make_function(d, "python"), harness.make_function(d, "native")
    for _ in range(3):
        assert f.call({"name": "x"})["hello"] == "x"
        assert g.invoke().error is None


@pytest.fixture
def own_python():
    """A python of its own (with the library of the real one), which may be replaced: its path.
    Not below /tmp, which inside a sandbox is the sandbox's."""
    real = "/usr/bin/python3.11"
    if os.geteuid() != 0 or not os.path.exists(real):
        pytest.skip("only root can put a copy of %s where sandboxes see it" % real)
    home = tempfile.mkdtemp(prefix="lambkin-test-", dir="/var/lib")
    os.chmod(home, 0o755)
    os.mkdir(os.path.join(home, "bin"), 0o755)
    yield shutil.copy(real, os.path.join(home, "bin", "python3.11"))
    shutil.rmtree(home)


def test_an_interpreter_that_is_upgraded_under_the_pool(new_daemon, own_python):
    path = "%s:%s" % (os.path.dirname(own_python), os.environ["PATH"])
    d = new_daemon(*POOL, env={"PATH": path})
    listed = json.loads(d.cli("doctor", "--json", PATH=path).stdout)["interpreters"]
    assert own_python in [i["path"] for i in listed], listed
    f = harness.make_function(d, "python")
    before = at_rest(d)
    shutil.copy(own_python, own_python + ".new")
    os.rename(own_python + ".new", own_python)
    assert f.call({"name": "x"})["hello"] == "x"
    assert "is another one now" in d.log_text()
    # The pool is made of the new one, and used.
    at_rest(d, more=1)
    g = harness.make_function(d, "python")
    assert how(g) == "spare"
    f.delete()
    g.delete()
    settles(d, before)


def test_code_changed_while_it_starts(new_daemon):
    d = new_daemon(*POOL)
    slow = "import time\ntime.sleep(0.3)\ndef handler(e, c):\n    return %d\n"
    f = harness.make_function(d, "python", slow % 0)
    f.call()
    before = at_rest(d, more=1)
    for i in range(1, 5):
        answers = []
        thread = threading.Thread(target=lambda: answers.append(f.call()))
        thread.start()
        f.lam.update_function_code(FunctionName=f.name,
                                   ZipFile=harness.build_zip({"app.py": slow % i}))
        f.wait_active()
        assert f.call() == i
        thread.join()
        assert answers[0] in (i - 1, i)
    f.call()
    settles(d, before)


def test_deleted_in_the_middle_of_init(new_daemon):
    d = new_daemon(*POOL)
    harness.make_function(d, "python", name="keeps-the-spares")
    before = at_rest(d)
    for _ in range(4):
        f = harness.make_function(d, "python", "import time\ntime.sleep(1)\n"
                                  "def handler(e, c):\n    return 1\n")
        ends = []

        def call():
            try:
                ends.append(f.call())
            except ClientError as e:
                ends.append(e.response["Error"]["Code"])
        thread = threading.Thread(target=call)
        thread.start()
        wait_until(lambda: metric(d, "lambkin_function_environments", function=f.name,
                                  state="starting") > 0, what="INIT has begun")
        f.delete()
        thread.join()
        assert ends[0] in (1, "ResourceNotFoundException")
    settles(d, before)


def test_provisioned_more_than_reserved(new_daemon):
    d = new_daemon(*POOL)
    f = harness.make_function(d, "python")
    f.lam.publish_version(FunctionName=f.name)
    f.lam.put_function_concurrency(FunctionName=f.name, ReservedConcurrentExecutions=2)
    before = at_rest(d)
    with pytest.raises(ClientError) as e:
        f.lam.put_provisioned_concurrency_config(FunctionName=f.name, Qualifier="1",
                                                 ProvisionedConcurrentExecutions=3)
    assert e.value.response["Error"]["Code"] == "InvalidParameterValueException"
    with pytest.raises(ClientError) as e:
        f.lam.get_provisioned_concurrency_config(FunctionName=f.name, Qualifier="1")
    assert e.value.response["Error"]["Code"] == "ProvisionedConcurrencyConfigNotFoundException"
    f.lam.put_provisioned_concurrency_config(FunctionName=f.name, Qualifier="1",
                                             ProvisionedConcurrentExecutions=2)
    with pytest.raises(ClientError) as e:
        f.lam.put_function_concurrency(FunctionName=f.name, ReservedConcurrentExecutions=1)
    assert e.value.response["Error"]["Code"] == "InvalidParameterValueException"
    f.lam.delete_provisioned_concurrency_config(FunctionName=f.name, Qualifier="1")
    settles(d, before)


def test_a_burst_of_hundreds_leaves_nothing_behind(new_daemon):
    d = new_daemon("--idle-after", "1s", *POOL)
    f = harness.make_function(d, "python")
    before = at_rest(d)
    errors, answers = [], []

    def call():
        try:
            answers.append(f.call({"name": "b"})["hello"])
        except Exception as e:  # noqa: BLE001 - the thread's end must be told
            errors.append(e)
    threads = [threading.Thread(target=call) for _ in range(200)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors[0]
    assert answers == ["b"] * 200
    settles(d, before)


def test_a_keeper_that_is_slow_only_delays(new_daemon):
    """The pool cannot be filled while the keeper does not answer; who waits is served after."""
    d = new_daemon("--freeze-after", "0", *POOL)
    warm = harness.make_function(d, "python")
    warm.call()
    before = at_rest(d, more=1)
    functions = [harness.make_function(d, "python", wait=False) for _ in range(4)]
    for f in functions:
        f.wait_active()
    answers, errors = [], []

    def call(f):
        try:
            answers.append(f.call({"name": "k"})["hello"])
        except Exception as e:  # noqa: BLE001 - the thread's end must be told
            errors.append(e)
    keeper = d.children()["keeper"]
    os.kill(keeper, signal.SIGSTOP)
    try:
        threads = [threading.Thread(target=call, args=(f,)) for f in functions]
        for t in threads:
            t.start()
        wait_until(lambda: metric(d, "lambkin_invocations_waiting") == 4, what="all wait")
        assert warm.call({"name": "w"})["hello"] == "w"  # what is there serves on
    finally:
        os.kill(keeper, signal.SIGCONT)
    for t in threads:
        t.join()
    assert not errors, errors[0]
    assert answers == ["k"] * 4
    for f in functions:
        f.delete()
    settles(d, before)
