"""The Node.js bootstrap on the Node.js of this host."""

import json

import pytest

from bootstraps import (ERROR, INIT_ERROR, NEXT, READY, RESPONSE, ROOT, STREAM_BEGIN, STREAM_CHUNK,
                        STREAM_END, STREAM_ERROR, Bootstrap, node)

pytestmark = pytest.mark.skipif(not node(), reason="no node in PATH")


@pytest.fixture
def start(tmp_path):
    argv = [node(), ROOT + "/src/runtime/nodejs/bootstrap.cjs"]

    def start(code, handler="app.handler", **more):
        path = tmp_path / more.pop("file", "app.js")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        return Bootstrap(argv, tmp_path, handler, **more)

    return start


@pytest.mark.parametrize("spare", [False, True])
def test_async(start, spare):
    with start("exports.handler = async (e) => ({got: e});", spare=spare) as b:
        assert b.first.kind == READY
        for n in range(3):
            answer = b.invoke({"n": n})
            assert answer.kind == RESPONSE and answer.json == {"got": {"n": n}}


@pytest.mark.parametrize("file, code", [
    ("app.mjs", "export const handler = async () => import.meta.url.slice(-7);"),
    ("app.cjs", "exports.handler = async () => __filename.slice(-7);"),
    ("app.js", "exports.handler = async () => 'x' + __filename.slice(-6);"),
])
def test_module_kinds(start, file, code):
    with start(code, file=file) as b:
        assert b.invoke(1).json[-6:] in ("pp.mjs", "pp.cjs", "app.js")


def test_package_type_module(start, tmp_path):
    (tmp_path / "package.json").write_text('{"type": "module"}')
    with start("export const handler = async () => 'esm'; await Promise.resolve();") as b:
        assert b.invoke(1).json == "esm"


def test_folder_and_nested_handler(start):
    with start("exports.a = {b: {c: async () => 'deep'}};", "src/lib/app.a.b.c", file="src/lib/app.js") as b:
        assert b.invoke(1).json == "deep"


def test_callbacks(start):
    code = """
exports.handler = (e, c, cb) => {
    if (e === 'now') c.callbackWaitsForEmptyEventLoop = false;
    const t = setTimeout(() => console.log('late'), 50);
    if (e === 'error') return cb(new RangeError('bad'));
    if (e === 'text') return cb('only text');
    if (e === 'done') return c.done(null, 'done');
    if (e === 'succeed') return c.succeed('succeeded');
    if (e === 'fail') return c.fail(new Error('failed'));
    cb(null, 'called'); cb(null, 'twice');
};
"""
    with start(code) as b:
        answer = b.invoke("wait")
        assert answer.json == "called"
        assert any("late" in line for line in b.logs)  # the answer waited for the loop
        b.logs.clear()
        assert b.invoke("now").json == "called"
        assert b.invoke("done").json == "done"
        assert b.invoke("succeed").json == "succeeded"
        answer = b.invoke("error")
        assert answer.error_type == "RangeError" and answer.json["errorMessage"] == "bad"
        assert answer.json["trace"][0] == "RangeError: bad"
        assert b.invoke("text").json == {"errorType": "string", "errorMessage": "only text", "trace": []}
        assert b.invoke("fail").json["errorMessage"] == "failed"


def test_never_answers(start):
    with start("exports.handler = () => { setTimeout(() => {}, 20); };") as b:
        assert b.invoke(1).body == b"null"
        assert b.invoke(1).body == b"null"


def test_values(start):
    code = """
const loop = {}; loop.loop = loop;
exports.handler = async (e) => ({undefined: undefined, nan: NaN, big: 1n, loop, date: new Date(0),
                                 fn: () => 1, text: 'é'})[e];
"""
    with start(code) as b:
        assert b.invoke("undefined").body == b"null"
        assert b.invoke("nan").body == b"null"
        assert b.invoke("date").json == "1970-01-01T00:00:00.000Z"
        assert b.invoke("text").json == "é"
        for bad in ("big", "loop"):
            answer = b.invoke(bad)
            assert answer.kind == ERROR
            assert answer.json["errorMessage"] == "Unable to stringify response body"


def test_context(start):
    code = """
exports.handler = async (e, c) => [c.awsRequestId, c.functionName, c.functionVersion,
    c.memoryLimitInMB, c.invokedFunctionArn, c.logGroupName, c.logStreamName,
    c.getRemainingTimeInMillis() > 0, c.clientContext.custom.a, c.identity.cognitoIdentityId,
    process.env._X_AMZN_TRACE_ID];
"""
    with start(code) as b:
        answer = b.invoke(1, client='{"custom": {"a": 5}}', identity='{"cognitoIdentityId": "who"}')
        assert answer.json == ["id-1", "fn", "7", "128", "arn:aws:lambda:x", "/aws/lambda/fn", "stream",
                               True, 5, "who", "Root=1-2-3"]


def test_rejection_that_nobody_handles(start):
    code = """
exports.handler = async () => { Promise.reject(new Error('lost'));
    await new Promise((r) => setTimeout(r, 60000)); };
"""
    with start(code) as b:
        answer = b.invoke(1)
        assert answer.error_type == "Runtime.UnhandledPromiseRejection" and answer.flags == 1
        assert answer.json["errorMessage"] == "Error: lost"
        assert b.process.wait(60) == 128


def test_exception_that_nobody_catches(start):
    with start("exports.handler = (e, c, cb) => { setTimeout(() => { throw new Error('late'); }, 1); };") as b:
        answer = b.invoke(1)
        assert answer.json["errorMessage"] == "late" and answer.flags == 1
        assert b.process.wait(60) == 129


@pytest.mark.parametrize("code, handler, kind, message", [
    ("require('nothing-here')", "app.handler", "Runtime.ImportModuleError", "Error: Cannot find module 'nothing-here'"),
    ("", "other.handler", "Runtime.ImportModuleError", "Error: Cannot find module 'other'"),
    ("", "app.handler", "Runtime.HandlerNotFound", "app.handler is undefined or not exported"),
    ("exports.handler = 5", "app.handler", "Runtime.HandlerNotFound", "app.handler is not a function"),
    ("", "app", "Runtime.MalformedHandlerName", "Bad handler"),
    ("", "../app.handler", "Runtime.MalformedHandlerName", "'../app.handler' is not a valid handler name."),
    ("exports.handler = (", "app.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: "),
    ("throw new TypeError('no')", "app.handler", "TypeError", "no"),
    ("Promise.reject(new Error('top'))", "app.handler", "Runtime.", ""),
])
def test_init_errors(start, code, handler, kind, message):
    with start(code, handler) as b:
        assert b.first.kind == INIT_ERROR
        assert b.first.error_type.startswith(kind)
        assert b.first.json["errorMessage"].startswith(message)
        assert b.process.wait(60) in (128, 129)


def test_console(start):
    code = "exports.handler = async () => { console.log('one %d', 2, {a: 1}); console.error('bad\\nline'); };"
    with start(code) as b:
        b.invoke(1)
        stamp, request, level, text = b.logs[0].split("\t")
        assert (request, level, text) == ("id-1", "INFO", "one 2 { a: 1 }") and stamp.endswith("Z")
        assert b.logs[1].split("\t")[2:] == ["ERROR", "bad\nline"]


def test_json_console(start):
    code = """
exports.handler = async () => { console.debug('below'); console.log({a: 1});
    console.warn('text', new RangeError('r')); };
"""
    with start(code, env={"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}) as b:
        b.invoke(1)
        first, second = map(json.loads, b.logs)
        assert first["message"] == {"a": 1} and first["level"] == "INFO" and first["requestId"] == "id-1"
        assert second["errorType"] == "RangeError" and second["level"] == "WARN"


STREAM = """
exports.handler = awslambda.streamifyResponse(async (e, s, c) => {
    if (e === 'http') s = awslambda.HttpResponseStream.from(s, {statusCode: 201});
    if (e === 'type') s.setContentType('text/x');
    if (e === 'early') throw new RangeError('early');
    s.write('one');
    if (e === 'late') throw new RangeError('late');
    s.write({two: 2});
    if (e === 'unfinished') return;
    s.end('three');
});
"""


def stream_of(b, event):
    answer = b.invoke(event)
    frames = []
    while answer.kind != NEXT:
        frames.append(answer)
        answer = b.answer()
    return frames


@pytest.mark.parametrize("event, content_type, body", [
    ("plain", b"application/octet-stream", b'one{"two":2}three'),
    ("type", b"text/x", b'one{"two":2}three'),
    ("http", b"application/vnd.awslambda.http-integration-response",
     b'{"statusCode":201}' + bytes(8) + b'one{"two":2}three'),
])
def test_streams(start, event, content_type, body):
    with start(STREAM) as b:
        for _ in range(2):
            frames = stream_of(b, event)
            assert frames[0].kind == STREAM_BEGIN and frames[0].body == content_type
            assert b"".join(f.body for f in frames if f.kind == STREAM_CHUNK) == body
            assert frames[-1].kind == STREAM_END


@pytest.mark.parametrize("event, message", [
    ("early", "early"), ("late", "late"), ("unfinished", "Response stream is not finished.")])
def test_streams_that_fail(start, event, message):
    with start(STREAM) as b:
        frames = stream_of(b, event)
        assert frames[-1].kind == STREAM_ERROR
        assert frames[-1].json["errorMessage"] == message
        assert stream_of(b, "plain")[-1].kind == STREAM_END


def test_large(start):
    with start("exports.handler = async (e) => e;") as b:
        text = "x" * (5 << 20)
        assert b.invoke(text).json == text
        assert b.invoke("small").json == "small"


def test_children_do_not_get_the_socket(start):
    code = """
const {spawnSync} = require('child_process');
exports.handler = async () => spawnSync(process.execPath, ['-e', 'fs.fstatSync(3).isSocket() && process.exit(9)']).status;
"""
    with start(code) as b:
        assert b.invoke(1).json != 9


def test_exec_wrapper(start):
    code = "exports.other = async () => [process.env.WRAPPED, process.env.AWS_LAMBDA_FUNCTION_NAME];"
    with start(code, wrapper="export WRAPPED=yes _HANDLER=app.other;") as b:
        assert b.invoke(1).json == ["yes", "fn"]


def test_restore(start):
    """SnapStart: there are no hooks in Node.js, the frame is answered all the same."""
    with start("exports.handler = async () => 5;\n") as b:
        b.send(3, 0, b"")
        assert b.answer().kind == 26
        assert b.invoke(1).json == 5


LOOKS_AROUND = """
const fs = require('fs');
exports.handler = async (event, context) => ({
    env: { ...process.env }, argv: process.argv.slice(1), cwd: process.cwd(),
    globals: Object.getOwnPropertyNames(globalThis).sort(), cache: Object.keys(require.cache),
    parent: module.parent.children.length, resources: process.getActiveResourcesInfo(),
    listeners: Object.fromEntries(process.eventNames().map((n) => [String(n), process.listenerCount(n)])),
    files: fs.readdirSync('/proc/self/fd').map((fd) => {
        try { return fs.readlinkSync('/proc/self/fd/' + fd).replace(/\\d+/, ''); } catch { return ''; }
    }).sort(),
    context: Object.keys(context), id: context.awsRequestId,
});
"""


def test_nothing_is_left_of_a_spares_rehearsal(start):
    seen = []
    for spare in (False, True):
        with start(LOOKS_AROUND, spare=spare) as b:
            seen.append(b.invoke({}, request_id="one").json)
            assert b.logs == []
            b.socket.close()
            b.process.wait()
            assert b.output.read() == b""
    fresh, rehearsed = seen
    assert rehearsed == fresh
