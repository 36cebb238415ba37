"""kill -9 of the server under load: every acknowledged message and event arrives at least once.

FIFO queues stay in order, and a message that was sent again with its deduplication id because the
answer got lost is there once. Nothing is stuck at the end: all queues are empty.
"""

import os
import random
import re
import signal
import threading
import time

import harness
from harness import Daemon, wait_until

ROUNDS = int(os.environ.get("CRASH_EVENT_ROUNDS", "25"))
SEED = int(os.environ.get("CRASH_SEED", "20261121"))
VISIBILITY_S = "2"  # what was received and not deleted comes back after so long


class Client(threading.Thread):
    """Does step() again and again until it is told to stop; a kill cuts connections."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.under_test = daemon
        self.sqs = daemon.client("sqs")
        self.stop = threading.Event()
        self.surprises = []

    def run(self):
        while not self.stop.is_set():
            try:
                self.step()
            except AssertionError as e:
                self.surprises.append(str(e))
                return
            except Exception:
                self.stop.wait(0.01)  # the connection was cut: not acknowledged

    def finish(self):
        self.stop.set()
        self.join(150)
        assert not self.is_alive(), "a client hangs"
        assert not self.surprises, self.surprises


class Sender(Client):
    """Batches to a standard queue."""

    def __init__(self, daemon, url, name):
        super().__init__(daemon)
        self.url, self.name, self.n, self.acknowledged = url, name, 0, []

    def step(self):
        bodies = ["%s-%d" % (self.name, self.n + i) for i in range(5)]
        self.n += 5
        answer = self.sqs.send_message_batch(QueueUrl=self.url, Entries=[
            {"Id": str(i), "MessageBody": b} for i, b in enumerate(bodies)])
        assert len(answer["Successful"]) == 5, answer
        self.acknowledged += bodies
        self.stop.wait(0.005)


class Receiver(Client):
    """Receives and deletes; notes every delivery, and what it deleted for certain."""

    def __init__(self, daemon, url):
        super().__init__(daemon)
        self.url, self.seen, self.deleted = url, [], set()

    def step(self):
        got = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10,
                                       WaitTimeSeconds=1).get("Messages", [])
        for m in got:
            assert m["Body"] not in self.deleted, "delivered after its deletion: " + m["Body"]
            self.seen.append((m["Body"], m["MessageId"]))
        if got:
            answer = self.sqs.delete_message_batch(QueueUrl=self.url, Entries=[
                {"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(got)])
            done = {int(e["Id"]) for e in answer.get("Successful", [])}
            self.deleted |= {m["Body"] for i, m in enumerate(got) if i in done}


class FifoSender(Client):
    """One group, one message after the other; sends again, same deduplication id, until answered."""

    def __init__(self, daemon, url, group):
        super().__init__(daemon)
        self.url, self.group, self.n = url, group, 0

    def step(self):
        body = "%s-%d" % (self.group, self.n)
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body, MessageGroupId=self.group,
                              MessageDeduplicationId=body)
        self.n += 1


class EventSender(Client):
    def __init__(self, daemon, function):
        super().__init__(daemon)
        self.lam = daemon.client("lambda")
        self.function, self.n, self.acknowledged = function, 0, []

    def step(self):
        self.n += 1
        event = "event-%d" % self.n
        answer = self.lam.invoke(FunctionName=self.function, InvocationType="Event",
                                 Payload='{"what": "%s"}' % event)
        assert answer["StatusCode"] == 202
        self.acknowledged.append(event)
        self.stop.wait(0.02)


def kill_rounds(daemon, rng):
    for _ in range(ROUNDS):
        server = wait_until(lambda: daemon.children().get("server"), what="a server")
        time.sleep(rng.uniform(0.0, 0.3))
        try:
            os.kill(server, signal.SIGKILL)
        except ProcessLookupError:
            pass
        wait_until(lambda: daemon.children().get("server") not in (None, server),
                   what="the next server")


def left_in(daemon, url):
    try:
        a = daemon.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    except Exception:  # the new server is not listening yet, or an old connection was cut
        return 1
    return sum(int(v) for k, v in a["Attributes"].items() if k.startswith("ApproximateNumber"))


def test_messages_survive_kill_9():
    daemon = Daemon()
    try:
        sqs = daemon.client("sqs")
        url = sqs.create_queue(QueueName="crash", Attributes={
            "VisibilityTimeout": VISIBILITY_S})["QueueUrl"]
        fifo = sqs.create_queue(QueueName="crash.fifo", Attributes={
            "FifoQueue": "true", "VisibilityTimeout": VISIBILITY_S})["QueueUrl"]
        senders = [Sender(daemon, url, "s%d" % i) for i in range(2)]
        groups = [FifoSender(daemon, fifo, "g%d" % i) for i in range(3)]
        receiver, fifo_receiver = Receiver(daemon, url), Receiver(daemon, fifo)
        clients = senders + groups
        for c in clients + [receiver, fifo_receiver]:
            c.start()
        kill_rounds(daemon, random.Random(SEED))
        for c in clients:
            c.finish()
        wait_until(lambda: left_in(daemon, url) == 0 and left_in(daemon, fifo) == 0, timeout=120,
                   what="empty queues")
        receiver.finish()
        fifo_receiver.finish()
        seen = {body for body, _ in receiver.seen}
        for s in senders:
            assert s.acknowledged, "the load never got through"
            lost = [b for b in s.acknowledged if b not in seen]
            assert not lost, "%d of %d lost: %s" % (len(lost), len(s.acknowledged), lost[:5])
        ids = {}
        for body, message_id in fifo_receiver.seen:
            assert ids.setdefault(body, message_id) == message_id, "sent twice: " + body
        for g in groups:
            order = list(dict.fromkeys(
                int(b.split("-")[1]) for b, _ in fifo_receiver.seen if b.startswith(g.group + "-")))
            assert order == sorted(order) and order[:g.n] == list(range(g.n)), (g.n, order[-5:])
            assert g.n > 0
        print("\nkept: %d messages, %d in order, after %d kills" % (
            sum(len(s.acknowledged) for s in senders), sum(g.n for g in groups), ROUNDS))
    finally:
        daemon.close()


def events_in_logs(daemon, group):
    pages = daemon.client("logs").get_paginator("filter_log_events").paginate(
        logGroupName=group, filterPattern="arrived")
    return {m.group(1) for page in pages for e in page["events"]
            for m in [re.search(r"arrived (\S+)", e["message"])] if m}


def test_events_survive_kill_9():
    """Asynchronous invocations, and messages of a queue that a mapping takes to the function."""
    daemon = Daemon("--time-scale", "0.05")
    try:
        f = harness.make_function(daemon, "python", """
def handler(event, context):
    for r in event.get("Records", []):
        print("arrived", r["body"])
    if "what" in event:
        print("arrived", event["what"])
""")
        sqs = daemon.client("sqs")
        url = sqs.create_queue(QueueName="mapped", Attributes={"VisibilityTimeout": "5"})["QueueUrl"]
        lam = daemon.client("lambda")
        m = lam.create_event_source_mapping(
            FunctionName=f.name, EventSourceArn="arn:aws:sqs:us-east-1:000000000000:mapped")
        wait_until(lambda: lam.get_event_source_mapping(UUID=m["UUID"])["State"] == "Enabled")
        events, messages = EventSender(daemon, f.name), Sender(daemon, url, "m")
        for c in (events, messages):
            c.start()
        kill_rounds(daemon, random.Random(SEED + 1))
        events.finish()
        messages.finish()
        wanted = set(events.acknowledged) | set(messages.acknowledged)
        assert events.acknowledged and messages.acknowledged, "the load never got through"
        missing = [wanted]

        def all_arrived():
            try:
                missing[0] = wanted - events_in_logs(daemon, "/aws/lambda/" + f.name)
            except Exception:  # an old connection was cut
                return False
            return not missing[0]
        try:
            wait_until(all_arrived, timeout=180)
        except AssertionError:
            raise AssertionError("%d of %d never arrived: %s" % (
                len(missing[0]), len(wanted), sorted(missing[0])[:5]))
        wait_until(lambda: left_in(daemon, url) == 0, timeout=120, what="an empty queue")
        print("\narrived: %d events, %d messages, after %d kills" % (
            len(events.acknowledged), len(messages.acknowledged), ROUNDS))
    finally:
        daemon.close()
