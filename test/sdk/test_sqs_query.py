"""SQS by the query protocol, which older SDKs speak: form bodies, XML answers, old error codes."""

import hashlib
import http.client
import urllib.parse
import xml.etree.ElementTree as ET

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from harness import unique_name

NS = "{http://queue.amazonaws.com/doc/2012-11-05/}"


class Query:
    def __init__(self, daemon):
        self.daemon = daemon

    def raw(self, path="/", host=None, **parameters):
        parameters.setdefault("Version", "2012-11-05")
        body = urllib.parse.urlencode(parameters).encode()
        host = host or "127.0.0.1:%d" % self.daemon.port
        request = AWSRequest(
            method="POST", url="http://%s%s" % (host, path), data=body,
            headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"})
        SigV4Auth(Credentials("test", "test"), "sqs", "us-east-1").add_auth(request)
        headers = dict(request.headers)
        headers["Host"] = host
        c = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=60)
        c.request("POST", path, body, headers)
        answer = c.getresponse()
        text = answer.read()
        c.close()
        return answer.status, dict((k.lower(), v) for k, v in answer.getheaders()), ET.fromstring(
            text)

    def call(self, action, path="/", **parameters):
        status, headers, root = self.raw(path=path, Action=action, **parameters)
        assert status == 200, ET.tostring(root)
        assert headers["content-type"].startswith("text/xml")
        assert root.tag == NS + action + "Response"
        assert root.find(f"{NS}ResponseMetadata/{NS}RequestId").text
        return root.find(f"{NS}{action}Result")

    def fail(self, action, path="/", **parameters):
        status, _, root = self.raw(path=path, Action=action, **parameters)
        assert status >= 400
        assert root.tag == NS + "ErrorResponse"
        error = root.find(NS + "Error")
        assert error.find(NS + "Type").text == "Sender"
        return status, error.find(NS + "Code").text


@pytest.fixture
def query(daemon):
    return Query(daemon)


def texts(node, path):
    return [n.text for n in node.findall("/".join(NS + p for p in path.split("/")))]


def pairs(node):
    return {n.find(NS + "Name").text: n.find(NS + "Value").text
            for n in node.findall(NS + "Attribute")}


def test_life_of_a_message(query):
    name = unique_name("query")
    made = query.call("CreateQueue", **{
        "QueueName": name, "Attribute.1.Name": "VisibilityTimeout", "Attribute.1.Value": "0",
        "Attribute.2.Name": "DelaySeconds", "Attribute.2.Value": "0"})
    url = made.find(NS + "QueueUrl").text
    path = urllib.parse.urlparse(url).path
    assert path == "/000000000000/" + name
    sent = query.call("SendMessage", path=path, **{
        "QueueUrl": url, "MessageBody": "h<é>&", "MessageAttribute.1.Name": "n",
        "MessageAttribute.1.Value.DataType": "String",
        "MessageAttribute.1.Value.StringValue": "v"})
    assert sent.find(NS + "MD5OfMessageBody").text == hashlib.md5("h<é>&".encode()).hexdigest()
    got = query.call("ReceiveMessage", path=path, **{
        "QueueUrl": url, "AttributeName.1": "All", "MessageAttributeName.1": "All",
        "MaxNumberOfMessages": "10"})
    [message] = got.findall(NS + "Message")
    assert message.find(NS + "Body").text == "h<é>&"
    assert pairs(message)["ApproximateReceiveCount"] == "1"
    attribute = message.find(NS + "MessageAttribute")
    assert attribute.find(NS + "Name").text == "n"
    assert attribute.find(f"{NS}Value/{NS}StringValue").text == "v"
    handle = message.find(NS + "ReceiptHandle").text
    query.call("DeleteMessage", path=path, QueueUrl=url, ReceiptHandle=handle)
    got = query.call("ReceiveMessage", path=path, QueueUrl=url)
    assert got is None or got.findall(NS + "Message") == []
    attributes = query.call("GetQueueAttributes", path=path,
                            **{"QueueUrl": url, "AttributeName.1": "All"})
    assert pairs(attributes)["VisibilityTimeout"] == "0"
    assert url in texts(query.call("ListQueues", QueueNamePrefix=name), "QueueUrl")
    query.call("DeleteQueue", path=path, QueueUrl=url)


def test_queue_named_by_path_alone(query):
    """Old clients post to the queue's URL and leave QueueUrl out."""
    url = query.call("CreateQueue", QueueName=unique_name("path")).find(NS + "QueueUrl").text
    path = urllib.parse.urlparse(url).path
    status, _, root = query.raw(path=path, Action="SendMessage", MessageBody="x", QueueUrl=url)
    assert status == 200, ET.tostring(root)
    for host in ("sqs.us-east-1.localhost:%d" % query.daemon.port,
                 "us-east-1.queue.localhost:%d" % query.daemon.port,
                 "queue.amazonaws.com", "sqs.us-east-1.amazonaws.com"):
        status, _, root = query.raw(path=path, host=host, Action="SendMessage", MessageBody="x",
                                    QueueUrl="http://%s%s" % (host, path))
        assert status == 200, (host, ET.tostring(root))
    query.call("DeleteQueue", path=path, QueueUrl=url)


def test_batches(query):
    url = query.call("CreateQueue", QueueName=unique_name("batch")).find(NS + "QueueUrl").text
    sent = query.call("SendMessageBatch", **{
        "QueueUrl": url,
        "SendMessageBatchRequestEntry.1.Id": "a",
        "SendMessageBatchRequestEntry.1.MessageBody": "A",
        "SendMessageBatchRequestEntry.2.Id": "b",
        "SendMessageBatchRequestEntry.2.MessageBody": "\x04"})
    assert texts(sent, "SendMessageBatchResultEntry/Id") == ["a"]
    assert texts(sent, "BatchResultErrorEntry/Id") == ["b"]
    assert texts(sent, "BatchResultErrorEntry/Code") == ["InvalidMessageContents"]
    got = query.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages="10", WaitTimeSeconds="1")
    handle = texts(got, "Message/ReceiptHandle")[0]
    changed = query.call("ChangeMessageVisibilityBatch", **{
        "QueueUrl": url,
        "ChangeMessageVisibilityBatchRequestEntry.1.Id": "x",
        "ChangeMessageVisibilityBatchRequestEntry.1.ReceiptHandle": handle,
        "ChangeMessageVisibilityBatchRequestEntry.1.VisibilityTimeout": "300"})
    assert texts(changed, "ChangeMessageVisibilityBatchResultEntry/Id") == ["x"]
    gone = query.call("DeleteMessageBatch", **{
        "QueueUrl": url, "DeleteMessageBatchRequestEntry.1.Id": "x",
        "DeleteMessageBatchRequestEntry.1.ReceiptHandle": handle})
    assert texts(gone, "DeleteMessageBatchResultEntry/Id") == ["x"]
    query.call("DeleteQueue", QueueUrl=url)


def test_errors_have_their_old_names(query):
    url = query.call("CreateQueue", QueueName=unique_name("err")).find(NS + "QueueUrl").text
    assert query.fail("SendMessage", QueueUrl=url + "x", MessageBody="m") == (
        400, "AWS.SimpleQueueService.NonExistentQueue")
    assert query.fail("DeleteMessage", QueueUrl=url, ReceiptHandle="x")[1] == (
        "ReceiptHandleIsInvalid")
    assert query.fail("SendMessage", QueueUrl=url)[1] == "MissingParameter"
    assert query.fail("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages="11")[1] == (
        "InvalidParameterValue")
    assert query.fail("CreateQueue", QueueName="a b")[1] == "InvalidParameterValue"
    assert query.fail("SendMessageBatch", QueueUrl=url)[1] in (
        "AWS.SimpleQueueService.EmptyBatchRequest", "MissingParameter")
    assert query.fail("NoSuchAction")[1] == "InvalidAction"
    query.call("PurgeQueue", QueueUrl=url)
    assert query.fail("PurgeQueue", QueueUrl=url)[1] == (
        "AWS.SimpleQueueService.PurgeQueueInProgress")
    query.call("DeleteQueue", QueueUrl=url)


def test_tags_and_permissions(query):
    url = query.call("CreateQueue", **{
        "QueueName": unique_name("tags"), "Tag.1.Key": "a", "Tag.1.Value": "1"}).find(
            NS + "QueueUrl").text
    query.call("TagQueue", **{"QueueUrl": url, "Tags.1.Key": "b", "Tags.1.Value": "2"})
    tags = query.call("ListQueueTags", QueueUrl=url)
    assert dict(zip(texts(tags, "Tag/Key"), texts(tags, "Tag/Value"))) == {"a": "1", "b": "2"}
    query.call("AddPermission", **{
        "QueueUrl": url, "Label": "l", "AWSAccountId.1": "111122223333",
        "ActionName.1": "SendMessage"})
    query.call("RemovePermission", QueueUrl=url, Label="l")
    query.call("DeleteQueue", QueueUrl=url)
