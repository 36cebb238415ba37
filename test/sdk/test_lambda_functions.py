"""Functions through boto3: create, read, update, delete, list; states, revisions, ARNs, secrets."""

import base64
import hashlib
import os
import re
import urllib.error
import urllib.request

import pytest
from botocore.exceptions import ClientError

from harness import ROLE, alive, build_zip, unique_name, wait_until

ACCOUNT = "000000000000"
SOURCE = """
import os
def handler(event, context):
    if event.get("env"):
        return {k: v for k, v in os.environ.items() if k in event["env"]}
    return {"version": context.function_version, "arn": context.invoked_function_arn}
"""


def refused(code, status=None):
    class Refused:
        def __enter__(self):
            self.error = None
            return self

        def __exit__(self, kind, value, trace):
            assert kind is not None, "not refused, expected " + code
            if not isinstance(value, ClientError):
                return False
            self.error = value.response
            assert value.response["Error"]["Code"] == code, value.response
            if status is not None:
                got = value.response["ResponseMetadata"]["HTTPStatusCode"]
                assert got == status, value.response
            self.message = value.response["Error"]["Message"]
            return True
    return Refused()


@pytest.fixture
def package():
    return build_zip({"app.py": SOURCE})


def create(lam, package, name=None, **more):
    options = dict(Runtime="python3.11", Role=ROLE, Handler="app.handler",
                   Code={"ZipFile": package})
    options.update(more)
    return lam.create_function(FunctionName=name or unique_name(), **options)


def test_create_answers_as_aws(lam, package):
    name = unique_name()
    r = create(lam, package, name)
    assert r["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert r["FunctionName"] == name
    assert r["FunctionArn"] == "arn:aws:lambda:us-east-1:%s:function:%s" % (ACCOUNT, name)
    assert r["State"] == "Pending" and r["StateReasonCode"] == "Creating"
    assert r["CodeSize"] == len(package)
    assert r["CodeSha256"] == base64.b64encode(hashlib.sha256(package).digest()).decode()
    assert r["Version"] == "$LATEST"
    assert r["Timeout"] == 3 and r["MemorySize"] == 128
    assert r["PackageType"] == "Zip" and r["Architectures"] == ["x86_64"] or os.uname().machine != "x86_64"
    assert r["EphemeralStorage"] == {"Size": 512}
    assert r["TracingConfig"] == {"Mode": "PassThrough"}
    assert r["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}
    assert r["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "/aws/lambda/" + name}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", r["LastModified"])
    assert re.fullmatch(r"[0-9a-f-]{36}", r["RevisionId"])
    assert "Environment" not in r

    lam.get_waiter("function_active_v2").wait(FunctionName=name)
    c = lam.get_function_configuration(FunctionName=name)
    assert c["State"] == "Active" and c["LastUpdateStatus"] == "Successful"
    assert "StateReason" not in c
    lam.delete_function(FunctionName=name)


def test_download_is_the_package(lam, package):
    name = unique_name()
    create(lam, package, name)
    code = lam.get_function(FunctionName=name)["Code"]
    assert code["RepositoryType"] == "S3"
    with urllib.request.urlopen(code["Location"], timeout=30) as r:
        assert r.read() == package
    # The link is for this package: neither altered nor bare does it work.
    for link in (code["Location"].replace("X-Amz-Signature=", "X-Amz-Signature=0"),
                 code["Location"].split("?")[0]):
        with pytest.raises(urllib.error.HTTPError) as e:
            urllib.request.urlopen(link, timeout=30)
        assert e.value.code == 403
    lam.delete_function(FunctionName=name)


def test_names_and_arns(lam, package):
    name = unique_name()
    arn = create(lam, package, name)["FunctionArn"]
    for form in (name, arn, ACCOUNT + ":function:" + name, "function:" + name,
                 name + ":$LATEST", arn + ":$LATEST"):
        assert lam.get_function_configuration(FunctionName=form)["FunctionName"] == name
    with refused("InvalidParameterValueException", 400):
        lam.get_function_configuration(FunctionName=name + ":1", Qualifier="2")
    with refused("AccessDeniedException", 403):
        lam.get_function(FunctionName=arn.replace(ACCOUNT, "123456789012"))
    with refused("ResourceNotFoundException", 404):
        lam.get_function(FunctionName=arn.replace("us-east-1", "eu-west-1"))
    with refused("ResourceNotFoundException", 404) as e:
        lam.get_function(FunctionName=name, Qualifier="7")
    assert e.message == "Function not found: %s:7" % arn
    for bad in ("a b", "x" * 65, "../x", "arn:aws:sqs:us-east-1:000000000000:q"):
        with refused("ValidationException", 400):
            lam.get_function(FunctionName=bad)
    lam.delete_function(FunctionName=arn)
    with refused("ResourceNotFoundException", 404) as e:
        lam.get_function(FunctionName=name)
    assert e.message == "Function not found: " + arn


def test_already_there(lam, package):
    name = unique_name()
    create(lam, package, name)
    with refused("ResourceConflictException", 409) as e:
        create(lam, package, name)
    assert e.message == "Function already exist: " + name
    lam.delete_function(FunctionName=name)


def test_regions_are_apart(daemon, lam, package):
    name = unique_name()
    create(lam, package, name)
    other = daemon.client("lambda", region_name="eu-west-3")
    with refused("ResourceNotFoundException", 404):
        other.get_function(FunctionName=name)
    arn = create(other, package, name)["FunctionArn"]
    assert ":eu-west-3:" in arn
    other.delete_function(FunctionName=name)
    assert lam.get_function(FunctionName=name)
    lam.delete_function(FunctionName=name)


def test_update_code_and_configuration(make_function):
    f = make_function("python", SOURCE, Environment={"Variables": {"COLOUR": "red"}})
    lam = f.lam
    before = lam.get_function_configuration(FunctionName=f.name)
    assert f.call({"env": ["COLOUR"]}) == {"COLOUR": "red"}

    r = lam.update_function_configuration(
        FunctionName=f.name, Description="d", Timeout=7, MemorySize=256,
        Environment={"Variables": {"COLOUR": "blue"}}, EphemeralStorage={"Size": 600})
    assert r["LastUpdateStatus"] == "InProgress"
    assert r["RevisionId"] != before["RevisionId"]
    f.wait_active()
    c = lam.get_function_configuration(FunctionName=f.name)
    assert (c["Description"], c["Timeout"], c["MemorySize"]) == ("d", 7, 256)
    assert c["Environment"] == {"Variables": {"COLOUR": "blue"}}
    assert c["EphemeralStorage"] == {"Size": 600}
    assert c["Handler"] == "app.handler" and c["CodeSha256"] == before["CodeSha256"]
    assert f.call({"env": ["COLOUR"]}) == {"COLOUR": "blue"}

    r = lam.update_function_code(FunctionName=f.name,
                                 ZipFile=build_zip({"app.py": "def handler(e, c): return 'new'"}))
    assert r["CodeSha256"] != before["CodeSha256"]
    f.wait_active()
    assert f.call() == "new"
    # A dry run changes nothing.
    now = lam.get_function_configuration(FunctionName=f.name)
    lam.update_function_code(FunctionName=f.name, DryRun=True,
                             ZipFile=build_zip({"app.py": "def handler(e, c): return 'no'"}))
    assert lam.get_function_configuration(FunctionName=f.name)["CodeSha256"] == now["CodeSha256"]
    # An environment can be taken away.
    r = lam.update_function_configuration(FunctionName=f.name, Environment={"Variables": {}})
    assert "Environment" not in r


def test_revision_ids(make_function):
    f = make_function("python")
    lam = f.lam
    old = lam.get_function_configuration(FunctionName=f.name)["RevisionId"]
    new = lam.update_function_configuration(FunctionName=f.name, Description="x",
                                            RevisionId=old)["RevisionId"]
    with refused("PreconditionFailedException", 412):
        lam.update_function_configuration(FunctionName=f.name, Description="y", RevisionId=old)
    with refused("PreconditionFailedException", 412):
        lam.update_function_code(FunctionName=f.name, RevisionId=old,
                                 ZipFile=build_zip({"app.py": "x=1"}))
    with refused("PreconditionFailedException", 412):
        lam.publish_version(FunctionName=f.name, RevisionId=old)
    assert lam.get_function_configuration(FunctionName=f.name)["RevisionId"] == new


def test_paging(daemon, package):
    lam = daemon.client("lambda", region_name="ap-south-1")
    names = sorted(unique_name("page") for _ in range(7))
    for name in names:
        create(lam, package, name)
    seen, marker = [], {}
    while True:
        r = lam.list_functions(MaxItems=3, **marker)
        assert len(r["Functions"]) <= 3
        seen += [f["FunctionName"] for f in r["Functions"]]
        if "NextMarker" not in r:
            break
        marker = {"Marker": r["NextMarker"]}
    assert seen == names
    pages = lam.get_paginator("list_functions").paginate(PaginationConfig={"PageSize": 2})
    assert [f["FunctionName"] for p in pages for f in p["Functions"]] == names
    for name in names:
        lam.delete_function(FunctionName=name)
    assert lam.list_functions()["Functions"] == []


def test_environment_limits(lam, package):
    with refused("InvalidParameterValueException", 400) as e:
        create(lam, package, Environment={"Variables": {"BIG": "x" * 4097}})
    assert "4KB" in e.message
    with refused("InvalidParameterValueException", 400) as e:
        create(lam, package, Environment={"Variables": {"AWS_REGION": "x", "AWS_LAMBDA_RUNTIME_API": "y"}})
    assert "reserved keys" in e.message
    with refused("ValidationException", 400):
        create(lam, package, Environment={"Variables": {"1x": "y"}})
    name = unique_name()
    r = create(lam, package, name, Environment={"Variables": {"OK": "x" * 4000}})
    assert r["Environment"]["Variables"]["OK"] == "x" * 4000
    lam.delete_function(FunctionName=name)


def test_what_cannot_be(lam, package):
    with refused("InvalidParameterValueException", 400) as e:
        create(lam, package, Runtime="python2.7x")
    assert "runtime" in e.message
    with refused("InvalidParameterValueException", 400) as e:
        create(lam, package,
               Architectures=["arm64" if os.uname().machine == "x86_64" else "x86_64"])
    assert "architecture" in e.message.lower()
    with refused("InvalidParameterValueException", 400):
        lam.create_function(FunctionName=unique_name(), Role=ROLE, PackageType="Image",
                            Code={"ImageUri": "oci:nowhere"})
    with refused("InvalidParameterValueException", 400):
        lam.create_function(FunctionName=unique_name(), Role=ROLE, Code={"ZipFile": package})
    with refused("InvalidParameterValueException", 400) as e:
        create(lam, package, Code={"S3Bucket": "nowhere", "S3Key": "k"})
    assert "NoSuchBucket" in e.message
    with refused("InvalidParameterValueException", 400):
        create(lam, package, Code={})
    with refused("InvalidParameterValueException", 400) as e:
        create(lam, package, Layers=["arn:aws:lambda:us-east-1:000000000000:layer:none:1"])
    assert "does not exist" in e.message
    for more in ({"Timeout": 0}, {"Timeout": 901}, {"MemorySize": 127}, {"MemorySize": 10241},
                 {"EphemeralStorage": {"Size": 511}}, {"EphemeralStorage": {"Size": 10241}},
                 {"Description": "x" * 257}, {"Handler": "x" * 129}, {"Handler": "a b"},
                 {"Role": "nonsense"}, {"Handler": "app.handler\n"}):
        with refused("ValidationException", 400) as e:
            create(lam, package, **more)
        assert "validation error" in e.message


def test_echoes(lam, package):
    name = unique_name()
    create(lam, package, name, KMSKeyArn="arn:aws:kms:us-east-1:000000000000:key/k",
           DeadLetterConfig={"TargetArn": "arn:aws:sqs:us-east-1:000000000000:dlq"},
           TracingConfig={"Mode": "Active"}, Tags={"team": "a"},
           LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"},
           VpcConfig={"SubnetIds": [], "SecurityGroupIds": []})
    r = lam.get_function(FunctionName=name)
    c = r["Configuration"]
    assert c["KMSKeyArn"].endswith("key/k")
    assert c["DeadLetterConfig"]["TargetArn"].endswith(":dlq")
    assert c["TracingConfig"] == {"Mode": "Active"}
    assert c["LoggingConfig"] == {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG",
                                  "SystemLogLevel": "INFO", "LogGroup": "/aws/lambda/" + name}
    assert c["VpcConfig"]["SubnetIds"] == []
    assert r["Tags"] == {"team": "a"}
    r = lam.update_function_configuration(FunctionName=name, DeadLetterConfig={"TargetArn": ""})
    assert "DeadLetterConfig" not in r
    lam.delete_function(FunctionName=name)


def test_restart_keeps_everything(new_daemon):
    d = new_daemon()
    lam = d.client("lambda")
    name = unique_name()
    create(lam, build_zip({"app.py": SOURCE}), name, Publish=True, Tags={"a": "b"},
           Environment={"Variables": {"SECRET": "do-not-write-me-down"}})
    lam.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    lam.add_permission(FunctionName=name, StatementId="s", Action="lambda:InvokeFunction",
                       Principal="*")
    lam.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)
    lam.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)
    url = lam.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
    before = lam.get_function(FunctionName=name, Qualifier="live")["Configuration"]

    # The variables are nowhere on the disk in the clear, nor in the log.
    for top, _, files in os.walk(d.data_dir):
        for file in files:
            path = os.path.join(top, file)
            if os.path.isfile(path):
                with open(path, "rb") as f:
                    assert b"do-not-write-me-down" not in f.read(), path
    assert "do-not-write-me-down" not in d.log_text()
    assert os.stat(os.path.join(d.data_dir, "secret.key")).st_mode & 0o777 == 0o600

    children = list(d.children().values())
    d.kill()
    wait_until(lambda: not any(alive(pid) for pid in children),
               what="the killed daemon's processes are gone")
    d.start()
    lam = d.client("lambda")
    after = lam.get_function(FunctionName=name, Qualifier="live")["Configuration"]
    assert after == before
    r = lam.get_function(FunctionName=name)
    assert r["Tags"] == {"a": "b"}
    assert r["Concurrency"] == {"ReservedConcurrentExecutions": 3}
    assert '"Sid":"s"' in lam.get_policy(FunctionName=name)["Policy"]
    assert lam.get_function_event_invoke_config(
        FunctionName=name)["MaximumRetryAttempts"] == 1
    kept = lam.get_function_url_config(FunctionName=name)["FunctionUrl"]
    assert kept.split(".")[0] == url.split(".")[0]
    answer = lam.invoke(FunctionName=name, Payload=b'{"env": ["SECRET"]}')
    assert answer["Payload"].read() == b'{"SECRET": "do-not-write-me-down"}'


def test_lost_key_is_told(new_daemon):
    d = new_daemon()
    lam = d.client("lambda")
    name = unique_name()
    create(lam, build_zip({"app.py": SOURCE}), name, Environment={"Variables": {"SECRET": "s"}})
    d.stop()
    with open(os.path.join(d.data_dir, "secret.key"), "r+b") as f:
        f.write(b"\0" * 32)
    d.start()
    lam = d.client("lambda")
    c = lam.get_function_configuration(FunctionName=name)
    assert c["Environment"]["Error"]["ErrorCode"] == "KMSAccessDeniedException"
    with refused("KMSAccessDeniedException", 502):
        lam.invoke(FunctionName=name, Payload=b"{}")
    # Setting the environment anew mends it.
    lam.update_function_configuration(FunctionName=name, Environment={"Variables": {"SECRET": "t"}})
    answer = lam.invoke(FunctionName=name, Payload=b'{"env": ["SECRET"]}')
    assert answer["Payload"].read() == b'{"SECRET": "t"}'


def test_unused_code_goes_at_start(new_daemon):
    d = new_daemon()
    lam = d.client("lambda")
    code = os.path.join(d.data_dir, "code")
    name, kept = unique_name(), unique_name()
    create(lam, build_zip({"app.py": SOURCE}), kept)
    create(lam, build_zip({"app.py": SOURCE + "# other\n"}), name)
    assert len([n for n in os.listdir(code) if n.endswith(".zip")]) == 2
    lam.delete_function(FunctionName=name)
    d.restart()
    assert len([n for n in os.listdir(code) if n.endswith(".zip")]) == 1
    assert d.client("lambda").invoke(FunctionName=kept, Payload=b"{}")["StatusCode"] == 200
