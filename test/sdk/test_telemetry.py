"""The Telemetry and Logs APIs: what an extension inside is told, when, and what it is refused."""

import json
import os
import urllib.request

import pytest

from extension_kit import READER, Probe, http_to, publish_probe
from harness import free_port, wait_until

TELEMETRY, LOGS = "/2022-07-01/telemetry", "/2020-08-15/logs"
ALL = ["platform", "function", "extension"]


def subscription(types=ALL, schema="2022-12-13", destination=None, timeout=25, **more):
    return {"schemaVersion": schema, "types": types, "destination": destination or http_to(),
            "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": timeout}, **more}


@pytest.fixture
def probe(lam, make_function):
    """probe([(path, body), …], do=…): a function with the extension in a layer."""
    forget = []

    def make(subscriptions=(), do="", listen="http", events="INVOKE,SHUTDOWN", on=None, variables=None,
             **options):
        arn, delete = publish_probe(lam if on is None else on.client("lambda"))
        if on is None:
            forget.append(delete)
        return Probe(make_function("python", source=READER, on=on, Layers=[arn], Environment={
            "Variables": {"EXT_SUBSCRIBE": json.dumps(list(subscriptions)), "EXT_DO": do,
                          "EXT_LISTEN": listen, "EXT_EVENTS": events, **(variables or {})}},
            **{"Timeout": 20, **options}))

    yield make
    for delete in forget:
        delete()


def events_of(answer):
    return [e for b in answer["batches"] for e in b["events"]]


def until(f, *types, **event):
    """Invokes until the extension has events of all these types; all events so far."""
    def look():
        events = events_of(f.call(event))
        return events if set(types) <= {e["type"] for e in events} else None
    return wait_until(look, what="events %s" % (types,))


def first(events, kind, **record):
    for e in events:
        if e["type"] == kind and all(e["record"].get(k) == v for k, v in record.items()):
            return e["record"]
    raise AssertionError("no %s in %s" % (kind, events))


def test_events_and_their_records(probe):
    f = probe([(TELEMETRY, subscription())], do="chatty")
    f.call({"say": ["hello from inside", '{"not": "json mode"}']})
    events = until(f, "platform.initStart", "platform.initRuntimeDone", "platform.initReport",
                   "platform.telemetrySubscription", "platform.extension", "platform.start",
                   "platform.runtimeDone", "platform.report", "function", "extension")
    assert all(set(e) == {"time", "type", "record"} for e in events)
    start = first(events, "platform.initStart")
    assert start["initializationType"] == "on-demand" and start["phase"] == "init"
    assert start["functionName"] == f.name and start["functionVersion"] == "$LATEST"
    assert start["runtimeVersion"].startswith("python:3")
    assert first(events, "platform.initRuntimeDone") == {
        "initializationType": "on-demand", "phase": "init", "status": "success"}
    report = first(events, "platform.initReport")
    assert report["status"] == "success" and report["metrics"]["durationMs"] > 0
    assert first(events, "platform.telemetrySubscription") == {
        "name": "probe", "state": "Subscribed", "types": ALL}
    assert first(events, "platform.extension") == {
        "name": "probe", "state": "Ready", "events": ["INVOKE", "SHUTDOWN"]}
    started = first(events, "platform.start")
    assert started["version"] == "$LATEST" and len(started["requestId"]) == 36
    done = first(events, "platform.runtimeDone", requestId=started["requestId"])
    assert done["status"] == "success" and done["metrics"]["durationMs"] > 0
    assert done["metrics"]["producedBytes"] > 0
    assert [s["name"] for s in done["spans"]] == ["responseLatency", "responseDuration"]
    report = first(events, "platform.report", requestId=started["requestId"])
    assert report["metrics"]["memorySizeMB"] == 128 and report["metrics"]["initDurationMs"] > 0
    assert set(report["metrics"]) == {"durationMs", "billedDurationMs", "memorySizeMB",
                                      "maxMemoryUsedMB", "initDurationMs"}
    said = [e["record"] for e in events if e["type"] == "function"]
    assert said[:2] == ["hello from inside", '{"not": "json mode"}']
    assert "probe heard INVOKE" in [e["record"] for e in events if e["type"] == "extension"]
    # In their order, and all lines of either are in the log as ever.
    order = [e["type"] for e in events]
    assert order.index("platform.initStart") < order.index("platform.initReport") < \
        order.index("platform.start") < order.index("function") < order.index("platform.runtimeDone")
    wait_until(lambda: {"hello from inside", "probe heard INVOKE"} <= {
        line.rstrip("\n") for line in f.log_lines()})
    assert any(line.startswith("TELEMETRY\tName: probe\tState: Subscribed") for line in f.log_lines())


def test_failures_are_told(probe):
    f = probe([(TELEMETRY, subscription(["platform"]))])
    f.call()

    def failed():
        assert f.invoke({"fail": True}).error == "Unhandled"
        return [e["record"] for e in events_of(f.call())
                if e["type"] == "platform.runtimeDone" and e["record"]["status"] == "error"]
    assert wait_until(failed)[0]["errorType"] == "ValueError"


def test_records_are_objects_when_the_log_is_json(probe):
    lines = ['{"level": "INFO", "message": "one"}', "not json", '{"broken']
    f = probe([(TELEMETRY, subscription(["function"]))], LoggingConfig={"LogFormat": "JSON"})
    f.call({"say": lines})
    said = [e["record"] for e in until(f, "function")]
    assert said[:3] == [{"level": "INFO", "message": "one"}, "not json", '{"broken']
    # The first schema knew only strings.
    f = probe([(TELEMETRY, subscription(["function"], schema="2022-07-01"))],
              LoggingConfig={"LogFormat": "JSON"})
    f.call({"say": lines})
    assert [e["record"] for e in until(f, "function")][:3] == lines


def test_logs_api(probe):
    body = {"types": ALL, "destination": http_to("/in?x=1", method="PUT"), "schemaVersion": "2021-03-18",
            "buffering": {"timeoutMs": 25}}
    f = probe([(LOGS, body)])
    f.call({"say": ["old ways"]})
    events = until(f, "platform.start", "platform.end", "platform.report", "platform.runtimeDone",
                   "platform.logsSubscription", "platform.extension", "function")
    assert not {e["type"] for e in events} & {"platform.initStart", "platform.initReport"}
    assert set(first(events, "platform.start")) == {"requestId", "version"}
    assert set(first(events, "platform.end")) == {"requestId"}
    assert set(first(events, "platform.runtimeDone")) == {"requestId", "status"}
    answer = f.call()
    assert {(b["method"], b["path"], b["type"]) for b in answer["batches"]} == {
        ("PUT", "/in?x=1", "application/json")}


def test_tcp(probe):
    f = probe([(TELEMETRY, subscription(destination={"protocol": "TCP", "port": 4243}))], listen="tcp")
    f.call({"say": ["over tcp"]})
    events = until(f, "platform.initStart", "platform.report", "function")
    assert "over tcp" in [e["record"] for e in events if e["type"] == "function"]


def test_subscribing_again(probe):
    one, two = subscription(["platform"]), subscription(["function"])
    f = probe([(TELEMETRY, one), (TELEMETRY, one), (TELEMETRY, two), (LOGS, {
        "types": ["platform"], "destination": http_to()})])
    f.call({"say": ["only lines now"]})
    answer = wait_until(lambda: [a for a in [f.call()] if any(
        e["type"] == "function" for e in events_of(a))])[0]
    statuses = answer["answers"]
    assert statuses[:3] == [[200, "OK"], [200, "AlreadySubscribed"], [200, "OK"]]
    assert statuses[3][0] == 400 and statuses[3][1]["errorType"] == "Logs.AccessDenied"
    assert not [e for e in events_of(answer) if e["type"] == "platform.start"]


WRONG = [
    ("{", 400, "DeserializationError"),
    ("[]", 400, "DeserializationError"),
    ({"types": ALL, "schemaVersion": "2022-12-13"}, 400, "DeserializationError"),
    (subscription(types=[]), 400, "ValidationError"),
    (subscription(types=["platform", "platform"]), 400, "ValidationError"),
    (subscription(types=["weather"]), 400, "DeserializationError"),
    (subscription(schema="2021-03-18"), 400, "ValidationError"),
    (subscription(schema="1999-01-01"), 400, "DeserializationError"),
    ({"types": ALL, "destination": http_to()}, 400, "ValidationError"),
    (subscription(destination={"protocol": "UDP", "port": 1}), 400, "DeserializationError"),
    (subscription(destination={"protocol": "TCP"}), 400, "DeserializationError"),
    (subscription(destination={"protocol": "TCP", "port": 70000}), 400, "ValidationError"),
    (subscription(destination={"protocol": "TCP", "port": 9001}), 400, "ValidationError"),
    (subscription(destination={"protocol": "HTTP", "URI": "https://sandbox.localdomain:1"}), 403,
     "AccessDenied"),
    (subscription(destination={"protocol": "HTTP", "URI": "http://127.0.0.1:80"}), 403, "AccessDenied"),
    (subscription(destination={"protocol": "HTTP", "URI": "http://example.com:80/"}), 403,
     "AccessDenied"),
    (subscription(destination={"protocol": "HTTP", "URI": "http://sandbox.localdomain"}), 400,
     "ValidationError"),
    (subscription(destination={"protocol": "HTTP", "URI": "http://sandbox.localdomain:0"}), 400,
     "ValidationError"),
    (subscription(destination={"protocol": "HTTP",
                               "URI": "http://sandbox.localdomain:80/a b\r\nX: y"}), 400,
     "ValidationError"),
    (subscription(destination=http_to(method="DELETE")), 400, "DeserializationError"),
    (subscription(buffering={"maxItems": 999}), 400, "ValidationError"),
    (subscription(buffering={"maxItems": 10001}), 400, "ValidationError"),
    (subscription(buffering={"maxBytes": 262143}), 400, "ValidationError"),
    (subscription(buffering={"maxBytes": 1048577}), 400, "ValidationError"),
    (subscription(buffering={"timeoutMs": 24}), 400, "ValidationError"),
    (subscription(buffering={"timeoutMs": 30001}), 400, "ValidationError"),
    (subscription(buffering={"timeoutMs": "soon"}), 400, "DeserializationError"),
]


def test_wrong_subscriptions(probe, scratch):
    half = len(WRONG) // 2
    for part in (WRONG[:half], WRONG[half:]):  # a function's variables hold 4 KB
        f = probe([(TELEMETRY, body) for body, _, _ in part])
        for (status, answer), (body, expected, kind) in zip(f.call()["answers"], part):
            assert (status, answer["errorType"]) == (expected, "Telemetry." + kind), (body, answer)
            assert answer["errorMessage"]
    f = probe([(TELEMETRY, subscription())], do="late-subscribe")
    f.call()
    late = wait_until(lambda: f.call()["answers"])[0]
    assert late[0] == 403 and late[1] == {
        "errorType": "Telemetry.SubscriptionClosed",
        "errorMessage": "Telemetry API subscription is closed already"}


def test_delivered_at_the_end(probe, lam):
    """What was gathered for a minute arrives because the environment ends."""
    f = probe([(TELEMETRY, subscription(timeout=30000))])
    f.call({"say": ["last words"]})
    lam.update_function_configuration(FunctionName=f.name, Description="other")  # retires it

    def final():
        return [json.loads(line[6:]) for line in f.log_lines() if line.startswith("FINAL ")]
    wait_until(lambda: "platform.report" in [e["type"] for e in final()])
    assert "last words" in [e["record"] for e in final()]


def test_many_lines_in_few_batches(probe):
    f = probe([(TELEMETRY, subscription(["function"], timeout=2000))])
    f.call({"repeat": 2500})
    answer = wait_until(lambda: [a for a in [f.call()] if len(events_of(a)) >= 2500])[0]
    assert max(len(b["events"]) for b in answer["batches"]) == 1000
    assert len(answer["batches"]) <= 4


@pytest.mark.parametrize("listen", ["", "hang"])
def test_a_subscriber_that_does_not_take_them(probe, daemon, listen):
    """Nobody waits for it, and it costs bounded memory; the log has everything."""
    f = probe([(TELEMETRY, subscription())], listen=listen)
    f.call()
    before = resident(daemon)
    for _ in range(5):
        assert f.invoke({"repeat": 20000}, tail=False).error is None
    assert resident(daemon) - before < 64 << 20
    assert f.call()["batches"] == []


@pytest.mark.parametrize("isolation", ["none", "rootless"])
def test_other_degrees(probe, new_daemon, isolation):
    """Rootless, the namespace is entered from the keeper's own user namespace. Without isolation the
    sandbox's loopback is the host's."""
    if isolation == "rootless" and os.getuid() != 0:
        pytest.skip("not root: every other test is rootless")
    d = new_daemon("--isolation", "none") if isolation == "none" else new_daemon(
        "--isolation", "best-effort", user=64123)
    port = free_port() if isolation == "none" else 4243

    def health():
        with urllib.request.urlopen(d.url + "/_lambkin/health", timeout=60) as r:
            return json.load(r)["isolation"]
    if isolation == "rootless":
        wait_until(lambda: health()["connected"])
        if not (health()["network"] and health()["mounts"]):
            pytest.skip("this host gives no namespaces to users: " + health()["missing"])
    f = probe([(TELEMETRY, subscription(destination=http_to(port=port)))], on=d, variables={
        "EXT_PORT": str(port), **({"EXT_KEEP": d.scratch + "/probe"} if isolation == "none" else {})})
    f.call({"say": ["elsewhere"]})
    assert "elsewhere" in [e["record"] for e in until(f, "platform.report", "function")]


def resident(daemon):
    with open("/proc/%d/statm" % daemon.children()["server"]) as s:
        return int(s.read().split()[1]) * 4096


def test_what_is_dropped_is_counted(probe):
    """More than is kept for a subscriber that does not answer: it learns how much it missed."""
    f = probe([(TELEMETRY, subscription(["function", "platform"]))], do="hold", MemorySize=512)
    for _ in range(3):
        f.call({"repeat": 20000})  # 9 MB as events
    f.call({"go": True})

    def told():
        events = events_of(f.call())
        return any(e["type"] == "platform.logsDropped" for e in events) and events
    events = wait_until(told)
    dropped = [e["record"] for e in events if e["type"] == "platform.logsDropped"]
    assert all(set(d) == {"droppedRecords", "droppedBytes", "reason"} for d in dropped)
    got = sum(e["type"] == "function" for e in events)
    assert got < 60000 <= got + sum(d["droppedRecords"] for d in dropped)
