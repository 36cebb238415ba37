"""Every operation of every generated service, both ways against botocore's own codecs.

botocore serialises made-up parameters of each operation's input; our decoder must read them back.
Our encoder writes made-up outputs; botocore's parser must read them back. The models are ours, so
that it does not matter which botocore is installed. No daemon is needed.
"""

import base64
import copy
import datetime
import json
import os
import pathlib
import subprocess
import urllib.parse

import pytest

botocore = pytest.importorskip("botocore")
import botocore.awsrequest  # noqa: E402
import botocore.model  # noqa: E402
import botocore.parsers  # noqa: E402
import botocore.serialize  # noqa: E402
import botocore.utils  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
PROTOCOLS = {"rest-json": 0, "json-1.0": 1, "json": 2, "query": 3, "rest-xml": 4,
             "smithy-rpc-v2-cbor": 5}
WHEN = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
CASES = [("lambda", "rest-json"), ("apigatewayv2", "rest-json"),
         ("apigatewaymanagementapi", "rest-json"), ("logs", "json"), ("sqs", "json"),
         ("sqs", "query"), ("sts", "query"), ("iam", "query")]


def oracle_path():
    lambkin = os.environ.get("LAMBKIN_BIN")
    build = pathlib.Path(lambkin).parents[2] if lambkin else ROOT / "build"
    return build / "test" / "unit" / "wire" / "wire_oracle"


@pytest.fixture(scope="module")
def oracle():
    path = oracle_path()
    if not path.exists():
        pytest.skip(f"no {path}: built without tests")
    process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(question):
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())

    yield ask
    process.stdin.close()
    assert process.wait(timeout=60) == 0


def as_query(model):
    """SQS as it was before it spoke JSON."""
    model = copy.deepcopy(model)
    model["metadata"].update(protocol="query", protocols=["query"])
    for shape in model["shapes"].values():
        refs = list(shape.get("members", {}).values())
        refs += [shape[p] for p in ("member", "key", "value") if p in shape]
        for ref in refs:
            if "queryName" in ref:
                ref["locationName"] = ref["queryName"]
    for name, op in model["operations"].items():
        if "output" in op:
            op["output"]["resultWrapper"] = f"{name}Result"
    return model


def service_model(service, protocol):
    model = json.loads((MODELS / f"{service}.json").read_text())
    for op_name, op in model["operations"].items():
        op["name"] = op_name
        op["errors"] = []
        if protocol == "query" and "output" in op:
            op["output"].setdefault("resultWrapper", f"{op_name}Result")
    if protocol == "query" and service == "sqs":
        model = as_query(model)
    model["metadata"].setdefault("signatureVersion", "v4")
    return botocore.model.ServiceModel(model, service)


def invent(shape, place="", depth=0):
    """A value with every member that is not nested too deeply."""
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return {"a": [1, "b", None]}
        members = shape.members
        if getattr(shape, "is_tagged_union", False):
            members = dict(list(members.items())[:1])
        out = {}
        for name, member in members.items():
            if depth > 3 and member.type_name in ("structure", "list", "map"):
                continue
            if member.serialization.get("eventstream"):
                continue
            out[name] = invent(member, member.serialization.get("location", ""), depth + 1)
        return out
    if kind == "list":
        return [invent(shape.member, place, depth + 1) for _ in range(2)]
    if kind == "map":
        return {invent(shape.key, "key", depth + 1) + suffix: invent(shape.value, place, depth + 1)
                for suffix in ("", "-2")}
    if kind == "timestamp":
        return WHEN
    return {
        "string": "a b/c" if place in ("uri", "querystring", "header", "headers", "key")
                  else "é \"<&>' \\ \n+%\u20ac\U0001f600",
        "character": "x", "blob": b"\x00\xffbytes", "boolean": True, "integer": -7, "long": 1 << 41,
        "float": 1.5, "double": 0.1, "short": 3, "byte": 1,
    }[kind]


def from_json(shape, value):
    """What our JSON of a shape says, in botocore's terms."""
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return value
        names = {m.serialization.get("name", n): (n, m) for n, m in shape.members.items()}
        return {names[k][0]: from_json(names[k][1], v) for k, v in value.items() if k in names}
    if kind == "list":
        return [from_json(shape.member, v) for v in value]
    if kind == "map":
        return {k: from_json(shape.value, v) for k, v in value.items()}
    if kind == "blob":
        return base64.b64decode(value)
    if kind == "timestamp":
        return botocore.utils.parse_timestamp(value).astimezone(datetime.timezone.utc)
    return value


def to_json(shape, value):
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return value
        return {shape.members[n].serialization.get("name", n): to_json(shape.members[n], v)
                for n, v in value.items()}
    if kind == "list":
        return [to_json(shape.member, v) for v in value]
    if kind == "map":
        return {k: to_json(shape.value, v) for k, v in value.items()}
    if kind == "blob":
        return base64.b64encode(value).decode()
    if kind == "timestamp":
        return value.timestamp()
    return value


def plain_model(service, protocol):
    """The model whose names our own JSON uses."""
    return service_model(service, "json" if service == "sqs" else protocol)


def on_the_wire(serialised, service):
    serialised.setdefault("context", {})
    botocore.awsrequest.prepare_request_dict(serialised, f"http://{service}.test")
    request = botocore.awsrequest.create_request_object(serialised).prepare()
    url = urllib.parse.urlsplit(request.url)
    body = request.body or b""
    if hasattr(body, "read"):
        body = body.read()
    if isinstance(body, str):
        body = body.encode()
    return {
        "method": request.method, "path": url.path, "query": url.query,
        "headers": {k.lower(): v.decode() if isinstance(v, bytes) else str(v)
                    for k, v in request.headers.items()},
        "body": base64.b64encode(bytes(body)).decode(),
    }


@pytest.mark.parametrize("service,protocol", CASES, ids=lambda v: v)
def test_inputs(oracle, service, protocol):
    model, plain = service_model(service, protocol), plain_model(service, protocol)
    serializer = botocore.serialize.create_serializer(protocol, include_validation=False)
    checked = 0
    for name in model.operation_names:
        op = model.operation_model(name)
        if op.input_shape is None:
            continue
        params = invent(op.input_shape)
        request = on_the_wire(serializer.serialize_to_request(params, op), service)
        answer = oracle({"do": "decode", "service": service, **request})
        assert "error" not in answer, (name, answer["error"])
        assert answer["operation"] == name
        got = from_json(plain.operation_model(name).input_shape, answer["value"])
        assert got == params, name
        checked += 1
    assert checked >= 3


@pytest.mark.parametrize("service,protocol", CASES, ids=lambda v: v)
def test_outputs(oracle, service, protocol):
    model, plain = service_model(service, protocol), plain_model(service, protocol)
    parser = botocore.parsers.create_parser(protocol)
    checked = 0
    for name in model.operation_names:
        op = model.operation_model(name)
        if op.output_shape is None or op.has_event_stream_output:
            continue
        result = invent(op.output_shape)
        for member, ref in op.output_shape.members.items():
            if ref.serialization.get("location") == "statusCode":
                result[member] = 202
        payload = op.output_shape.serialization.get("payload")
        if payload and op.output_shape.members[payload].type_name == "blob":
            result[payload] = b"plain"  # the parser alone makes text of it
        value = to_json(plain.operation_model(name).output_shape, result)
        answer = oracle({"do": "encode", "service": service, "protocol": PROTOCOLS[protocol],
                         "operation": name, "value": value})
        assert "error" not in answer, (name, answer["error"])
        parsed = parser.parse({"status_code": answer["status"],
                               "headers": botocore.awsrequest.HeadersDict(answer["headers"]),
                               "body": base64.b64decode(answer["body"])}, op.output_shape)
        metadata = parsed.pop("ResponseMetadata")
        if isinstance(result.get(payload), bytes):
            parsed[payload] = parsed[payload].encode()
        assert metadata["RequestId"] == "request-id", name
        assert utc(parsed) == utc(result), name
        checked += 1
    assert checked >= 1


def utc(value):
    if isinstance(value, dict):
        return {k: utc(v) for k, v in value.items()}
    if isinstance(value, list):
        return [utc(v) for v in value]
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc)
    return value
