"""Every operation of every service with made-up parameters: an answer of the client's own making.

Whatever a client sends, it gets a result or an error that says what is wrong with its request; what
Lambkin does not have says so (501). Our own failure (500) is a bug, and so is a daemon that is gone.
"""

import boto3
import harness
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

SERVICES = ("lambda", "logs", "sqs", "sts", "iam", "apigatewayv2")
ARN = "arn:aws:lambda:us-east-1:000000000000:function:f"


def invent(shape, everything, depth=0):
    kind = shape.type_name
    if kind == "structure":
        return {name: invent(member, everything, depth + 1)
                for name, member in shape.members.items()
                if (everything or name in shape.required_members)
                and not (depth > 3 and member.type_name in ("structure", "list", "map"))}
    if kind == "list":
        return [invent(shape.member, everything, depth + 1)]
    if kind == "map":
        return {"k": invent(shape.value, everything, depth + 1)}
    if kind == "string":
        if shape.enum:
            return shape.enum[0]
        return ARN if "arn" in shape.name.lower() else "abc"
    return {"timestamp": 1700000000, "blob": b"abc", "boolean": False, "float": 1.0,
            "double": 1.0}.get(kind, max(1, shape.metadata.get("min", 1)))


@pytest.fixture(scope="module")
def own_daemon():
    d = harness.Daemon()
    yield d
    d.close()


@pytest.mark.parametrize("everything", (False, True), ids=("required", "everything"))
@pytest.mark.parametrize("service", SERVICES)
def test_answers(own_daemon, service, everything):
    client = boto3.client(service, endpoint_url=own_daemon.url, region_name="us-east-1",
                          aws_access_key_id="test", aws_secret_access_key="test",
                          config=Config(retries={"max_attempts": 0}, parameter_validation=False,
                                        inject_host_prefix=False, read_timeout=60))
    model = client.meta.service_model
    bugs = []
    for name in model.operation_names:
        op = model.operation_model(name)
        params = invent(op.input_shape, everything) if op.input_shape else {}
        if "QueueUrl" in params:
            params["QueueUrl"] = own_daemon.url + "/000000000000/abc"
        try:
            client._make_api_call(name, params)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            code = error.response["Error"]["Code"]
            if status >= 500 and not code.startswith("NotImplemented"):
                bugs.append((name, status, code))
    assert not bugs
    assert own_daemon.process.poll() is None
