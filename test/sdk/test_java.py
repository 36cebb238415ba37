"""Java functions: from a ready sandbox and from one that is started for them, called by our own
bootstrap and by AWS's client inside it.

Skips where there is no JDK, or where Maven cannot fetch AWS's client.
"""

import json
import os
import re
import shutil
import subprocess
import time

import pytest

from harness import ROOT, Daemon, clean_environment, make_function as make, wait_until

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "java")
EXAMPLE = os.path.join(ROOT, "examples", "java-hello")
LIBRARIES = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>test</groupId><artifactId>events</artifactId><version>1</version><dependencies><dependency>
<groupId>com.amazonaws</groupId><artifactId>aws-lambda-java-events</artifactId>
<version>3.14.0</version></dependency><dependency><groupId>org.crac</groupId>
<artifactId>crac</artifactId><version>1.4.0</version></dependency></dependencies></project>"""


def must(*command, cwd=None, timeout=300):
    r = subprocess.run(command, cwd=cwd, env=clean_environment(), timeout=timeout,
                       stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert r.returncode == 0, (r.stdout + r.stderr)[-3000:]


def tree(top, prefix=""):
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                found[prefix + os.path.relpath(path, top)] = f.read()
    return found


def install(d):
    """AWS's client and the bootstrap, in the daemon's data directory."""
    for tool in ("java", "javac"):
        if not shutil.which(tool):
            pytest.skip("no " + tool)
    if not shutil.which("mvn"):
        pytest.skip("no mvn: `lambkin runtime install java` needs it")
    try:
        fetched = d.cli("runtime", "install", "java", "--data-dir", d.data_dir, timeout=300)
    except subprocess.TimeoutExpired:
        pytest.skip("Maven did not fetch AWS's client within 5 minutes")
    if fetched.returncode != 0:
        pytest.skip("Maven cannot fetch AWS's client here: " + fetched.stderr.strip()[-200:])
    assert "compiling the bootstrap" in fetched.stdout
    return os.path.join(d.data_dir, "runtime", "java", "aws-lambda-java-core.jar")


@pytest.fixture(scope="module")
def daemon():
    """Its own: ready JVMs take memory that other tests count."""
    d = Daemon()
    yield d
    d.close()


@pytest.fixture(scope="module")
def core(daemon):
    return install(daemon)


@pytest.fixture(scope="module")
def example(core, tmp_path_factory):
    out = str(tmp_path_factory.mktemp("example"))
    must("sh", "build.sh", core, out, cwd=EXAMPLE)
    return tree(out)


@pytest.fixture(scope="module")
def probe(core, tmp_path_factory):
    out = str(tmp_path_factory.mktemp("probe"))
    must("javac", "--release", "17", "-cp", core, "-d", out, "probe/Probe.java",
         "probe/Broken.java", cwd=HERE)
    files = tree(out)
    files["probe/note.txt"] = "a file of the package"
    files["lib/empty.txt"] = "most packages have this folder"
    return files


@pytest.fixture(scope="module")
def libraries(core, tmp_path_factory):
    """What uses AWS's events library and org.crac, as a package of jars."""
    folder = tmp_path_factory.mktemp("events")
    (folder / "pom.xml").write_text(LIBRARIES)
    r = subprocess.run(["mvn", "-B", "-q", "-f", str(folder / "pom.xml"),
                        "dependency:copy-dependencies", "-DoutputDirectory=" + str(folder / "lib")],
                       env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, timeout=300)
    if r.returncode != 0:
        pytest.skip("Maven cannot fetch the libraries here: " + r.stdout.strip()[-200:])
    jars = [str(p) for p in (folder / "lib").iterdir()]
    must("javac", "--release", "17", "-cp", ":".join([core] + jars), "-d", str(folder / "classes"),
         "probe/Events.java", "probe/Snapped.java", cwd=HERE)
    must("jar", "cf", str(folder / "lib" / "app.jar"), "-C", str(folder / "classes"), ".")
    return tree(str(folder / "lib"), "lib/")


OWN = {"TZ": "UTC"}  # is read when a JVM starts: no ready one can become such a function


def start_of(f, event):
    """How the environment that answered came to be, and the payload."""
    r = f.lam.invoke(FunctionName=f.name, Payload=json.dumps(event))
    assert "FunctionError" not in r, r["Payload"].read()
    timing = r["ResponseMetadata"]["HTTPHeaders"]["server-timing"]
    return re.search(r'start;desc="(\w+)"', timing).group(1), json.loads(r["Payload"].read())


def from_spare(f, event):
    """Invokes until a ready sandbox answered: they are made when they were asked for."""
    deadline, n = time.monotonic() + 60, 0
    variables = f.lam.get_function_configuration(FunctionName=f.name).get("Environment", {})
    while time.monotonic() < deadline:
        start, answer = start_of(f, event)
        if start == "spare":
            return answer
        n += 1
        f.lam.update_function_configuration(FunctionName=f.name, Environment={
            "Variables": {**variables.get("Variables", {}), "ROUND": str(n)}})
        f.wait_active()
        time.sleep(0.2)
    raise AssertionError("no ready sandbox became %s" % f.name)


# ---- what functions see --------------------------------------------------------------------------

@pytest.fixture(scope="module", params=[
    ("probe.Probe::handleRequest", "spare"), ("probe.Probe::handleRequest", "own"),
    ("probe.Probe::other", "spare"), ("probe.Probe::other", "own")],
    ids=["plain-spare", "plain-own", "client-spare", "client-own"])
def probed(request, daemon, probe):
    handler, how = request.param
    f = make(daemon, "java17", files=probe, handler=handler, MemorySize=512, Environment={
        "Variables": {"COLOUR": "blau \u00fc", **(OWN if how == "own" else {})}})
    if how == "spare":
        from_spare(f, {"ask": "echo", "value": 1})
    else:
        assert start_of(f, {"ask": "echo", "value": 1})[0] == "cold"
    f.how = how
    yield f
    f.delete()


def test_java_environment_and_context(probed):
    seen = probed.call({"ask": "see"})
    assert seen["colour"] == seen["atStart"] == seen["all"] == "blau \u00fc"
    assert seen["child"] == "blau \u00fc\n/var/task" and seen["directory"] == "/var/task"
    assert seen["file"] == "a file of the package"
    assert seen["home"] == "null"  # nothing of the host's
    assert seen["function"] == probed.name and seen["arn"] == probed.arn
    assert seen["version"] == "$LATEST" and seen["memory"] == 512
    assert seen["group"] == "/aws/lambda/" + probed.name
    assert re.match(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}$", seen["stream"])
    assert len(seen["id"]) == 36 and 0 < seen["left"] <= 30000
    assert seen["trace"].startswith("Root=1-")
    assert 400 <= seen["heap"] <= 440  # 85 % of the memory, as its collector rounds it
    assert seen["loader"] is True
    assert "-XX:TieredStopAtLevel=1" in seen["arguments"]
    again = probed.call({"ask": "see"})
    assert again["calls"] == seen["calls"] + 1 and again["id"] != seen["id"]


def test_java_values(probed):
    for value in ({}, [], {"a": [1, -2.5, True, "\u00fc\"\\\n\u2028\U0001f600"]}, "text", 12345678901,
                  {"\u00e4": {"deep": [[["x"]]]}}, 1e300, "\x7f\x00\x1f"):
        assert probed.call({"ask": "echo", "value": value}) == value
    assert probed.call({"ask": "echo", "value": None}) is None
    # AWS's serializer leaves nulls out of maps, not out of lists.
    assert probed.call({"ask": "echo", "value": {"a": None, "b": [None]}}) == {"b": [None]}
    numbers = [1, 2147483648, 2 ** 63, 1.0, "s", True, [], {}]
    assert probed.call({"ask": "types", "value": numbers}) == [
        "Integer", "Long", "BigInteger", "Double", "String", "Boolean", "ArrayList", "LinkedHashMap"]
    big = {"ask": "echo", "value": ["x" * 1000] * 3000}
    assert probed.call(big) == big["value"]
    refused = probed.invoke(raw=b"[1]")
    assert refused.payload["errorMessage"] == "An error occurred during JSON parsing"
    assert refused.payload["errorType"] == "java.lang.RuntimeException"


def test_java_logs_and_errors(probed):
    assert probed.call({"ask": "log"}) == "logged"
    failed = probed.invoke({"ask": "throw"})
    assert failed.error == "Unhandled"
    assert failed.payload["errorMessage"] == "outer"
    assert failed.payload["errorType"] == "java.lang.IllegalArgumentException"
    trace = failed.payload["stackTrace"]
    assert trace[0].startswith("probe.Probe.answer(Probe.java:")
    assert not any("lambkin" in t or "runtime.api.client" in t for t in trace)
    assert probed.call({"ask": "echo", "value": "goes on"}) == "goes on"
    lines = probed.log_lines()
    assert "two\nlines of the logger" in lines
    assert "printed \u00fc line" in lines and "to the errors" in lines
    told = [line for line in lines if line.startswith("outer: java.lang.IllegalArgumentException")]
    assert "Caused by: java.io.IOException: inner" in told[0]
    assert "lambkin" not in told[0]


def test_java_that_exits(probed):
    exits = probed.invoke({"ask": "exit"})
    assert exits.payload["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in exits.payload["errorMessage"]
    assert probed.call({"ask": "see"})["calls"] == 1, "a new process"


def test_java_out_of_memory(probed):
    full = probed.invoke({"ask": "memory"})
    assert full.error == "Unhandled"
    assert full.payload["errorType"] in ("java.lang.OutOfMemoryError", "Runtime.OutOfMemory"), full
    assert probed.call({"ask": "see"})["calls"] == 1, "a new process"


# ---- handlers ------------------------------------------------------------------------------------

def java_function(make_function, files, handler, runtime="java17", **more):
    return make_function(runtime, files=files, handler=handler, MemorySize=512, **more)


@pytest.mark.parametrize("variables", [{}, OWN], ids=["spare", "own"])
def test_java_handlers_that_cannot_be_made(make_function, probe, variables):
    more = {"Environment": {"Variables": variables}}
    f = java_function(make_function, probe, "probe.Broken$Constructor::handleRequest", **more)
    failed = f.invoke({})
    assert failed.payload["errorMessage"] == "no such database", failed
    assert failed.payload["errorType"] == "java.lang.IllegalStateException"
    f = java_function(make_function, probe, "probe.Broken$Static", **more)
    failed = f.invoke({})
    assert failed.payload["errorType"] == "java.lang.ExceptionInInitializerError", failed
    assert failed.payload["errorMessage"].startswith("Error loading class probe.Broken$Static")
    f = java_function(make_function, probe, "probe.Broken$Nothing::run", **more)
    failed = f.invoke({})
    assert failed.payload["errorType"] == "java.lang.ClassNotFoundException"
    assert failed.payload["errorMessage"] == "Class not found: probe.Broken$Nothing"
    f = java_function(make_function, probe, "probe.Probe::nothing", **more)
    failed = f.invoke({})
    assert "nothing" in failed.payload["errorMessage"], failed


def test_java_request_handler(make_function, example):
    f = java_function(make_function, example, "example.Handlers$OfMap::handleRequest")
    for _ in range(3):
        answer = f.call({"name": "Java"})
        assert answer["greeting"] == "Hello, Java!"
        assert answer["function"] == f.name and len(answer["requestId"]) == 36
    failed = f.invoke({"name": "x", "fail": True})
    assert failed.payload["errorMessage"] == "asked to fail"
    assert failed.payload["errorType"] == "java.lang.IllegalStateException"
    assert all(t.startswith("example.Handlers$OfMap.handleRequest(Handlers.java:")
               for t in failed.payload["stackTrace"]), failed
    assert "greeting Java" in [line.strip() for line in f.log_lines()]


def test_java_streams_pojos_and_static_methods(make_function, example):
    f = java_function(make_function, example, "example.Handlers$OfStream")
    assert f.invoke(raw=b'{"a": 1}').raw == b'}1 :"a"{'
    f = java_function(make_function, example, "example.Handlers::twice")
    assert f.call({"item": "tea", "count": 21}) == {"item": "tea", "count": 42}
    f = java_function(make_function, example, "example.Handlers::total")
    assert f.call([1, 2, 3]) == 6


def test_java_events_library(make_function, libraries):
    f = java_function(make_function, libraries, "probe.Events$Queue::handleRequest")
    message = {"messageId": "1", "body": "one", "eventSource": "aws:sqs", "messageAttributes": {},
               "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:q", "receiptHandle": "r",
               "md5OfBody": "x", "awsRegion": "us-east-1", "attributes": {"SentTimestamp": "1"}}
    bad = {**message, "messageId": "2", "body": "two",
           "messageAttributes": {"bad": {"stringValue": "yes", "dataType": "String"}}}
    assert f.call({"Records": [message, bad]}) == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    assert "got one from arn:aws:sqs:us-east-1:000000000000:q" in f.log_lines()
    f = java_function(make_function, libraries, "probe.Events$Web::handleRequest")
    answer = f.call({"version": "2.0", "rawPath": "/things", "queryStringParameters": {"q": "7"},
                     "requestContext": {"http": {"method": "POST", "path": "/things"}}})
    assert answer["statusCode"] == 201 and answer["body"] == "POST 7"
    assert answer["headers"] == {"x-path": "/things"}


def test_java_snapstart_hooks(make_function, libraries, lam):
    f = java_function(make_function, libraries, "probe.Snapped",
                      SnapStart={"ApplyOn": "PublishedVersions"})
    assert f.call({}) == ["on-demand"]

    def publish():
        version = lam.publish_version(FunctionName=f.name)["Version"]
        wait_until(lambda: lam.get_function_configuration(
            FunctionName=f.name, Qualifier=version)["State"] == "Active", what="it is active")
        return version

    restored = f.invoke({}, Qualifier=publish())
    assert restored.payload == ["snap-start", "before", "after"]
    assert "Restore Duration" in restored.tail
    lam.update_function_configuration(FunctionName=f.name,
                                      Environment={"Variables": {"BREAK": "yes"}})
    f.wait_active()
    with pytest.raises(lam.exceptions.SnapStartException) as e:
        f.invoke({}, Qualifier=publish())
    assert "RestoreException" in str(e.value)
    assert any("Suppressed: " in line and "cannot be restored" in line for line in f.log_lines())


def test_java_21_runs_on_the_nearest_with_a_notice(make_function, example):
    f = java_function(make_function, example, "example.Handlers$OfMap", runtime="java21")
    version = f.call({"name": "x"})["java"]
    if not version.startswith("21"):
        assert any("NOTICE This host has no java21" in line for line in f.log_lines())
    assert from_spare(f, {"name": "y"})["greeting"] == "Hello, y!"
    f = java_function(make_function, example, "example.Handlers$OfMap", runtime="java25",
                      Environment={"Variables": OWN})
    f.call({"name": "z"})
    lines = [line for line in f.log_lines() if "WARNING" in line or "[error]" in line]
    assert not lines, "the JVM says something about its options"


def test_java_options_are_read(make_function, probe):
    f = java_function(make_function, probe, "probe.Probe", Environment={
        "Variables": {"JAVA_TOOL_OPTIONS": "-Dof.the.function=1"}})
    start, seen = start_of(f, {"ask": "see"})
    assert start == "cold" and "-Dof.the.function=1" in seen["arguments"]


def test_java_without_its_client_says_what_to_do(new_daemon, lam):
    if not shutil.which("java"):
        pytest.skip("no java")
    d = new_daemon()
    with pytest.raises(lam.exceptions.ClientError) as e:
        d.client("lambda").create_function(
            FunctionName="j", Runtime="java17", Role="arn:aws:iam::000000000000:role/r",
            Handler="a.B", Code={"ZipFile": b"PK\5\6" + bytes(18)})
    assert "lambkin runtime install java" in str(e.value)


def test_java_without_our_bootstrap_is_run_by_the_client(new_daemon, example):
    d = new_daemon()
    install(d)
    folder = os.path.join(d.data_dir, "runtime", "java")
    for name in os.listdir(folder):
        if name.startswith("bootstrap-"):
            os.unlink(os.path.join(folder, name))
    f = make(d, "java17", files=example, handler="example.Handlers$OfMap", MemorySize=512)
    assert f.call({"name": "old"})["greeting"] == "Hello, old!"
    assert "runtime install java" in d.log_text()
