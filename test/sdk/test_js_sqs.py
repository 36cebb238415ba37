"""SQS through the AWS SDK for JavaScript v3, unmodified."""

import json
import os
import subprocess

import pytest

from harness import ROOT, clean_environment, unique_name

pytestmark = [pytest.mark.needs("node"), pytest.mark.needs("npm")]


def test_life_of_two_queues(daemon):
    env = clean_environment(HOME=daemon.scratch)
    env.pop("NODE_OPTIONS", None)
    r = subprocess.run(["node", os.path.join(ROOT, "test", "node", "sqs.mjs"), daemon.url,
                        unique_name("js")], env=env, stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, timeout=180)
    assert r.returncode == 0, r.stderr[-3000:]
    seen = json.loads(r.stdout.strip().splitlines()[-1])
    assert seen == {
        "body": "hello ✓", "sameId": True, "text": "ä", "bytes": [0, 1, 255], "receives": "1",
        "batch": [["a"], ["InvalidMessageContents"]], "count": "1", "deduplicated": True,
        "missing": {"name": "QueueDoesNotExist", "status": 400}}, seen
