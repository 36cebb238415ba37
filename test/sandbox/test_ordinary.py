"""What ordinary functions need goes on working, however the host and the operator isolate them:
native libraries (numpy, sharp), threads, child processes, files at /tmp."""

import json
import os
import stat
import subprocess
import sys
import urllib.request

import pytest

from harness import build_zip, clean_environment, make_function, wait_until

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

NUMPY = """
import multiprocessing, os, subprocess, tempfile, threading
import numpy

def handler(event, context):
    answers = []
    def work():
        answers.append(float(numpy.dot(numpy.ones(1000), numpy.arange(1000))))
    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    pipe = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=pipe[1].send, args=("from a child",))
    child.start()
    with tempfile.NamedTemporaryFile() as f:
        numpy.save(f, numpy.eye(100))
        f.seek(0)
        trace = float(numpy.trace(numpy.load(f)))
    echo = subprocess.run(["/bin/echo", "hello"], capture_output=True, text=True).stdout.strip()
    said = pipe[0].recv()
    child.join()
    solved = numpy.linalg.solve(numpy.eye(50) * 2, numpy.ones(50)).sum()
    return [answers, said, trace, echo, float(solved)]
"""

SHARP = """
import { Worker } from "node:worker_threads";
import { execFileSync } from "node:child_process";
import { writeFileSync, readFileSync } from "node:fs";
import sharp from "sharp";

export const handler = async () => {
    const sum = await new Promise((resolve, reject) => {
        const w = new Worker("require('worker_threads').parentPort.postMessage(40 + 2)",
                             { eval: true });
        w.on("message", resolve);
        w.on("error", reject);
    });
    const image = await sharp({ create: { width: 320, height: 200, channels: 3,
                                          background: { r: 255, g: 0, b: 0 } } })
        .resize(64).png().toBuffer();
    const { width, height, format } = await sharp(image).metadata();
    const file = `/tmp/ordinary-${process.pid}`;
    writeFileSync(file, "written");
    return { sum, width, height, format, child: execFileSync("/bin/echo", ["hello"]).toString().trim(),
             tmp: readFileSync(file, "utf8") };
};
"""

# Arguments of the daemon, its user, and what is denied to it.
MODES = {
    "strict": (["--isolation", "strict"], None, None),
    "denied": (["--isolation", "strict"], None, "clone3"),
    "rootless": (["--isolation", "best-effort"], 61500, None),
    "container": (["--isolation", "best-effort"], 61500, "namespaces"),
    "none": (["--isolation", "none"], None, None),
}


def health(daemon):
    with urllib.request.urlopen(daemon.url + "/_lambkin/health", timeout=60) as r:
        return json.load(r)["isolation"]


@pytest.fixture(params=MODES)
def somewhere(request, new_daemon, scratch):
    """A daemon in each of the modes."""
    options, user, denied = MODES[request.param]
    if os.geteuid() != 0:
        pytest.skip("needs root, to become others")
    env = {"PATH": "/usr/bin:/bin", "HOME": scratch} if user else {}
    daemon = new_daemon(*options, user=user, env=env, start=False)
    facts = json.loads(subprocess.run([daemon.binary, "doctor", "--json"], stdin=subprocess.DEVNULL,
                                      env=clean_environment(**env), capture_output=True,
                                      text=True).stdout)
    if options[1] == "strict" and not facts["strict_possible"]:
        pytest.skip("strict isolation is not to be had here: see lambkin doctor")
    if denied:
        wrapper = os.path.join(daemon.scratch, "denying.sh")
        script = os.path.join(daemon.scratch, "denying.py")
        with open(os.path.join(HERE, "sandbox", "denying.py")) as f, open(script, "w") as to:
            to.write(f.read())
        with open(wrapper, "w") as f:
            f.write("#!/bin/sh\nexec /usr/bin/python3 %s %s %s \"$@\"\n"
                    % (script, denied, daemon.binary))
        for path in (wrapper, script):
            os.chmod(path, 0o755)
        daemon.binary = wrapper
    daemon.start()
    told = wait_until(lambda: health(daemon) if health(daemon).get("connected") else None,
                      what="the keeper to greet")
    if user:
        assert told["mounts"] == (denied is None), told
    return daemon


def tree(root, folders, keep=lambda name: True):
    """{name below root: content} of the files in those folders."""
    files = {}
    for folder in folders:
        for top, dirs, names in os.walk(os.path.join(root, folder)):
            dirs[:] = [d for d in dirs if d not in ("tests", "__pycache__", "test")]
            for name in names:
                full = os.path.join(top, name)
                if keep(name) and stat.S_ISREG(os.stat(full).st_mode):
                    with open(full, "rb") as f:
                        files[os.path.relpath(full, root)] = f.read()
    return files


@pytest.fixture(scope="module")
def numpy_package(daemon, tmp_path_factory):
    f = make_function(daemon, "python",
                      "import sys\ndef handler(e, c):\n    return '%d.%d' % sys.version_info[:2]\n")
    version = f.call({})
    f.delete()
    target = str(tmp_path_factory.mktemp("numpy"))
    pip = subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--target", target, "--python-version",
         version, "--only-binary=:all:", "--no-deps", "numpy<2.3"], stdin=subprocess.DEVNULL,
        capture_output=True, text=True)
    if pip.returncode != 0:
        pytest.skip("numpy cannot be installed here: " + pip.stderr.strip()[-200:])
    files = tree(target, ["."], lambda n: n.endswith((".py", ".so")) or ".so." in n)
    return build_zip({"app.py": NUMPY, **files})


def test_numpy_threads_and_children(somewhere, numpy_package):
    f = make_function(somewhere, "python", package=numpy_package, MemorySize=512)
    assert f.call({}) == [[499500.0] * 4, "from a child", 100.0, "hello", 25.0]


@pytest.fixture(scope="module")
def sharp_package():
    modules = os.path.join(HERE, "node", "node_modules")
    if not os.path.isdir(os.path.join(modules, "sharp")):
        pytest.skip("sharp is not installed: make install-deps")
    names = ["sharp", "color", "color-convert", "color-name", "color-string", "detect-libc",
             "semver", "simple-swizzle", "is-arrayish"]
    names += ["@img/" + n for n in os.listdir(os.path.join(modules, "@img"))]
    files = tree(os.path.dirname(modules), ["node_modules/" + n for n in names],
                 lambda n: not n.endswith((".md", ".d.ts", ".map")))
    return build_zip({"index.mjs": SHARP, **files})


@pytest.mark.needs("node")
def test_sharp_and_workers(somewhere, sharp_package):
    f = make_function(somewhere, "node", package=sharp_package, MemorySize=512)
    assert f.call({}) == {"sum": 42, "width": 64, "height": 40, "format": "png", "child": "hello",
                          "tmp": "written"}
