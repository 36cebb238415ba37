"""`lambkin init` writes a function of each language, which is built, deployed and answers as it is."""

import json
import os
import shutil
import subprocess

import pytest

import test_java
from harness import ROOT, binary, clean_environment, unique_name

LANGUAGES = ["python", "nodejs", "typescript", "go", "rust", "java", "ruby", "c"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_init_writes_and_never_overwrites(language, scratch):
    folder = os.path.join(scratch, "new", language)
    r = subprocess.run([binary(), "init", language, folder], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    for path in r.stdout.split():
        assert os.path.getsize(path) > 0
    with open(os.path.join(folder, "README.md")) as f:
        assert "lambkin dev" in f.read()
    again = subprocess.run([binary(), "init", language, folder], capture_output=True, text=True)
    assert again.returncode == 1 and "is not empty" in again.stderr


def test_init_takes_runtimes_and_the_current_folder(scratch):
    r = subprocess.run([binary(), "init", "python3.12"], cwd=scratch, capture_output=True, text=True)
    assert r.returncode == 0 and sorted(os.listdir(scratch)) == ["README.md", "app.py"]
    for words in ([], ["cobol"], ["python", "a", "b"]):
        assert subprocess.run([binary(), "init", *words], cwd=scratch,
                              capture_output=True).returncode == 2


def starts(daemon, scratch, language, build=None, flags=(), may_skip=None):
    name = unique_name("init")
    r = subprocess.run([binary(), "init", language, scratch], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    if build:
        r = subprocess.run(build, cwd=scratch, capture_output=True, text=True, timeout=1800,
                           stdin=subprocess.DEVNULL, env=clean_environment(GOTOOLCHAIN="local"))
        if r.returncode != 0 and may_skip and may_skip(r.stderr):
            pytest.skip("what %s needs cannot be fetched here" % language)
        assert r.returncode == 0, r.stderr
    package = os.path.join(scratch, "build") if build else scratch
    r = daemon.cli("deploy", package, "--name", name, *flags)
    assert r.returncode == 0, r.stderr
    try:
        r = daemon.cli("invoke", name, '{"name": "Ada"}')
        assert r.returncode == 0, r.stderr + r.stdout
        return json.loads(r.stdout)
    finally:
        daemon.cli("rm", name)


def test_init_python_runs(daemon, scratch):
    assert starts(daemon, scratch, "python") == {"message": "Hello, Ada!"}


@pytest.mark.needs("node")
def test_init_nodejs_runs(daemon, scratch):
    assert starts(daemon, scratch, "nodejs") == {"message": "Hello, Ada!"}


@pytest.mark.needs("cc")
def test_init_c_runs(daemon, scratch):
    assert starts(daemon, scratch, "c", ["make"]) == {"name": "Ada"}


@pytest.mark.needs("npm")
def test_init_typescript_runs(daemon, scratch):
    esbuild = os.path.join(ROOT, "test", "node", "node_modules", ".bin", "esbuild")
    if not os.path.exists(esbuild):
        pytest.skip("no esbuild in test/node/node_modules")
    assert starts(daemon, scratch, "typescript", [
        esbuild, "index.ts", "--bundle", "--platform=node", "--format=esm", "--target=node18",
        "--outfile=build/index.mjs", "--log-level=warning"]) == {"message": "Hello, Ada!"}


def test_init_ruby_runs(daemon, scratch):
    if not shutil.which("ruby"):
        pytest.skip("no ruby")
    assert starts(daemon, scratch, "ruby") == {"message": "Hello, Ada!"}


@pytest.mark.needs("java")
def test_init_java_runs(daemon, scratch):
    if not shutil.which("javac"):
        pytest.skip("no javac")
    core = os.path.join(daemon.data_dir, "runtime", "java", "aws-lambda-java-core.jar")
    if not os.path.exists(core):  # test_java.py's may have been first
        core = test_java.install(daemon)
    answer = starts(daemon, scratch, "java", ["sh", "build.sh", core],
                    ["--runtime", "java17", "--handler", "function.Handler", "--timeout", "30",
                     "--memory", "512"])
    assert answer == {"message": "Hello, Ada!"}


def unreachable(text):
    return any(word in text for word in ("proxy.golang.org", "dial tcp", "crates.io", "spurious"))


@pytest.mark.needs("go")
def test_init_go_runs(daemon, scratch):
    answer = starts(daemon, scratch, "go", ["sh", "build.sh"], may_skip=unreachable)
    assert answer == {"message": "Hello, Ada!"}


@pytest.mark.skipif(not os.environ.get("SLOW_TESTS"),
                    reason="builds for minutes; SLOW_TESTS=1 runs it")
def test_init_rust_runs(daemon, scratch):
    if not shutil.which("cargo"):
        pytest.skip("no cargo")
    answer = starts(daemon, scratch, "rust", ["sh", "build.sh"], may_skip=unreachable)
    assert answer == {"message": "Hello, Ada!"}
