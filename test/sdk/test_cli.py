"""The command line: our own verbs, and the AWS CLI unmodified."""

import json
import os
import re
import subprocess
import sys

import pytest

from harness import ROOT, REGION, binary, build_zip, clean_environment, unique_name, wait_until

EXAMPLES = os.path.join(ROOT, "examples")


@pytest.fixture
def deployed(daemon):
    """deploy(folder, *flags) with a name of its own; deleted afterwards."""
    names = []

    def deploy(path, *flags, name=None):
        name = name or unique_name("cli")
        names.append(name)
        r = daemon.cli("deploy", path, "--name", name, *flags)
        assert r.returncode == 0, r.stderr
        return name, json.loads(r.stdout)

    yield deploy
    for name in names:
        daemon.cli("rm", name)


def write_package(folder, files):
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as f:
            f.write(text)
        if name == "bootstrap":
            os.chmod(path, 0o755)
    return folder


def test_version_and_help():
    for words in (["version"], ["--version"]):
        r = subprocess.run([binary(), *words], capture_output=True, text=True)
        assert re.fullmatch(r"lambkin \d+\.\d+\.\d+\n", r.stdout)
    r = subprocess.run([binary(), "help"], capture_output=True, text=True)
    assert r.returncode == 0
    for verb in ("serve", "deploy", "dev", "init", "invoke", "logs", "ls", "rm", "doctor", "runtime"):
        assert "\n  %s " % verb in r.stdout
        one = subprocess.run([binary(), verb, "--help"], capture_output=True, text=True)
        assert one.returncode == 0 and one.stdout.startswith("usage: lambkin %s" % verb)
    assert subprocess.run([binary()], capture_output=True).returncode == 2
    assert subprocess.run([binary(), "nonsense"], capture_output=True).returncode == 2


def test_documentation_lists_every_setting():
    table = subprocess.run([binary(), "help", "--settings-markdown"], capture_output=True,
                           text=True, check=True).stdout
    with open(os.path.join(ROOT, "docs", "configuration.md")) as f:
        assert table in f.read(), "docs/configuration.md is stale: lambkin help --settings-markdown"


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion(shell):
    r = subprocess.run([binary(), "completion", shell], capture_output=True, text=True)
    assert r.returncode == 0 and "complete -F _lambkin lambkin" in r.stdout
    if shell == "bash":
        script = r.stdout + """
COMP_WORDS=(lambkin dep) COMP_CWORD=1; _lambkin; echo "${COMPREPLY[@]}"
COMP_WORDS=(lambkin invoke --as) COMP_CWORD=2; _lambkin; echo "${COMPREPLY[@]}"
"""
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
        assert done.stdout.split() == ["deploy", "--async"], done


def test_doctor():
    r = subprocess.run([binary(), "doctor", "--json"], capture_output=True, text=True)
    report = json.loads(r.stdout)
    assert {"facts", "interpreters", "strict_possible"} <= set(report)
    assert r.returncode == (0 if report["strict_possible"] else 1)
    for fact in report["facts"]:
        assert fact["ok"] or fact["detail"] or fact["mend"], fact


def test_deploy_invoke_logs_ls_rm(daemon, deployed):
    name, made = deployed(os.path.join(EXAMPLES, "python-hello"))
    assert made["FunctionName"] == name and made["Handler"] == "app.handler"
    r = daemon.cli("invoke", name, '{"name": "Ada"}', "--tail", "--times")
    assert r.returncode == 0, r.stderr
    assert json.loads(r.stdout)["message"] == "Hello, Ada!"
    assert "REPORT RequestId" in r.stderr
    assert re.search(r"handler +[\d.]+ ms", r.stderr), r.stderr

    def lines():
        out = daemon.cli("logs", name).stdout
        return out if "REPORT" in out else None
    text = wait_until(lines)
    assert '"name": "Ada"' in text
    assert name in daemon.cli("ls", "--names").stdout.split()
    assert name in [f["FunctionName"] for f in json.loads(daemon.cli("ls").stdout)]
    assert daemon.cli("rm", name).returncode == 0
    gone = daemon.cli("invoke", name)
    assert gone.returncode == 1 and "ResourceNotFoundException" in gone.stderr


def test_deploy_again_updates(daemon, deployed, scratch):
    write_package(scratch, {"app.py": "def handler(e, c): return 1\n"})
    name, _ = deployed(scratch)
    assert daemon.cli("invoke", name).stdout == "1\n"
    write_package(scratch, {"app.py": "import os\ndef handler(e, c): return os.environ['XY']\n"})
    _, made = deployed(scratch, "--env", "XY=a=b", "--timeout", "7", "--memory", "256", name=name)
    assert made["Timeout"] == 7 and made["MemorySize"] == 256
    assert daemon.cli("invoke", name).stdout == '"a=b"\n'


@pytest.mark.parametrize("files, runtime, handler", [
    ({"lambda_function.py": "def lambda_handler(e, c): return 'x'"}, "python",
     "lambda_function.lambda_handler"),
    ({"index.mjs": "export const handler = async () => 'x';"}, "nodejs", "index.handler"),
    ({"index.js": "exports.handler = async () => 'x';", "lib/app.js": ""}, "nodejs",
     "index.handler"),
    ({"main.py": "async def no(): pass\ndef main(e, c): return 'x'", "util.py": "x = 1"}, "python",
     "main.main"),
])
def test_detection(daemon, deployed, scratch, files, runtime, handler):
    write_package(scratch, files)
    name, made = deployed(scratch)
    assert made["Runtime"].startswith(runtime)
    assert made["Handler"] == handler
    assert daemon.cli("invoke", name).stdout == '"x"\n'


def test_deploy_zip_and_nothing_found(daemon, deployed, scratch):
    path = os.path.join(scratch, "thing.zip")
    with open(path, "wb") as f:
        f.write(build_zip({"app.py": "def handler(e, c): return e"}))
    name, made = deployed(path)
    assert made["Handler"] == "app.handler"
    assert daemon.cli("invoke", name, "@-").returncode == 1
    assert daemon.cli("invoke", name, "-", stdin='{"a": [1]}').stdout == '{"a": [1]}\n'
    empty = write_package(os.path.join(scratch, "e"), {"README": "nothing"})
    r = daemon.cli("deploy", empty)
    assert r.returncode == 1 and "no handler found" in r.stderr
    assert daemon.cli("deploy", os.path.join(scratch, "absent")).returncode == 1
    assert daemon.cli("deploy").returncode == 2


def test_function_error_is_exit_code_1(daemon, deployed, scratch):
    write_package(scratch, {"app.py": "def handler(e, c): raise ValueError('no')\n"})
    name, _ = deployed(scratch)
    r = daemon.cli("invoke", name)
    assert r.returncode == 1
    assert json.loads(r.stdout)["errorType"] == "ValueError"
    assert daemon.cli("invoke", name, "--dry-run").returncode == 0


def test_url_and_top(daemon, deployed, scratch):
    import urllib.request
    write_package(scratch, {"app.py": "def handler(e, c): return {'statusCode': 200, 'body': e['rawPath']}\n"})
    name, _ = deployed(scratch)
    assert daemon.cli("url", name).returncode == 1
    made = json.loads(daemon.cli("url", name, "--create").stdout)
    assert made["FunctionUrl"] == json.loads(daemon.cli("url", name).stdout)["FunctionUrl"]
    # by the path style, which needs no resolver
    with urllib.request.urlopen("%s/_url/%s/here" % (daemon.url, name), timeout=60) as r:
        assert r.read() == b"/here"
    lines = [l for l in daemon.cli("top").stdout.splitlines() if l.startswith(name)]
    assert len(lines) == 1 and lines[0].split()[2] == "1", lines


def test_no_daemon_is_said_plainly():
    env = clean_environment(AWS_ENDPOINT_URL="http://127.0.0.1:9")
    r = subprocess.run([binary(), "ls"], env=env, capture_output=True, text=True)
    assert r.returncode == 1
    assert "start one with `lambkin serve`" in r.stderr


# ---- the AWS CLI ---------------------------------------------------------------------------------

def aws(daemon, *words, check=True):
    exe = os.path.join(os.path.dirname(sys.executable), "aws")
    r = subprocess.run([sys.executable, exe, *words, "--output", "json"],
                       env=daemon.cli_environment(), stdin=subprocess.DEVNULL, capture_output=True,
                       text=True, timeout=120)
    if check:
        assert r.returncode == 0, r.stderr
        return json.loads(r.stdout) if r.stdout.strip() else None
    return r


@pytest.mark.needs("aws")
def test_aws_cli(daemon, scratch):
    package, out = os.path.join(scratch, "f.zip"), os.path.join(scratch, "out.json")
    with open(package, "wb") as f:
        f.write(build_zip({"app.py": "def handler(e, c):\n    print('seen', e)\n    return e\n"}))
    name = unique_name("awscli")
    made = aws(daemon, "lambda", "create-function", "--function-name", name, "--runtime",
               "python3.11", "--role", "arn:aws:iam::000000000000:role/r", "--handler",
               "app.handler", "--zip-file", "fileb://" + package)
    assert made["FunctionArn"].endswith(":function:" + name)
    aws(daemon, "lambda", "wait", "function-active-v2", "--function-name", name)
    done = aws(daemon, "lambda", "invoke", "--function-name", name, "--payload", '{"k": "v"}',
               "--cli-binary-format", "raw-in-base64-out", "--log-type", "Tail", out, check=False)
    if done.returncode != 0:  # version 1 of the CLI takes payloads as they are
        done = aws(daemon, "lambda", "invoke", "--function-name", name, "--payload", '{"k": "v"}',
                   "--log-type", "Tail", out, check=False)
    assert done.returncode == 0, done.stderr
    with open(out) as f:
        assert json.load(f) == {"k": "v"}

    def seen():
        events = aws(daemon, "logs", "filter-log-events", "--log-group-name",
                     "/aws/lambda/" + name)["events"]
        return [e for e in events if e["message"].startswith("seen")]
    wait_until(seen)
    assert name in [f["FunctionName"] for f in aws(daemon, "lambda", "list-functions")["Functions"]]
    missing = aws(daemon, "lambda", "get-function", "--function-name", "absent", check=False)
    assert missing.returncode in (254, 255) and "ResourceNotFoundException" in missing.stderr
    aws(daemon, "lambda", "delete-function", "--function-name", name)


@pytest.mark.needs("aws")
def test_aws_cli_identity(daemon):
    who = aws(daemon, "sts", "get-caller-identity")
    assert who["Account"] == "000000000000"
    assert REGION
