"""The Python bootstrap on every Python that this host has."""

import json

import pytest

from bootstraps import ERROR, INIT_ERROR, READY, RESPONSE, ROOT, Bootstrap, pythons

PYTHONS = pythons()
pytestmark = pytest.mark.skipif(not PYTHONS, reason="no Python from 3.8 in /usr/bin or pyenv")


@pytest.fixture(params=PYTHONS or ["none"], ids=lambda p: p.rpartition("/")[2])
def start(request, tmp_path):
    argv = [request.param, "-S", "-E", "-s", "-B", "-X", "utf8", ROOT + "/src/runtime/python/bootstrap.py"]

    def start(code, handler="app.handler", **more):
        path = tmp_path / more.pop("file", "app.py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        return Bootstrap(argv, tmp_path, handler, **more)

    return start


@pytest.mark.parametrize("spare", [False, True])
def test_answers(start, spare):
    with start("def handler(event, context): return {'got': event, 'é': 1}\n", spare=spare) as b:
        assert b.first.kind == READY
        for n in range(3):
            answer = b.invoke({"n": n})
            assert answer.kind == RESPONSE
            assert answer.json == {"got": {"n": n}, "é": 1}


def test_context(start, tmp_path):
    code = """
import os
def handler(event, c):
    return [c.aws_request_id, c.function_name, c.function_version, c.memory_limit_in_mb,
            c.invoked_function_arn, c.log_group_name, c.log_stream_name,
            0 < c.get_remaining_time_in_millis() <= 30000, c.client_context.custom['a'],
            c.client_context.client.app_title, c.identity.cognito_identity_id,
            os.environ['_X_AMZN_TRACE_ID'], os.getcwd()]
"""
    with start(code) as b:
        answer = b.invoke(1, client=json.dumps({"custom": {"a": 5}, "client": {"app_title": "t"}}),
                          identity=json.dumps({"cognitoIdentityId": "who"}))
        assert answer.json == ["id-1", "fn", "7", "128", "arn:aws:lambda:x", "/aws/lambda/fn", "stream",
                               True, 5, "t", "who", "Root=1-2-3", str(tmp_path)]


def test_no_client_context(start):
    with start("def handler(e, c): return [c.client_context, c.identity.cognito_identity_id]\n") as b:
        assert b.invoke(1).json == [None, None]


def test_exception(start):
    with start("def handler(e, c):\n    raise ValueError('boom')\n") as b:
        answer = b.invoke(1)
        assert answer.kind == ERROR and answer.error_type == "ValueError"
        body = answer.json
        assert body["errorMessage"] == "boom" and body["errorType"] == "ValueError"
        assert body["requestId"] == "id-1"
        assert body["stackTrace"][0].startswith('  File "') and "app.py" in body["stackTrace"][0]
        assert b.logs[0].startswith("[ERROR] ValueError: boom\nTraceback (most recent call last):\n")
        assert b.invoke(1).kind == ERROR  # and it lives on


def test_values(start):
    code = """
import decimal
class Odd: pass
def handler(e, c):
    return {'decimal': decimal.Decimal('1.50'), 'set': {1}, 'bytes': b'ab', 'object': Odd(),
            'none': None, 'str': 'x', 'big': 10 ** 20, 'nested': {'d': [decimal.Decimal('2')]}}[e]
"""
    with start(code) as b:
        assert b.invoke("decimal").body == b"1.50"
        assert b.invoke("nested").body == b'{"d": [2]}'
        assert b.invoke("bytes").body == b"ab"
        assert b.invoke("none").body == b"null"
        assert b.invoke("str").body == b'"x"'
        assert b.invoke("big").body == b"100000000000000000000"
        for kind, name in (("set", "set"), ("object", "Odd")):
            answer = b.invoke(kind)
            assert answer.error_type == "Runtime.MarshalError"
            assert answer.json["errorMessage"] == (
                f"Unable to marshal response: Object of type {name} is not JSON serializable")


def test_ascii_results_before_3_12(start):
    with start("def handler(e, c): return 'é😀'\n", env={"AWS_EXECUTION_ENV": "AWS_Lambda_python3.9"}) as b:
        assert b.invoke(1).body == b'"\\u00e9\\ud83d\\ude00"'


def test_bad_event(start):
    with start("def handler(e, c): return e\n") as b:
        answer = b.invoke(b"{nonsense")
        assert answer.error_type == "Runtime.UnmarshalError"
        assert answer.json["errorMessage"].startswith("Unable to unmarshal input: ")
        assert b.invoke(b' {"a" : [1, 2.5, "\\u00e9", null, true]} ').json == {"a": [1, 2.5, "é", None, True]}


def test_large(start):
    with start("def handler(e, c): return e\n") as b:
        text = "x" * (5 << 20)
        assert b.invoke(text).json == text


@pytest.mark.parametrize("code, handler, kind, message", [
    ("import nothing_here\n", "app.handler", "Runtime.ImportModuleError",
     "Unable to import module 'app': No module named 'nothing_here'"),
    ("x = 1\n", "other.handler", "Runtime.ImportModuleError",
     "Unable to import module 'other': No module named 'other'"),
    ("x = 1\n", "app.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
    ("x = 1\n", "app", "Runtime.MalformedHandlerName", "Bad handler 'app': not enough values to unpack"),
    ("x = 1\n", "sys.exit", "Runtime.BuiltInModuleConflict",
     "Cannot use built-in module sys as a handler module"),
    ("def handler(:\n", "app.handler", "Runtime.UserCodeSyntaxError", "Syntax error in module 'app': "),
    ("1 / 0\n", "app.handler", "ZeroDivisionError", "division by zero"),
])
def test_init_errors(start, code, handler, kind, message):
    with start(code, handler) as b:
        assert b.first.kind == INIT_ERROR
        assert b.first.error_type == kind
        assert b.first.json["errorMessage"].startswith(message)
        assert b.process.wait(60) == 1


def test_dotted_and_slashed_handlers(start):
    with start("def h(e, c): return __name__\n", "pkg/sub/mod.h", file="pkg/sub/mod.py") as b:
        assert b.invoke(1).json == "pkg.sub.mod"
    with start("def h(e, c): return __name__\n", "pkg.sub.mod.h", file="pkg/sub/mod.py") as b:
        assert b.invoke(1).json == "pkg.sub.mod"


def test_search_path(start, tmp_path):
    with start("import sys\ndef handler(e, c): return sys.path\n") as b:
        path = b.invoke(1).json
        assert path[0] == str(tmp_path)
        assert path[1].startswith(f"{tmp_path}/opt/python/lib/python3.") and path[2] == f"{tmp_path}/opt/python"
        assert not any("bootstrap" in p or "site-packages" in p for p in path[6:])
    with start("import sys\ndef handler(e, c): return sys.path\n", env={"PYTHONPATH": "/a:/b"}) as b:
        assert b.invoke(1).json[3:5] == ["/a", "/b"]


@pytest.mark.parametrize("spare", [False, True])
def test_logging(start, spare):
    code = """
import logging
logger = logging.getLogger('mine')
logger.setLevel('INFO')
def handler(e, c):
    logger.info('one\\ntwo')
    logger.debug('not this')
    logging.warning('three')
    print('printed')
"""
    with start(code, spare=spare) as b:
        b.invoke(1)
        assert len(b.logs) == 2
        level, stamp, request, text = b.logs[0].split("\t")
        assert (level, request, text) == ("[INFO]", "id-1", "one\ntwo\n")
        assert len(stamp) == 24 and stamp.endswith("Z")
        assert b.logs[1].startswith("[WARNING]\t")
        assert b.text() == "printed\n"


def test_json_logging(start):
    code = """
import logging
def handler(e, c):
    logging.info('below the level')
    logging.warning('text %d', 1, extra={'more': [1]})
    try: 1 / 0
    except ZeroDivisionError: logging.exception('caught')
"""
    with start(code, env={"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "WARN"}) as b:
        b.invoke(1)
        first, second = map(json.loads, b.logs)
        assert first["message"] == "text 1" and first["level"] == "WARNING" and first["more"] == [1]
        assert first["requestId"] == "id-1" and first["logger"] == "root"
        assert second["errorType"] == "ZeroDivisionError" and second["stackTrace"]


def test_exit_ends_the_process(start):
    with start("import sys\ndef handler(e, c): sys.exit(3)\n") as b:
        b.post(b"1")
        assert b.process.wait(60) == 3
        with pytest.raises((EOFError, ConnectionError)):
            b.answer()


def test_children_do_not_get_the_socket(start):
    code = """
import os, subprocess, sys
def handler(e, c):
    return subprocess.run([sys.executable, '-c', 'import os; os.fstat(3)'], stderr=subprocess.DEVNULL).returncode
"""
    with start(code) as b:
        assert b.invoke(1).json == 1


def test_variables_are_the_functions_only(start):
    with start("import os\ndef handler(e, c): return dict(os.environ)\n", env={"A": "b\"c"}, spare=True) as b:
        env = b.invoke(1).json
        assert env["A"] == 'b"c'
        assert not any(k.startswith(("PYENV", "NODE", "HOME")) for k in env)


def test_exec_wrapper(start):
    code = "import os\ndef other(e, c): return os.environ['WRAPPED'], os.environ['AWS_LAMBDA_FUNCTION_NAME']\n"
    with start(code, wrapper="export WRAPPED=yes _HANDLER=app.other;") as b:
        assert b.invoke(1).json == ["yes", "fn"]


# ---- SnapStart -----------------------------------------------------------------------------------

SNAP = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}
RESTORE, RESTORED, RESTORE_ERROR = 3, 26, 27

HOOKS = """
import random, snapshot_restore_py as s
calls = []
random.seed(1)
s.register_before_snapshot(calls.append, "b1")
s.register_before_snapshot(calls.append, "b2")
s.register_after_restore(calls.append, "a1")
s.register_after_restore(calls.append, "a2")
def handler(event, context):
    return [calls, random.random()]
"""


def hooks_module(tmp_path):
    """Where the daemon writes it: below the runtime folder."""
    folder = tmp_path / "runtime" / "python"
    folder.mkdir(parents=True)
    with open(ROOT + "/src/runtime/python/snapshot_restore_py.py") as f:
        (folder / "snapshot_restore_py.py").write_text(f.read())


def test_hooks_in_their_order(start, tmp_path):
    hooks_module(tmp_path)
    drawn = []
    for _ in range(2):
        with start(HOOKS, env=SNAP) as b:
            assert b.first.kind == READY
            b.send(RESTORE, 0, b"")
            assert b.answer().kind == RESTORED
            calls, number = b.invoke(1).json
            assert calls == ["b2", "b1", "a1", "a2"]
            drawn.append(number)
    assert drawn[0] != drawn[1]


def test_no_hooks_without_snapstart(start, tmp_path):
    hooks_module(tmp_path)
    with start(HOOKS) as b:
        assert b.invoke(1).json[0] == []


def test_a_bundled_registry_is_the_one_used(start, tmp_path):
    """The published package has lists of its own making; ours must not shadow it."""
    hooks_module(tmp_path)
    (tmp_path / "snapshot_restore_py.py").write_text(
        "got = []\ndef get_before_snapshot(): return [(got.append, ('mine',), {})]\n"
        "def get_after_restore(): return []\n")
    with start("import snapshot_restore_py\ndef handler(e, c): return snapshot_restore_py.got\n",
               env=SNAP) as b:
        assert b.invoke(1).json == ["mine"]


@pytest.mark.parametrize("raises", ["ValueError('no')", "SystemExit(1)"])
def test_hook_before_the_snapshot_fails(start, tmp_path, raises):
    hooks_module(tmp_path)
    with start("import snapshot_restore_py as s\n@s.register_before_snapshot\ndef f():\n"
               "    raise %s\ndef handler(e, c): pass\n" % raises, env=SNAP) as b:
        assert b.first.kind == INIT_ERROR
        assert b.first.error_type == "Runtime.BeforeSnapshotError"
        assert b.first.json["errorType"] == raises.partition("(")[0]


def test_hook_after_the_restore_fails(start, tmp_path):
    hooks_module(tmp_path)
    with start("import snapshot_restore_py as s\n@s.register_after_restore\ndef f():\n"
               "    raise ValueError('no')\ndef handler(e, c): pass\n", env=SNAP) as b:
        assert b.first.kind == READY
        b.send(RESTORE, 0, b"")
        answer = b.answer()
        assert answer.kind == RESTORE_ERROR
        n = int.from_bytes(answer.body[:4], "little")
        assert answer.body[4:4 + n] == b"Runtime.AfterRestoreError"
        assert json.loads(answer.body[4 + n:])["errorMessage"] == "no"
