"""SQS through the current boto3 (JSON protocol)."""

import hashlib
import os
import signal
import struct
import threading
import time
import uuid

import botocore.exceptions
import pytest

from harness import unique_name


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def attributes_md5(attributes):
    """As AWS defines it, written down independently of the daemon."""
    out = b""
    for name in sorted(attributes):
        a = attributes[name]
        for part in (name.encode(), a["DataType"].encode()):
            out += struct.pack(">I", len(part)) + part
        if "BinaryValue" in a:
            out += b"\2" + struct.pack(">I", len(a["BinaryValue"])) + a["BinaryValue"]
        else:
            value = a["StringValue"].encode()
            out += b"\1" + struct.pack(">I", len(value)) + value
    return hashlib.md5(out).hexdigest()


@pytest.fixture
def sqs(client):
    return client("sqs")


@pytest.fixture
def make_queue(sqs):
    made = []

    def factory(fifo=False, prefix="q", **attributes):
        name = unique_name(prefix) + (".fifo" if fifo else "")
        if fifo:
            attributes.setdefault("FifoQueue", "true")
        url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        made.append(url)
        return url

    yield factory
    for url in made:
        try:
            sqs.delete_queue(QueueUrl=url)
        except botocore.exceptions.ClientError:
            pass


def arn_of(sqs, url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"]


def receive(sqs, url, n=10, **more):
    return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=n, **more).get("Messages", [])

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


def code_of(error):
    return error.value.response["Error"]["Code"]


def test_queue_life(sqs):
    name = unique_name("life")
    url = sqs.create_queue(QueueName=name, tags={"a": "1"})["QueueUrl"]
    assert url.endswith("/000000000000/" + name)
    assert sqs.create_queue(QueueName=name)["QueueUrl"] == url
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == url
    assert url in sqs.list_queues(QueueNamePrefix=name)["QueueUrls"]
    with pytest.raises(sqs.exceptions.QueueNameExists):
        sqs.create_queue(QueueName=name, Attributes={"DelaySeconds": "7"})
    sqs.tag_queue(QueueUrl=url, Tags={"b": "2"})
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"a": "1", "b": "2"}
    sqs.untag_queue(QueueUrl=url, TagKeys=["a"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"b": "2"}
    sqs.delete_queue(QueueUrl=url)
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as e:
        sqs.get_queue_url(QueueName=name)
    assert code_of(e) == "AWS.SimpleQueueService.NonExistentQueue"
    with pytest.raises(sqs.exceptions.QueueDeletedRecently):
        sqs.create_queue(QueueName=name)
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=name)


def test_attributes(sqs, make_queue):
    url = make_queue(VisibilityTimeout="45", DelaySeconds="0")
    got = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert got["VisibilityTimeout"] == "45"
    assert got["MaximumMessageSize"] == "1048576"
    assert got["MessageRetentionPeriod"] == "345600"
    assert got["ApproximateNumberOfMessages"] == "0"
    assert got["QueueArn"].startswith("arn:aws:sqs:us-east-1:000000000000:q")
    assert "FifoQueue" not in got
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "0", "Policy": ""})
    got = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert got["Attributes"] == {"VisibilityTimeout": "0"}
    for name, value, error in [
        ("VisibilityTimeout", "43201", "InvalidAttributeValue"),
        ("VisibilityTimeout", "x", "InvalidAttributeValue"),
        ("NoSuchThing", "1", "InvalidAttributeName"),
        ("ContentBasedDeduplication", "true", "InvalidAttributeName"),
        ("RedrivePolicy", "{", "InvalidParameterValue"),
        ("Policy", "no json", "InvalidAttributeValue"),
    ]:
        with pytest.raises(botocore.exceptions.ClientError) as e:
            sqs.set_queue_attributes(QueueUrl=url, Attributes={name: value})
        assert code_of(e) == error, name
    with pytest.raises(botocore.exceptions.ClientError) as e:
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Nope"])
    assert code_of(e) == "InvalidAttributeName"


@pytest.mark.parametrize("name", ["", "a b", "x" * 81, "q.fifo", "täst", ".fifo"])
def test_bad_names(sqs, name):
    with pytest.raises(botocore.exceptions.ClientError) as e:
        sqs.create_queue(QueueName=name)
    assert code_of(e) in ("InvalidParameterValue", "MissingParameter")


def test_send_receive_delete(sqs, make_queue):
    url = make_queue()
    attributes = {
        "text": {"DataType": "String", "StringValue": "ä value"},
        "number": {"DataType": "Number.int", "StringValue": "42"},
        "bytes": {"DataType": "Binary", "BinaryValue": b"\0\1\2\xff"},
    }
    sent = sqs.send_message(
        QueueUrl=url, MessageBody="hello ✓", MessageAttributes=attributes,
        MessageSystemAttributes={
            "AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-2-3"}})
    assert sent["MD5OfMessageBody"] == md5("hello ✓")
    assert sent["MD5OfMessageAttributes"] == attributes_md5(attributes)
    assert "MD5OfMessageSystemAttributes" in sent
    uuid.UUID(sent["MessageId"])
    before = time.time()
    [m] = receive(sqs, url, MessageAttributeNames=["All"], AttributeNames=["All"])
    assert m["Body"] == "hello ✓" and m["MessageId"] == sent["MessageId"]
    assert m["MD5OfBody"] == sent["MD5OfMessageBody"]
    assert m["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert {k: {x: y for x, y in v.items()} for k, v in m["MessageAttributes"].items()} == attributes
    system = m["Attributes"]
    assert system["ApproximateReceiveCount"] == "1"
    assert system["AWSTraceHeader"] == "Root=1-2-3"
    assert abs(int(system["SentTimestamp"]) / 1000 - before) < 60
    assert system["SenderId"]
    assert receive(sqs, url) == []
    sqs.delete_message(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"])


def test_attribute_selection(sqs, make_queue):
    url = make_queue(VisibilityTimeout="0")
    attributes = {n: {"DataType": "String", "StringValue": n} for n in ("a.one", "a.two", "b")}
    sqs.send_message(QueueUrl=url, MessageBody="x", MessageAttributes=attributes)
    [m] = receive(sqs, url)
    assert "MessageAttributes" not in m and "Attributes" not in m
    [m] = receive(sqs, url, MessageAttributeNames=["a.*"],
                  MessageSystemAttributeNames=["SentTimestamp"])
    assert sorted(m["MessageAttributes"]) == ["a.one", "a.two"]
    assert m["MD5OfMessageAttributes"] == attributes_md5(
        {k: v for k, v in attributes.items() if k.startswith("a.")})
    assert list(m["Attributes"]) == ["SentTimestamp"]
    [m] = receive(sqs, url, MessageAttributeNames=["b"])
    assert list(m["MessageAttributes"]) == ["b"]


@pytest.mark.parametrize("attribute, code", [
    ({"DataType": "String"}, "InvalidParameterValue"),
    ({"DataType": "Other", "StringValue": "x"}, "InvalidParameterValue"),
    ({"DataType": "Number", "StringValue": "x"}, "InvalidParameterValue"),
    ({"DataType": "String", "StringValue": ""}, "InvalidParameterValue"),
    ({"DataType": "String", "StringValue": "\x01"}, "InvalidMessageContents"),
])
def test_bad_attributes(sqs, make_queue, attribute, code):
    with pytest.raises(botocore.exceptions.ClientError) as e:
        sqs.send_message(QueueUrl=make_queue(), MessageBody="x", MessageAttributes={"n": attribute})
    assert code_of(e) == code


def test_bad_messages(sqs, make_queue):
    url = make_queue()
    limited = make_queue(MaximumMessageSize="1024")
    cases = [
        (url, {"MessageBody": "\x02"}, "InvalidMessageContents"),
        (url, {"MessageBody": "x" * 1048577}, "InvalidParameterValue"),
        (limited, {"MessageBody": "x" * 1025}, "InvalidParameterValue"),
        (url, {"MessageBody": "x", "DelaySeconds": 901}, "InvalidParameterValue"),
        (url, {"MessageBody": "x", "MessageDeduplicationId": "d"}, "InvalidParameterValue"),
    ]
    for queue, arguments, code in cases:
        with pytest.raises(botocore.exceptions.ClientError) as e:
            sqs.send_message(QueueUrl=queue, **arguments)
        assert code_of(e) == code, arguments.keys()
    sqs.send_message(QueueUrl=limited, MessageBody="x" * 1024)
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.send_message(QueueUrl=url + "nothere", MessageBody="x")


def test_large_message(sqs, make_queue):
    url = make_queue()
    body = "0123456789abcdef" * 65536
    sqs.send_message(QueueUrl=url, MessageBody=body)
    [m] = receive(sqs, url)
    assert m["Body"] == body and m["MD5OfBody"] == md5(body)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"])


def test_batches(sqs, make_queue):
    url = make_queue()
    answer = sqs.send_message_batch(QueueUrl=url, Entries=[
        {"Id": "a", "MessageBody": "A"}, {"Id": "b", "MessageBody": "\x03"},
        {"Id": "c", "MessageBody": "C", "DelaySeconds": 0}])
    assert [e["Id"] for e in answer["Successful"]] == ["a", "c"]
    [failed] = answer["Failed"]
    assert (failed["Id"], failed["SenderFault"], failed["Code"]) == (
        "b", True, "InvalidMessageContents")
    got = receive(sqs, url)
    assert sorted(m["Body"] for m in got) == ["A", "C"]
    answer = sqs.change_message_visibility_batch(QueueUrl=url, Entries=[
        {"Id": str(i), "ReceiptHandle": m["ReceiptHandle"], "VisibilityTimeout": 0}
        for i, m in enumerate(got)])
    assert len(answer["Successful"]) == 2
    got = receive(sqs, url)
    assert len(got) == 2
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=[
        {"Id": "x", "ReceiptHandle": got[0]["ReceiptHandle"]},
        {"Id": "y", "ReceiptHandle": "nonsense"}])
    assert answer["Successful"] == [{"Id": "x"}]
    assert answer["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"
    for entries, error in [
        ([], "AWS.SimpleQueueService.EmptyBatchRequest"),
        ([{"Id": str(i), "MessageBody": "x"} for i in range(11)],
         "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"),
        ([{"Id": "a", "MessageBody": "x"}, {"Id": "a", "MessageBody": "y"}],
         "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"),
        ([{"Id": "a b", "MessageBody": "x"}], "AWS.SimpleQueueService.InvalidBatchEntryId"),
        ([{"Id": str(i), "MessageBody": "x" * 600000} for i in range(2)],
         "AWS.SimpleQueueService.BatchRequestTooLong"),
    ]:
        with pytest.raises(botocore.exceptions.ClientError) as e:
            sqs.send_message_batch(QueueUrl=url, Entries=entries)
        assert code_of(e) == error


def test_visibility(sqs, make_queue):
    url = make_queue(VisibilityTimeout="600")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    [m] = receive(sqs, url, VisibilityTimeout=1)
    old = m["ReceiptHandle"]
    [m] = receive(sqs, url, WaitTimeSeconds=20, AttributeNames=["ApproximateReceiveCount"])
    assert m["Attributes"]["ApproximateReceiveCount"] == "2"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=old)  # an old handle does nothing
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[
        "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed"])["Attributes"]
    assert counts == {"ApproximateNumberOfMessages": "0",
                      "ApproximateNumberOfMessagesNotVisible": "1",
                      "ApproximateNumberOfMessagesDelayed": "0"}
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"],
                                  VisibilityTimeout=0)
    with pytest.raises(sqs.exceptions.MessageNotInflight):
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"],
                                      VisibilityTimeout=5)
    [m] = receive(sqs, url)
    for seconds in (-1, 43201):
        with pytest.raises(botocore.exceptions.ClientError) as e:
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"],
                                          VisibilityTimeout=seconds)
        assert code_of(e) == "InvalidParameterValue"
    with pytest.raises(sqs.exceptions.ReceiptHandleIsInvalid):
        sqs.delete_message(QueueUrl=url, ReceiptHandle="AQEBnonsense")
    with pytest.raises(sqs.exceptions.ReceiptHandleIsInvalid):
        sqs.delete_message(QueueUrl=make_queue(), ReceiptHandle=m["ReceiptHandle"])


def test_delay(sqs, make_queue):
    url = make_queue(DelaySeconds="900")
    sqs.send_message(QueueUrl=url, MessageBody="later")
    sqs.send_message(QueueUrl=url, MessageBody="soon", DelaySeconds=1)
    start = time.monotonic()
    got = receive(sqs, url)
    if time.monotonic() - start < 0.5:
        assert got == []
    if not got:
        got = receive(sqs, url, WaitTimeSeconds=20)
    assert [m["Body"] for m in got] == ["soon"]
    counts = sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesDelayed"])["Attributes"]
    assert counts["ApproximateNumberOfMessagesDelayed"] == "1"


def test_long_poll_is_woken(sqs, make_queue):
    url = make_queue()
    got = []
    waiters = [threading.Thread(
        target=lambda: got.extend(receive(sqs, url, WaitTimeSeconds=20))) for _ in range(3)]
    for w in waiters:
        w.start()
    start = time.monotonic()
    for i in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=str(i))
    deadline = start + 60
    while len(got) < 3 and time.monotonic() < deadline:
        got.extend(receive(sqs, url))
        time.sleep(0.02)
    assert sorted(m["Body"] for m in got) == ["0", "1", "2"]
    for i in range(3):  # whoever waits still
        sqs.send_message(QueueUrl=url, MessageBody="end")
    for w in waiters:
        w.join(60)
        assert not w.is_alive()


def test_long_poll_ends(sqs, make_queue):
    url = make_queue()
    start = time.monotonic()
    assert receive(sqs, url, WaitTimeSeconds=1) == []
    assert time.monotonic() - start >= 0.9
    for arguments in ({"WaitTimeSeconds": 21}, {"n": 11}, {"n": 0}, {"VisibilityTimeout": -1}):
        with pytest.raises(botocore.exceptions.ClientError) as e:
            receive(sqs, url, **arguments)
        assert code_of(e) == "InvalidParameterValue"


def test_dead_letters_and_move_task(sqs, make_queue, wait_until):
    dead = make_queue(prefix="dead")
    dead_arn = arn_of(sqs, dead)
    url = make_queue(VisibilityTimeout="0", RedrivePolicy=
                     '{"deadLetterTargetArn": "%s", "maxReceiveCount": "2"}' % dead_arn)
    source_arn = arn_of(sqs, url)
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    sent = sqs.send_message(QueueUrl=url, MessageBody="poison")
    assert len(receive(sqs, url)) == 1
    assert len(receive(sqs, url)) == 1
    assert receive(sqs, url) == []
    [m] = receive(sqs, dead, AttributeNames=["All"], WaitTimeSeconds=5, VisibilityTimeout=0)
    assert m["MessageId"] == sent["MessageId"]
    assert m["Attributes"]["DeadLetterQueueSourceArn"] == source_arn
    handle = sqs.start_message_move_task(SourceArn=dead_arn)["TaskHandle"]
    assert handle

    def completed():
        [t] = sqs.list_message_move_tasks(SourceArn=dead_arn)["Results"]
        return t if t["Status"] == "COMPLETED" else None
    task = wait_until(completed)
    assert task["ApproximateNumberOfMessagesMoved"] == 1
    [m] = receive(sqs, url, AttributeNames=["All"])
    assert m["Body"] == "poison" and m["MessageId"] != sent["MessageId"]
    assert m["Attributes"]["ApproximateReceiveCount"] == "1"
    assert receive(sqs, dead) == []
    with pytest.raises(sqs.exceptions.ResourceNotFoundException):
        sqs.cancel_message_move_task(TaskHandle=handle)
    with pytest.raises(botocore.exceptions.ClientError) as e:
        sqs.start_message_move_task(SourceArn=source_arn)
    assert code_of(e) == "InvalidParameterValue"
    with pytest.raises(sqs.exceptions.ResourceNotFoundException):
        sqs.start_message_move_task(SourceArn=source_arn + "x")


def test_redrive_rules(sqs, make_queue):
    closed = make_queue(RedriveAllowPolicy='{"redrivePermission": "denyAll"}')
    fifo = make_queue(fifo=True)
    url = make_queue()
    for target in (arn_of(sqs, closed), arn_of(sqs, fifo), arn_of(sqs, url),
                   "arn:aws:sqs:us-east-1:000000000000:none"):
        with pytest.raises(botocore.exceptions.ClientError) as e:
            sqs.set_queue_attributes(QueueUrl=url, Attributes={
                "RedrivePolicy": '{"deadLetterTargetArn":"%s","maxReceiveCount":3}' % target})
        assert code_of(e) == "InvalidParameterValue"


def test_fifo(sqs, make_queue):
    url = make_queue(fifo=True)
    for i in range(3):
        for group in "ab":
            sqs.send_message(QueueUrl=url, MessageBody=f"{group}{i}", MessageGroupId=group,
                             MessageDeduplicationId=f"{group}{i}")
    again = sqs.send_message(QueueUrl=url, MessageBody="other", MessageGroupId="a",
                             MessageDeduplicationId="a0")
    first = receive(sqs, url, n=2, AttributeNames=["All"])
    assert [m["Body"] for m in first] == ["a0", "a1"]
    assert first[0]["MessageId"] == again["MessageId"]
    assert first[0]["Attributes"]["SequenceNumber"] == again["SequenceNumber"]
    assert first[0]["Attributes"]["MessageGroupId"] == "a"
    assert first[0]["Attributes"]["SequenceNumber"] < first[1]["Attributes"]["SequenceNumber"]
    # The group is in flight: only the other one can be received.
    assert [m["Body"] for m in receive(sqs, url)] == ["b0", "b1", "b2"]
    assert receive(sqs, url) == []
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first[0]["ReceiptHandle"])
    assert receive(sqs, url) == []
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first[1]["ReceiptHandle"],
                                  VisibilityTimeout=0)
    with pytest.raises(botocore.exceptions.ClientError) as e:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=first[1]["ReceiptHandle"])
    assert code_of(e) == "InvalidParameterValue"
    assert [m["Body"] for m in receive(sqs, url)] == ["a1", "a2"]


def test_fifo_rules(sqs, make_queue):
    url = make_queue(fifo=True)
    content = make_queue(fifo=True, ContentBasedDeduplication="true",
                         DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
    for arguments, code in [
        ({}, "MissingParameter"),
        ({"MessageGroupId": "g"}, "InvalidParameterValue"),
        ({"MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": 3},
         "InvalidParameterValue"),
        ({"MessageGroupId": "g" * 129, "MessageDeduplicationId": "d"}, "InvalidParameterValue"),
        ({"MessageGroupId": "a b", "MessageDeduplicationId": "d"}, "InvalidParameterValue"),
    ]:
        with pytest.raises(botocore.exceptions.ClientError) as e:
            sqs.send_message(QueueUrl=url, MessageBody="x", **arguments)
        assert code_of(e) == code, arguments
    a = sqs.send_message(QueueUrl=content, MessageBody="same", MessageGroupId="a")
    b = sqs.send_message(QueueUrl=content, MessageBody="same", MessageGroupId="a")
    c = sqs.send_message(QueueUrl=content, MessageBody="same", MessageGroupId="b")
    assert a["MessageId"] == b["MessageId"] != c["MessageId"]
    got = receive(sqs, content, AttributeNames=["All"])
    assert len(got) == 2
    assert got[0]["Attributes"]["MessageDeduplicationId"] == hashlib.sha256(b"same").hexdigest()
    with pytest.raises(botocore.exceptions.ClientError):
        make_queue(fifo=True, FifoThroughputLimit="perMessageGroupId")


def test_fifo_receive_attempt(sqs, make_queue):
    url = make_queue(fifo=True, ContentBasedDeduplication="true")
    for i in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=str(i), MessageGroupId="g")
    attempt = str(uuid.uuid4())
    first = receive(sqs, url, n=2, ReceiveRequestAttemptId=attempt)
    again = receive(sqs, url, n=2, ReceiveRequestAttemptId=attempt)
    assert [m["Body"] for m in again] == [m["Body"] for m in first] == ["0", "1"]


def test_fifo_dead_letters(sqs, make_queue):
    dead = make_queue(fifo=True, prefix="dead")
    url = make_queue(fifo=True, VisibilityTimeout="0", ContentBasedDeduplication="true",
                     RedrivePolicy='{"deadLetterTargetArn":"%s","maxReceiveCount":1}' %
                     arn_of(sqs, dead))
    for i in range(2):
        sqs.send_message(QueueUrl=url, MessageBody=str(i), MessageGroupId="g")
    assert [m["Body"] for m in receive(sqs, url, n=1)] == ["0"]
    assert [m["Body"] for m in receive(sqs, url, n=1)] == ["1"]
    assert receive(sqs, url, n=1) == []
    assert [m["Body"] for m in receive(sqs, dead)] == ["0", "1"]


def test_purge(sqs, make_queue):
    url = make_queue()
    for i in range(5):
        sqs.send_message(QueueUrl=url, MessageBody=str(i))
    receive(sqs, url, n=2)
    sqs.purge_queue(QueueUrl=url)
    got = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert got["ApproximateNumberOfMessages"] == "0"
    assert got["ApproximateNumberOfMessagesNotVisible"] == "0"
    with pytest.raises(sqs.exceptions.PurgeQueueInProgress):
        sqs.purge_queue(QueueUrl=url)


def test_permissions(sqs, make_queue):
    import json
    url = make_queue()
    sqs.add_permission(QueueUrl=url, Label="one", AWSAccountIds=["111122223333"],
                       Actions=["SendMessage", "ReceiveMessage"])
    policy = json.loads(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])[
        "Attributes"]["Policy"])
    [statement] = policy["Statement"]
    assert statement["Action"] == ["SQS:SendMessage", "SQS:ReceiveMessage"]
    assert statement["Principal"] == {"AWS": "arn:aws:iam::111122223333:root"}
    for label, account, action in [("one", "111122223333", "SendMessage"),
                                   ("two", "1", "SendMessage"),
                                   ("two", "111122223333", "CreateQueue")]:
        with pytest.raises(botocore.exceptions.ClientError):
            sqs.add_permission(QueueUrl=url, Label=label, AWSAccountIds=[account],
                               Actions=[action])
    sqs.remove_permission(QueueUrl=url, Label="one")
    with pytest.raises(botocore.exceptions.ClientError):
        sqs.remove_permission(QueueUrl=url, Label="one")
    got = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])
    assert "Policy" not in got.get("Attributes", {})


def test_paging(sqs):
    prefix = unique_name("page")
    names = [f"{prefix}-{i}" for i in range(5)]
    for name in names:
        sqs.create_queue(QueueName=name)
    seen = []
    for page in sqs.get_paginator("list_queues").paginate(
            QueueNamePrefix=prefix, PaginationConfig={"PageSize": 2}):
        assert len(page["QueueUrls"]) <= 2
        seen += [u.rsplit("/", 1)[1] for u in page["QueueUrls"]]
    assert seen == names
    for name in names:
        sqs.delete_queue(QueueUrl=name)  # a bare name is taken as well


def test_survives_a_kill(new_daemon, wait_until):
    d = new_daemon()
    sqs = d.client("sqs")
    url = sqs.create_queue(QueueName="kept")["QueueUrl"]
    ids = {sqs.send_message(QueueUrl=url, MessageBody=str(i))["MessageId"] for i in range(20)}
    [held] = receive(sqs, url, n=1, VisibilityTimeout=600)
    kill_server(d, wait_until)
    sqs = d.client("sqs")
    url = sqs.get_queue_url(QueueName="kept")["QueueUrl"]
    seen = set()
    while True:
        got = receive(sqs, url)
        if not got:
            break
        seen |= {m["MessageId"] for m in got}
    assert seen == ids - {held["MessageId"]}
    sqs.delete_message(QueueUrl=url, ReceiptHandle=held["ReceiptHandle"])
    counts = sqs.get_queue_attributes(
        QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])["Attributes"]
    assert counts["ApproximateNumberOfMessagesNotVisible"] == "19"
