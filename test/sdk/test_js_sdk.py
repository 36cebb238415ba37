"""The AWS SDK for JavaScript v3, unmodified, and a TypeScript handler bundled by esbuild."""

import base64
import json
import os
import subprocess

import pytest

from harness import ROOT, build_zip, clean_environment, unique_name

pytestmark = [pytest.mark.needs("node"), pytest.mark.needs("npm")]

NODE = os.path.join(ROOT, "test", "node")


def drive(daemon, files, handler, event):
    env = clean_environment(HOME=daemon.scratch)
    env.pop("NODE_OPTIONS", None)
    r = subprocess.run(
        ["node", os.path.join(NODE, "lambda.mjs"), daemon.url,
         base64.b64encode(build_zip(files)).decode(), "nodejs20.x", handler, unique_name("js"),
         json.dumps(event)],
        env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=180)
    assert r.returncode == 0, r.stderr[-3000:]
    return json.loads(r.stdout.strip().splitlines()[-1])


def check(seen):
    assert seen["status"] == 200 and seen["error"] is None, seen
    assert seen["codeBytes"] == seen["codeSize"]
    assert "START RequestId" in seen["tail"] and "REPORT RequestId" in seen["tail"]
    assert seen["complete"] and seen["listed"]
    assert "Max Memory Used" in seen["report"]
    assert seen["missing"] == {"name": "ResourceNotFoundException", "status": 404}


def test_whole_life_of_a_function(daemon):
    source = "export const handler = async (e) => { console.log('hi'); return { got: e.n + 1 }; };"
    seen = drive(daemon, {"index.mjs": source}, "index.handler", {"n": 41})
    check(seen)
    assert seen["payload"] == {"got": 42}
    assert seen["streamed"] == {"got": 42}


def test_typescript_handler_bundled_by_esbuild(daemon, scratch):
    out = os.path.join(scratch, "index.mjs")
    source = os.path.join(ROOT, "examples", "typescript-api")
    subprocess.run([os.path.join(NODE, "node_modules", ".bin", "esbuild"),
                    os.path.join(source, "handler.ts"), "--bundle", "--platform=node",
                    "--format=esm", "--target=node18", "--outfile=" + out, "--log-level=warning"],
                   check=True, stdin=subprocess.DEVNULL, timeout=120)
    with open(out) as f, open(os.path.join(source, "event.json")) as e:
        seen = drive(daemon, {"index.mjs": f.read()}, "index.handler", json.load(e))
    check(seen)
    assert seen["payload"]["statusCode"] == 201
    assert json.loads(seen["payload"]["body"]) == {"id": 2, "text": "a note from the demo"}
