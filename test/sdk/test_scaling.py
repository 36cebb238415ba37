"""Concurrency that is set and concurrency that is needed: provisioned numbers, spillover, the
scaling rate and its throttle, and where an invocation's time went.
"""

import json
import re
import threading

import pytest
from botocore.exceptions import ClientError

import harness
from harness import wait_until
from test_pools import metric

# Answers when the file /tmp/<name> of the test's wish is there: tells how it was started.
TELLS = """
import os
def handler(event, context):
    return os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
"""
SLEEPS = "import time\ndef handler(event, context):\n    time.sleep(event['s'])\n    return 1\n"


def provisioned(f, qualifier="1"):
    c = f.lam.get_provisioned_concurrency_config(FunctionName=f.name, Qualifier=qualifier)
    return c["Status"], (c["RequestedProvisionedConcurrentExecutions"],
                         c["AllocatedProvisionedConcurrentExecutions"],
                         c["AvailableProvisionedConcurrentExecutions"])


def provision(f, n, qualifier="1"):
    r = f.lam.put_provisioned_concurrency_config(FunctionName=f.name, Qualifier=qualifier,
                                                 ProvisionedConcurrentExecutions=n)
    assert (r["Status"], r["RequestedProvisionedConcurrentExecutions"]) == ("IN_PROGRESS", n)


def at_once(f, n, event, **more):
    """n invocations that overlap; their payloads."""
    answers, errors = [], []

    def call():
        try:
            answers.append(f.call(event, **more))
        except Exception as e:  # noqa: BLE001 - the thread's end must be told
            errors.append(e)
    threads = [threading.Thread(target=call) for _ in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors, errors[0]
    return answers


def timing(response):
    text = response["ResponseMetadata"]["HTTPHeaders"]["server-timing"]
    return (dict(re.findall(r'(\w+);desc="(\w+)"', text)),
            {k: float(v) for k, v in re.findall(r"(\w+);dur=([\d.]+)", text)})


def invoke(f, event=None, **more):
    return timing(f.lam.invoke(FunctionName=f.name, Payload=json.dumps(event or {}), **more))


def test_provisioned_numbers_and_spillover(make_function, daemon):
    f = make_function("python", SLEEPS)
    f.lam.publish_version(FunctionName=f.name)
    provision(f, 2)
    wait_until(lambda: provisioned(f) == ("READY", (2, 2, 2)), what="2 are ready")
    busy = threading.Thread(target=f.call, args=({"s": 1},), kwargs={"Qualifier": "1"})
    busy.start()
    wait_until(lambda: provisioned(f) == ("READY", (2, 2, 1)), what="one is in use")
    busy.join()
    wait_until(lambda: provisioned(f) == ("READY", (2, 2, 2)), what="it is free again")
    at_once(f, 4, {"s": 0.5}, Qualifier="1")
    labels = {"function": f.name, "version": "1"}
    assert metric(daemon, "lambkin_function_provisioned_invocations_total", **labels) >= 3
    wait_until(lambda: metric(daemon, "lambkin_function_provisioned_spillover_total", **labels) >= 1,
               what="what spilled over was counted")
    # The number follows, up and down, and on-demand environments are not taken for provisioned.
    provision(f, 3)
    wait_until(lambda: provisioned(f) == ("READY", (3, 3, 3)))
    provision(f, 1)
    wait_until(lambda: provisioned(f) == ("READY", (1, 1, 1)))


def test_provisioned_is_told_to_the_function(make_function):
    f = make_function("python", TELLS)
    f.lam.publish_version(FunctionName=f.name)
    assert f.call(Qualifier="1") == "on-demand"
    provision(f, 1)
    wait_until(lambda: provisioned(f)[0] == "READY")
    assert f.call(Qualifier="1") == "provisioned-concurrency"


def test_provisioned_that_fails_says_why(make_function):
    f = make_function("python", "raise RuntimeError('no')\n")
    f.lam.publish_version(FunctionName=f.name)
    provision(f, 2)
    wait_until(lambda: provisioned(f)[0] == "FAILED", what="FAILED")
    c = f.lam.get_provisioned_concurrency_config(FunctionName=f.name, Qualifier="1")
    assert c["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert provisioned(f)[1] == (2, 0, 0)
    # One that is taken back is not tried any more; another try starts over.
    f.lam.delete_provisioned_concurrency_config(FunctionName=f.name, Qualifier="1")
    with pytest.raises(ClientError) as e:
        provisioned(f)
    assert e.value.response["Error"]["Code"] == "ProvisionedConcurrencyConfigNotFoundException"


def test_provisioned_follows_its_alias(make_function):
    f = make_function("python")
    for _ in range(2):
        f.lam.publish_version(FunctionName=f.name)
        f.lam.update_function_code(FunctionName=f.name, ZipFile=harness.build_zip(
            {"app.py": harness.PYTHON_HELLO + "# another\n"}))
        f.wait_active()
    f.lam.create_alias(FunctionName=f.name, Name="live", FunctionVersion="1")
    provision(f, 2, "live")
    wait_until(lambda: provisioned(f, "live") == ("READY", (2, 2, 2)))
    f.lam.update_alias(FunctionName=f.name, Name="live", FunctionVersion="2")
    wait_until(lambda: provisioned(f, "live") == ("READY", (2, 2, 2)))
    daemon = f.daemon
    wait_until(lambda: metric(daemon, "lambkin_function_environments", function=f.name,
                              version="1") == 0, what="version 1 has no environments any more")


def test_a_provisioned_environment_that_ends_is_made_again(make_function):
    f = make_function("python", "import os\ndef handler(event, context):\n    os._exit(3)\n")
    f.lam.publish_version(FunctionName=f.name)
    provision(f, 1)
    for _ in range(3):
        wait_until(lambda: provisioned(f) == ("READY", (1, 1, 1)))
        assert f.invoke(Qualifier="1").error


def test_where_the_time_went(make_function, daemon):
    f = make_function("python", "import time\ntime.sleep(0.05)\n"
                      "def handler(event, context):\n    time.sleep(event.get('s', 0))\n")
    words, parts = invoke(f)
    assert words["start"] in ("spare", "cold") and words["why"] == "first"
    assert parts["init"] >= 50 and parts["total"] >= parts["init"]
    assert set(parts) == {"queue", "environment", "code", "init", "handler", "response", "total"}
    words, parts = invoke(f, {"s": 0.1})
    assert words["start"] in ("warm", "thawed") and "why" not in words
    assert parts["handler"] >= 100 and parts["init"] == 0
    f.lam.update_function_configuration(FunctionName=f.name, Description="other")
    f.wait_active()
    assert invoke(f)[0]["why"] == "updated"
    labels = {"function": f.name}
    assert metric(daemon, "lambkin_function_cold_starts_total", why="first", **labels) == 1
    assert metric(daemon, "lambkin_function_cold_starts_total", why="updated", **labels) == 1
    for part in ("total", "queue", "environment", "code", "init", "handler", "response"):
        assert metric(daemon, "lambkin_function_seconds_count", part=part, **labels) >= 2, part


def test_a_crash_is_the_next_cold_starts_reason(make_function):
    f = make_function("python", "import os\ndef handler(event, context):\n"
                      "    os._exit(1) if event.get('crash') else None\n")
    assert f.invoke({"crash": True}).error
    assert invoke(f)[0]["why"] == "failed"


def test_the_scaling_rate_throttles_with_its_reason(new_daemon):
    d = new_daemon("--scaling-rate", "2")
    f = harness.make_function(d, "python", SLEEPS)
    ends = []

    def call():
        try:
            ends.append(f.call({"s": 2}))
        except ClientError as e:
            ends.append((e.response["Error"]["Code"], e.response.get("Reason"),
                         e.response["ResponseMetadata"]["HTTPStatusCode"]))
    threads = [threading.Thread(target=call) for _ in range(5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    refused = [e for e in ends if e != 1]
    assert ends.count(1) >= 2 and refused, ends
    assert set(refused) == {("TooManyRequestsException", "FunctionInvocationRateLimitExceeded", 429)}
    assert metric(d, "lambkin_function_throttles_total", function=f.name) == len(refused)
    assert f.call({"s": 0}) == 1  # those that are there serve


def test_waiting_for_one_that_is_about_to_be_free(new_daemon):
    """Where a start takes much longer than the handler, a second caller waits for the first."""
    d = new_daemon("--spares", "0", "--loops", "1")
    f = harness.make_function(d, "python", "import time\ntime.sleep(4)\n"
                              "def handler(event, context):\n    time.sleep(0.3)\n    return 1\n")
    for _ in range(2):
        f.call()
    for _ in range(3):
        at_once(f, 2, {})
    starts = {s: metric(d, "lambkin_function_starts_total", function=f.name, start=s)
              for s in ("cold", "waited")}
    assert starts["cold"] == 1 and starts["waited"] >= 1, starts


def test_a_custom_runtimes_init_is_what_it_took(new_daemon):
    """Its program runs while the spare is bound: INIT counts from there, and the parts add up."""
    d = new_daemon()
    slow = ("#include <time.h>\n#include <unistd.h>\n#include <stdlib.h>\n"
            "__attribute__((constructor)) static void slow(void) { usleep(60000); }\n")
    with open(harness.ROOT + "/examples/native-c/bootstrap.c") as f:
        source = slow + f.read()
    f = harness.make_function(d, "native", source)
    for i in range(4):
        f.lam.update_function_configuration(FunctionName=f.name, Description=str(i))
        f.wait_active()
        r = f.lam.invoke(FunctionName=f.name, Payload=b"{}", LogType="Tail")
        _, parts = timing(r)
        assert parts["init"] >= 60
        assert sum(v for k, v in parts.items() if k != "total") <= parts["total"] + 0.1
        tail = harness.Answer(r).tail
        assert float(re.search(r"Init Duration: ([\d.]+) ms", tail).group(1)) >= 60
