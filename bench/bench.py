#!/usr/bin/env python3
"""Measures Lambkin against bare baselines, interleaved in one run, and prints one table.

Each row is a ratio or a number with the limit it should hold; nothing fails on a number. The
baselines run on the same machine in the same minutes, so that a slow or busy machine slows both
sides. Needs wrk, nginx and node (tools/install_deps.sh tests bench).
"""

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import signal
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

EVENT = b'{"name":"bench"}'
NODE_HANDLER = "exports.handler = async (event) => ({ hello: event.name });\n"
PYTHON_HANDLER = "def handler(event, context):\n    return {'hello': event['name']}\n"
SLEEPER = "import time\ndef handler(event, context):\n    time.sleep(1.5)\n    return 1\n"
FIRST_BYTE = "#include <unistd.h>\nint main(void) { return write(1, \"x\", 1) != 1; }\n"

rows = []


def row(what, value, limit, holds, detail=""):
    rows.append((what, value, limit, "yes" if holds else "no", detail))
    print("  %-52s %-12s %-12s %s" % (what, value, limit, "yes" if holds else "NO"), flush=True)


def median(values):
    return statistics.median(values)


def spread(values):
    ordered = sorted(values)
    return "p10 %.0f, p99 %.0f" % (ordered[len(ordered) // 10], ordered[int(len(ordered) * 0.99)])


class Bench:
    def __init__(self, args):
        self.args = args
        self.scratch = tempfile.mkdtemp(prefix="lambkin-bench-")
        os.chmod(self.scratch, 0o755)
        self.latency_tool = os.path.join(self.scratch, "latency")
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-std=gnu17", "-o", self.latency_tool,
                        os.path.join(ROOT, "bench", "latency.c")], check=True)
        self.cleanup = []

    def close(self):
        for f in reversed(self.cleanup):
            f()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def latency(self, *words, env=None):
        out = subprocess.run([self.latency_tool, *map(str, words)], check=True,
                             capture_output=True, text=True, env=env).stdout
        return [float(x) for x in out.split()]

    def daemon(self, *flags):
        d = harness.Daemon(*flags)
        self.cleanup.append(d.close)
        return d

    # ---- requests --------------------------------------------------------------------------------

    def signed(self, d, name):
        """Headers of a signed Invoke; good for 15 minutes."""
        url = "%s/2015-03-31/functions/%s/invocations" % (d.url, name)
        request = AWSRequest("POST", url, data=EVENT, headers={"Content-Type": "application/json"})
        SigV4Auth(Credentials("test", "test"), "lambda", harness.REGION).add_auth(request)
        headers = dict(request.headers.items())
        headers["Host"] = "127.0.0.1:%d" % d.port
        return url, headers

    def request_file(self, d, name):
        url, headers = self.signed(d, name)
        path = os.path.join(self.scratch, name + ".http")
        text = "POST %s HTTP/1.1\r\n" % url[len(d.url):]
        text += "".join("%s: %s\r\n" % h for h in headers.items() if h[0].lower() != "content-length")
        with open(path, "wb") as f:
            f.write(text.encode() + b"Content-Length: %d\r\n\r\n" % len(EVENT) + EVENT)
        return path

    def wrk(self, url, connections, headers=None, body=None, seconds=None):
        words = ["wrk", "-t1", "-c%d" % connections, "-d%ds" % (seconds or self.args.seconds)]
        if body is not None:
            script = os.path.join(self.scratch, "request.lua")
            with open(script, "w") as f:
                f.write("wrk.method = 'POST'\nwrk.body = [==[%s]==]\n" % body.decode())
                for k, v in (headers or {}).items():
                    if k.lower() not in ("content-length", "host"):
                        f.write("wrk.headers[ [==[%s]==] ] = [==[%s]==]\n" % (k, v))
                f.write("wrk.headers['Host'] = [==[%s]==]\n" % url.split("/")[2])
            words += ["-s", script]
        out = subprocess.run(words + [url], check=True, capture_output=True, text=True).stdout
        if "Non-2xx" in out:
            raise RuntimeError("wrk saw errors:\n" + out)
        return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))

    # ---- baselines -------------------------------------------------------------------------------

    def nginx(self):
        port = free_port()
        conf = os.path.join(self.scratch, "nginx.conf")
        with open(conf, "w") as f:
            f.write("""daemon off; worker_processes auto; pid %s/nginx.pid; error_log stderr crit;
events { worker_connections 1024; }
http { access_log off; keepalive_requests 100000000; client_body_temp_path %s/body;
  proxy_temp_path %s/proxy; fastcgi_temp_path %s/fcgi; uwsgi_temp_path %s/uwsgi;
  scgi_temp_path %s/scgi;
  server { listen 127.0.0.1:%d; location / { return 200 '{"hello":"bench"}'; } } }
""" % (*[self.scratch] * 6, port))
        exe = shutil.which("nginx") or "/usr/sbin/nginx"
        p = subprocess.Popen([exe, "-c", conf, "-p", self.scratch], stdin=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
        self.cleanup.append(lambda: end(p))
        return wait_port(port)

    def node_server(self):
        port = free_port()
        path = os.path.join(self.scratch, "server.cjs")
        with open(path, "w") as f:
            f.write(NODE_HANDLER + """
require('node:http').createServer((req, res) => {
    let body = '';
    req.on('data', (d) => { body += d; });
    req.on('end', async () => {
        const answer = JSON.stringify(await exports.handler(JSON.parse(body)));
        res.setHeader('content-type', 'application/json');
        res.end(answer);
    });
}).listen(%d, '127.0.0.1');
""" % port)
        p = subprocess.Popen(["node", path], stdin=subprocess.DEVNULL,
                             env=harness.clean_environment())
        self.cleanup.append(lambda: end(p))
        return wait_port(port)

    # ---- the rows --------------------------------------------------------------------------------

    def warm_latency(self, d):
        f = harness.make_function(d, "native", name="native")
        f.call({"name": "x"})
        request = self.request_file(d, "native")
        ours, bare = [], []
        for _ in range(self.args.rounds):
            bare += self.latency("pair", 2000, len(EVENT))
            ours += self.latency("http", d.port, request, 2000)
        above = (median(ours) - median(bare)) / 1000
        row("warm native, 1 connection: above a bare socket pair", "%.3f ms" % above, "0.10 ms",
            above <= 0.10, "%.0f us (%s) against %.0f us (%s)" % (
                median(ours), spread(ours), median(bare), spread(bare)))

    def warm_throughput(self, d):
        url, headers = self.signed(d, "native")
        base = "http://127.0.0.1:%d/" % self.nginx()
        self.wrk(url, 64, headers, EVENT, 2)  # the environments come up
        ours, nginx = [], []
        for _ in range(self.args.rounds):
            nginx.append(self.wrk(base, 64))
            ours.append(self.wrk(url, 64, headers, EVENT))
        ratio = median(ours) / median(nginx)
        row("warm native, 64 connections, of nginx return 200", "%.2f" % ratio, "0.25",
            ratio >= 0.25, "%.0f/s against %.0f/s" % (median(ours), median(nginx)))

    def warm_node(self, d):
        harness.make_function(d, "node", name="node", files={"index.js": NODE_HANDLER}).call(
            {"name": "x"})
        url, headers = self.signed(d, "node")
        base = "http://127.0.0.1:%d/" % self.node_server()
        self.wrk(url, 8, headers, EVENT, 2)
        self.wrk(base, 8, {"Content-Type": "application/json"}, EVENT, 2)
        ours, bare = [], []
        for _ in range(self.args.rounds):
            bare.append(self.wrk(base, 8, {"Content-Type": "application/json"}, EVENT))
            ours.append(self.wrk(url, 8, headers, EVENT))
        ratio = median(ours) / median(bare)
        row("warm Node.js, 8 connections, of bare node:http", "%.2f" % ratio, "0.80",
            ratio >= 0.8, "%.0f/s against %.0f/s" % (median(ours), median(bare)))

    def cold(self, d):
        """Each cold start is the first call after a change of the configuration."""
        static = os.path.join(self.scratch, "first_byte")
        with open(static, "wb") as f:
            f.write(harness.compile_c(FIRST_BYTE))
        os.chmod(static, 0o755)
        doctor = json.loads(d.cli("doctor").stdout)
        found = {}
        for i in doctor["interpreters"]:
            found.setdefault("python" if "python" in os.path.basename(i["path"]) else "node",
                             i["path"])
        cases = [("native", [static], None)]
        if "python" in found:
            cases.append(("python", [found["python"], "-c", "print(1, flush=True)"], PYTHON_HANDLER))
        if "node" in found:
            cases.append(("node", [found["node"], "-e", "process.stdout.write('x')"], NODE_HANDLER))
        for kind, plain, source in cases:
            files = {"index.js": source} if kind == "node" else None
            f = harness.make_function(d, kind, source=None if files else source, files=files,
                                      name="cold-" + kind)
            request = self.request_file(d, f.name)
            ours, bare = [], []
            for i in range(self.args.cold):
                bare += self.latency("exec", 1, *plain, env=harness.clean_environment())
                f.lam.update_function_configuration(
                    FunctionName=f.name, Environment={"Variables": {"ROUND": str(i)}})
                f.wait_active()
                ours += self.latency("http", d.port, request, 1)
            ratio = median(ours) / median(bare)
            row("cold %s without pools, of plain exec" % kind, "%.2f" % ratio, "1.50",
                ratio <= 1.5, "%.2f ms against %.2f ms" % (median(ours) / 1e3, median(bare) / 1e3))

    def ready(self):
        times = {"new": [], "again": []}
        for _ in range(self.args.ready):
            data = tempfile.mkdtemp(prefix="lambkin-bench-data-")
            os.chmod(data, 0o755)
            for which in times:
                started = time.monotonic()
                p = subprocess.Popen([harness.binary(), "serve", "--port", "0", "--data-dir", data],
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.DEVNULL, env=harness.clean_environment())
                line = p.stdout.readline()
                times[which].append((time.monotonic() - started) * 1e3)
                end(p)
                if b"ready" not in line:
                    raise RuntimeError("the daemon did not start")
            shutil.rmtree(data, ignore_errors=True)
        for which, text in (("new", "a new data directory"), ("again", "one in use")):
            m = median(times[which])
            row("ready, seen from outside, %s" % text, "%.0f ms" % m, "50 ms", m < 50,
                "best %.0f, worst %.0f" % (min(times[which]), max(times[which])))

    def memory(self):
        d = self.daemon("--spares", "0")
        pids = [d.pid, *d.children().values()]
        idle = sum(map(pss_kib, pids))
        row("resident when idle (PSS of all processes)", "%.1f MiB" % (idle / 1024), "15 MiB",
            idle < 15 * 1024)
        f = harness.make_function(d, "python", SLEEPER, Timeout=60)
        n = self.args.environments
        f.call({})
        before = sum(map(pss_kib, pids))
        with concurrent.futures.ThreadPoolExecutor(n) as pool:
            list(pool.map(lambda _: f.call({}), range(n)))
        each = (sum(map(pss_kib, pids)) - before) / (n - 1)
        row("each idle environment costs the daemon", "%.0f KiB" % each, "64 KiB", each < 64,
            "%d environments" % n)

    def run(self):
        warm = self.daemon()
        print("%-54s %-12s %-12s %s" % ("", "measured", "limit", "holds"))
        self.warm_latency(warm)
        self.warm_throughput(warm)
        self.warm_node(warm)
        warm.close()
        self.cleanup.remove(warm.close)
        bare = self.daemon("--spares", "0")
        self.cold(bare)
        bare.close()
        self.cleanup.remove(bare.close)
        self.ready()
        self.memory()


def pss_kib(pid):
    with open("/proc/%d/smaps_rollup" % pid) as f:
        return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_port(port):
    import socket

    def up():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    harness.wait_until(up)
    return port


def end(p):
    if p.poll() is None:
        p.send_signal(signal.SIGTERM)
        p.wait(60)


def table():
    lines = ["| what | measured | limit | holds | detail |", "|---|---|---|---|---|"]
    return "\n".join(lines + ["| %s | %s | %s | %s | %s |" % r for r in rows]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lambkin", help="the binary")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds")
    parser.add_argument("--seconds", type=int, default=4, help="of each run of wrk")
    parser.add_argument("--cold", type=int, default=30, help="cold starts of each runtime")
    parser.add_argument("--ready", type=int, default=10, help="starts of the daemon")
    parser.add_argument("--environments", type=int, default=50)
    parser.add_argument("--out", help="also write the table, as Markdown, to this file")
    args = parser.parse_args()
    if args.lambkin:
        os.environ["LAMBKIN_BIN"] = os.path.abspath(args.lambkin)
    b = Bench(args)
    try:
        b.run()
    finally:
        b.close()
    print("\n" + table())
    if args.out:
        with open(args.out, "w") as f:
            f.write(table())


if __name__ == "__main__":
    main()
