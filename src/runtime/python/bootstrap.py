# bootstrap.py - the managed runtime of Python functions, 3.8 and newer.
#
# Speaks the framed protocol of src/runtime/framed.h on descriptor 3: waits for INIT (the function's
# identity may come long after the process, when it waited as a spare), imports the handler, then
# answers INVOKE frames one by one. Behaves towards the function as AWS's runtime does: event,
# context, error shapes, log format, module search path.
#
# Started as `python -S -E -s -B -X utf8 bootstrap.py [--spare]`. What is imported before the
# handler counts in every cold start, so json and logging come in only when somebody asks for them:
# _json, the C half of the json package, does the common work.

import sys
import os
import time
from _thread import allocate_lock

CONTROL = 3
HEADER = 16  # u32 length, u8 type, u8 flags, u16 zero, u64 sequence; little-endian
INIT, INVOKE, RESTORE = 1, 2, 3
READY, INIT_ERROR, RESPONSE, ERROR, LOG = 16, 17, 18, 19, 24
RESTORED, RESTORE_ERROR = 26, 27
RUNTIME_PREFIX = "Runtime."

_send_lock = allocate_lock()
_main_pid = os.getpid()
_request_id = None
_tenant_id = None


# ---- frames ------------------------------------------------------------------------------------


def _write(parts):
    with _send_lock:
        done = os.writev(CONTROL, parts)
        total = sum(map(len, parts))
        if done == total:
            return
        rest = memoryview(b"".join(parts))[done:]
        while rest:
            rest = rest[os.write(CONTROL, rest):]


def _send(kind, sequence, *parts):
    head = (
        sum(map(len, parts)).to_bytes(4, "little")
        + bytes((kind, 0, 0, 0))
        + sequence.to_bytes(8, "little")
    )
    _write([head, *parts])


_pending = b""


def _gone():
    """The platform has closed its end. A function that wants to hear SIGTERM hears it first: the
    signal takes a longer way than the end of the socket, and is under way."""
    import signal
    if callable(signal.getsignal(signal.SIGTERM)):
        import time
        time.sleep(2)
    os._exit(0)


def _receive():
    """The next frame: type, sequence, body. Ends the process when the platform has gone."""
    global _pending
    data = _pending
    while len(data) < HEADER:
        more = os.read(CONTROL, 65536)
        if not more:
            _gone()
        data = data + more if data else more
    size = int.from_bytes(data[0:4], "little") + HEADER
    if len(data) < size:
        whole = bytearray(size)
        at = len(data)
        whole[:at] = data
        view = memoryview(whole)
        while at < size:
            n = os.readv(CONTROL, [view[at:]])
            if not n:
                os._exit(0)
            at += n
        view.release()
        _pending = b""
        data = bytes(whole)
    else:
        _pending = data[size:]
    return data[4], int.from_bytes(data[8:16], "little"), data[HEADER:size]


# ---- JSON --------------------------------------------------------------------------------------


class _Fault(Exception):
    def __init__(self, kind, message, trace=None):
        self.kind = RUNTIME_PREFIX + kind
        self.message = message
        self.trace = trace


class _ScanSettings:
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    array_hook = None
    memo = {}

    @staticmethod
    def parse_constant(name):
        return {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}[name]


try:
    from _json import make_scanner, make_encoder, encode_basestring, encode_basestring_ascii

    _scan = make_scanner(_ScanSettings)

    def _loads(text):
        text = text.strip(" \t\n\r")
        try:
            value, end = _scan(text, 0)
            if end == len(text):
                return value
        except StopIteration:
            pass
        import json  # for its error messages

        return json.loads(text)

    def _dumps(value, default=None, ascii_only=False):
        quote = encode_basestring_ascii if ascii_only else encode_basestring
        if isinstance(value, str):
            return quote(value)
        encode = make_encoder({}, default or _refuse, quote, None, ": ", ", ", False, False, True)
        return "".join(encode(value, 0))

    _dumps({"probe": [1, 2.5, None, True, "x"]})
    if _loads('{"a": [1, 2.5, null, "x"]}') != {"a": [1, 2.5, None, "x"]}:
        raise ImportError
except Exception:  # another Python than those known: the public door
    import json

    _loads = json.loads

    def _dumps(value, default=None, ascii_only=False):
        return json.dumps(value, default=default, ensure_ascii=ascii_only)


def _refuse(value):
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


_ascii_results = False
_DECIMAL_MARK = "\ue000lambkin:decimal:"


def _default(value):
    """What AWS's encoder knows beyond the standard one: decimal.Decimal, as a number."""
    decimal = sys.modules.get("decimal")
    if decimal is not None and isinstance(value, decimal.Decimal):
        if value.is_nan():
            return float("nan")
        return _DECIMAL_MARK + str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8")
    _refuse(value)


def _marshal(value):
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    try:
        text = _dumps(value, _default, False)
        if _DECIMAL_MARK in text:
            first, *others = text.split('"' + _DECIMAL_MARK)
            text = first + "".join(o.replace('"', "", 1) for o in others)
        if _ascii_results and not text.isascii():
            text = "".join(c if c < "\x80" else encode_basestring_ascii(c)[1:-1] for c in text)
        return text.encode("utf-8", "surrogatepass")
    except Exception as e:
        raise _Fault("MarshalError", "Unable to marshal response: %s" % e)


# ---- logs --------------------------------------------------------------------------------------


class _LogSink:
    """A message is one log event, whatever newlines it holds."""

    def log(self, message, frame_type=None):
        data = message.encode("utf-8", "backslashreplace")
        if os.getpid() != _main_pid:  # a forked child must not touch the platform's socket
            os.write(2, data if data.endswith(b"\n") else data + b"\n")
            return
        _flush()  # keeps the order with what was printed
        _send(LOG, int(time.time() * 1000), data)


_log_sink = _LogSink()


def _flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def _log_json():
    return os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"


def _log_error(error):
    if _log_json():
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        _log_sink.log(_dumps({"timestamp": stamp, "level": "ERROR", **error}, str))
        return
    first = "[ERROR]"
    if error["errorType"]:
        first += " " + error["errorType"]
    if error["errorMessage"]:
        first += (": " if error["errorType"] else " ") + error["errorMessage"]
    lines = [first, "Traceback (most recent call last):"]
    for entry in error["stackTrace"]:
        for line in entry.splitlines() or [""]:
            text = line.lstrip(" ")
            lines.append("\u00a0" * (len(line) - len(text)) + text)
    _log_sink.log("\n".join(lines))


def _setup_logging(logging):
    """Hangs our handler on the root logger, the moment the function imports logging."""
    reserved = set(logging.LogRecord("", 0, "", 0, "", (), None).__dict__)
    reserved |= {"aws_request_id", "tenant_id", "taskName", "message", "asctime", "_frame_type"}

    class LambdaLoggerHandler(logging.Handler):
        def __init__(self, log_sink):
            super().__init__()
            self.log_sink = log_sink

        def emit(self, record):
            self.log_sink.log(self.format(record))

    class LambdaLoggerFilter(logging.Filter):
        def filter(self, record):
            record.aws_request_id = _request_id or ""
            record.tenant_id = _tenant_id
            return True

    class JsonFormatter(logging.Formatter):
        def format(self, record):
            whole = isinstance(record.msg, dict) and not record.args
            out = {
                "timestamp": self.formatTime(record, "%Y-%m-%dT%H:%M:%SZ"),
                "level": record.levelname,
                "message": record.msg if whole else record.getMessage(),
                "logger": record.name,
            }
            if record.exc_info and record.exc_info[0]:
                import traceback

                out["stackTrace"] = traceback.format_tb(record.exc_info[2])
                out["errorType"] = record.exc_info[0].__name__
                out["errorMessage"] = str(record.exc_info[1])
                out["location"] = "%s:%s:%d" % (record.pathname, record.funcName, record.lineno)
            out["requestId"] = record.aws_request_id
            if record.tenant_id is not None:
                out["tenantId"] = record.tenant_id
            for key, value in record.__dict__.items():
                if key not in reserved and key not in out:
                    out[key] = value
            return _dumps({k: v for k, v in out.items() if v is not None}, str) + "\n"

    logging.Formatter.converter = time.gmtime
    handler = LambdaLoggerHandler(_log_sink)
    if _log_json():
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(
            logging.Formatter(
                "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n",
                "%Y-%m-%dT%H:%M:%S",
            )
        )
    handler.addFilter(LambdaLoggerFilter())
    root = logging.getLogger()
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = {"TRACE": "DEBUG", "WARN": "WARNING", "FATAL": "CRITICAL"}.get(level, level)
    if level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        root.setLevel(level)
    root.addHandler(handler)


class _AfterLogging:
    """Finder and loader that sets logging up right after its import, then is out of the way."""

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self.loader, spec.loader = spec.loader, self
                return spec
        return None

    def __getattr__(self, name):
        return getattr(self.__dict__["loader"], name)

    def create_module(self, spec):
        return self.loader.create_module(spec)

    def exec_module(self, module):
        module.__spec__.loader = module.__loader__ = self.loader
        self.loader.exec_module(module)
        _setup_logging(module)


# ---- context -----------------------------------------------------------------------------------


class _Plain:
    __slots__ = ()

    def __init__(self, values):
        for name in self.__slots__:
            setattr(self, name, values.get(name))

    def __repr__(self):
        fields = ",".join("%s=%s" % (n, getattr(self, n)) for n in self.__slots__)
        return "%s([%s])" % (type(self).__name__, fields)


class CognitoIdentity(_Plain):
    __slots__ = ["cognito_identity_id", "cognito_identity_pool_id"]


class Client(_Plain):
    __slots__ = [
        "installation_id",
        "app_title",
        "app_version_name",
        "app_version_code",
        "app_package_name",
    ]


class ClientContext(_Plain):
    __slots__ = ["custom", "env", "client"]


def _json_of(raw, name):
    try:
        return _loads(raw)
    except Exception as e:
        raise _Fault("LambdaContextUnmarshalError", "Unable to parse %s JSON: %s" % (name, e))


class LambdaContext:
    def __init__(self, request_id, deadline_ms, arn, client, identity, tenant_id):
        env = os.environ.get
        self.aws_request_id = request_id
        self.log_group_name = env("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = env("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = env("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = env("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = arn
        self.tenant_id = tenant_id
        self.client_context = None
        if client:
            client = _json_of(client, "Client Context")
            if client is not None:
                self.client_context = ClientContext(client)
                if self.client_context.client is not None:
                    self.client_context.client = Client(self.client_context.client)
        known = {}
        if identity:
            who = _json_of(identity, "Cognito Identity") or {}
            known = {
                "cognito_identity_id": who.get("cognitoIdentityId"),
                "cognito_identity_pool_id": who.get("cognitoIdentityPoolId"),
            }
        self.identity = CognitoIdentity(known)
        self._epoch_deadline_time_in_ms = deadline_ms

    def get_remaining_time_in_millis(self):
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def log(self, message):
        _log_sink.log(str(message))

    def __repr__(self):
        shown = (
            "aws_request_id",
            "log_group_name",
            "log_stream_name",
            "function_name",
            "memory_limit_in_mb",
            "function_version",
            "invoked_function_arn",
            "client_context",
            "identity",
            "tenant_id",
        )
        return "LambdaContext([%s])" % ",".join("%s=%s" % (n, getattr(self, n)) for n in shown)


# ---- errors ------------------------------------------------------------------------------------


def _describe(kind, message, trace, request_id=None):
    return {
        "errorMessage": message or "",
        "errorType": kind or "",
        "requestId": request_id or "",
        "stackTrace": trace or [],
    }


def _describe_exception(e, request_id=None):
    import traceback

    frames = list(traceback.extract_tb(e.__traceback__))
    for at, frame in enumerate(frames):
        if frame.filename != __file__ and not frame.filename.startswith("<frozen"):
            frames = frames[at:]
            break
    return _describe(type(e).__name__, str(e), traceback.format_list(frames), request_id)


def _send_error(kind, sequence, error, name=None):
    """name: what the platform calls it, where that is not the exception's own type."""
    _flush()
    body = _dumps(error, str, _ascii_results).encode("utf-8", "backslashreplace")
    name = (name or error["errorType"]).encode("utf-8", "backslashreplace")
    _send(kind, sequence, len(name).to_bytes(4, "little"), name, body)


# ---- INIT --------------------------------------------------------------------------------------


def _search_path(init):
    version = "python%d.%d" % sys.version_info[:2]
    opt = init["layer_root"] + "/python"
    runtime = init["runtime_root"]
    own = os.environ.get("PYTHONPATH")
    path = [init["task_root"], "%s/lib/%s/site-packages" % (opt, version), opt]
    path += [p for p in own.split(":") if p] if own else [runtime]
    path += ["%s/python/%s" % (runtime, version), runtime + "/python"]
    here = os.path.dirname(os.path.abspath(__file__))
    path += [p for p in sys.path if p and p != here]
    seen = set()
    sys.path[:] = [p for p in path if not (p in seen or seen.add(p))]


def _await_debugger(port):
    """`lambkin invoke --debug`: nothing of the function runs before a debugger is attached."""
    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    before = sys.path[:]
    try:
        import debugpy
    except ImportError:
        import site

        sys.path += site.getsitepackages()  # of the host's Python
        try:
            import debugpy
        except ImportError:
            raise _Fault(
                "DebuggerNotFound",
                "The module debugpy is neither in the function's package, nor in a layer, nor "
                "installed for %s (%s -m pip install debugpy)" % (sys.executable, sys.executable),
            )
    debugpy.configure(subProcess=False)
    debugpy.listen(("127.0.0.1", port))
    sys.path[:] = before
    debugpy.wait_for_client()


def _find_handler(handler):
    module_name, dot, function_name = handler.rpartition(".")
    if not dot:
        why = "not enough values to unpack (expected 2, got 1)"
        raise _Fault("MalformedHandlerName", "Bad handler '%s': %s" % (handler, why))
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise _Fault(
            "BuiltInModuleConflict",
            "Cannot use built-in module %s as a handler module" % module_name,
        )
    name = module_name.replace("/", ".")
    try:
        __import__(name)
        module = sys.modules[name]
    except ImportError as e:
        raise _Fault("ImportModuleError", "Unable to import module '%s': %s" % (module_name, e))
    except SyntaxError as e:
        trace = ['  File "%s" Line %s\n    %s' % (e.filename, e.lineno, e.text)]
        raise _Fault("UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, e), trace)
    try:
        return getattr(module, function_name)
    except AttributeError:
        raise _Fault(
            "HandlerNotFound", "Handler '%s' missing on module '%s'" % (function_name, module_name)
        )


def _become(init, spare):
    """Takes on the function's identity: environment, working directory, search path."""
    global _ascii_results
    env = init["env"]
    if spare:
        for name in list(os.environ):
            if name not in env:
                del os.environ[name]
    for name, value in env.items():
        # Started for this function, it has them already, or what an exec wrapper made of them.
        if spare or name not in os.environ:
            os.environ[name] = value
    if hasattr(time, "tzset"):
        time.tzset()
    try:
        os.chdir(init["task_root"])
    except OSError:
        pass
    _search_path(init)
    asked = env.get("AWS_EXECUTION_ENV", "").rpartition("python3.")[2]
    _ascii_results = asked.isdigit() and int(asked) < 12
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.reconfigure(line_buffering=True)
    if "logging" in sys.modules:
        _setup_logging(sys.modules["logging"])
    else:
        sys.meta_path.insert(0, _AfterLogging())


# ---- SnapStart ---------------------------------------------------------------------------------


def _hooks(name):
    """What the function registered, as a list of (function, args, kwargs): the list itself."""
    registry = sys.modules.get("snapshot_restore_py")
    return getattr(registry, name)() if registry else []


def _before_snapshot(sequence):
    """The last registered is called first. False: one failed, and the platform knows."""
    try:
        hooks = _hooks("get_before_snapshot")
        while hooks:
            function, args, kwargs = hooks.pop()
            function(*args, **kwargs)
        return True
    except BaseException as e:
        error = _describe_exception(e)
        _log_error(error)
        _send_error(INIT_ERROR, sequence, error, RUNTIME_PREFIX + "BeforeSnapshotError")
        return False


def _reseed():
    """No two environments of a snapshot may draw the same numbers."""
    for name in ("random", "numpy.random"):
        module = sys.modules.get(name)
        if module is not None:
            module.seed()


def _restore(sequence):
    """Hooks in the order of their registration. Ends the process when one fails."""
    try:
        _reseed()
        for function, args, kwargs in _hooks("get_after_restore"):
            function(*args, **kwargs)
    except BaseException as e:
        error = _describe_exception(e)
        _log_error(error)
        _send_error(RESTORE_ERROR, sequence, error, RUNTIME_PREFIX + "AfterRestoreError")
        sys.exit(65)
    _flush()
    _send(RESTORED, sequence)


# ---- INVOKE ------------------------------------------------------------------------------------


def _text(body, at, n):
    return body[at : at + n].decode("utf-8", "replace")


def _handle(handler, sequence, body):
    global _request_id, _tenant_id
    request_id = None
    try:
        deadline = int.from_bytes(body[0:8], "little")
        sizes = [int.from_bytes(body[i : i + 4], "little") for i in range(8, 32, 4)]
        fields, at = [], 32
        for n in sizes:
            fields.append(_text(body, at, n))
            at += n
        request_id, arn, trace, client, identity, tenant = fields
        _request_id, _tenant_id = request_id, tenant or None
        if trace:
            os.environ["_X_AMZN_TRACE_ID"] = trace
        else:
            os.environ.pop("_X_AMZN_TRACE_ID", None)
        context = LambdaContext(request_id, deadline, arn, client, identity, tenant or None)
        try:
            event = _loads(str(body[at:], "utf-8"))
        except Exception as e:
            raise _Fault("UnmarshalError", "Unable to unmarshal input: %s" % e)
        result = _marshal(handler(event, context))
    except _Fault as e:
        error = _describe(e.kind, e.message, e.trace, request_id)
    except Exception as e:
        error = _describe_exception(e, request_id)
    else:
        _flush()
        _send(RESPONSE, sequence, result)
        return
    _log_error(error)
    _send_error(ERROR, sequence, error)


class _Quit:
    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return "Use %s() or Ctrl-D (i.e. EOF) to exit" % self.name

    def __call__(self, code=None):
        raise SystemExit(code)


def _main():
    import builtins

    os.set_inheritable(CONTROL, False)
    builtins.exit, builtins.quit = _Quit("exit"), _Quit("quit")
    spare = "--spare" in sys.argv
    if spare:
        # Off anybody's path: what functions usually import. The environment is not theirs yet.
        import json, logging, traceback, datetime, re, linecache, functools, collections  # noqa
    kind, sequence, body = _receive()
    if kind != INIT:
        os._exit(70)
    del sys.argv[1:]
    init = _loads(str(body, "utf-8"))
    try:
        _become(init, spare)
        if init.get("debug_port"):
            _await_debugger(init["debug_port"])
        handler = _find_handler(os.environ.get("_HANDLER") or init["handler"])
    except _Fault as e:
        error = _describe(e.kind, e.message, e.trace)
    except Exception as e:
        error = _describe_exception(e)
    else:
        if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            if not _before_snapshot(sequence):
                sys.exit(64)
        _flush()
        _send(READY, sequence)
        while True:
            kind, sequence, body = _receive()
            if kind == INVOKE:
                _handle(handler, sequence, body)
            elif kind == RESTORE:
                _restore(sequence)
            else:
                os._exit(70)
    _log_error(error)
    _send_error(INIT_ERROR, sequence, error)
    sys.exit(1)


if __name__ == "__main__":
    _main()
