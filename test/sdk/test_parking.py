"""Calls that wait: they hold no worker, are woken at once, and end with their client."""

import json
import socket
import threading
import time

import pytest

from harness import unique_name, wait_until
from test_lambda_invoke import send, signed


@pytest.fixture
def quiet(new_daemon):
    """A daemon of its own: others' long polls would be counted too."""
    return new_daemon()


def parked(d):
    return json.loads(send(d, "GET", "/_lambkin/health")[2])["parked"]


def long_poll(d, url):
    """A raw connection that waits for a message for 20 s."""
    body = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20}).encode()
    headers = signed(d, "POST", "/", body, {"X-Amz-Target": "AmazonSQS.ReceiveMessage",
                                            "Content-Type": "application/x-amz-json-1.0"},
                     service="sqs")
    s = socket.create_connection(("127.0.0.1", d.port), timeout=60)
    head = "POST / HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-length: %d\r\n" % (d.port, len(body))
    head += "".join("%s: %s\r\n" % h for h in headers.items() if h[0].lower() != "content-length")
    s.sendall(head.encode() + b"\r\n" + body)
    return s


def test_parked_calls(quiet):
    sqs = quiet.client("sqs")
    url = sqs.create_queue(QueueName=unique_name("park"))["QueueUrl"]
    assert parked(quiet) == 0

    # Many more than there are workers, and everything else goes on.
    waiting = [long_poll(quiet, url) for _ in range(40)]
    wait_until(lambda: parked(quiet) == 40)
    assert quiet.client("lambda").list_functions()["Functions"] == []

    # Clients that leave are forgotten at once.
    for s in waiting[1:]:
        s.close()
    wait_until(lambda: parked(quiet) == 1)

    # A message wakes the one that is left, long before its 20 s are over.
    began = time.monotonic()
    sqs.send_message(QueueUrl=url, MessageBody="wake up")
    answer = b""
    while b"wake up" not in answer:
        piece = waiting[0].recv(65536)
        assert piece, answer
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200")
    assert time.monotonic() - began < 15
    waiting[0].close()
    wait_until(lambda: parked(quiet) == 0)


def test_deadline(quiet):
    sqs = quiet.client("sqs")
    url = sqs.create_queue(QueueName=unique_name("park"))["QueueUrl"]
    began = time.monotonic()
    r = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
    assert "Messages" not in r
    assert 0.9 <= time.monotonic() - began < 15


def test_stopping_does_not_wait_for_them(quiet):
    sqs = quiet.client("sqs")
    url = sqs.create_queue(QueueName=unique_name("park"))["QueueUrl"]
    ended = []

    def poll():
        try:
            ended.append(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20))
        except Exception as e:  # 503, or the connection was closed
            ended.append(e)

    t = threading.Thread(target=poll)
    t.start()
    wait_until(lambda: parked(quiet) == 1)
    began = time.monotonic()
    assert quiet.stop() == 0
    t.join(30)
    assert ended and time.monotonic() - began < 15
