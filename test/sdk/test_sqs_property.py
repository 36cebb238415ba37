"""Random operations on a FIFO and a standard queue through boto3, compared with a simple model."""

import os
import random

import pytest

from harness import unique_name

SEED = int(os.environ.get("SQS_SEED", "7"))
STEPS = int(os.environ.get("SQS_STEPS", "250"))


class Model:
    """What is in the queue, in order; a message is [group, body, in flight]."""

    def __init__(self, fifo):
        self.fifo, self.messages = fifo, []

    def available(self):
        busy = {m[0] for m in self.messages if m[2]} if self.fifo else set()
        return [m for m in self.messages if not m[2] and m[0] not in busy]

    def receive(self, bodies, most):
        free = self.available()
        assert len(bodies) == min(most, len(free)), (bodies, len(free))
        for body in bodies:
            [m] = [m for m in free if m[1] == body]
            if self.fifo:  # nothing of its group that is still free came before it
                assert m is next(x for x in free if x[0] == m[0])
            free.remove(m)
            m[2] = True

    def of(self, body):
        return next(m for m in self.messages if m[1] == body)


@pytest.mark.parametrize("fifo", [True, False])
def test_against_a_model(client, fifo):
    sqs, rng, model = client("sqs"), random.Random(SEED), Model(fifo)
    attributes = {"VisibilityTimeout": "600"}
    if fifo:
        attributes.update(FifoQueue="true", ContentBasedDeduplication="true")
    url = sqs.create_queue(QueueName=unique_name("model") + (".fifo" if fifo else ""),
                           Attributes=attributes)["QueueUrl"]
    flying, sent = {}, 0
    for step in range(STEPS):
        what = rng.choice(["send", "send", "receive", "delete", "delete", "release"])
        if what == "send":
            entries = []
            for i in range(rng.randint(1, 10)):
                e = {"Id": str(i), "MessageBody": "m%d" % sent}
                if fifo:
                    e["MessageGroupId"] = "g%d" % rng.randrange(4)
                entries.append(e)
                model.messages.append([e.get("MessageGroupId"), e["MessageBody"], False])
                sent += 1
            assert len(sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]) == len(
                entries)
            if fifo and rng.random() < 0.3:
                sqs.send_message_batch(QueueUrl=url, Entries=entries)  # the same again: no effect
        elif what == "receive":
            most = rng.randint(1, 10)
            got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=most).get("Messages", [])
            model.receive([m["Body"] for m in got], most)
            flying.update((m["Body"], m["ReceiptHandle"]) for m in got)
        elif flying:
            body = rng.choice(sorted(flying))
            handle = flying.pop(body)
            if what == "delete":
                sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
                model.messages.remove(model.of(body))
            else:
                sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle,
                                              VisibilityTimeout=0)
                model.of(body)[2] = False
        if step % 25 == 0:
            a = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
            assert int(a["ApproximateNumberOfMessagesNotVisible"]) == len(flying)
            assert int(a["ApproximateNumberOfMessages"]) == len(model.messages) - len(flying)
    sqs.delete_queue(QueueUrl=url)
