#!/usr/bin/env python3
"""Measures the HTTP edge, response streams and layers, each against its baseline in the same run.

Part of make bench. The function is bench/gateway_guest.c; load comes from bench/request_load.c,
latency.c and gateway_load.c, because Python would be what is measured.
"""

import argparse
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "test"), os.path.join(ROOT, "test", "sdk")]

from botocore.auth import SigV4Auth  # noqa: E402
from botocore.awsrequest import AWSRequest  # noqa: E402
from botocore.credentials import Credentials  # noqa: E402

import gateway_kit  # noqa: E402
import harness  # noqa: E402

EVENT = b'{"name":"bench"}'
STREAM_BYTES = 100 << 20
PYTHON_HANDLER = "def handler(event, context):\n    return 1\n"


def median(values):
    return statistics.median(values)


class Gateway:
    def __init__(self, row, build, args):
        self.row, self.build, self.args = row, build, args
        self.scratch = tempfile.mkdtemp(prefix="lambkin-gateway-")
        os.chmod(self.scratch, 0o755)
        self.requests = os.path.join(self.scratch, "request_load")
        subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-std=gnu17", "-o", self.requests,
                        os.path.join(ROOT, "bench", "request_load.c")], check=True)
        self.files = 0
        self.cleanup = [lambda: shutil.rmtree(self.scratch, ignore_errors=True)]

    def close(self):
        for f in reversed(self.cleanup):
            f()

    def numbers(self, program, *words):
        out = subprocess.run([program, *map(str, words)], check=True, capture_output=True,
                             text=True).stdout
        return [float(x) for x in out.split()]

    def tool(self, *words):
        return self.numbers(os.path.join(self.build, "bench", "gateway_load"), *words)

    def latency(self, d, request, n):
        return self.numbers(os.path.join(self.build, "bench", "latency"), "http", d.port, request,
                            n)

    def rate(self, d, request, connections):
        out = self.numbers(self.requests, "keep", d.port, request, connections, self.args.seconds)
        if out[1] > 0 or out[2] > 0:
            raise RuntimeError("%d other answers, %d lost" % (out[1], out[2]))
        return out[0]

    # ---- requests --------------------------------------------------------------------------------

    def file(self, first_line, headers, body=b""):
        self.files += 1
        path = os.path.join(self.scratch, "%d.http" % self.files)
        text = first_line + " HTTP/1.1\r\n" + "".join("%s: %s\r\n" % h for h in headers)
        if body:
            text += "Content-Length: %d\r\n" % len(body)
        with open(path, "wb") as f:
            f.write(text.encode() + b"\r\n" + body)
        return path

    def get(self, host, path, *headers):
        return self.file("GET " + path, [("Host", host), *headers])

    def invoke(self, d, name):
        """A signed Invoke; good for 15 minutes."""
        path = "/2015-03-31/functions/%s/invocations" % name
        request = AWSRequest("POST", d.url + path, data=EVENT)
        SigV4Auth(Credentials("test", "test"), "lambda", harness.REGION).add_auth(request)
        headers = [h for h in request.headers.items() if h[0].lower() != "content-length"]
        return self.file("POST " + path, [("Host", "127.0.0.1:%d" % d.port), *headers], EVENT)

    # ---- HTTP APIs -------------------------------------------------------------------------------

    def http_api(self, d, f):
        issuer = gateway_kit.Issuer()
        api = gateway_kit.Api(d)
        i = api.integration(f)
        api.route("GET /open", i)
        k = api.gw.create_authorizer(
            ApiId=api.id, Name="jwt", AuthorizerType="JWT",
            IdentitySource=["$request.header.Authorization"],
            JwtConfiguration={"Issuer": issuer.url, "Audience": ["me"]})["AuthorizerId"]
        api.route("GET /guarded", i, AuthorizationType="JWT", AuthorizerId=k)
        direct = self.invoke(d, f.name)
        opened = self.get(api.host, "/open")
        guarded = self.get(api.host, "/guarded", ("Authorization", "Bearer " + issuer.token()))
        for request in (direct, opened, guarded):  # the environments come up
            self.rate(d, request, 64)
        one, many = ([], []), ([], [], [])
        for _ in range(self.args.rounds):
            for to, request in zip(one, (direct, opened)):
                to.append(median(self.latency(d, request, 2000)))
            for to, request in zip(many, (direct, opened, guarded)):
                to.append(self.rate(d, request, 64))
        rates = [median(x) for x in many]
        ratio = rates[1] / rates[0]
        self.row("HTTP API, native, 64 connections / Invoke", "%.2f" % ratio, ">= 0.80",
                 ratio >= 0.8, "%.0f/s against %.0f/s" % (rates[1], rates[0]))
        ratio = median(one[1]) / median(one[0])
        self.row("HTTP API, native, 1 connection, median / Invoke", "%.2f" % ratio, "<= 1.30",
                 ratio <= 1.3, "%.0f us against %.0f us" % (median(one[1]), median(one[0])))
        ratio = rates[2] / rates[1]
        self.row("HTTP API with JWT / without", "%.2f" % ratio, ">= 0.70", ratio >= 0.7,
                 "%.0f/s against %.0f/s" % (rates[2], rates[1]))
        api.gw.delete_api(ApiId=api.id)
        issuer.server.close()

    def routes(self, d, f):
        """The routes' bucket is empty: 429 is the answer that needs nothing but the route."""
        gw, requests = d.client("apigatewayv2"), {}
        key = "x-amazon-apigateway-integration"
        for n in (10, 5000):
            paths = {"/area-%d/things-%d/{id}" % (i // 50, i): {
                "get": {key: {"$ref": "#/components/x-amazon-apigateway-integrations/f"}}}
                for i in range(n)}
            api = gw.import_api(Body=json.dumps({
                "openapi": "3.0.1", "info": {"title": "routes-%d" % n, "version": "1"},
                "paths": paths, "components": {"x-amazon-apigateway-integrations": {"f": {
                    "type": "aws_proxy", "httpMethod": "POST", "payloadFormatVersion": "2.0",
                    "uri": "arn:aws:apigateway:us-east-1:lambda:path/2015-03-31/functions/%s"
                           "/invocations" % f.arn}}}}))
            gw.create_stage(ApiId=api["ApiId"], StageName="$default", AutoDeploy=True)
            host = api["ApiEndpoint"].split("//", 1)[1].split(":")[0]
            self.cleanup.append(lambda i=api["ApiId"]: gw.delete_api(ApiId=i))
            last = n - 1
            requests[n] = self.get(host, "/area-%d/things-%d/some-id" % (last // 50, last))
        times = {10: [], 5000: []}
        for _ in range(3 * self.args.rounds):
            for n, request in requests.items():
                times[n].append(median(self.latency(d, request, 1000)))
        ratio = median(times[5000]) / median(times[10])
        self.row("a request to an API of 5,000 routes / of 10", "%.2f" % ratio, "<= 1.50",
                 ratio <= 1.5, "%.0f us against %.0f us" % (median(times[5000]), median(times[10])))
        match = {10: [], 5000: []}
        for _ in range(15):
            for n, to in match.items():
                to += self.tool("match", n, 200000)
        match = {n: median(v) for n, v in match.items()}
        ratio = match[5000] / match[10]
        self.row("the look-up alone, any of 5,000 routes / of 10", "%.2f" % ratio, "<= 1.50",
                 ratio <= 1.5, "%.0f ns against %.0f ns" % (match[5000], match[10]))

    # ---- WebSockets ------------------------------------------------------------------------------

    def websockets(self, d, f):
        gw, n = d.client("apigatewayv2"), self.args.sockets
        made = gw.create_api(Name="sockets", ProtocolType="WEBSOCKET",
                             RouteSelectionExpression="$request.body.action")
        i = gw.create_integration(ApiId=made["ApiId"], IntegrationType="AWS_PROXY",
                                  IntegrationUri=f.arn)["IntegrationId"]
        gw.create_route(ApiId=made["ApiId"], RouteKey="$default", Target="integrations/" + i,
                        RouteResponseSelectionExpression="$default")
        gw.create_stage(ApiId=made["ApiId"], StageName="live", AutoDeploy=True)
        handshake = self.get(made["ApiEndpoint"].split("//", 1)[1], "/live",
                             ("Upgrade", "websocket"), ("Connection", "Upgrade"),
                             ("Sec-WebSocket-Version", "13"),
                             ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="))
        server = d.children()["server"]
        before = pss_kib(server)
        p = subprocess.Popen(
            [os.path.join(self.build, "bench", "gateway_load"), "sockets", str(d.port), handshake,
             str(n), "/_api/%s/live/@connections" % made["ApiId"], str(self.args.rounds)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.cleanup.append(lambda: (p.kill(), p.wait()))
        if p.stdout.readline() != "open\n":
            raise RuntimeError("the WebSockets did not open")
        each = (pss_kib(server) - before) / n
        self.row("each of %d idle WebSockets costs the daemon" % n, "%.1f KiB" % each, "< 8 KiB",
                 each < 8)
        out, _ = p.communicate("go\n", timeout=300)
        if p.returncode != 0:
            raise RuntimeError("the broadcast failed")
        times = [float(x) for x in out.split()]
        self.row("a message to each of %d WebSockets" % n, "%.2f s" % median(times), "< 1 s",
                 median(times) < 1, "a signed POST each; best %.2f, worst %.2f" % (
                     min(times), max(times)))
        gw.delete_api(ApiId=made["ApiId"])

    # ---- response streams ------------------------------------------------------------------------

    def nginx(self):
        """Serves a file of as many bytes as the stream has."""
        port = free_port()
        conf = os.path.join(self.scratch, "nginx.conf")
        with open(os.path.join(self.scratch, "bytes"), "wb") as f:
            f.write(b"x" * STREAM_BYTES)
        temporary = "".join("%s_temp_path %s/%s; " % (k, self.scratch, k) for k in (
            "client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(conf, "w") as f:
            f.write("daemon off; user root; worker_processes auto; pid %s/nginx.pid;"
                    " error_log stderr crit; events { worker_connections 1024; }\n"
                    "http { access_log off; sendfile on; %s\n"
                    "server { listen 127.0.0.1:%d; root %s; } }\n" % (
                        self.scratch, temporary, port, self.scratch))
        p = subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", conf, "-p",
                              self.scratch], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.cleanup.append(lambda: (p.terminate(), p.wait()))
        harness.wait_until(lambda: connects(port), what="nginx listens")
        return port

    def drain(self, port, request):
        size, seconds = self.tool("drain", port, request)
        if size < STREAM_BYTES:
            raise RuntimeError("only %d bytes came" % size)
        return seconds

    def streams(self, d, f):
        url = d.client("lambda").create_function_url_config(
            FunctionName=f.name, AuthType="NONE", InvokeMode="RESPONSE_STREAM")["FunctionUrl"]
        host = url.split("//", 1)[1].split(":")[0]
        direct, first = self.invoke(d, f.name), self.get(host, "/first")
        warm, seen = [], []
        for _ in range(self.args.rounds):
            warm += self.latency(d, direct, 1000)
            seen += self.tool("first", d.port, first, 300)
        ratio = median(seen) / median(warm)
        self.row("first streamed byte, written to received / warm Invoke", "%.2f" % ratio,
                 "<= 2.00", ratio <= 2, "%.0f us against %.0f us" % (median(seen), median(warm)))

        nginx = self.nginx()
        ours = self.get(host, "/bytes/%d" % STREAM_BYTES, ("Connection", "close"))
        base = self.get("localhost", "/bytes", ("Connection", "close"))
        server = d.children()["server"]
        with open("/proc/%d/clear_refs" % server, "w") as control:
            control.write("5")  # the peak starts from here
        before = status_kib(server, "VmRSS")
        self.drain(d.port, ours)
        mine, bare = [], []
        for _ in range(self.args.rounds):
            bare.append(self.drain(nginx, base))
            mine.append(self.drain(d.port, ours))
        grown = status_kib(server, "VmHWM") - before
        ratio = median(bare) / median(mine)
        self.row("a stream of 100 MiB, bytes a second / nginx", "%.2f" % ratio, ">= 0.25",
                 ratio >= 0.25, "%.0f MiB/s against %.0f MiB/s" % (
                     100 / median(mine), 100 / median(bare)))
        self.row("memory that such streams take at their peak", "%.1f MiB" % (grown / 1024),
                 "constant", grown < 8 * 1024, "below 8 MiB is taken as constant")

    # ---- layers ----------------------------------------------------------------------------------

    def layers(self, d):
        lam, arns = d.client("lambda"), []
        for i in range(5):
            files = {"python/layer_%d/m%d.py" % (i, k): "x = %d\n" % k for k in range(50)}
            arns.append(lam.publish_layer_version(
                LayerName="bench-%d" % i,
                Content={"ZipFile": harness.build_zip(files)})["LayerVersionArn"])
        for kind in ("native", "python"):
            made = {}
            for n in (0, 5):
                made[n] = harness.make_function(
                    d, kind, source=self.guest if kind == "native" else PYTHON_HANDLER,
                    name="layers-%s-%d" % (kind, n), Layers=arns[:n])
            times = {0: [], 5: []}
            for i in range(self.args.cold):
                for n, f in sorted(made.items(), reverse=i % 2 == 1):
                    f.lam.update_function_configuration(
                        FunctionName=f.name, Environment={"Variables": {"ROUND": str(i)}})
                    f.wait_active()
                    time.sleep(0.05)  # a spare is made again, off the path that is measured
                    times[n] += self.latency(d, self.invoke(d, f.name), 1)
            ratio = median(times[5]) / median(times[0])
            self.row("cold %s, five layers / none" % kind, "%.2f" % ratio, "<= 1.10",
                     ratio <= 1.1, "%.2f ms against %.2f ms" % (
                         median(times[5]) / 1e3, median(times[0]) / 1e3))

    def run(self):
        self.guest = "bench/gateway_guest.c"
        d = harness.Daemon()
        self.cleanup.append(d.close)
        f = harness.make_function(d, "native", source=self.guest, name="edge")
        f.call({})
        rows = {"http": lambda: self.http_api(d, f), "routes": lambda: self.routes(d, f),
                "websockets": lambda: self.websockets(d, f), "streams": lambda: self.streams(d, f),
                "layers": lambda: self.layers(d)}
        for name, measure in rows.items():
            if self.args.only in (None, name):
                measure()


def status_kib(pid, field):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(field + r":\s+(\d+)", f.read()).group(1))


def pss_kib(pid):
    with open("/proc/%d/smaps_rollup" % pid) as f:
        return int(re.search(r"^Pss:\s+(\d+)", f.read(), re.M).group(1))


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def connects(port):
    import socket
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lambkin", required=True, help="the binary")
    parser.add_argument("--build", help="the build directory, when it is not the binary's")
    parser.add_argument("--seconds", type=int, default=4, help="of each load")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds")
    parser.add_argument("--cold", type=int, default=30, help="cold starts of each function")
    parser.add_argument("--sockets", type=int, default=10000)
    parser.add_argument("--only", choices=["http", "routes", "websockets", "streams", "layers"])
    args = parser.parse_args()
    os.environ["LAMBKIN_BIN"] = os.path.abspath(args.lambkin)
    build = args.build or os.path.dirname(os.path.dirname(os.path.dirname(
        os.path.realpath(args.lambkin))))
    # The daemon inherits this; it holds a descriptor for each WebSocket.
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < args.sockets + 2000 and os.geteuid() == 0:
        resource.setrlimit(resource.RLIMIT_NOFILE, (args.sockets + 2000, args.sockets + 2000))

    def row(what, value, limit, holds, detail=""):
        print("  %-60s %-10s %-10s %-4s %s" % (what, value, limit, "yes" if holds else "NO",
                                               detail), flush=True)
    g = Gateway(row, build, args)
    try:
        g.run()
    finally:
        g.close()


if __name__ == "__main__":
    main()
