"""Predictive pre-warming: a function that is called in a rhythm finds its environment there."""

import time

import harness
from test_pools import metric

PERIOD_S = 0.9  # well beyond idle-after: without pre-warming each call would be a cold start
SETTINGS = ("--idle-after", "200ms", "--freeze-after", "100ms")


def call_in_rhythm(f, until, most=60):
    """Calls once a period until the condition holds; how many calls that took, 0: it never did."""
    due = time.monotonic()
    for n in range(1, most):
        f.call({"name": "x"})
        if until():
            return n
        due = max(due + PERIOD_S, time.monotonic())
        time.sleep(due - time.monotonic())
    return 0


def test_a_rhythm_is_learnt_and_what_comes_too_early_is_counted(new_daemon):
    d = new_daemon("--prewarm", *SETTINGS)
    f = harness.make_function(d, "python")

    def count(what):
        return metric(d, "lambkin_function_prewarm_%s_total" % what, function=f.name)
    assert call_in_rhythm(f, lambda: count("hits") >= 2), d.log_text()
    # Nobody calls any more: the one that was started for nothing ends, and is counted.
    harness.wait_until(lambda: count("wasted") >= 1, what="one was for nothing")
    harness.wait_until(lambda: count("starts") == count("hits") + count("wasted"))
    harness.wait_until(lambda: metric(d, "lambkin_function_environments", function=f.name) == 0)


def test_off_by_default(new_daemon):
    d = new_daemon(*SETTINGS)
    f = harness.make_function(d, "python")
    call_in_rhythm(f, lambda: False, most=6)
    assert metric(d, "lambkin_function_prewarm_starts_total", function=f.name) == 0
    assert sum(metric(d, "lambkin_function_starts_total", function=f.name, start=s)
               for s in ("spare", "cold")) >= 3
