"""Images as AWS's base images are: an entrypoint script that finds the runtime interface client, the
handler as the command, LAMBDA_TASK_ROOT; with this host's Python and the official client inside."""

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest

from image_kit import Image, file, folder, link
from test_images import create, guest, place  # noqa: F401

PYTHON = os.path.realpath("/usr/bin/python3")
# AWS's own does the same, and starts the emulator where there is no Runtime API.
ENTRYPOINT = """#!/bin/sh
if [ $# -ne 1 ]; then
  echo "entrypoint requires the handler name to be the first argument" 1>&2
  exit 142
fi
export _HANDLER="$1"
if [ -z "${AWS_LAMBDA_RUNTIME_API}" ]; then
  exit 143
fi
exec %s
"""
APP = """
import os, sys
import helper
def handler(event, context):
    if event.get("fail"):
        raise ValueError("asked to fail")
    print("greeting", event["name"])
    return {"hello": helper.greet(event["name"]), "function": context.function_name,
            "root": os.environ["LAMBDA_TASK_ROOT"], "cwd": os.getcwd(), "uid": os.getuid(),
            "handler": os.environ["_HANDLER"], "left": context.get_remaining_time_in_millis()}
"""


def libraries(program):
    """The files that the dynamic linker needs for it, itself included."""
    out = subprocess.run(["ldd", program], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return [word for line in out.stdout.splitlines() for word in line.split() if word[0] == "/"]


def copied(path, mode=None):
    with open(path, "rb") as f:
        return file(path[1:], f.read(), mode or (0o755 if os.access(path, os.X_OK) else 0o644))


def below(top, inside, leave_out=()):
    entries = []
    for where, folders, names in os.walk(top):
        folders[:] = [f for f in folders if f not in leave_out]
        for name in names:
            path = os.path.join(where, name)
            if name.endswith((".pyc", ".a")) or not os.path.isfile(path):
                continue
            with open(path, "rb") as f:
                entries.append(file(os.path.join(inside, os.path.relpath(path, top)), f.read(),
                                    0o600))  # modes are opened while unpacking
    return entries


def system():
    """A root with a shell and this host's Python: what a base image brings."""
    library = "/usr/lib/python%d.%d" % sys.version_info[:2]
    if not os.path.isdir(library) or not os.path.exists(PYTHON):
        pytest.skip("no Python of the system's at " + library)
    shell = os.path.realpath("/bin/sh")
    needed = {PYTHON, shell}
    for program in (PYTHON, shell):
        needed.update(libraries(program))
    dynamic = os.path.join(library, "lib-dynload")
    for name in os.listdir(dynamic) if os.path.isdir(dynamic) else ():
        if name.startswith(("_ssl", "_hashlib", "_ctypes", "_uuid", "_bz2", "_lzma", "_json")):
            needed.update(libraries(os.path.join(dynamic, name)))
    return ([copied(path) for path in sorted(needed)] +
            [link("bin/sh", shell) if shell != "/bin/sh" else folder("bin")] +
            below(library, library[1:], ("test", "idlelib", "tkinter", "ensurepip", "lib2to3",
                                         "__pycache__", "dist-packages", "distutils")))


def client():
    spec = importlib.util.find_spec("awslambdaric")
    if not spec:
        pytest.skip("awslambdaric is not installed (tools/requirements-test.txt)")
    site = os.path.dirname(os.path.dirname(spec.origin))
    entries = []
    for name in os.listdir(site):
        if name.startswith(("awslambdaric", "simplejson", "snapshot_restore_py", "runtime_client")):
            path = os.path.join(site, name)
            if name.endswith(".so"):
                entries += [copied(p) for p in libraries(path)]
            if os.path.isdir(path):
                entries += below(path, "var/runtime/" + name)
            else:
                entries.append(file("var/runtime/" + name, open(path, "rb").read()))
    return entries


def test_as_awss_python_base_image(create, place, lam):
    base = system() + client() + [
        file("lambda-entrypoint.sh", ENTRYPOINT % (PYTHON + ' -m awslambdaric "$1"'), 0o755),
        folder("var/task"), folder("opt")]
    app = [file("var/task/app.py", APP),
           file("var/task/helper.py", "def greet(name):\n    return 'Hello, %s!' % name\n")]
    image = Image([base, app], compress=False, Entrypoint=["/lambda-entrypoint.sh"],
                  Cmd=["app.handler"], WorkingDir="/var/task", User="1234",
                  Env=["LAMBDA_TASK_ROOT=/var/task", "LAMBDA_RUNTIME_DIR=/var/runtime",
                       "PYTHONPATH=/var/runtime", "PATH=/usr/local/bin:/usr/bin:/bin",
                       "LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime"])
    f = create(image.write_layout(place + "/base"), MemorySize=256)
    for name in ("Ada", "Bob"):
        answer = f.invoke({"name": name})
        assert answer.error is None, (answer, f.log_lines())
        got = answer.payload
        assert got["hello"] == "Hello, %s!" % name and got["function"] == f.name
        assert got["root"] == got["cwd"] == "/var/task" and got["handler"] == "app.handler"
        assert got["uid"] not in (0, 1234) and 0 < got["left"] <= 30000
    failed = f.invoke({"name": "x", "fail": True})
    assert failed.error == "Unhandled" and failed.payload["errorType"] == "ValueError"
    assert any("greeting Ada" in line for line in f.log_lines())
    # another handler of the same image; and one too many words for the entrypoint
    lam.update_function_configuration(FunctionName=f.name,
                                      ImageConfig={"Command": ["helper.missing"]})
    f.wait_active()
    assert "missing" in str(f.invoke({"name": "x"}).payload)
    lam.update_function_configuration(FunctionName=f.name, ImageConfig={"Command": ["a", "b"]})
    f.wait_active()
    answer = f.invoke({"name": "x"})
    assert answer.error and "exit status 142" in str(answer.payload), answer


def test_as_awss_base_image_for_custom_runtimes(create, place, guest):
    """/var/runtime/bootstrap is what its entrypoint starts."""
    if not shutil.which("sh"):
        pytest.skip("no sh")
    shell = os.path.realpath("/bin/sh")
    base = [copied(path) for path in sorted({shell, *libraries(shell)})]
    base += [file("lambda-entrypoint.sh", ENTRYPOINT % "/var/runtime/bootstrap", 0o755)]
    if shell != "/bin/sh":
        base.append(link("bin/sh", shell))
    app = [file("var/runtime/bootstrap", guest, 0o755)]
    image = Image([base, app], Entrypoint=["/lambda-entrypoint.sh"], Cmd=["function.handler"],
                  WorkingDir="/var/task", Env=["LAMBDA_TASK_ROOT=/var/task"])
    about = create(image.write_layout(place + "/provided")).call("about")
    assert about["argv"] == ["/var/runtime/bootstrap"]
    env = dict(e.split("=", 1) for e in about["env"])
    assert env["_HANDLER"] == "function.handler" and env["LAMBDA_TASK_ROOT"] == "/var/task"
