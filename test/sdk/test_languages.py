"""Other languages and third-party packages, unmodified: what docs/languages.md says was tried.

Each test skips with its reason where its toolchain is missing; none installs one. What takes
minutes to build runs with SLOW_TESTS=1 only.
"""

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig

import pytest

from harness import ROOT, clean_environment

EXAMPLES = os.path.join(ROOT, "examples")
NODE = os.path.join(ROOT, "test", "node")
slow = pytest.mark.skipif(not os.environ.get("SLOW_TESTS"),
                          reason="builds for minutes; SLOW_TESTS=1 runs it")


def need(*tools):
    for tool in tools:
        if not shutil.which(tool):
            pytest.skip("no " + tool)


def run(*command, cwd=None, timeout=600, **more):
    return subprocess.run(command, cwd=cwd, env=clean_environment(**more), timeout=timeout,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True)


def must(*command, **more):
    r = run(*command, **more)
    assert r.returncode == 0, (r.stdout + r.stderr)[-3000:]
    return r.stdout


def tree(top):
    found = {}
    for folder, _, names in os.walk(top):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                found[os.path.relpath(path, top)] = f.read()
    return found


def bootstrap(folder):
    with open(os.path.join(folder, "bootstrap"), "rb") as f:
        return {"bootstrap": f.read()}


def greets(f, name, failure):
    """The examples' common behaviour; `failure` is what the language calls the error."""
    for _ in range(3):
        answer = f.call({"name": name})
        assert answer["greeting"] == "Hello, %s!" % name
        assert answer["function"] == f.name and len(answer["requestId"]) == 36
    failed = f.invoke({"name": name, "fail": True})
    assert failed.error == "Unhandled"
    assert failed.payload["errorMessage"] == "asked to fail"
    assert failure in failed.payload["errorType"], failed
    assert f.call({"name": "again"})["greeting"] == "Hello, again!"
    lines = f.log_lines()
    assert any(line.strip() == "greeting " + name for line in lines), lines


# ---- custom runtimes -----------------------------------------------------------------------------

def test_go_with_aws_lambda_go(make_function, scratch):
    need("go")
    source = os.path.join(scratch, "source")  # go may write into its go.sum
    shutil.copytree(os.path.join(EXAMPLES, "go-hello"), source)
    modules = run("go", "mod", "download", "github.com/aws/aws-lambda-go", cwd=source,
                  GOTOOLCHAIN="local", GOFLAGS="-mod=mod")
    if modules.returncode != 0:
        pytest.skip("go cannot fetch aws-lambda-go here: " + modules.stderr.strip()[-200:])
    must("sh", "build.sh", scratch, cwd=source)
    f = make_function("provided.al2023", files=bootstrap(scratch))
    greets(f, "Go", "errorString")


@slow
def test_rust_with_lambda_runtime(make_function, scratch):
    need("cargo")
    must("sh", "build.sh", scratch, cwd=os.path.join(EXAMPLES, "rust-hello"), timeout=1800)
    f = make_function("provided.al2023", files=bootstrap(scratch))
    greets(f, "Rust", "Error")


def installed(*distributions):
    """The files of Python packages that this test runs beside, as a package of a function's."""
    site = os.path.realpath(sysconfig.get_paths()["purelib"])
    files = {}
    for name in distributions:
        try:
            listed = importlib.metadata.distribution(name).files or []
        except importlib.metadata.PackageNotFoundError:
            pytest.skip("%s is not installed (tools/requirements-test.txt)" % name)
        for path in listed:
            full = os.path.realpath(path.locate())
            if full.startswith(site + "/") and not full.endswith(".pyc") and os.path.exists(full):
                with open(full, "rb") as f:
                    files[os.path.relpath(full, site)] = f.read()
    return files


THIS_PYTHON = "python%d.%d" % sys.version_info[:2]

RIC_APP = """
import os
def handler(event, context):
    if event.get("fail"):
        raise ValueError("asked to fail")
    print("greeting", event["name"])
    return {"greeting": "Hello, %s!" % event["name"], "function": context.function_name,
            "requestId": context.aws_request_id, "left": context.get_remaining_time_in_millis()}
"""


def test_official_python_client(make_function):
    python = os.path.realpath(sys.executable)
    if not python.startswith("/usr/"):
        pytest.skip("%s is not seen inside a sandbox" % python)
    files = installed("awslambdaric", "simplejson", "snapshot-restore-py")
    files["app.py"] = RIC_APP
    files["bootstrap"] = '#!/bin/sh\nexec %s -m awslambdaric "$_HANDLER"\n' % python
    f = make_function("provided.al2023", files=files, handler="app.handler")
    greets(f, "awslambdaric", "ValueError")
    assert 0 < f.call({"name": "x"})["left"] <= 30000


RIC_HOOKS = """
import os, snapshot_restore_py as s
seen = []
s.register_before_snapshot(seen.append, "before")
@s.register_after_restore
def after():
    seen.append("after")
    if os.environ.get("FAIL"):
        raise OSError("no way back")
def handler(event, context): return seen
"""


def test_official_python_client_with_snapstart(make_function):
    """restore/next and restore/error as AWS's own client uses them."""
    python = os.path.realpath(sys.executable)
    if not python.startswith("/usr/"):
        pytest.skip("%s is not seen inside a sandbox" % python)
    files = installed("awslambdaric", "simplejson", "snapshot-restore-py")
    files["app.py"] = RIC_HOOKS
    files["bootstrap"] = '#!/bin/sh\nexec %s -m awslambdaric "$_HANDLER"\n' % python
    f = make_function("provided.al2023", files=files, handler="app.handler",
                      SnapStart={"ApplyOn": "PublishedVersions"})

    def publish():
        version = f.lam.publish_version(FunctionName=f.name)["Version"]
        f.lam.get_waiter("published_version_active").wait(
            FunctionName=f.name, Qualifier=version, WaiterConfig={"Delay": 0.2, "MaxAttempts": 300})
        return version

    answer = f.invoke(Qualifier=publish())
    assert answer.payload == ["before", "after"] and "Restore Duration" in answer.tail
    f.lam.update_function_configuration(FunctionName=f.name,
                                        Environment={"Variables": {"FAIL": "1"}})
    f.wait_active()
    with pytest.raises(f.lam.exceptions.SnapStartException, match="OSError: no way back"):
        f.invoke(Qualifier=publish())


RIC_NODE_APP = """
exports.handler = async (event, context) => {
    if (event.fail) throw new RangeError('asked to fail');
    console.log('greeting ' + event.name);
    return {greeting: `Hello, ${event.name}!`, function: context.functionName,
            requestId: context.awsRequestId};
};
"""


@slow
@pytest.mark.needs("node")
def test_official_node_client(make_function, scratch):
    need("npm", "autoreconf", "cmake", "make", "g++")
    node = os.path.realpath(shutil.which("node"))
    if not node.startswith("/usr/"):
        pytest.skip("%s is not seen inside a sandbox" % node)
    with open(os.path.join(scratch, "package.json"), "w") as f:
        f.write("{}")
    must("npm", "install", "--no-audit", "--no-fund", "aws-lambda-ric@3.3.0", cwd=scratch,
         timeout=1800)
    package = {"node_modules/aws-lambda-ric/" + k: v for k, v in tree(
        os.path.join(scratch, "node_modules", "aws-lambda-ric")).items()
        if k.split("/")[0] in ("bin", "dist", "package.json")}
    assert any(name.endswith(".node") for name in package)
    package["app.js"] = RIC_NODE_APP
    package["bootstrap"] = ('#!/bin/sh\nexec %s node_modules/aws-lambda-ric/bin/index.mjs '
                            '"$_HANDLER"\n' % node)
    f = make_function("provided.al2023", files=package, handler="app.handler")
    lines = f.log_lines
    answer = f.invoke({"name": "aws-lambda-ric"})
    assert answer.error is None, lines()
    assert answer.payload["greeting"] == "Hello, aws-lambda-ric!"
    failed = f.invoke({"fail": True})
    assert failed.payload["errorType"] == "RangeError", failed


# ---- Ruby ----------------------------------------------------------------------------------------

def test_ruby(make_function):
    need("ruby")
    files = tree(os.path.join(EXAMPLES, "ruby-hello"))
    f = make_function("ruby3.2", files=files, handler="lambda_function.lambda_handler")
    greets(f, "R\u00fcby", "Function<ArgumentError>")


def test_ruby_from_a_ready_sandbox(make_function, wait_until):
    need("ruby")
    files = tree(os.path.join(EXAMPLES, "ruby-hello"))
    f = make_function("ruby3.2", files=files, handler="lambda_function.lambda_handler")
    f.call({"name": "x"})
    rounds = iter(range(1000))

    def taken():
        f.lam.update_function_configuration(FunctionName=f.name, Environment={
            "Variables": {"ROUND": str(next(rounds))}})
        f.wait_active()
        r = f.lam.invoke(FunctionName=f.name, Payload=b'{"name": "y"}')
        assert json.loads(r["Payload"].read())["greeting"] == "Hello, y!"
        return "spare" in r["ResponseMetadata"]["HTTPHeaders"]["server-timing"]

    wait_until(taken, what="a ready sandbox became the function")


def test_ruby_class_method_and_init_error(make_function):
    need("ruby")
    source = """
require 'stringio'
module Shop
  class Till
    def self.total(event:, context:)
      { total: event['prices'].sum, left: context.get_remaining_time_in_millis }
    end

    def self.raw(event:, context:)
      StringIO.new("raw #{event}")
    end
  end
end
"""
    f = make_function("ruby3.2", files={"till.rb": source}, handler="till.Shop::Till.total")
    answer = f.call({"prices": [1, 2, 3.5]})
    assert answer["total"] == 6.5 and 0 < answer["left"] <= 30000
    f = make_function("ruby3.2", files={"till.rb": source}, handler="till.Shop::Till.raw")
    assert f.invoke([1]).raw == b"raw [1]"
    f = make_function("ruby3.2", files={"app.rb": "require 'no_such_thing'\n"}, handler="app.run")
    failed = f.invoke({})
    assert failed.payload["errorType"] == "Init<LoadError>", failed
    assert "no_such_thing" in failed.payload["errorMessage"]


# ---- PowerTools ----------------------------------------------------------------------------------

POWERTOOLS_PYTHON = """
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent
from aws_lambda_powertools.utilities.idempotency.persistence.base import BasePersistenceLayer
from aws_lambda_powertools.utilities.idempotency.exceptions import (
    IdempotencyItemAlreadyExistsError, IdempotencyItemNotFoundError)
from aws_lambda_powertools.utilities.parser import BaseModel, parse

logger = Logger(service="shop")
metrics = Metrics(namespace="Shop", service="shop")
tracer = Tracer(service="shop", disabled=True)
calls = 0

class Kept(BasePersistenceLayer):
    def __init__(self):
        super().__init__()
        self.records = {}
    def _get_record(self, idempotency_key):
        if idempotency_key not in self.records:
            raise IdempotencyItemNotFoundError
        return self.records[idempotency_key]
    def _put_record(self, data_record):
        if data_record.idempotency_key in self.records:
            raise IdempotencyItemAlreadyExistsError
        self.records[data_record.idempotency_key] = data_record
    def _update_record(self, data_record):
        self.records[data_record.idempotency_key] = data_record
    def _delete_record(self, data_record):
        self.records.pop(data_record.idempotency_key, None)

class Order(BaseModel):
    id: int
    item: str

@logger.inject_lambda_context(log_event=True)
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
@idempotent(persistence_store=Kept(), config=IdempotencyConfig(event_key_jmespath="id"))
def handler(event, context):
    global calls
    calls += 1
    order = parse(event, Order)
    logger.info("ordered", extra={"item": order.item})
    metrics.add_metric(name="Orders", unit=MetricUnit.Count, value=1)
    return {"id": order.id, "calls": calls}
"""


def json_lines(f):
    found = []
    for line in f.log_lines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def test_powertools_for_python(make_function, new_daemon):
    # boto3 is there on AWS; here where `lambkin runtime install python` would put it.
    d = new_daemon()
    site = os.path.realpath(sysconfig.get_paths()["purelib"])
    for name in ("boto3", "botocore", "s3transfer", "dateutil", "urllib3", "six.py"):
        source, to = os.path.join(site, name), os.path.join(d.data_dir, "runtime", "python", name)
        if os.path.isdir(source):
            shutil.copytree(source, to, ignore=lambda folder, names: [
                n for n in names if folder.endswith("/botocore/data") and "." not in n])
        else:
            shutil.copy2(source, to)
    files = installed("aws-lambda-powertools", "jmespath", "typing_extensions", "pydantic",
                      "pydantic_core", "annotated-types", "typing-inspection", "aws-xray-sdk",
                      "wrapt")
    files["app.py"] = POWERTOOLS_PYTHON
    f = make_function(THIS_PYTHON, on=d, files=files, Timeout=60, MemorySize=512,
                      Environment={"Variables": {"POWERTOOLS_LOG_LEVEL": "INFO"}})
    assert f.call({"id": "7", "item": "tea"}) == {"id": 7, "calls": 1}
    assert f.call({"id": "7", "item": "tea"}) == {"id": 7, "calls": 1}, "idempotent"
    assert f.call({"id": 8, "item": "milk"}) == {"id": 8, "calls": 2}
    assert f.invoke({"id": "x", "item": "tea"}).payload["errorType"] == "ValidationError"
    lines = json_lines(f)
    ordered = [e for e in lines if e.get("message") == "ordered"]
    assert [e["item"] for e in ordered] == ["tea", "milk"]
    assert ordered[0]["function_name"] == f.name and ordered[0]["cold_start"] is True
    assert ordered[1]["cold_start"] is False
    assert any("Orders" in e and e["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Shop"
               for e in lines)
    assert any(e.get("ColdStart") == [1.0] for e in lines)


POWERTOOLS_NODE = """
import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';

const logger = new Logger({ serviceName: 'shop' });
const metrics = new Metrics({ namespace: 'Shop', serviceName: 'shop' });

export const handler = async (event: { item: string }, context: any) => {
    logger.addContext(context);
    metrics.captureColdStartMetric(context.functionName);
    logger.info('ordered', { item: event.item });
    metrics.addMetric('Orders', MetricUnit.Count, 1);
    metrics.publishStoredMetrics();
    return { item: event.item };
};
"""


@pytest.mark.needs("node", "npm")
def test_powertools_for_typescript(make_function, scratch):
    if not os.path.isdir(os.path.join(NODE, "node_modules", "@aws-lambda-powertools")):
        pytest.skip("@aws-lambda-powertools is not installed in test/node")
    source = os.path.join(scratch, "index.ts")
    with open(source, "w") as out:
        out.write(POWERTOOLS_NODE)
    must(os.path.join(NODE, "node_modules", ".bin", "esbuild"), source, "--bundle",
         "--platform=node", "--format=cjs", "--target=node18", "--outfile=" + scratch + "/index.js",
         "--log-level=warning", cwd=NODE, NODE_PATH=os.path.join(NODE, "node_modules"))
    with open(os.path.join(scratch, "index.js")) as bundle:
        f = make_function("node", files={"index.js": bundle.read()})
    assert f.call({"item": "tea"}) == {"item": "tea"}
    assert f.call({"item": "milk"}) == {"item": "milk"}
    lines = json_lines(f)
    ordered = [e for e in lines if e.get("message") == "ordered"]
    assert [e["item"] for e in ordered] == ["tea", "milk"]
    assert ordered[0]["function_name"] == f.name and ordered[0]["cold_start"] is True
    assert any(e.get("Orders") == 1 for e in lines), lines
    assert any(e.get("ColdStart") == 1 for e in lines), lines


# ---- packages with native parts -------------------------------------------------------------------

SHARP = """
const sharp = require('sharp');
exports.handler = async ({ side }) => {
    const image = await sharp({ create: { width: side, height: side, channels: 3,
                                          background: '#ff0000' } }).resize(10, 20).png().toBuffer();
    const { format, width, height } = await sharp(image).metadata();
    return { format, width, height };
};
"""


@pytest.mark.needs("node", "npm")
def test_sharp(make_function):
    modules = os.path.join(NODE, "node_modules")
    if not os.path.isdir(os.path.join(modules, "sharp")):
        pytest.skip("sharp is not installed in test/node")
    files = {"index.js": SHARP}
    for name in ("sharp", "@img", "detect-libc", "semver", "color", "color-string", "color-convert",
                 "color-name", "simple-swizzle", "is-arrayish"):
        if "musl" not in name:
            files.update({"node_modules/%s/%s" % (name, k): v for k, v in tree(
                os.path.join(modules, name)).items() if "musl" not in k})
    f = make_function("node", files=files, MemorySize=512)
    assert f.call({"side": 200}) == {"format": "png", "width": 10, "height": 20}


# ---- .NET ----------------------------------------------------------------------------------------

def test_dotnet_without_dotnet_is_refused(lam):
    if shutil.which("dotnet") or os.path.exists("/usr/share/dotnet/dotnet"):
        pytest.skip("there is a dotnet")
    with pytest.raises(lam.exceptions.InvalidParameterValueException) as e:
        lam.create_function(FunctionName="net", Runtime="dotnet8", Handler="App",
                            Role="arn:aws:iam::000000000000:role/r",
                            Code={"ZipFile": b"PK\5\6" + bytes(18)})
    assert "no interpreter for it was found" in str(e.value)
