"""Signatures and protocols as clients meet them: what is accepted, and AWS's words for what is not."""

import datetime
import hashlib
import hmac
import json
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest
from botocore.exceptions import ClientError

KEY, SECRET, REGION = "test", "test", "us-east-1"


class Reply:
    def __init__(self, response):
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.headers.items()}
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The error's code, wherever the protocol has it."""
        if "x-amzn-errortype" in self.headers:
            return self.headers["x-amzn-errortype"]
        if self.body.startswith(b"{"):
            return self.json["__type"].split("#")[-1]
        return next(e.text for e in ET.fromstring(self.body).iter() if e.tag.endswith("Code"))


def send(method, url, headers, body=None):
    request = urllib.request.Request(url, method=method, headers=dict(headers), data=body)
    try:
        return Reply(urllib.request.urlopen(request, timeout=60))
    except urllib.error.HTTPError as error:
        return Reply(error)


def signed(daemon, service, method="GET", path="/", body=b"", headers=(), secret=SECRET, key=KEY,
           signer=botocore.auth.SigV4Auth):
    request = botocore.awsrequest.AWSRequest(method, daemon.url + path, data=body,
                                             headers=dict(headers))
    signer(botocore.credentials.Credentials(key, secret), service, REGION).add_auth(request)
    prepared = request.prepare()
    return prepared.url, dict(prepared.headers)


def call(daemon, service, method="GET", path="/", body=b"", headers=(), **more):
    url, headers = signed(daemon, service, method, path, body, headers, **more)
    return send(method, url, headers, body or None)


FUNCTIONS = "/2015-03-31/functions/"


def test_unsigned_is_refused(daemon):
    reply = send("GET", daemon.url + FUNCTIONS, {})
    assert (reply.status, reply.code) == (403, "MissingAuthenticationTokenException")
    assert len(reply.headers["x-amzn-requestid"]) == 36


def test_wrong_secret_and_unknown_key(daemon):
    reply = call(daemon, "lambda", path=FUNCTIONS, secret="other")
    assert (reply.status, reply.code) == (403, "InvalidSignatureException")
    assert reply.json["message"].startswith("The request signature we calculated does not match")
    reply = call(daemon, "lambda", path=FUNCTIONS, key="nobody")
    assert (reply.status, reply.code) == (403, "UnrecognizedClientException")
    assert reply.json["message"] == "The security token included in the request is invalid."


def test_an_old_signature_has_expired(daemon):
    url, headers = signed(daemon, "lambda", path=FUNCTIONS)
    headers["X-Amz-Date"] = "20200102T030405Z"
    headers["Authorization"] = headers["Authorization"].replace(
        datetime.datetime.now(datetime.timezone.utc).strftime("/%Y%m%d/"), "/20200102/")
    reply = send("GET", url, headers)
    assert (reply.status, reply.code) == (403, "InvalidSignatureException")
    assert "Signature expired: 20200102T030405Z is now earlier than" in reply.json["message"]


def test_a_changed_body_is_noticed(daemon):
    url, headers = signed(daemon, "lambda", "POST", FUNCTIONS, b'{"FunctionName":"a"}')
    reply = send("POST", url, headers, b'{"FunctionName":"b"}')
    assert (reply.status, reply.code) == (403, "InvalidSignatureException")


def test_a_body_without_signature_is_accepted_when_the_client_says_so(daemon):
    reply = call(daemon, "lambda", "GET", FUNCTIONS,
                 headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})
    assert reply.status == 200 and reply.json["Functions"] is not None


def test_presigned(daemon):
    url, _ = signed(daemon, "lambda", path=FUNCTIONS, signer=botocore.auth.SigV4QueryAuth)
    assert send("GET", url, {}).status == 200
    assert send("GET", url.replace("X-Amz-Expires=", "X-Amz-Expires=1"), {}).status == 403
    assert send("GET", url[:-1] + ("0" if url[-1] != "0" else "1"), {}).status == 403


def chunk_signed(daemon, pieces, secret=SECRET):
    """A body in STREAMING-AWS4-HMAC-SHA256-PAYLOAD, its seed from the request's own signature."""
    headers = {"X-Amz-Content-SHA256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
               "Content-Encoding": "aws-chunked", "Content-Type": "application/x-amz-json-1.1",
               "X-Amz-Target": "Logs_20140328.DescribeLogGroups",
               "X-Amz-Decoded-Content-Length": str(sum(map(len, pieces)))}
    url, headers = signed(daemon, "logs", "POST", "/", b"", headers)
    headers.pop("Content-Length", None)
    stamp, date = headers["X-Amz-Date"], headers["X-Amz-Date"][:8]
    scope = f"{date}/{REGION}/logs/aws4_request"
    previous = headers["Authorization"].rsplit("Signature=", 1)[1]
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    body = b""
    for piece in pieces + [b""]:
        text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", stamp, scope, previous,
                          hashlib.sha256(b"").hexdigest(), hashlib.sha256(piece).hexdigest()])
        previous = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        body += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + b"\r\n"
    return send("POST", url, headers, body)


def test_chunk_signed_bodies(daemon):
    reply = chunk_signed(daemon, [b'{"limit"', b":", b"1}"])
    assert reply.status == 200, reply.body
    assert "logGroups" in reply.json
    reply = chunk_signed(daemon, [b"{}"], secret="other")
    assert reply.status in (400, 403)
    assert reply.code == "InvalidSignatureException"


def test_malformed_input(daemon):
    for body, message in ((b"{", "Could not parse request body into json"),
                          (b'{"limit":"x"}', "STRING_VALUE can not be converted to an Integer"),
                          (b"[]", "Start of list found where not expected")):
        reply = call(daemon, "logs", "POST", "/", body,
                     {"X-Amz-Target": "Logs_20140328.DescribeLogGroups",
                      "Content-Type": "application/x-amz-json-1.1"})
        assert (reply.status, reply.code) == (400, "SerializationException")
        assert message in reply.json["message"]


def test_unknown_operations(daemon):
    reply = call(daemon, "logs", "POST", "/", b"{}",
                 {"X-Amz-Target": "Logs_20140328.Nonsense",
                  "Content-Type": "application/x-amz-json-1.1"})
    assert reply.code == "UnknownOperationException"
    reply = call(daemon, "lambda", path="/2015-03-31/nonsense")
    assert reply.status == 404
    reply = call(daemon, "sqs", "POST", "/", b"Action=Nonsense&Version=2012-11-05",
                 {"Content-Type": "application/x-www-form-urlencoded"})
    assert (reply.status, reply.code) == (400, "InvalidAction")


def query(daemon, **parameters):
    reply = call(daemon, "sqs", "POST", "/",
                 urllib.parse.urlencode({"Version": "2012-11-05", **parameters}).encode(),
                 {"Content-Type": "application/x-www-form-urlencoded"})
    root = ET.fromstring(reply.body)
    space = root.tag[:root.tag.index("}") + 1]
    return reply, {e.tag.replace(space, ""): e.text for e in root.iter()}


def test_sqs_in_the_query_protocol(daemon, client):
    sqs = client("sqs")
    _, made = query(daemon, Action="CreateQueue", QueueName="wire-query",
                    **{"Attribute.1.Name": "VisibilityTimeout", "Attribute.1.Value": "7"})
    url = made["QueueUrl"]
    assert sqs.get_queue_url(QueueName="wire-query")["QueueUrl"] == url
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"])
    assert attributes["Attributes"] == {"VisibilityTimeout": "7"}
    _, sent = query(daemon, Action="SendMessage", QueueUrl=url, MessageBody="<&> é",
                    **{"MessageAttribute.1.Name": "n", "MessageAttribute.1.Value.DataType": "String",
                       "MessageAttribute.1.Value.StringValue": "v"})
    assert sent["MD5OfMessageBody"] == hashlib.md5("<&> é".encode()).hexdigest()
    reply, got = query(daemon, Action="ReceiveMessage", QueueUrl=url,
                       **{"MessageAttributeName.1": "All"})
    assert (got["Body"], got["StringValue"]) == ("<&> é", "v")
    assert got["RequestId"] == reply.headers["x-amzn-requestid"]
    sqs.delete_queue(QueueUrl=url)
    reply, error = query(daemon, Action="GetQueueUrl", QueueName="wire-query-not-there")
    assert (reply.status, error["Code"]) == (400, "AWS.SimpleQueueService.NonExistentQueue")
    reply, error = query(daemon, Action="GetQueueUrl")
    assert error["Code"] == "MissingParameter"


def test_constraints(lam):
    with pytest.raises(ClientError) as caught:
        lam.get_function(FunctionName="no such")
    error = caught.value.response["Error"]
    assert error["Code"] == "ValidationException"
    assert error["Message"].startswith(
        "1 validation error detected: Value 'no such' at 'functionName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: ")
