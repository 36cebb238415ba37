"""Asynchronous invocation and event source mappings, driven by boto3.

The daemon runs with a time scale, so that the platform's minutes pass in fractions of a second.
"""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

import harness
from harness import wait_until


@pytest.fixture(scope="module")
def quick():
    d = harness.Daemon("--time-scale", "0.01")
    yield d
    d.close()


@pytest.fixture
def make(quick):
    def factory(kind="python", **kw):
        return harness.make_function(quick, kind, **kw)
    return factory


@pytest.fixture
def queue(quick):
    sqs = quick.client("sqs")

    def factory(fifo=False, **attributes):
        name = "q-" + uuid.uuid4().hex[:12] + (".fifo" if fifo else "")
        if fifo:
            attributes["FifoQueue"] = "true"
        url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, arn["Attributes"]["QueueArn"]
    return factory


def take(quick, url, n=1):
    """Waits for n messages of a queue and answers them."""
    sqs = quick.client("sqs")
    got = []

    def more():
        r = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1,
                                MessageAttributeNames=["All"], MessageSystemAttributeNames=["All"])
        for m in r.get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"])
            got.append(m)
        return len(got) >= n
    wait_until(more, what="%d messages" % n)
    return got


def depth(quick, url):
    a = quick.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return tuple(int(a[k]) for k in ("ApproximateNumberOfMessages",
                                     "ApproximateNumberOfMessagesNotVisible"))


def sender_source(prints="GOT"):
    """A function without an SDK: what it was given is in its log."""
    return """
import json
def handler(event, context):
    print("%s " + json.dumps(event))
    if isinstance(event, dict) and event.get("fail"):
        raise ValueError("told to fail")
    return {"seen": event}
""" % prints


def logged(quick, f, mark="GOT "):
    logs = quick.client("logs")
    try:
        events = logs.filter_log_events(logGroupName="/aws/lambda/" + f.name)["events"]
    except ClientError:
        return []
    return [json.loads(e["message"][len(mark):]) for e in events if e["message"].startswith(mark)]


# ---- asynchronous invocation ---------------------------------------------------------------------

def test_event_is_accepted_and_runs(quick, make):
    f = make(source=sender_source())
    r = quick.client("lambda").invoke(FunctionName=f.name, InvocationType="Event",
                                      Payload=b'{"n": 1}')
    assert r["StatusCode"] == 202
    assert r["Payload"].read() == b""
    wait_until(lambda: logged(quick, f) == [{"n": 1}])


def test_event_with_bad_json_is_refused(quick, make):
    f = make(source=sender_source())
    with pytest.raises(ClientError) as e:
        quick.client("lambda").invoke(FunctionName=f.name, InvocationType="Event", Payload=b'{"n": ')
    assert e.value.response["Error"]["Code"] == "InvalidRequestContentException"


def test_event_over_1_mb_is_refused(quick, make):
    f = make(source=sender_source())
    with pytest.raises(ClientError) as e:
        quick.client("lambda").invoke(FunctionName=f.name, InvocationType="Event",
                                      Payload=json.dumps("x" * (1100 * 1024)).encode())
    assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


def test_failed_event_is_tried_three_times_then_goes_to_the_destination(quick, make, queue):
    url, arn = queue()
    dead_url, dead_arn = queue()
    f = make(source=sender_source(), DeadLetterConfig={"TargetArn": dead_arn})
    quick.client("lambda").put_function_event_invoke_config(
        FunctionName=f.name, DestinationConfig={"OnFailure": {"Destination": arn}})
    quick.client("lambda").invoke(FunctionName=f.name, InvocationType="Event",
                                  Payload=b'{"fail": true}')
    record = json.loads(take(quick, url)[0]["Body"])
    assert record["version"] == "1.0"
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["requestContext"]["functionArn"] == f.arn + ":$LATEST"
    assert record["requestPayload"] == {"fail": True}
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST",
                                         "functionError": "Unhandled"}
    assert record["responsePayload"]["errorMessage"] == "told to fail"
    assert len(logged(quick, f)) == 3
    dead = take(quick, dead_url)[0]
    assert json.loads(dead["Body"]) == {"fail": True}
    attributes = {k: v["StringValue"] for k, v in dead["MessageAttributes"].items()}
    assert attributes["RequestID"] == record["requestContext"]["requestId"]
    assert attributes["ErrorCode"] == "200"
    assert attributes["ErrorMessage"] == "told to fail"


def test_destination_on_success(quick, make, queue):
    url, arn = queue()
    f = make(source=sender_source())
    quick.client("lambda").put_function_event_invoke_config(
        FunctionName=f.name, MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": arn}})
    quick.client("lambda").invoke(FunctionName=f.name, InvocationType="Event", Payload=b'{"n": 2}')
    record = json.loads(take(quick, url)[0]["Body"])
    assert record["requestContext"]["condition"] == "Success"
    assert record["responsePayload"] == {"seen": {"n": 2}}


def test_destination_function_gets_the_record(quick, make):
    second = make(source=sender_source())
    first = make(source=sender_source())
    quick.client("lambda").put_function_event_invoke_config(
        FunctionName=first.name, DestinationConfig={"OnSuccess": {"Destination": second.arn}})
    quick.client("lambda").invoke(FunctionName=first.name, InvocationType="Event", Payload=b"{}")
    got = wait_until(lambda: logged(quick, second))
    assert got[0]["requestContext"]["functionArn"] == first.arn + ":$LATEST"


def test_retries_can_be_switched_off(quick, make, queue):
    url, arn = queue()
    f = make(source=sender_source())
    quick.client("lambda").put_function_event_invoke_config(
        FunctionName=f.name, MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": arn}})
    quick.client("lambda").invoke(FunctionName=f.name, InvocationType="Event",
                                  Payload=b'{"fail": true}')
    record = json.loads(take(quick, url)[0]["Body"])
    assert record["requestContext"]["approximateInvokeCount"] == 1


def test_throttled_event_waits_for_room(quick, make):
    f = make(source=sender_source())
    lam = quick.client("lambda")
    lam.put_function_concurrency(FunctionName=f.name, ReservedConcurrentExecutions=0)
    assert lam.invoke(FunctionName=f.name, InvocationType="Event",
                      Payload=b'{"n": 3}')["StatusCode"] == 202
    lam.delete_function_concurrency(FunctionName=f.name)
    wait_until(lambda: logged(quick, f) == [{"n": 3}])


def test_accepted_events_survive_a_kill(new_daemon, make_function):
    d = new_daemon("--time-scale", "0.01")
    f = make_function(on=d, source=sender_source())
    lam = d.client("lambda")
    lam.put_function_concurrency(FunctionName=f.name, ReservedConcurrentExecutions=0)
    for i in range(5):
        lam.invoke(FunctionName=f.name, InvocationType="Event", Payload=b'{"n": %d}' % i)
    d.kill()
    wait_until(lambda: not harness.descendants(d.pid))
    d.start()
    d.client("lambda").delete_function_concurrency(FunctionName=f.name)
    wait_until(lambda: sorted(e["n"] for e in logged(d, f)) == list(range(5)))


# ---- event source mappings: queues ---------------------------------------------------------------

def mapping(quick, f, arn, **more):
    lam = quick.client("lambda")
    m = lam.create_event_source_mapping(FunctionName=f.name, EventSourceArn=arn, **more)
    wait_until(lambda: lam.get_event_source_mapping(UUID=m["UUID"])["State"] == "Enabled")
    return m["UUID"]


def test_messages_reach_the_function(quick, make, queue):
    url, arn = queue()
    f = make(source=sender_source())
    sqs = quick.client("sqs")
    sqs.send_message(QueueUrl=url, MessageBody="before")
    uuid_ = mapping(quick, f, arn)
    sqs.send_message(QueueUrl=url, MessageBody="after", MessageAttributes={
        "color": {"DataType": "String", "StringValue": "red"},
        "raw": {"DataType": "Binary", "BinaryValue": b"\0\1"}})
    wait_until(lambda: sum(len(e["Records"]) for e in logged(quick, f)) == 2)
    records = {r["body"]: r for e in logged(quick, f) for r in e["Records"]}
    r = records["after"]
    assert r["eventSource"] == "aws:sqs" and r["eventSourceARN"] == arn
    assert r["awsRegion"] == "us-east-1"
    assert r["attributes"]["ApproximateReceiveCount"] == "1"
    assert r["messageAttributes"]["color"]["stringValue"] == "red"
    assert r["messageAttributes"]["raw"] == {
        "binaryValue": "AAE=", "stringListValues": [], "binaryListValues": [],
        "dataType": "Binary"}
    wait_until(lambda: depth(quick, url) == (0, 0))
    lam = quick.client("lambda")
    wait_until(lambda: lam.get_event_source_mapping(UUID=uuid_).get(
        "LastProcessingResult") == "OK")
    lam.delete_event_source_mapping(UUID=uuid_)


def test_batches_and_window(quick, make, queue):
    url, arn = queue()
    f = make(source=sender_source())
    sqs = quick.client("sqs")
    mapping(quick, f, arn, BatchSize=100, MaximumBatchingWindowInSeconds=2)
    for at in range(0, 30, 10):
        sqs.send_message_batch(QueueUrl=url, Entries=[
            {"Id": str(i), "MessageBody": str(at + i)} for i in range(10)])
    wait_until(lambda: sum(len(e["Records"]) for e in logged(quick, f)) == 30)
    assert max(len(e["Records"]) for e in logged(quick, f)) > 1


def test_filter_drops_what_does_not_match(quick, make, queue):
    url, arn = queue()
    f = make(source=sender_source())
    mapping(quick, f, arn, FilterCriteria={"Filters": [
        {"Pattern": json.dumps({"body": {"kind": ["wanted"], "n": [{"numeric": [">", 1]}]}})}]})
    sqs = quick.client("sqs")
    for body in ({"kind": "wanted", "n": 1}, {"kind": "other", "n": 5}, {"kind": "wanted", "n": 5}):
        sqs.send_message(QueueUrl=url, MessageBody=json.dumps(body))
    sqs.send_message(QueueUrl=url, MessageBody="no json")
    wait_until(lambda: depth(quick, url) == (0, 0))
    wait_until(lambda: logged(quick, f))
    bodies = [json.loads(r["body"]) for e in logged(quick, f) for r in e["Records"]]
    assert bodies == [{"kind": "wanted", "n": 5}]


def test_invalid_filter_is_refused(quick, make, queue):
    _, arn = queue()
    f = make(source=sender_source())
    with pytest.raises(ClientError) as e:
        quick.client("lambda").create_event_source_mapping(
            FunctionName=f.name, EventSourceArn=arn,
            FilterCriteria={"Filters": [{"Pattern": '{"body": "x"}'}]})
    assert e.value.response["Error"]["Code"] == "InvalidParameterValueException"


def test_partial_failures_come_back_alone(quick, make, queue):
    dead_url, dead_arn = queue()
    url, arn = queue(VisibilityTimeout="1", RedrivePolicy=json.dumps(
        {"deadLetterTargetArn": dead_arn, "maxReceiveCount": 2}))
    f = make(source="""
import json
def handler(event, context):
    print("GOT " + json.dumps([r["body"] for r in event["Records"]]))
    return {"batchItemFailures": [{"itemIdentifier": r["messageId"]} for r in event["Records"]
                                  if r["body"].startswith("bad")]}
""", Timeout=1)
    mapping(quick, f, arn, FunctionResponseTypes=["ReportBatchItemFailures"])
    quick.client("sqs").send_message_batch(QueueUrl=url, Entries=[
        {"Id": str(i), "MessageBody": b} for i, b in enumerate(["good", "bad", "good2"])])
    assert take(quick, dead_url)[0]["Body"] == "bad"
    seen = [b for batch in logged(quick, f) for b in batch]
    assert seen.count("good") == 1 and seen.count("good2") == 1 and seen.count("bad") == 2


def test_fifo_order_per_group(quick, make, queue):
    url, arn = queue(fifo=True, ContentBasedDeduplication="true")
    f = make(source=sender_source())
    mapping(quick, f, arn, BatchSize=3)
    sqs = quick.client("sqs")
    for i in range(12):
        sqs.send_message(QueueUrl=url, MessageBody=str(i), MessageGroupId="g%d" % (i % 3))
    wait_until(lambda: sum(len(e["Records"]) for e in logged(quick, f)) == 12)
    wait_until(lambda: depth(quick, url) == (0, 0))
    seen = {}
    for e in logged(quick, f):
        for r in e["Records"]:
            seen.setdefault(r["attributes"]["MessageGroupId"], []).append(int(r["body"]))
    assert seen == {"g%d" % g: list(range(g, 12, 3)) for g in range(3)}


def test_disabled_mapping_rests(quick, make, queue):
    url, arn = queue()
    f = make(source=sender_source())
    lam = quick.client("lambda")
    uuid_ = mapping(quick, f, arn)
    lam.update_event_source_mapping(UUID=uuid_, Enabled=False)
    wait_until(lambda: lam.get_event_source_mapping(UUID=uuid_)["State"] == "Disabled")
    quick.client("sqs").send_message(QueueUrl=url, MessageBody="later")
    assert depth(quick, url) == (1, 0)
    lam.update_event_source_mapping(UUID=uuid_, Enabled=True)
    wait_until(lambda: logged(quick, f))
    lam.delete_event_source_mapping(UUID=uuid_)

    def gone():
        try:
            lam.get_event_source_mapping(UUID=uuid_)
        except ClientError as e:
            return e.response["Error"]["Code"] == "ResourceNotFoundException"
    wait_until(gone)


# ---- the operator's view -------------------------------------------------------------------------

def test_tags_of_a_mapping(new_daemon):
    daemon = new_daemon()
    lam = daemon.client("lambda")
    f = harness.make_function(daemon, "python")
    url = daemon.client("sqs").create_queue(QueueName="tagged")["QueueUrl"]
    arn = daemon.client("sqs").get_queue_attributes(
        QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    made = lam.create_event_source_mapping(FunctionName=f.name, EventSourceArn=arn, Enabled=False,
                                           Tags={"team": "a", "stage": "test"})
    mapping = made["EventSourceMappingArn"]
    assert lam.list_tags(Resource=mapping)["Tags"] == {"team": "a", "stage": "test"}
    lam.tag_resource(Resource=mapping, Tags={"team": "b", "cost": "7"})
    lam.untag_resource(Resource=mapping, TagKeys=["stage", "absent"])
    lam.update_event_source_mapping(UUID=made["UUID"], BatchSize=3)
    daemon.restart()
    lam = daemon.client("lambda")
    assert lam.list_tags(Resource=mapping)["Tags"] == {"team": "b", "cost": "7"}
    with pytest.raises(lam.exceptions.InvalidParameterValueException):
        lam.tag_resource(Resource=mapping, Tags={"k%d" % i: "v" for i in range(60)})
    with pytest.raises(lam.exceptions.ResourceNotFoundException):
        lam.list_tags(Resource=mapping[:-4] + "0000")
    lam.untag_resource(Resource=mapping, TagKeys=["team", "cost"])
    assert lam.list_tags(Resource=mapping)["Tags"] == {}


def test_failed_event_is_shown_and_replayed(quick, make):
    f = make(source=sender_source())
    quick.client("lambda").put_function_event_invoke_config(FunctionName=f.name,
                                                            MaximumRetryAttempts=0)
    quick.client("lambda").invoke(FunctionName=f.name, InvocationType="Event",
                                  Payload=b'{"fail": true, "mark": "again"}')

    def failed():
        r = quick.cli("events", "--json")
        assert r.returncode == 0, r.stderr
        return [e for e in json.loads(r.stdout)["failed"] if e["function"] == f.name]
    entry = wait_until(failed)[0]
    assert entry["condition"] == "RetriesExhausted"
    assert entry["payload"] == {"fail": True, "mark": "again"}
    r = quick.cli("replay", str(entry["id"]))
    assert r.returncode == 0, r.stderr
    wait_until(lambda: len(logged(quick, f)) == 2)


def test_queues_are_shown(quick, queue):
    url, arn = queue()
    quick.client("sqs").send_message(QueueUrl=url, MessageBody="x")
    r = quick.cli("queues", "--json")
    assert r.returncode == 0, r.stderr
    mine = [q for q in json.loads(r.stdout)["queues"] if q["arn"] == arn]
    assert mine and mine[0]["visible"] == 1
