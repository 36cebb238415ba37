#!/usr/bin/env python3
"""Measures queues and events against plain SQLite and the disk itself, in one run (make bench).

SQLite inserts the same 512-byte rows with full synchronisation, interleaved with Lambkin's loads. Load
comes from bench/queue_load.c, because Python would be what is measured.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "test"))

from botocore.auth import SigV4Auth  # noqa: E402
from botocore.awsrequest import AWSRequest  # noqa: E402
from botocore.credentials import Credentials  # noqa: E402

import harness  # noqa: E402

HANDLER = """
import time
def handler(event, context):
    now = time.time()
    for r in event.get("Records", []):
        print("started", r["body"], "%.6f" % now)
    if "id" in event:
        print("started", event["id"], "%.6f" % now)
"""


class Queues:
    def __init__(self, row, tool, seconds, rounds, deep):
        self.row, self.tool, self.seconds, self.rounds, self.deep = row, tool, seconds, rounds, deep
        self.scratch = tempfile.mkdtemp(prefix="lambkin-queues-")
        self.files = 0

    def load(self, *words):
        out = subprocess.run([self.tool, *map(str, words)], check=True, capture_output=True,
                             text=True).stdout
        return [float(x) for x in out.split()]

    def sqlite(self, group):
        self.files += 1
        path = os.path.join(self.scratch, "plain-%d.db" % self.files)
        return self.load("sqlite", path, group, 512, self.seconds)[0]

    def throughput(self, d):
        sqs = d.client("sqs")
        results = {k: [] for k in ("group", "single", "send10", "send1", "cycle")}
        for n in range(self.rounds):
            urls = [sqs.create_queue(QueueName="load-%d-%d" % (n, i))["QueueUrl"] for i in range(3)]
            results["group"].append(self.sqlite(32))
            results["send10"].append(self.load("send", d.port, urls[0], 10, 16, self.seconds)[0])
            results["cycle"].append(self.load("cycle", d.port, urls[1], 16, self.seconds)[0])
            results["single"].append(self.sqlite(1))
            results["send1"].append(self.load("send", d.port, urls[2], 1, 32, self.seconds)[0])
            for url in urls:
                sqs.delete_queue(QueueUrl=url)
        m = {k: statistics.median(v) for k, v in results.items()}
        for what, mine, base, limit in [
                ("SQS, sent in batches of 10 / SQLite, groups of 32", "send10", "group", 0.15),
                ("SQS, sent + received + deleted / SQLite, groups of 32", "cycle", "group", 0.08),
                ("SQS, single sends, 32 connections / SQLite, single rows", "send1", "single", 0.5)]:
            ratio = m[mine] / m[base]
            self.row(what, "%.2f" % ratio, ">= %.2f" % limit, ratio >= limit,
                     "%.0f/s against %.0f/s" % (m[mine], m[base]))

    # ---- from acceptance to the handler ----------------------------------------------------------

    def latency(self, d):
        sync = statistics.median(self.load("sync", os.path.join(self.scratch, "sync"), 100))
        f = harness.make_function(d, "python", HANDLER)
        f.call({})
        lam, sqs, logs = d.client("lambda"), d.client("sqs"), d.client("logs")
        url = sqs.create_queue(QueueName="to-function")["QueueUrl"]
        m = lam.create_event_source_mapping(
            FunctionName=f.name, EventSourceArn="arn:aws:sqs:us-east-1:000000000000:to-function")
        harness.wait_until(
            lambda: lam.get_event_source_mapping(UUID=m["UUID"])["State"] == "Enabled")
        for kind, what in (("event", "asynchronous event"), ("message", "SQS message")):
            sent = {}
            connection = http.client.HTTPConnection("127.0.0.1", d.port, timeout=60)
            for i in range(60):
                name = "%s-%d" % (kind, i)
                if kind == "event":
                    request = AWSRequest(
                        "POST", "%s/2015-03-31/functions/%s/invocations" % (d.url, f.name),
                        data='{"id": "%s"}' % name, headers={"X-Amz-Invocation-Type": "Event"})
                else:
                    request = AWSRequest(
                        "POST", d.url + "/", data=json.dumps({"QueueUrl": url, "MessageBody": name}),
                        headers={"X-Amz-Target": "AmazonSQS.SendMessage",
                                 "Content-Type": "application/x-amz-json-1.0"})
                service = "lambda" if kind == "event" else "sqs"
                SigV4Auth(Credentials("test", "test"), service, harness.REGION).add_auth(request)
                headers = dict(request.headers.items())
                # Signed before the clock starts; the request's own way is in it: an upper bound.
                sent[name] = time.time()
                connection.request("POST", request.url[len(d.url):], request.data, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status >= 300:
                    raise RuntimeError("%s: %d" % (what, answer.status))
                time.sleep(0.02)

            def started():
                pages = logs.get_paginator("filter_log_events").paginate(
                    logGroupName="/aws/lambda/" + f.name, filterPattern='"started %s-"' % kind)
                seen = dict(re.findall(r"started (\S+) (\S+)", "\n".join(
                    e["message"] for page in pages for e in page["events"])))
                return seen if len(seen) >= len(sent) else None
            seen = harness.wait_until(started)
            waits = [(float(seen[n]) - t) * 1e6 for n, t in sent.items()]
            ratio = statistics.median(waits) / sync
            self.row("%s, from sending it to handler start / fdatasync" % what, "%.1f" % ratio, "<= 10",
                     ratio <= 10, "median %.0f us, fdatasync %.0f us" % (
                         statistics.median(waits), sync))
        f.delete()

    # ---- a deep queue ----------------------------------------------------------------------------

    def cost(self, d, url):
        n = 60
        times = self.load("cost", d.port, url, n)
        return statistics.median(times[:n]), statistics.median(times[n:])

    def deep_queue(self, d):
        sqs = d.client("sqs")
        empty = sqs.create_queue(QueueName="shallow", Attributes={
            "VisibilityTimeout": "3600"})["QueueUrl"]
        deep = sqs.create_queue(QueueName="deep", Attributes={
            "VisibilityTimeout": "3600"})["QueueUrl"]
        before = resident_kib(d.children()["server"])
        rate = self.load("fill", d.port, deep, 16, self.deep)[0]
        grown = resident_kib(d.children()["server"]) - before
        shallow_cost, deep_cost = [], []
        for _ in range(15):  # in pairs: the disk changes its mind from second to second
            shallow_cost.append(self.cost(d, empty))
            deep_cost.append(self.cost(d, deep))
        for i, what in enumerate(("send", "receive")):
            ratio = statistics.median(y[i] / x[i] for x, y in zip(shallow_cost, deep_cost))
            self.row("SQS %s, %d messages deep / empty" % (what, self.deep), "%.2f" % ratio,
                     "<= 1.30", ratio <= 1.3, "filled at %.0f/s" % rate)
        self.row("memory for %d messages" % self.deep, "%.0f MiB" % (grown / 1024), "<= 64 MiB",
                 grown <= 64 * 1024)
        ready = []
        for _ in range(3):
            d.restart()
            start = time.monotonic()
            got = d.client("sqs").receive_message(QueueUrl=deep)["Messages"]
            ready.append(d.ready_ms + (time.monotonic() - start) * 1000 if got else 1e9)
        self.row("restart to the first message received, %d deep" % self.deep,
                 "%.0f ms" % statistics.median(ready), "<= 300 ms",
                 statistics.median(ready) <= 300)

    def run(self):
        d = harness.Daemon()
        try:
            self.throughput(d)
            self.latency(d)
            self.deep_queue(d)
        finally:
            d.close()
            shutil.rmtree(self.scratch, ignore_errors=True)


def resident_kib(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lambkin", required=True, help="the binary")
    parser.add_argument("--tool", help="queue_load, when it is not beside the binary's build")
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--deep", type=int, default=1000000)
    args = parser.parse_args()
    os.environ["LAMBKIN_BIN"] = os.path.abspath(args.lambkin)
    build = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(args.lambkin))))
    tool = args.tool or os.path.join(build, "bench", "queue_load")

    def row(what, value, limit, holds, detail=""):
        print("  %-60s %-10s %-10s %-4s %s" % (what, value, limit, "yes" if holds else "NO",
                                               detail), flush=True)
    Queues(row, tool, args.seconds, args.rounds, args.deep).run()


if __name__ == "__main__":
    main()
