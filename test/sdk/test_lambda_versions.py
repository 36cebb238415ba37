"""Versions, aliases with weights, tags, permissions, settings of functions, through boto3."""

import json

import pytest

from harness import build_zip, unique_name
from test_lambda_functions import refused

VERSION = """
def handler(event, context):
    return [context.function_version, context.invoked_function_arn.split(":", 6)[6]]
"""


@pytest.fixture
def f(make_function):
    return make_function("python", VERSION)


def change(f, text):
    f.lam.update_function_code(FunctionName=f.name,
                               ZipFile=build_zip({"app.py": VERSION + "# %s\n" % text}))
    f.wait_active()


def test_versions(f):
    lam = f.lam
    one = lam.publish_version(FunctionName=f.name, Description="first")
    assert one["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert one["Version"] == "1" and one["FunctionArn"] == f.arn + ":1"
    assert one["Description"] == "first"
    # Nothing changed: the same version again.
    assert lam.publish_version(FunctionName=f.name)["Version"] == "1"
    change(f, "two")
    sha = lam.get_function_configuration(FunctionName=f.name)["CodeSha256"]
    with refused("InvalidParameterValueException", 400):
        lam.publish_version(FunctionName=f.name, CodeSha256=one["CodeSha256"])
    two = lam.publish_version(FunctionName=f.name, CodeSha256=sha)
    assert two["Version"] == "2"
    listed = lam.list_versions_by_function(FunctionName=f.name)["Versions"]
    assert [v["Version"] for v in listed] == ["$LATEST", "1", "2"]
    assert [v["FunctionArn"] for v in listed] == [f.arn + ":" + v for v in ("$LATEST", "1", "2")]
    page = lam.list_versions_by_function(FunctionName=f.name, MaxItems=2)
    assert [v["Version"] for v in page["Versions"]] == ["$LATEST", "1"]
    page = lam.list_versions_by_function(FunctionName=f.name, Marker=page["NextMarker"])
    assert [v["Version"] for v in page["Versions"]] == ["2"]

    # A version does not change with $LATEST.
    lam.update_function_configuration(FunctionName=f.name, Timeout=9)
    assert lam.get_function_configuration(FunctionName=f.name, Qualifier="1")["Timeout"] == 30
    answer = f.invoke(Qualifier="1")
    assert answer.version == "1" and answer.payload == ["1", f.name + ":1"]
    assert f.invoke().payload == ["$LATEST", f.name]

    lam.delete_function(FunctionName=f.name, Qualifier="1")
    with refused("ResourceNotFoundException", 404):
        lam.get_function(FunctionName=f.name, Qualifier="1")
    with refused("ResourceNotFoundException", 404):
        f.invoke(Qualifier="1")
    with refused("InvalidParameterValueException", 400):
        lam.delete_function(FunctionName=f.name, Qualifier="$LATEST")
    # Numbers are not given again.
    change(f, "three")
    assert lam.publish_version(FunctionName=f.name)["Version"] == "3"


def test_aliases(f):
    lam = f.lam
    lam.publish_version(FunctionName=f.name)
    with refused("ResourceNotFoundException", 404):
        lam.create_alias(FunctionName=f.name, Name="live", FunctionVersion="9")
    with refused("ValidationException", 400):
        lam.create_alias(FunctionName=f.name, Name="12", FunctionVersion="1")
    a = lam.create_alias(FunctionName=f.name, Name="live", FunctionVersion="1", Description="d")
    assert a["AliasArn"] == f.arn + ":live" and a["FunctionVersion"] == "1"
    with refused("ResourceConflictException", 409):
        lam.create_alias(FunctionName=f.name, Name="live", FunctionVersion="1")
    assert f.invoke(Qualifier="live").payload == ["1", f.name + ":live"]
    assert lam.get_function_configuration(FunctionName=f.name, Qualifier="live")["Version"] == "1"
    with refused("ResourceConflictException", 409):
        lam.delete_function(FunctionName=f.name, Qualifier="1")

    change(f, "two")
    lam.publish_version(FunctionName=f.name)
    with refused("PreconditionFailedException", 412):
        lam.update_alias(FunctionName=f.name, Name="live", FunctionVersion="2", RevisionId="x")
    b = lam.update_alias(FunctionName=f.name, Name="live", FunctionVersion="2",
                         RevisionId=a["RevisionId"])
    assert b["Description"] == "d" and b["RevisionId"] != a["RevisionId"]
    assert f.invoke(Qualifier="live").version == "2"

    lam.create_alias(FunctionName=f.name, Name="beta", FunctionVersion="$LATEST")
    names = [x["Name"] for x in lam.list_aliases(FunctionName=f.name)["Aliases"]]
    assert names == ["beta", "live"]
    only = lam.list_aliases(FunctionName=f.name, FunctionVersion="2")["Aliases"]
    assert [x["Name"] for x in only] == ["live"]
    page = lam.list_aliases(FunctionName=f.name, MaxItems=1)
    assert page["NextMarker"]
    page = lam.list_aliases(FunctionName=f.name, Marker=page["NextMarker"])
    assert [x["Name"] for x in page["Aliases"]] == ["live"]

    lam.delete_alias(FunctionName=f.name, Name="beta")
    with refused("ResourceNotFoundException", 404) as e:
        lam.get_alias(FunctionName=f.name, Name="beta")
    assert e.message == "Cannot find alias arn: %s:beta" % f.arn


def test_weights(f):
    lam = f.lam
    lam.publish_version(FunctionName=f.name)
    change(f, "two")
    lam.publish_version(FunctionName=f.name)

    def routing(weights):
        return {"AdditionalVersionWeights": weights}

    with refused("ValidationException", 400):
        lam.create_alias(FunctionName=f.name, Name="w", FunctionVersion="1",
                         RoutingConfig=routing({"$LATEST": 0.5}))
    for weights in ({"1": 0.5}, {"2": 0.2, "3": 0.2}):
        with refused("InvalidParameterValueException", 400):
            lam.create_alias(FunctionName=f.name, Name="w", FunctionVersion="1",
                             RoutingConfig=routing(weights))
    with refused("ResourceNotFoundException", 404):
        lam.create_alias(FunctionName=f.name, Name="w", FunctionVersion="1",
                         RoutingConfig=routing({"9": 0.5}))
    with refused("InvalidParameterValueException", 400):
        lam.create_alias(FunctionName=f.name, Name="w", FunctionVersion="$LATEST",
                         RoutingConfig=routing({"1": 0.5}))
    lam.create_alias(FunctionName=f.name, Name="w", FunctionVersion="1",
                     RoutingConfig=routing({"2": 1.0}))
    assert {f.invoke(Qualifier="w").version for _ in range(5)} == {"2"}
    lam.update_alias(FunctionName=f.name, Name="w", RoutingConfig=routing({"2": 0.0}))
    assert {f.invoke(Qualifier="w").version for _ in range(5)} == {"1"}
    lam.update_alias(FunctionName=f.name, Name="w", RoutingConfig=routing({"2": 0.5}))
    # 60 draws that all say the same happen once in 2**59.
    assert {f.invoke(Qualifier="w").version for _ in range(60)} == {"1", "2"}
    assert f.lam.get_alias(FunctionName=f.name, Name="w")["RoutingConfig"] == routing({"2": 0.5})
    r = lam.update_alias(FunctionName=f.name, Name="w", RoutingConfig=routing({}))
    assert "RoutingConfig" not in r


def test_publish_at_once(lam):
    name = unique_name()
    r = lam.create_function(FunctionName=name, Runtime="python3.11", Handler="app.handler",
                            Role="arn:aws:iam::000000000000:role/r", Publish=True,
                            Code={"ZipFile": build_zip({"app.py": VERSION})})
    assert r["Version"] == "1"
    r = lam.update_function_code(FunctionName=name, Publish=True,
                                 ZipFile=build_zip({"app.py": VERSION + "# 2"}))
    assert r["Version"] == "2"
    assert json.loads(lam.invoke(FunctionName=name + ":2")["Payload"].read())[0] == "2"
    lam.delete_function(FunctionName=name)


def test_tags(f):
    lam = f.lam
    assert lam.list_tags(Resource=f.arn)["Tags"] == {}
    lam.tag_resource(Resource=f.arn, Tags={"a": "1", "b": "2"})
    lam.tag_resource(Resource=f.arn, Tags={"b": "3"})
    assert lam.list_tags(Resource=f.arn)["Tags"] == {"a": "1", "b": "3"}
    lam.untag_resource(Resource=f.arn, TagKeys=["a", "none"])
    assert lam.list_tags(Resource=f.arn)["Tags"] == {"b": "3"}
    with refused("InvalidParameterValueException", 400):
        lam.tag_resource(Resource=f.arn + ":1", Tags={"x": "y"})
    with refused("InvalidParameterValueException", 400):
        lam.tag_resource(Resource=f.arn, Tags={"k%d" % i: "v" for i in range(51)})
    with refused("ResourceNotFoundException", 404):
        lam.list_tags(Resource=f.arn + "x")


def test_permissions(f):
    lam = f.lam
    with refused("ResourceNotFoundException", 404):
        lam.get_policy(FunctionName=f.name)
    r = lam.add_permission(FunctionName=f.name, StatementId="s3", Action="lambda:InvokeFunction",
                           Principal="s3.amazonaws.com", SourceArn="arn:aws:s3:::b",
                           SourceAccount="000000000000")
    statement = json.loads(r["Statement"])
    assert statement == {
        "Sid": "s3", "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction", "Resource": f.arn,
        "Condition": {"StringEquals": {"AWS:SourceAccount": "000000000000"},
                      "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"}}}
    lam.add_permission(FunctionName=f.name, StatementId="other", Action="lambda:InvokeFunction",
                       Principal="123456789012")
    with refused("ResourceConflictException", 409):
        lam.add_permission(FunctionName=f.name, StatementId="s3", Action="lambda:InvokeFunction",
                           Principal="*")
    got = lam.get_policy(FunctionName=f.name)
    policy = json.loads(got["Policy"])
    assert [s["Sid"] for s in policy["Statement"]] == ["s3", "other"]
    assert policy["Statement"][1]["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    with refused("PreconditionFailedException", 412):
        lam.remove_permission(FunctionName=f.name, StatementId="s3", RevisionId="x")
    lam.remove_permission(FunctionName=f.name, StatementId="s3", RevisionId=got["RevisionId"])
    with refused("ResourceNotFoundException", 404):
        lam.remove_permission(FunctionName=f.name, StatementId="s3")
    lam.remove_permission(FunctionName=f.name, StatementId="other")
    with refused("ResourceNotFoundException", 404):
        lam.get_policy(FunctionName=f.name)
    # Of an alias: its own.
    lam.publish_version(FunctionName=f.name)
    lam.create_alias(FunctionName=f.name, Name="live", FunctionVersion="1")
    lam.add_permission(FunctionName=f.name, Qualifier="live", StatementId="x",
                       Action="lambda:InvokeFunction", Principal="*")
    assert "live" in lam.get_policy(FunctionName=f.name, Qualifier="live")["Policy"]
    with refused("ResourceNotFoundException", 404):
        lam.get_policy(FunctionName=f.name)
    for n in range(200):
        try:
            lam.add_permission(FunctionName=f.name, StatementId="n%d" % n, Principal="*",
                               Action="lambda:InvokeFunction", SourceArn="arn:aws:s3:::" + "b" * 60)
        except lam.exceptions.PolicyLengthExceededException:
            break
    else:
        pytest.fail("a policy may grow without end")


def test_account_settings(f):
    r = f.lam.get_account_settings()
    assert r["AccountLimit"]["CodeSizeUnzipped"] == 262144000
    assert r["AccountLimit"]["CodeSizeZipped"] == 52428800
    assert r["AccountLimit"]["ConcurrentExecutions"] >= 1
    assert r["AccountUsage"]["FunctionCount"] >= 1
    assert r["AccountUsage"]["TotalCodeSize"] > 0
    r = f.lam.get_function_code_signing_config(FunctionName=f.name)
    assert r["FunctionName"] == f.name


def test_recursion_and_runtime_management(f):
    lam = f.lam
    assert lam.get_function_recursion_config(FunctionName=f.name)["RecursiveLoop"] == "Terminate"
    lam.put_function_recursion_config(FunctionName=f.name, RecursiveLoop="Allow")
    assert lam.get_function_recursion_config(FunctionName=f.name)["RecursiveLoop"] == "Allow"
    r = lam.get_runtime_management_config(FunctionName=f.name)
    assert r["UpdateRuntimeOn"] == "Auto" and r["FunctionArn"] == f.arn + ":$LATEST"
    lam.put_runtime_management_config(FunctionName=f.name, UpdateRuntimeOn="FunctionUpdate")
    assert lam.get_runtime_management_config(
        FunctionName=f.name)["UpdateRuntimeOn"] == "FunctionUpdate"
    with refused("InvalidParameterValueException", 400):
        lam.put_runtime_management_config(FunctionName=f.name, UpdateRuntimeOn="Manual")


def test_event_invoke_config(f):
    lam = f.lam
    with refused("ResourceNotFoundException", 404):
        lam.get_function_event_invoke_config(FunctionName=f.name)
    r = lam.put_function_event_invoke_config(
        FunctionName=f.name, MaximumRetryAttempts=0, MaximumEventAgeInSeconds=60,
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:q"}})
    assert r["FunctionArn"] == f.arn + ":$LATEST"
    r = lam.update_function_event_invoke_config(FunctionName=f.name, MaximumRetryAttempts=2)
    assert r["MaximumRetryAttempts"] == 2 and r["MaximumEventAgeInSeconds"] == 60
    assert r["DestinationConfig"]["OnFailure"]["Destination"].endswith(":q")
    with refused("InvalidParameterValueException", 400):
        lam.put_function_event_invoke_config(
            FunctionName=f.name,
            DestinationConfig={"OnSuccess": {"Destination": "arn:aws:ec2:us-east-1:000000000000:x"}})
    with refused("ValidationException", 400):
        lam.put_function_event_invoke_config(FunctionName=f.name, MaximumRetryAttempts=3)
    listed = lam.list_function_event_invoke_configs(FunctionName=f.name)
    assert len(listed["FunctionEventInvokeConfigs"]) == 1
    lam.delete_function_event_invoke_config(FunctionName=f.name)
    with refused("ResourceNotFoundException", 404):
        lam.delete_function_event_invoke_config(FunctionName=f.name)


def test_url_config(f):
    lam = f.lam
    with refused("ResourceNotFoundException", 404):
        lam.get_function_url_config(FunctionName=f.name)
    r = lam.create_function_url_config(FunctionName=f.name, AuthType="NONE",
                                       Cors={"AllowOrigins": ["*"], "MaxAge": 5})
    assert r["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert ".lambda-url.us-east-1.localhost:%d/" % f.daemon.port in r["FunctionUrl"]
    assert r["InvokeMode"] == "BUFFERED" and r["Cors"]["MaxAge"] == 5
    with refused("ResourceConflictException", 409):
        lam.create_function_url_config(FunctionName=f.name, AuthType="NONE")
    u = lam.update_function_url_config(FunctionName=f.name, AuthType="AWS_IAM",
                                       InvokeMode="RESPONSE_STREAM")
    assert (u["AuthType"], u["InvokeMode"]) == ("AWS_IAM", "RESPONSE_STREAM")
    assert u["FunctionUrl"] == r["FunctionUrl"]
    with refused("ValidationException", 400):
        lam.create_function_url_config(FunctionName=f.name, Qualifier="$LATEST", AuthType="NONE")
    listed = lam.list_function_url_configs(FunctionName=f.name)["FunctionUrlConfigs"]
    assert [x["FunctionUrl"] for x in listed] == [r["FunctionUrl"]]
    lam.delete_function_url_config(FunctionName=f.name)
    with refused("ResourceNotFoundException", 404):
        lam.get_function_url_config(FunctionName=f.name)


def test_url_configs_in_pages(f):
    """The unqualified one comes first, and a marker leads past it."""
    lam = f.lam
    lam.create_function_url_config(FunctionName=f.name, AuthType="NONE")
    version = lam.publish_version(FunctionName=f.name)["Version"]
    for alias in ("a", "b"):
        lam.create_alias(FunctionName=f.name, Name=alias, FunctionVersion=version)
        lam.create_function_url_config(FunctionName=f.name, Qualifier=alias, AuthType="NONE")
    seen, marker = [], {}
    while True:
        page = lam.list_function_url_configs(FunctionName=f.name, MaxItems=1, **marker)
        seen += [u["FunctionArn"] for u in page["FunctionUrlConfigs"]]
        if not page.get("NextMarker"):
            break
        marker = {"Marker": page["NextMarker"]}
    assert seen == [f.arn, f.arn + ":a", f.arn + ":b"]
    page = lam.list_aliases(FunctionName=f.name, FunctionVersion="1", MaxItems=1)
    assert [a["Name"] for a in page["Aliases"]] == ["a"] and page["NextMarker"]
    page = lam.list_aliases(FunctionName=f.name, Marker=page["NextMarker"])
    assert [a["Name"] for a in page["Aliases"]] == ["b"] and not page.get("NextMarker")


def test_mapping_records(f):
    lam = f.lam
    source = "arn:aws:sqs:us-east-1:000000000000:" + unique_name("q")
    for more, words in (
            ({"EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/s"}, "event source"),
            ({"EventSourceArn": source, "BatchSize": 11}, "batch window"),
            ({"EventSourceArn": source + ".fifo", "BatchSize": 11,
              "MaximumBatchingWindowInSeconds": 1}, "FIFO"),
            ({"EventSourceArn": source, "FilterCriteria": {"Filters": [{"Pattern": "{"}]}},
             "filter pattern")):
        with refused("InvalidParameterValueException", 400) as e:
            lam.create_event_source_mapping(FunctionName=f.name, **more)
        assert words in e.message, e.message
    with refused("InvalidParameterValueException", 400) as e:
        lam.create_event_source_mapping(FunctionName=f.name, EventSourceArn=source)
    assert "NonExistentQueue" in e.message
    f.daemon.client("sqs").create_queue(QueueName=source.rsplit(":", 1)[1])
    with refused("ResourceNotFoundException", 404):
        lam.create_event_source_mapping(FunctionName="none", EventSourceArn=source)
    with refused("ResourceNotFoundException", 404):
        lam.get_event_source_mapping(UUID="00000000-0000-4000-8000-000000000000")
    assert lam.list_event_source_mappings(FunctionName=f.name)["EventSourceMappings"] == []
