"""SQS, logs, IAM and STS by the AWS CLI, as scripts use them."""

import json
import os
import subprocess
import sys

import pytest

from harness import unique_name

pytestmark = pytest.mark.needs("aws")


@pytest.fixture
def aws(daemon):
    def run(*words):
        r = subprocess.run([os.path.join(os.path.dirname(sys.executable), "aws"), "--endpoint-url", daemon.url, *words],
                           env=daemon.cli_environment(), stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=120)
        assert r.returncode == 0, r.stderr
        return json.loads(r.stdout) if r.stdout.strip() else None
    return run


def test_queue(aws):
    url = aws("sqs", "create-queue", "--queue-name", unique_name("cli"))["QueueUrl"]
    aws("sqs", "send-message", "--queue-url", url, "--message-body", "from the shell")
    [m] = aws("sqs", "receive-message", "--queue-url", url, "--wait-time-seconds", "5")["Messages"]
    assert m["Body"] == "from the shell"
    aws("sqs", "delete-message", "--queue-url", url, "--receipt-handle", m["ReceiptHandle"])
    aws("sqs", "delete-queue", "--queue-url", url)


def test_logs(aws):
    group = unique_name("/cli/group")
    aws("logs", "create-log-group", "--log-group-name", group)
    aws("logs", "put-retention-policy", "--log-group-name", group, "--retention-in-days", "7")
    [g] = aws("logs", "describe-log-groups", "--log-group-name-prefix", group)["logGroups"]
    assert g["retentionInDays"] == 7
    aws("logs", "delete-log-group", "--log-group-name", group)


def test_role_and_identity(aws):
    name = unique_name("cli-role")
    trust = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"},
         "Action": "sts:AssumeRole"}]})
    role = aws("iam", "create-role", "--role-name", name, "--assume-role-policy-document", trust)
    assert role["Role"]["AssumeRolePolicyDocument"] == json.loads(trust)
    session = aws("sts", "assume-role", "--role-arn", role["Role"]["Arn"],
                  "--role-session-name", "cli")
    assert session["AssumedRoleUser"]["Arn"].endswith(":assumed-role/%s/cli" % name)
    aws("iam", "delete-role", "--role-name", name)
    assert aws("sts", "get-caller-identity")["Account"] == "000000000000"
