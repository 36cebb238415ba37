"""CloudWatch Logs through boto3."""

import os
import signal
import time

import botocore.exceptions
import pytest

from harness import unique_name


def now_ms():
    return int(time.time() * 1000)


def code(error):
    return error.value.response["Error"]["Code"]

def kill_server(d, wait_until):
    """kill -9 of the server; main starts the next one on the same data."""
    server = wait_until(lambda: d.children().get("server"))
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: d.children().get("server") not in (None, server))

    def answers():
        try:
            return d.client("sts", region_name="us-east-2").get_caller_identity()
        except botocore.exceptions.HTTPClientError:
            return None
    wait_until(answers)
    d._clients.clear()


@pytest.fixture
def group(logs):
    name = unique_name("/test/group")
    logs.create_log_group(logGroupName=name)
    yield name
    try:
        logs.delete_log_group(logGroupName=name)
    except botocore.exceptions.ClientError:
        pass


@pytest.fixture
def stream(logs, group):
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    return "s"


def put(logs, group, stream, messages, start=None, step=1):
    start = start or now_ms() - 60000
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[
        {"timestamp": start + i * step, "message": m} for i, m in enumerate(messages)])


def test_groups(logs):
    prefix = unique_name("/test/life")
    names = [f"{prefix}/{x}" for x in "abc"]
    for name in names:
        logs.create_log_group(logGroupName=name, tags={"k": "v"})
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=names[0])
    found = logs.describe_log_groups(logGroupNamePrefix=prefix)["logGroups"]
    assert [g["logGroupName"] for g in found] == names
    assert found[0]["arn"] == f"arn:aws:logs:us-east-1:000000000000:log-group:{names[0]}:*"
    assert found[0]["logGroupArn"] == found[0]["arn"][:-2]
    assert found[0]["storedBytes"] == 0 and "retentionInDays" not in found[0]
    seen = []
    for page in logs.get_paginator("describe_log_groups").paginate(
            logGroupNamePrefix=prefix, PaginationConfig={"PageSize": 2}):
        seen += [g["logGroupName"] for g in page["logGroups"]]
    assert seen == names
    found = logs.describe_log_groups(logGroupNamePattern=prefix[6:] + "/B")["logGroups"]
    assert [g["logGroupName"] for g in found] == [names[1]]
    logs.put_retention_policy(logGroupName=names[0], retentionInDays=14)
    [g] = logs.describe_log_groups(logGroupNamePrefix=names[0])["logGroups"]
    assert g["retentionInDays"] == 14
    logs.delete_retention_policy(logGroupName=names[0])
    [g] = logs.describe_log_groups(logGroupNamePrefix=names[0])["logGroups"]
    assert "retentionInDays" not in g
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.put_retention_policy(logGroupName=names[0], retentionInDays=2)
    assert logs.list_tags_log_group(logGroupName=names[0])["tags"] == {"k": "v"}
    logs.tag_resource(resourceArn=g["logGroupArn"], tags={"x": "y"})
    logs.untag_resource(resourceArn=g["logGroupArn"], tagKeys=["k"])
    assert logs.list_tags_for_resource(resourceArn=g["logGroupArn"])["tags"] == {"x": "y"}
    for name in names:
        logs.delete_log_group(logGroupName=name)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.delete_log_group(logGroupName=names[0])
    assert logs.describe_log_groups(logGroupNamePrefix=prefix)["logGroups"] == []


def test_streams(logs, group):
    start = now_ms() - 100000
    for i, name in enumerate(["b", "a", "c"]):
        logs.create_log_stream(logGroupName=group, logStreamName=name)
        put(logs, group, name, ["x"], start=start + i * 1000)
    with pytest.raises(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_stream(logGroupName=group, logStreamName="a")
    found = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert [s["logStreamName"] for s in found] == ["a", "b", "c"]
    assert found[0]["firstEventTimestamp"] == found[0]["lastEventTimestamp"] == start + 1000
    assert found[0]["arn"].endswith(f"log-group:{group}:log-stream:a")
    found = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime",
                                      descending=True, limit=2)
    assert [s["logStreamName"] for s in found["logStreams"]] == ["c", "a"]
    found = logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime", descending=True,
                                      nextToken=found["nextToken"])
    assert [s["logStreamName"] for s in found["logStreams"]] == ["b"] and "nextToken" not in found
    logs.delete_log_stream(logGroupName=group, logStreamName="a")
    found = logs.describe_log_streams(logGroupName=group, logStreamNamePrefix="a")
    assert found["logStreams"] == []
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        put(logs, group, "a", ["x"])
    logs.create_log_stream(logGroupName=group, logStreamName="a")
    assert logs.get_log_events(logGroupName=group, logStreamName="a")["events"] == []
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.describe_log_streams(logGroupName=group, orderBy="LastEventTime",
                                  logStreamNamePrefix="x")


def test_put_rules(logs, group, stream):
    now = now_ms()
    cases = [
        [{"timestamp": now, "message": "a"}, {"timestamp": now - 1, "message": "b"}],
        [{"timestamp": now - 86400001, "message": "a"}, {"timestamp": now, "message": "b"}],
        [{"timestamp": now, "message": "x" * 1048577}],
        [{"timestamp": now, "message": "x" * 600000} for _ in range(2)],
        [{"timestamp": now, "message": ""}],
        [],
    ]
    for events in cases:
        with pytest.raises(logs.exceptions.InvalidParameterException):
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        put(logs, group, "none", ["x"])
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        put(logs, group + "none", "s", ["x"])
    old, new = now - 15 * 86400000, now + 3 * 3600000
    answer = logs.put_log_events(logGroupName=group, logStreamName=stream,
                                 logEvents=[{"timestamp": old, "message": "old"}])
    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    answer = logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=[
        {"timestamp": now, "message": "ok"}, {"timestamp": new, "message": "new"}])
    assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 1}
    assert answer["nextSequenceToken"]
    events = logs.get_log_events(logGroupName=group, logStreamName=stream)["events"]
    assert [e["message"] for e in events] == ["ok"]


def test_get_events(logs, group, stream):
    start = now_ms() - 60000
    put(logs, group, stream, [f"m{i}" for i in range(10)], start=start, step=10)

    def get(**more):
        return logs.get_log_events(logGroupName=group, logStreamName=stream, **more)

    def messages(page):
        return [e["message"] for e in page["events"]]
    page = get(limit=3)  # the latest
    assert messages(page) == ["m7", "m8", "m9"]
    older = get(limit=3, nextToken=page["nextBackwardToken"])
    assert messages(older) == ["m4", "m5", "m6"]
    assert messages(get(limit=3, nextToken=older["nextForwardToken"])) == ["m7", "m8", "m9"]
    end = get(nextToken=page["nextForwardToken"])
    assert messages(end) == [] and end["nextForwardToken"] == page["nextForwardToken"]
    put(logs, group, stream, ["more"], start=start + 1000)
    assert messages(get(nextToken=end["nextForwardToken"])) == ["more"]
    page = get(startFromHead=True, limit=4)
    assert messages(page) == ["m0", "m1", "m2", "m3"]
    assert messages(get(nextToken=page["nextForwardToken"], limit=2)) == ["m4", "m5"]
    assert messages(get(startTime=start + 20, endTime=start + 50)) == ["m2", "m3", "m4"]
    event = get(limit=1, startFromHead=True)["events"][0]
    assert event["timestamp"] == start and event["ingestionTime"] >= start
    with pytest.raises(logs.exceptions.InvalidParameterException):
        get(nextToken="nonsense")
    arn = f"arn:aws:logs:us-east-1:000000000000:log-group:{group}"
    assert len(logs.get_log_events(logGroupIdentifier=arn, logStreamName=stream)["events"]) == 11


def test_filter(logs, group):
    start = now_ms() - 60000
    for name in ("one", "two"):
        logs.create_log_stream(logGroupName=group, logStreamName=name)
    put(logs, group, "one", ["ERROR a", '{"level": "warn", "ms": 12}', "INFO b"], start, 20)
    put(logs, group, "two", ["ERROR c", '{"level": "info", "ms": 3}', "10.0.0.1 GET 404"],
        start + 10, 20)

    def found(pattern=None, **more):
        if pattern is not None:
            more["filterPattern"] = pattern
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, **more)
        return [e["message"] for page in pages for e in page["events"]]
    assert len(found()) == 6
    assert found("ERROR") == ["ERROR a", "ERROR c"]
    assert found("ERROR -a") == ["ERROR c"]
    assert found("?a ?b") == ["ERROR a", '{"level": "warn", "ms": 12}', "INFO b"]
    assert found('"ERROR c"') == ["ERROR c"]
    assert found("{ $.ms > 10 }") == ['{"level": "warn", "ms": 12}']
    assert found('{ $.level = "*o" || $.ms = 12 }') == [
        '{"level": "warn", "ms": 12}', '{"level": "info", "ms": 3}']
    assert found("[ip, method, status = 4*]") == ["10.0.0.1 GET 404"]
    assert found("%^INFO%") == ["INFO b"]
    assert found(logStreamNames=["two"]) == [
        "ERROR c", '{"level": "info", "ms": 3}', "10.0.0.1 GET 404"]
    assert found(logStreamNamePrefix="o", startTime=start + 20, endTime=start + 40) == [
        '{"level": "warn", "ms": 12}', "INFO b"]
    assert found(PaginationConfig={"PageSize": 2}) == found()
    first = logs.filter_log_events(logGroupName=group, limit=1)
    assert first["events"][0]["logStreamName"] == "one" and len(first["events"][0]["eventId"]) == 56
    for pattern in ("{ $.a", '"open', "[a", "%x"):
        with pytest.raises(logs.exceptions.InvalidParameterException):
            found(pattern)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        found(logStreamNames=["none"])
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.filter_log_events(logGroupName=group, nextToken=first["nextToken"],
                               filterPattern="other")


def test_metric_filter_test(logs):
    got = logs.test_metric_filter(filterPattern="[a, b = 2]", logEventMessages=["x 1", "y 2"])
    assert [(m["eventNumber"], m["eventMessage"]) for m in got["matches"]] == [(2, "y 2")]


def test_big_pages(logs, group, stream):
    start = now_ms() - 60000
    for i in range(3):
        put(logs, group, stream, ["x" * 90000] * 10, start=start + i)
    token, n, pages = None, 0, 0
    while True:
        more = {"nextToken": token} if token else {"startFromHead": True}
        page = logs.get_log_events(logGroupName=group, logStreamName=stream, **more)
        if not page["events"]:
            break
        assert sum(len(e["message"]) for e in page["events"]) <= 1 << 20
        n += len(page["events"])
        pages += 1
        token = page["nextForwardToken"]
    assert n == 30 and pages >= 3


def test_survives_a_kill(new_daemon, wait_until):
    d = new_daemon()
    logs = d.client("logs")
    logs.create_log_group(logGroupName="kept", tags={"a": "b"})
    logs.create_log_stream(logGroupName="kept", logStreamName="s")
    logs.create_log_stream(logGroupName="kept", logStreamName="gone")
    put(logs, "kept", "s", [f"m{i}" for i in range(50)])
    logs.delete_log_stream(logGroupName="kept", logStreamName="gone")
    logs.create_log_group(logGroupName="deleted")
    logs.delete_log_group(logGroupName="deleted")
    for _ in range(2):
        kill_server(d, wait_until)
        logs = d.client("logs")
        assert [g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]] == ["kept"]
        [s] = logs.describe_log_streams(logGroupName="kept")["logStreams"]
        assert s["logStreamName"] == "s"
        events = logs.get_log_events(logGroupName="kept", logStreamName="s")["events"]
        assert [e["message"] for e in events] == [f"m{i}" for i in range(50)]
        assert logs.list_tags_log_group(logGroupName="kept")["tags"] == {"a": "b"}


def test_function_logs_survive_a_kill(new_daemon, wait_until):
    import harness
    d = new_daemon()
    f = harness.make_function(d, "python", source="""
def handler(event, context):
    print("line", event["n"])
    return event["n"]
""")
    for n in range(5):
        assert f.call({"n": n}) == n
    kill_server(d, wait_until)
    logs = d.client("logs")
    group = "/aws/lambda/" + f.name
    found = logs.filter_log_events(logGroupName=group, filterPattern="line")["events"]
    assert [e["message"].strip() for e in found] == [f"line {n}" for n in range(5)]
    reports = logs.filter_log_events(logGroupName=group, filterPattern="REPORT")["events"]
    assert len(reports) == 5
    [g] = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert g["storedBytes"] > 0
