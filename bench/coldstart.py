#!/usr/bin/env python3
"""Measures cold starts, bursts and many functions on little memory, as users have them: with the
default settings and in the full sandbox. Part of `make bench`.

Every number stands beside a bare start of the same interpreter, or the bare sandbox, taken in turns
in the same run.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request

import bench
from bench import median, row
import harness

PYTHON_HANDLER = bench.PYTHON_HANDLER
# Standard output is the measuring tool's.
JAVA_BARE = """public class Hello {
    public static void main(String[] words) { System.err.println("hello"); }
}
"""
JAVA_HANDLER = """import com.amazonaws.services.lambda.runtime.*;
import java.util.*;
public class Plain implements RequestHandler<Map<String, Object>, Map<String, Object>> {
    public Map<String, Object> handleRequest(Map<String, Object> event, Context context) {
        return Collections.singletonMap("hello", event.get("name"));
    }
}
"""
LIMIT_S = 180  # of any single measurement


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def timing(response):
    """(how it started, {stage: ms}) of an answer of Invoke."""
    text = response["ResponseMetadata"]["HTTPHeaders"].get("server-timing", "")
    start = re.search(r'start;desc="(\w+)"', text)
    return (start.group(1) if start else "?",
            {k: float(v) for k, v in re.findall(r"(\w+);dur=([\d.]+)", text)})


class ColdStarts:
    def __init__(self, args):
        self.args = args
        self.base = bench.Bench(args)
        self.tool = os.path.join(self.base.scratch, "request_load")
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-std=gnu17", "-o", self.tool,
                        os.path.join(bench.ROOT, "bench", "request_load.c")], check=True)

    def tool_lines(self, *words):
        env = harness.clean_environment()
        env.pop("NODE_EXTRA_CA_CERTS", None)  # Node.js would parse it at each start
        out = subprocess.run([self.tool, *map(str, words)], check=True, env=env, text=True,
                             capture_output=True, timeout=LIMIT_S).stdout
        return [tuple(map(float, line.split())) for line in out.splitlines()]

    def bare(self, *program):
        """Milliseconds from exec to the end of one run."""
        return self.tool_lines("run", 1, *program)[0][0] / 1e3

    def spares_are_up(self, d, rest=0.25):
        """Waits for ready sandboxes, as they are when a function was not called for a while: until
        their number has not changed for `rest` seconds."""
        def up():
            with urllib.request.urlopen(d.url + "/_lambkin/metrics", timeout=10) as answer:
                m = re.search(r"^lambkin_spares(?:\{[^}]*\})? (\d+)", answer.read().decode(), re.M)
            return int(m.group(1)) if m else 0
        # Each loop keeps its own; their number rests when all are there.
        seen, since, deadline = up(), time.monotonic(), time.monotonic() + 20
        while time.monotonic() < deadline:
            now = up()
            if now != seen:
                seen, since = now, time.monotonic()
            if seen >= 2 and time.monotonic() - since > rest:
                return
            time.sleep(0.02)
        raise AssertionError("the spares are not up")

    def interpreters(self, d):
        found = {}
        for i in json.loads(d.cli("doctor", "--json").stdout)["interpreters"]:
            name = os.path.basename(i["path"])
            for kind in ("python", "node"):
                if name.startswith(kind):
                    found.setdefault(kind, i["path"])
        return found

    def cold(self, d, kind, bare, limit, what, ready=None, **function):
        """One row: the first Invoke after each change of the configuration, once ready() returns."""
        f = harness.make_function(d, kind, name="cold-" + kind, **function)
        request = self.base.request_file(d, f.name)
        ours, base, starts, stages = [], [], {}, {}
        for i in range(self.args.cold):
            base.append(bare())
            f.lam.update_function_configuration(
                FunctionName=f.name, Environment={"Variables": {"ROUND": str(i)}})
            f.wait_active()
            ready() if ready else self.spares_are_up(d)
            if i % 5 == 4:  # where the time goes, from the answer itself; not among the numbers
                start, parts = timing(f.lam.invoke(FunctionName=f.name, Payload=bench.EVENT))
                starts[start] = starts.get(start, 0) + 1
                for k, v in parts.items():
                    stages.setdefault(k, []).append(v)
            else:
                ours.append(self.base.latency("http", d.port, request, 1)[0] / 1e3)
        ratio = median(ours) / median(base)
        row(what, "%.2f" % ratio, "%.2f" % limit, ratio <= limit,
            "%.2f ms (p10 %.2f, p99 %.2f) against %.2f ms; %s; of it %s" % (
                median(ours), percentile(ours, 0.1), percentile(ours, 0.99), median(base),
                ", ".join("%s %d" % s for s in starts.items()),
                ", ".join("%s %.2f" % (k, median(v)) for k, v in stages.items())))
        f.delete()
        return ours

    def cold_rows(self):
        d = self.base.daemon()
        found = self.interpreters(d)
        if "python" in found:
            self.cold(d, "python", lambda: self.bare(found["python"], "-S", "-c", "pass"), 0.25,
                      "cold Python / python3 -S -c pass", source=PYTHON_HANDLER)
        else:
            skipped("cold Python", "no interpreter")
        if "node" in found:
            self.cold(d, "node", lambda: self.bare(found["node"], "-e", "0"), 0.15,
                      "cold Node.js / node -e 0", files={"index.js": bench.NODE_HANDLER})
        else:
            skipped("cold Node.js", "no interpreter")
        self.cold_native(d)
        if "python" in found:
            self.snapstart(d, found["python"])
        self.base.cleanup.remove(d.close)
        d.close()

    def snapstart(self, d, python):
        """The first Invoke of an environment whose version imported boto3 when it was published."""
        what = "cold, imports boto3, SnapStart / bare import boto3"
        try:
            files = sdk_files()
        except ImportError as e:
            return skipped(what, str(e))
        folder = os.path.join(self.base.scratch, "sdk")
        for name, content in files.items():
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as f:
                f.write(content)
        program = "import sys; sys.path.insert(0, %r); import boto3" % folder
        self.bare(python, "-c", program)  # leaves the bytecode
        f = harness.make_function(
            d, "python", name="cold-sdk", handler="app.handler", MemorySize=256,
            files={"app.py": b"import boto3\n" + PYTHON_HANDLER.encode(), **files},
            SnapStart={"ApplyOn": "PublishedVersions"})
        ours, base, restored, starts = [], [], [], {}
        for i in range(max(1, self.args.cold // 2)):
            base.append(self.bare(python, "-c", program))
            f.lam.update_function_configuration(
                FunctionName=f.name, Environment={"Variables": {"ROUND": str(i)}})
            f.wait_active()
            version = f.lam.publish_version(FunctionName=f.name)["Version"]
            f.lam.get_waiter("published_version_active").wait(
                FunctionName=f.name, Qualifier=version, WaiterConfig={"Delay": 0.1})
            time.sleep(0.3 if i % 2 else 3)  # still running, or frozen
            if i % 5 == 4:
                start, parts = timing(
                    f.lam.invoke(FunctionName=f.name, Qualifier=version, Payload=bench.EVENT))
                starts[start] = starts.get(start, 0) + 1
                restored.append(parts.get("environment", 0))
            else:
                request = self.base.request_file(d, f.name + ":" + version)
                ours.append(self.base.latency("http", d.port, request, 1)[0] / 1e3)
            f.lam.delete_function(FunctionName=f.name, Qualifier=version)
        f.delete()
        ratio = median(ours) / median(base)
        row(what, "%.3f" % ratio, "0.06", ratio <= 0.06,
            "%.2f ms (p10 %.2f, p99 %.2f) against %.2f ms; %s; restore %.2f" % (
                median(ours), percentile(ours, 0.1), percentile(ours, 0.99), median(base),
                ", ".join("%s %d" % s for s in starts.items()), median(restored)))

    def cold_native(self, d):
        """Against the first byte of a static binary in the same sandbox (sandbox_bench)."""
        name = "cold native / static binary in the same sandbox"
        tool, guest = self.args.sandbox_bench, self.args.guests
        if not tool or not os.access(tool, os.X_OK):
            return skipped(name, "no sandbox_bench; give --sandbox-bench and --guests")
        found = {"made": [], "spare": []}

        def sandbox():
            out = subprocess.run([tool, guest, "10"], capture_output=True, text=True,
                                 timeout=LIMIT_S).stdout
            for which, text in (("made", "made when asked for"), ("spare", "taken from the spares")):
                m = re.search(text + r"\s+(\d+) us", out)
                if m:
                    found[which].append(float(m.group(1)) / 1e3)
            return bool(found["spare"])
        if not sandbox():
            return skipped(name, "sandbox_bench measured nothing (it needs root)")
        f = harness.make_function(d, "native", name="cold-native")
        request = self.base.request_file(d, f.name)
        ours = []
        for i in range(self.args.cold):
            f.lam.update_function_configuration(
                FunctionName=f.name, Environment={"Variables": {"ROUND": str(i)}})
            f.wait_active()
            self.spares_are_up(d)
            ours.append(self.base.latency("http", d.port, request, 1)[0] / 1e3)
            if i == self.args.cold // 2:
                sandbox()
        sandbox()
        f.delete()
        ratio = median(ours) / median(found["spare"])
        row(name, "%.2f" % ratio, "2.00", ratio <= 2.0,
            "%.2f ms (p10 %.2f, p99 %.2f) against %.2f ms from a spare; %.2f ms made when asked for"
            % (median(ours), percentile(ours, 0.1), percentile(ours, 0.99), median(found["spare"]),
               median(found["made"])))

    # ---- a burst ---------------------------------------------------------------------------------

    def burst(self):
        d = self.base.daemon()
        python = self.interpreters(d).get("python")
        n, cores = self.args.burst, os.cpu_count()
        name = "burst: %d first invocations at once, p99" % n
        if not python:
            return skipped(name, "no interpreter")
        p99s, bare, lost, failed, hung = [], [], 0, 0, 0
        for _ in range(self.args.rounds):
            bare += [self.bare(python, "-S", "-c", "pass") for _ in range(20)]
            f = harness.make_function(d, "python", source=PYTHON_HANDLER)
            request = self.base.request_file(d, f.name)
            time.sleep(1)
            answers = self.tool_lines("burst", d.port, request, n)
            failed += sum(1 for status, _ in answers if status not in (0, 200))
            lost += sum(1 for status, _ in answers if status == 0)
            p99s.append(percentile([us for _, us in answers], 0.99) / 1e3)
            f.delete()
        limit = 0.8 * n * median(bare) / cores
        ratio = median(p99s) / (limit / 0.8)
        row(name, "%.2f" % ratio, "0.80", ratio <= 0.8 and not lost and not failed,
            "p99 %.0f ms (%.0f to %.0f) against %d x %.2f ms / %d; %d lost or hung, %d errors" % (
                median(p99s), min(p99s), max(p99s), n, median(bare), cores, lost, failed))
        self.base.cleanup.remove(d.close)
        d.close()

    # ---- many functions, little memory ------------------------------------------------------------

    def many(self):
        n = self.args.functions
        d = self.base.daemon("--memory-budget", "1g")
        made = [harness.make_function(d, "python", source=PYTHON_HANDLER, wait=False)
                for _ in range(n)]
        for f in made:
            f.wait_active()
        made[-1].call({"name": "x"})  # from here on the pool knows the language
        self.spares_are_up(d)
        starts, totals, wrong = {}, {"spare": [], "cold": []}, 0
        for _ in range(2):
            for f in made:
                r = f.lam.invoke(FunctionName=f.name, Payload=bench.EVENT)
                if r.get("FunctionError") or json.loads(r["Payload"].read()) != {"hello": "bench"}:
                    wrong += 1
                    continue
                start, parts = timing(r)
                starts[start] = starts.get(start, 0) + 1
                totals.setdefault(start, []).append(parts.get("total", 0))
                time.sleep(self.args.pause)
        everything = [t for v in totals.values() for t in v]
        missed = starts.get("cold", 0)
        answered = sum(starts.values())
        row("%d functions in turn, budget 1 GiB: starts without a pool" % n,
            "%.1f %%" % (100.0 * missed / max(1, answered)), "1 %",
            wrong == 0 and missed <= answered * 0.01,
            "%d of %d answered; %s; total median %.2f ms, p99 %.2f ms" % (
                answered, 2 * n, ", ".join("%s %d" % s for s in sorted(starts.items())),
                median(everything), percentile(everything, 0.99)))
        self.base.cleanup.remove(d.close)
        d.close()

    # ---- Java -------------------------------------------------------------------------------------

    def java(self):
        """Java 17 against a bare JVM with its default archive of classes, from spares and without."""
        missing = [t for t in ("java", "javac", "mvn") if not shutil.which(t)]
        if missing:
            return skipped("cold Java", "no " + ", ".join(missing))
        hello = os.path.join(self.base.scratch, "java")
        os.makedirs(hello)
        with open(os.path.join(hello, "Hello.java"), "w") as f:
            f.write(JAVA_BARE)
        with open(os.path.join(hello, "Plain.java"), "w") as f:
            f.write(JAVA_HANDLER)
        for flags, limit, what in (((), 0.5, "cold Java 17 / bare JVM"),
                                   (("--spares", "0"), 1.2, "cold Java 17 without spares / bare JVM")):
            d = self.base.daemon(*flags)
            installed = d.cli("runtime", "install", "java", "--data-dir", d.data_dir, timeout=600)
            found = [i["path"] for i in json.loads(d.cli("doctor", "--json").stdout)["interpreters"]
                     if i["path"].endswith("/java") and i.get("version", "").startswith("17")]
            if installed.returncode != 0 or not found:
                skipped(what, installed.stderr.strip()[-200:] or "no Java 17")
            else:
                core = os.path.join(d.data_dir, "runtime", "java", "aws-lambda-java-core.jar")
                subprocess.run([os.path.join(os.path.dirname(found[0]), "javac"), "-d", hello, "-cp",
                                core, hello + "/Hello.java", hello + "/Plain.java"], check=True)
                with open(hello + "/Plain.class", "rb") as f:
                    files = {"Plain.class": f.read()}
                self.cold(d, "java17", lambda: self.bare(found[0], "-cp", hello, "Hello"), limit,
                          what, ready=(lambda: None) if flags else lambda: self.spares_are_up(d, 1.5),
                          files=files, handler="Plain", MemorySize=512)
            self.base.cleanup.remove(d.close)
            d.close()

    # ---- a rhythm --------------------------------------------------------------------------------

    def rhythm(self):
        """The same calls to two daemons, with and without pre-warming; what is learnt is not counted."""
        learn, period = 6, 1.0
        settings = ("--idle-after", "300ms", "--freeze-after", "100ms")
        daemons = {"on": self.base.daemon("--prewarm", *settings),
                   "off": self.base.daemon(*settings)}
        functions = {k: harness.make_function(d, "python", source=PYTHON_HANDLER)
                     for k, d in daemons.items()}
        cold = {k: 0 for k in daemons}
        totals = {k: [] for k in daemons}
        due = time.monotonic()
        for i in range(learn + self.args.rhythm):
            for k, f in functions.items():
                start, parts = timing(f.lam.invoke(FunctionName=f.name, Payload=bench.EVENT))
                if i >= learn:
                    cold[k] += start in ("spare", "cold")
                    totals[k].append(parts.get("total", 0))
            due = max(due + period, time.monotonic())
            time.sleep(due - time.monotonic())
        with urllib.request.urlopen(daemons["on"].url + "/_lambkin/metrics", timeout=10) as answer:
            text = answer.read().decode()
        counts = {k: sum(float(v) for v in re.findall(
            r"^lambkin_function_prewarm_%s_total\{[^}]*\} (\S+)" % k, text, re.M))
            for k in ("starts", "hits", "wasted")}
        row("called every second, idle-after 300 ms: cold with prewarm",
            "%.0f %%" % (100.0 * cold["on"] / self.args.rhythm), "10 %",
            cold["on"] <= 0.1 * self.args.rhythm,
            "%.0f %% cold without; total median %.2f ms against %.2f ms; %d started, %d hits, %d "
            "wasted" % (100.0 * cold["off"] / self.args.rhythm, median(totals["on"]),
                        median(totals["off"]), counts["starts"], counts["hits"],
                        counts["wasted"]))
        for d in daemons.values():
            self.base.cleanup.remove(d.close)
            d.close()

    def run(self):
        print("%-54s %-12s %-12s %s" % ("cold starts, full isolation", "measured", "limit", "holds"))
        for part in (self.cold_rows, self.java, self.burst, self.many, self.rhythm):
            try:
                part()
            except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as e:
                skipped(part.__name__, "%s: %s" % (type(e).__name__, str(e)[:300]))


def sdk_files():
    """boto3 and what it needs, as a package carries them, but for the models of most services."""
    found = {}
    for name in ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six"):
        origin = importlib.util.find_spec(name)
        if origin is None:
            raise ImportError("no " + name)
        top = os.path.dirname(origin.origin) if origin.submodule_search_locations else origin.origin
        above = os.path.dirname(top)
        paths = [top] if os.path.isfile(top) else [
            os.path.join(folder, n) for folder, _, names in os.walk(top) for n in names]
        for path in paths:
            inside = os.path.relpath(path, above)
            if "__pycache__" in inside or (inside.startswith("botocore/data/") and
                                           inside.count("/") > 2 and "/sts/" not in inside):
                continue
            with open(path, "rb") as f:
                found[inside] = f.read()
    return found


def skipped(what, why):
    bench.rows.append((what, "-", "-", "SKIPPED", why))
    print("  %-52s SKIPPED: %s" % (what, why), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lambkin", help="the binary")
    parser.add_argument("--cold", type=int, default=40, help="cold starts of each runtime")
    parser.add_argument("--rounds", type=int, default=3, help="bursts")
    parser.add_argument("--burst", type=int, default=500, help="requests in a burst")
    parser.add_argument("--functions", type=int, default=200)
    parser.add_argument("--rhythm", type=int, default=30, help="calls in a rhythm that count")
    parser.add_argument("--pause", type=float, default=0.15, help="seconds between two functions")
    parser.add_argument("--sandbox-bench", help="the tool build/bench/sandbox_bench")
    parser.add_argument("--guests", help="the folder with its guest program: build/test/sandbox")
    parser.add_argument("--out", help="also write the table, as Markdown, to this file")
    args = parser.parse_args()
    if args.lambkin:
        os.environ["LAMBKIN_BIN"] = os.path.abspath(args.lambkin)
    c = ColdStarts(args)
    try:
        c.run()
    finally:
        c.base.close()
    print("\n" + bench.table())
    if args.out:
        with open(args.out, "w") as f:
            f.write(bench.table())


if __name__ == "__main__":
    sys.exit(main())
