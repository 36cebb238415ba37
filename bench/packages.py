#!/usr/bin/env python3
"""Measures what a function is made of: a large container image beside a zip, and the local loop from
saving a file to the new answer. Part of `make bench`.

An image's start is compared with a zip's of the same program, and a save with a cold start of the
same runtime and the same client, in turns, in the same run.
"""

import argparse
import http.client
import os
import subprocess
import sys
import time

import bench
from bench import EVENT, median, row
from coldstart import ColdStarts
import harness

sys.path.insert(0, os.path.join(bench.ROOT, "test", "sdk"))
import image_kit  # noqa: E402

GUEST = os.path.join(bench.ROOT, "bench", "gateway_guest.c")
FILE_BYTES = 1 << 20
LAYERS = 4
PYTHON = "def handler(event, context):\n    return %d\n"
NODE = "exports.handler = async () => %d;\n"


class Client:
    """One kept connection: what is measured is the daemon's part, and the same for both sides."""

    def __init__(self, base, d, name):
        url, self.headers = base.signed(d, name)
        self.path = url[len(d.url):]
        self.connection = http.client.HTTPConnection("127.0.0.1", d.port, timeout=60)

    def invoke(self):
        self.connection.request("POST", self.path, EVENT, self.headers)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise RuntimeError("%d: %s" % (answer.status, body[:200]))
        return body

    def timed(self):
        begun = time.perf_counter()
        body = self.invoke()
        return (time.perf_counter() - begun) * 1e3, body


class Packages:
    def __init__(self, args):
        self.args = args
        self.base = bench.Bench(args)

    def renew(self, f, i):
        """The next invocation is a cold start."""
        f.lam.update_function_configuration(FunctionName=f.name,
                                            Environment={"Variables": {"ROUND": str(i)}})
        f.wait_active()
        self.rested(f.daemon)

    def rested(self, d):
        """Ready sandboxes are there again, as they are some moments after the last start."""
        ColdStarts.spares_are_up(None, d)

    # ---- images ----------------------------------------------------------------------------------

    def big_image(self, program):
        """A layout of --image-mb megabytes that nothing compresses, in four layers."""
        files = max(self.args.image_mb // LAYERS, 1)
        layers = [[image_kit.file("data/%d/%d" % (n, i), os.urandom(FILE_BYTES))
                   for i in range(files)] for n in range(LAYERS)]
        layers[0] += [image_kit.folder("bin"), image_kit.file("bin/guest", program, 0o755)]
        image = image_kit.Image(layers, compress=False, Entrypoint=["/bin/guest"])
        path = os.path.join(self.base.scratch, "image")
        image.write_layout(path)
        return path

    def image(self, d):
        with open(GUEST) as f:
            program = harness.compile_c(f.read())
        path = self.big_image(program)
        lam = d.client("lambda")
        begun = time.monotonic()
        lam.create_function(FunctionName="image", PackageType="Image", Role=harness.ROLE,
                            Code={"ImageUri": "oci:" + path}, Timeout=60)
        took = time.monotonic() - begun
        image = harness.Function(d, "image", "").wait_active()
        small = harness.make_function(d, "native", source="bench/gateway_guest.c", name="zip")
        clients = {f: Client(self.base, d, f.name) for f in (image, small)}
        first = clients[image].timed()[0]
        clients[small].invoke()
        times = {image: [], small: []}
        for i in range(self.args.cold):
            order = (image, small) if i % 2 else (small, image)
            for f in order:
                self.renew(f, i)
                times[f].append(clients[f].timed()[0])
        ratio = median(times[image]) / median(times[small])
        row("cold native, image of %d MB / zip" % self.args.image_mb, "%.2f" % ratio, "<= 1.30",
            ratio <= 1.3, "%.2f ms against %.2f ms; its first %.2f ms, deployed in %.1f s" % (
                median(times[image]), median(times[small]), first, took))

    # ---- the local loop --------------------------------------------------------------------------

    def save(self, folder, name, text):
        path = os.path.join(folder, name)
        with open(path + "~", "w") as f:
            f.write(text)
        os.chmod(path + "~", 0o644)
        os.rename(path + "~", path)

    def saved(self, client, folder, name, text, value):
        """Milliseconds from the save to the first answer of the new code."""
        begun = time.perf_counter()
        self.save(folder, name, text % value)
        while client.invoke() != b"%d" % value:
            if time.perf_counter() - begun > 60:
                raise RuntimeError("the new code does not answer")
        return (time.perf_counter() - begun) * 1e3

    def local_loop(self, d, folder):
        for kind, runtime, name, text in [("Python", "python3.11", "app.py", PYTHON),
                                          ("Node.js", "nodejs20.x", "app.js", NODE)]:
            # The last is none of the folders that may be shown: dev sends packages.
            watched, packed = os.path.join(folder, kind), os.path.join(self.base.scratch, kind)
            for where in (watched, packed):
                os.mkdir(where)
                os.chmod(where, 0o755)
                self.save(where, name, text % 0)
            lower = kind.lower().replace(".", "")
            devs = [subprocess.Popen([harness.binary(), "dev", where, "--name", lower + suffix,
                                      "--runtime", runtime, "--handler", "app.handler"],
                                     env=d.cli_environment(), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                    for where, suffix in ((watched, "-dev"), (packed, "-packed"))]
            try:
                for dev in devs:
                    while "watching" not in dev.stderr.readline():
                        if dev.poll() is not None:
                            raise RuntimeError("lambkin dev ended")
                f = harness.Function(d, lower + "-cold", "")
                d.client("lambda").create_function(
                    FunctionName=f.name, Runtime=runtime, Handler="app.handler", Timeout=60,
                    Role=harness.ROLE,
                    Code={"ZipFile": harness.build_zip({name: text % 0})})
                self.loops(d, f, kind, lower, name, text, watched, packed)
            finally:
                for dev in devs:
                    dev.terminate()
                for dev in devs:
                    dev.communicate()

    def loops(self, d, f, kind, lower, name, text, watched, packed):
        clients = [Client(self.base, d, lower + w) for w in ("-cold", "-dev", "-packed")]
        for c in clients:
            c.invoke()
        cold, ways = [], ([], [])
        for i in range(1, self.args.cold + 1):
            self.renew(f, i)
            cold.append(clients[0].timed()[0])
            for times, client, where in zip(ways, clients[1:], (watched, packed)):
                self.rested(d)
                times.append(self.saved(client, where, name, text, i))
        for times, way, limit in zip(ways, ("", ", sent as a package"), ("< 3.00", "-")):
            ratio = median(times) / median(cold)
            row("%s: from saving to the new answer%s / cold start" % (kind, way), "%.2f" % ratio,
                limit, limit == "-" or ratio < 3,
                "%.2f ms against %.2f ms" % (median(times), median(cold)))

    def run(self):
        folder = os.path.join(os.path.realpath(self.base.scratch), "code")
        os.mkdir(folder)
        os.chmod(folder, 0o755)
        d = self.base.daemon("--hot-reload", folder)
        for name, measure in (("local", lambda: self.local_loop(d, folder)),
                              ("image", lambda: self.image(d))):
            if self.args.only in (None, name):
                measure()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lambkin", required=True, help="the binary")
    parser.add_argument("--cold", type=int, default=30, help="cold starts and saves of each kind")
    parser.add_argument("--image-mb", type=int, default=1024)
    parser.add_argument("--only", choices=["image", "local"])
    args = parser.parse_args()
    os.environ["LAMBKIN_BIN"] = os.path.abspath(args.lambkin)
    measured = Packages(args)
    print("Packages and the local loop (%d cores)" % os.cpu_count())
    try:
        measured.run()
    finally:
        measured.base.close()
    print("\n| measured | value | limit | holds | |\n|---|---|---|---|---|")
    for r in bench.rows:
        print("| %s | %s | %s | %s | %s |" % r)


if __name__ == "__main__":
    main()
