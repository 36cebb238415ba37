"""Fixtures of every test that drives the real daemon.

daemon         one for the whole session; tests use names of their own (unique_name)
new_daemon     a factory of isolated ones: new_daemon("--isolation", "none"), stopped afterwards
client         client("sqs"), of the session's daemon;  lam, logs: the two that are used most
make_function  make_function("python", source=…, Timeout=…), deleted afterwards

The log that a daemon wrote during a failed test is shown with it.
"""

import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import harness  # noqa: E402

_live = []


class _Tracked(harness.Daemon):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, start=False, **{k: v for k, v in kwargs.items() if k != "start"})
        _live.append(self)
        if kwargs.get("start", True):
            self.start()

    def close(self):
        if self in _live:
            _live.remove(self)
        super().close()


@pytest.fixture(scope="session")
def daemon():
    d = _Tracked()
    yield d
    d.close()


@pytest.fixture
def new_daemon():
    made = []

    def factory(*args, **kwargs):
        d = _Tracked(*args, **kwargs)
        made.append(d)
        return d

    yield factory
    for d in reversed(made):
        d.close()


@pytest.fixture
def client(daemon):
    return daemon.client


@pytest.fixture
def lam(daemon):
    return daemon.client("lambda")


@pytest.fixture
def logs(daemon):
    return daemon.client("logs")


@pytest.fixture
def make_function(daemon):
    made = []

    def factory(kind="python", *args, on=None, **kwargs):
        f = harness.make_function(on or daemon, kind, *args, **kwargs)
        if on is None:
            made.append(f)
        return f

    yield factory
    for f in made:
        try:
            f.delete()
        except Exception:  # already deleted by its test
            pass


@pytest.fixture
def scratch():
    """A directory that every user can pass through."""
    path = harness.scratch_dir()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def wait_until():
    return harness.wait_until


# ---- the daemon's log with a failed test ---------------------------------------------------------

@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    item.daemon_log_marks = {id(d): d.log_size() for d in _live}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    marks = getattr(item, "daemon_log_marks", {})
    for d in _live:
        text = d.log_text(since=marks.get(id(d), 0))
        if text.strip():
            report.sections.append(("log of the daemon on port %d" % d.port, text[-6000:]))


# ---- what a test needs, and the reason when the host does not have it ----------------------------

def pytest_configure(config):
    config.addinivalue_line("markers", "needs(name): skipped where the host has no such thing")


_needs = {
    "root": (lambda: os.geteuid() == 0, "needs root"),
    "node": (lambda: shutil.which("node"), "no node"),
    "npm": (lambda: os.path.isdir(os.path.join(harness.ROOT, "test/node/node_modules")),
            "test/node/node_modules is not installed (make deps)"),
    "aws": (lambda: shutil.which("aws", path=os.path.dirname(sys.executable)),
            "no AWS CLI beside this Python"),
    "curl": (lambda: shutil.which("curl"), "no curl"),
    "cc": (lambda: shutil.which("cc"), "no C compiler"),
    "go": (lambda: shutil.which("go"), "no go"),
    "java": (lambda: shutil.which("java"), "no java"),
}


def pytest_collection_modifyitems(items):
    for item in items:
        for mark in item.iter_markers("needs"):
            for name in mark.args:
                test, why = _needs[name]
                if not test():
                    item.add_marker(pytest.mark.skip(reason=why))
