#!/usr/bin/env python3
"""Measures Lambkin beside other servers of functions: the same handler, the same client, in turns.

  make bench-compare                    what npm has is installed into build/bench-peers
  make bench-compare RIE=/path/to/it    also the AWS Lambda runtime interface emulator

Prints one table of medians with the lowest and highest round, and writes it as an SVG plot. The
others run as they come, without any sandbox; Lambkin runs with its own defaults, signatures
verified, in the full sandbox. What is not here or does not start is named with the reason.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import bench
from bench import free_port, median, row
import harness
import plot

INSTALL_S, START_S, LIMIT_S = 240, 60, 60
EVENT = bench.EVENT
WORKER = """export default { async fetch(request) {
    const event = await request.json();
    return Response.json({ hello: event.name });
} };
"""
WORKERD = """using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
    services = [(name = "main", worker = .worker)],
    sockets = [(name = "http", address = "127.0.0.1:%d", http = (), service = "main")]);
const worker :Workerd.Worker = (
    modules = [(name = "worker.js", esModule = embed "worker.js")],
    compatibilityDate = "2024-09-01");
"""
MINIFLARE = """const { Miniflare } = require('miniflare');
const mf = new Miniflare({ modules: true, scriptPath: 'worker.js', host: '127.0.0.1', port: %d,
                           compatibilityDate: '2024-09-01' });
mf.ready.then(() => console.log('ready'));
"""
# Its own command listens on every address; its testing server takes one.
FRAMEWORK = """const functions = require('@google-cloud/functions-framework');
const { getTestServer } = require('@google-cloud/functions-framework/testing');
functions.http('hello', (req, res) => { res.json({ hello: req.body.name }); });
getTestServer('hello').listen(%d, '127.0.0.1');
"""
SERVERLESS = """service: bench
frameworkVersion: '3'
provider: { name: aws, runtime: nodejs20.x }
plugins: [serverless-offline]
functions: { hello: { handler: index.handler } }
"""


class Unavailable(Exception):
    """This one is not measured; the text says why."""


def last_words(path):
    try:
        with open(path, "rb") as f:
            lines = f.read()[-2000:].decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    errors = [line for line in lines if "rror" in line]
    return (errors or lines or [""])[-1].strip()[:160]


class Peer:
    """One server of the hello function. `packages` are npm's, installed into a folder."""

    home = None  # the folder's name, where two share one

    def __init__(self, compare, name, handler, packages=(), version_of=None):
        self.compare, self.name, self.handler, self.packages = compare, name, handler, packages
        self.version_of = version_of
        self.version, self.port, self.process = "", 0, None
        self.path = "/"
        self.folder = os.path.join(compare.args.peers, self.home or name.replace(" ", "-"))
        self.medians, self.p99s, self.rates, self.errors = [], [], [], 0
        self.connections, self.warm_connections, self.note = [64], 8, ""

    def install(self):
        if not self.packages:
            os.makedirs(self.folder, exist_ok=True)
            return
        marker = os.path.join(self.folder, "installed.json")
        if not os.path.exists(marker) or json.load(open(marker)) != list(self.packages):
            npm = shutil.which("npm")
            if not npm:
                raise Unavailable("npm is not here")
            shutil.rmtree(self.folder, ignore_errors=True)
            os.makedirs(self.folder)
            print("  installing %s" % " ".join(self.packages), flush=True)
            log = os.path.join(self.folder, "install.log")
            try:
                with open(log, "wb") as f:
                    code = subprocess.run(
                        [npm, "install", "--no-audit", "--no-fund", "--loglevel=error",
                         "--prefix", self.folder, *self.packages], stdin=subprocess.DEVNULL,
                        stdout=f, stderr=f, cwd=self.folder, timeout=INSTALL_S).returncode
            except subprocess.TimeoutExpired:
                raise Unavailable("npm took longer than %d s" % INSTALL_S) from None
            if code != 0:
                raise Unavailable("npm: " + last_words(log))
            with open(marker, "w") as f:
                json.dump(list(self.packages), f)
        with open(os.path.join(self.folder, "node_modules", self.version_of, "package.json")) as f:
            self.version = json.load(f)["version"]

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w") as f:
            f.write(text)

    def spawn(self, command, **more):
        self.log = os.path.join(self.folder, self.name.replace(" ", "-") + ".log")
        env = harness.clean_environment(**more)
        env.pop("NODE_EXTRA_CA_CERTS", None)
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=env,
                                            start_new_session=True)

    def start(self):
        """Starts it; the port and path of the function are known afterwards."""
        raise NotImplementedError

    def request(self):
        head = "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n" \
               "Content-Length: %d\r\n\r\n" % (self.path, self.port, len(EVENT))
        return head.encode() + EVENT

    def begin(self):
        self.install()
        self.start()
        if self.process:
            self.compare.base.cleanup.append(self.end)
        self.request_path = os.path.join(self.compare.base.scratch,
                                         self.name.replace(" ", "-") + ".request")
        with open(self.request_path, "wb") as f:
            f.write(self.request())
        deadline = time.monotonic() + START_S
        while not self.answers():
            if self.process and self.process.poll() is not None:
                raise Unavailable("it ended: " + last_words(self.log))
            if time.monotonic() > deadline:
                raise Unavailable("no right answer within %d s: %s" % (
                    START_S, last_words(self.log) if self.process else ""))
            time.sleep(0.2)

    def answers(self):
        """Whether one request is answered with what the handler makes of it."""
        import socket
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as s:
                s.settimeout(10)
                s.sendall(self.request())
                got = b""
                while b'"bench"' not in got:  # the native one echoes its event
                    more = s.recv(65536)
                    if not more:
                        return False
                    got += more
                return got.split(b"\r\n")[0].endswith(b"200 OK")
        except OSError:
            return False

    def end(self):
        """Only what this started: it leads a session of its own."""
        if self.process and self.process.poll() is None:
            for sig in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self.process.pid, sig)
                    self.process.wait(10)
                    break
                except (subprocess.TimeoutExpired, ProcessLookupError):
                    continue

    def load(self, connections, seconds):
        """(200s a second, other answers, lost, median us, p99 us)"""
        out = subprocess.run([self.compare.tool, "keep", str(self.port), self.request_path,
                              str(connections), str(seconds)], check=True, text=True,
                             capture_output=True, timeout=LIMIT_S).stdout
        return tuple(map(float, out.split()))

    def round(self, seconds):
        rate, _, _, middle, p99 = self.load(1, seconds)
        if rate == 0:
            raise Unavailable("no answer on one connection")
        self.medians.append(middle)
        self.p99s.append(p99)
        best = 0.0
        for n in self.connections:
            rate, others, lost, _, _ = self.load(n, seconds)
            self.errors += int(others + lost)
            best = max(best, rate)
        self.rates.append(best)


class Lambkin(Peer):
    def __init__(self, compare, kind, **function):
        handler = "C" if kind == "native" else "Node.js"
        super().__init__(compare, "Lambkin " + handler, handler)
        self.kind, self.function = kind, function

    def install(self):
        self.version = subprocess.run([harness.binary(), "version"], capture_output=True,
                                      text=True).stdout.split()[-1]

    def start(self):
        d = self.compare.daemon
        self.port = d.port
        harness.make_function(d, self.kind, name="compare-" + self.kind, **self.function).call(
            {"name": "x"})

    def request(self):
        with open(self.compare.base.request_file(self.compare.daemon, "compare-" + self.kind),
                  "rb") as f:
            return f.read()


class Emulator(Peer):
    """AWS's runtime interface emulator, with the bootstrap that Lambkin runs too."""

    def __init__(self, compare):
        super().__init__(compare, "AWS emulator", "C")
        # It serves one request at a time: its best counts. More connections are tried once.
        self.connections, self.warm_connections, self.untried = [1], 1, [2, 64]

    def install(self):
        self.program = self.compare.args.rie or shutil.which("aws-lambda-rie")
        if not self.program:
            raise Unavailable("aws-lambda-rie is not in PATH; give its path (RIE=… or --rie)")
        super().install()

    def start(self):
        self.port = free_port()
        self.path = "/2015-03-31/functions/function/invocations"
        bootstrap = os.path.join(self.folder, "bootstrap")
        with open(bootstrap, "wb") as f:
            f.write(self.compare.bootstrap)
        os.chmod(bootstrap, 0o755)
        self.spawn([os.path.abspath(self.program), "--log-level", "error",
                    "--runtime-interface-emulator-address", "127.0.0.1:%d" % self.port,
                    "--runtime-api-address", "127.0.0.1:%d" % free_port(), bootstrap],
                   AWS_LAMBDA_FUNCTION_TIMEOUT="30", _HANDLER="bootstrap",
                   AWS_REGION=harness.REGION)

    def round(self, seconds):
        super().round(seconds)
        while self.untried:
            n = self.untried.pop(0)
            try:
                rate, others, lost, _, _ = self.load(n, seconds)
            except subprocess.SubprocessError:
                rate = others = lost = 0
            if self.process.poll() is None and self.answers():
                self.errors += int(others + lost)
                if rate > self.rates[-1]:
                    self.rates[-1] = rate
                    self.connections.append(n)
                continue
            self.note, self.untried = "it breaks under %d connections" % n, []
            self.end()
            self.begin()


class Workerd(Peer):
    home = "miniflare"

    def start(self):
        self.port = free_port()
        self.write("worker.js", WORKER)
        self.write("config.capnp", WORKERD % self.port)
        self.spawn([os.path.join(self.folder, "node_modules/.bin/workerd"), "serve",
                    "config.capnp"])


class Miniflare(Peer):
    home = "miniflare"

    def start(self):
        self.port = free_port()
        self.write("worker.js", WORKER)
        self.write("start.cjs", MINIFLARE % self.port)
        self.spawn(["node", "start.cjs"])


class Framework(Peer):
    def start(self):
        self.port = free_port()
        self.write("start.cjs", FRAMEWORK % self.port)
        self.spawn(["node", "start.cjs"])


class Offline(Peer):
    def start(self):
        self.port = free_port()
        self.path = "/2015-03-31/functions/bench-dev-hello/invocations"
        self.write("index.js", bench.NODE_HANDLER)
        self.write("serverless.yml", SERVERLESS)
        self.spawn(["node", "node_modules/serverless/bin/serverless.js", "offline", "start",
                    "--host", "127.0.0.1", "--httpPort", str(free_port()),
                    "--lambdaPort", str(self.port), "--noTimeout"],
                   SLS_TELEMETRY_DISABLED="1", SLS_TRACKING_DISABLED="1",
                   SLS_NOTIFICATIONS_MODE="off", AWS_ACCESS_KEY_ID="test",
                   AWS_SECRET_ACCESS_KEY="test", HOME=self.folder)


class Compare:
    def __init__(self, args):
        self.args = args
        self.base = bench.Bench(args)
        self.tool = os.path.join(self.base.scratch, "request_load")
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-std=gnu17", "-o", self.tool,
                        os.path.join(bench.ROOT, "bench", "request_load.c")], check=True)
        self.bootstrap = harness.compile_c(args.bootstrap)
        self.skipped = []

    def candidates(self):
        miniflare = ("miniflare@4.20260426.0",)
        return [
            Lambkin(self, "native", source=self.bootstrap),
            Emulator(self),
            Lambkin(self, "node", files={"index.js": bench.NODE_HANDLER}),
            Workerd(self, "workerd", "Worker", miniflare, "workerd"),
            Miniflare(self, "miniflare", "Worker", miniflare, "miniflare"),
            Framework(self, "functions-framework", "Node.js",
                      ("@google-cloud/functions-framework@5.0.5",),
                      "@google-cloud/functions-framework"),
            Offline(self, "serverless-offline", "Node.js",
                    ("serverless@3.40.0", "serverless-offline@13.10.1"), "serverless-offline"),
        ]

    def give_up(self, peer, why):
        self.skipped.append((peer.name, str(why)))
        print("  %-22s SKIPPED: %s" % (peer.name, why), flush=True)
        peer.end()

    def attempt(self, peer, step):
        try:
            step()
            return True
        except (Unavailable, AssertionError, RuntimeError, OSError, ValueError,
                subprocess.SubprocessError) as e:
            self.give_up(peer, e if isinstance(e, Unavailable)
                         else "%s: %s" % (type(e).__name__, str(e)[:200]))
            return False

    def run(self):
        self.daemon = self.base.daemon()
        peers = [p for p in self.candidates() if self.attempt(p, p.begin)]
        # Warm: environments, compilers, caches.
        peers = [p for p in peers if self.attempt(p, lambda p=p: p.load(p.warm_connections, 1))]
        for n in range(self.args.rounds):
            print("  round %d of %d" % (n + 1, self.args.rounds), flush=True)
            peers = [p for p in peers if self.attempt(p, lambda p=p: p.round(self.args.seconds))]
        return peers

    def rows(self, peers):
        by_name = {p.name: p for p in peers}
        ours, theirs = by_name.get("Lambkin C"), by_name.get("AWS emulator")
        if not ours or not theirs:
            return
        ratio = median(ours.medians) / median(theirs.medians)
        row("warm, 1 connection: median / AWS's emulator", "%.2f" % ratio, "0.50", ratio <= 0.5,
            "%.0f us against %.0f us" % (median(ours.medians), median(theirs.medians)))
        ratio = median(ours.rates) / median(theirs.rates)
        row("warm, 64 connections: rate / AWS's emulator's best", "%.1f" % ratio, "6.0",
            ratio >= 6, "%.0f/s against %.0f/s" % (median(ours.rates), median(theirs.rates)))

    def table(self, peers):
        lines = ["| server | version | handler | 1 connection: median us (rounds) | p99 us "
                 "| 64 connections: answers a second (rounds) | not answered by 200 |",
                 "|---|---|---|---|---|---|---|"]
        for p in peers:
            lines.append("| %s | %s | %s | %.0f (%.0f–%.0f) | %.0f | %.0f (%.0f–%.0f) | %s |" % (
                p.name, p.version, p.handler, median(p.medians), min(p.medians), max(p.medians),
                median(p.p99s), median(p.rates), min(p.rates), max(p.rates),
                p.note or p.errors))
        lines += ["| %s | | | skipped: %s | | | |" % s for s in self.skipped]
        return "\n".join(lines) + "\n"

    def plot(self, peers):
        def bars(of):
            return [(p.name, median(of(p)), min(of(p)), max(of(p)), isinstance(p, Lambkin))
                    for p in peers]
        return plot.bars(
            "The same warm function, the same client, in turns",
            [("One connection: median time of a request", "microseconds, less is better",
              bars(lambda p: p.medians)),
             ("64 connections: right answers a second", "more is better",
              bars(lambda p: p.rates))],
            "Lambkin: signatures verified, full sandbox. The others: neither. Lines: lowest and "
            "highest round.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lambkin", help="the binary")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds")
    parser.add_argument("--seconds", type=float, default=2, help="of each load")
    parser.add_argument("--peers", default=os.path.join(bench.ROOT, "build", "bench-peers"),
                        help="where the others are installed")
    parser.add_argument("--rie", help="the program aws-lambda-rie")
    parser.add_argument("--bootstrap", default="examples/native-c/bootstrap.c",
                        help="source of the native function")
    parser.add_argument("--svg", help="write the plot to this file")
    parser.add_argument("--out", help="also write the tables, as Markdown, to this file")
    args = parser.parse_args()
    args.peers = os.path.abspath(args.peers)
    if args.lambkin:
        os.environ["LAMBKIN_BIN"] = os.path.abspath(args.lambkin)
    c = Compare(args)
    try:
        peers = c.run()
    finally:
        c.base.close()
    print("%-54s %-12s %-12s %s" % ("", "measured", "limit", "holds"))
    c.rows(peers)
    text = c.table(peers) + ("\n" + bench.table() if bench.rows else "")
    print("\n" + text)
    if args.svg and peers:
        with open(args.svg, "w") as f:
            f.write(c.plot(peers))
    if args.out:
        with open(args.out, "w") as f:
            f.write(text)


if __name__ == "__main__":
    sys.exit(main())
