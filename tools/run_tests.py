#!/usr/bin/env python3
"""Runs one part of the tests: the Meson tests below test/PART, or the pytest files of a folder.

Tests that fail are run once more, alone; the output says so ("rerun: ..."), and one that fails
again fails the part. Writes "passed failed skipped" to the counts file. Standard library only.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from concurrent.futures import ThreadPoolExecutor

CMOCKA_PASSED = re.compile(rb"^\[  PASSED  \] (\d+) test", re.M)
CMOCKA_SKIPPED = re.compile(rb"^\[  SKIPPED \] (\d+) test", re.M)
TEST_LIMIT_S = 400  # of one pytest test: it fails instead of using up the step's time
SKIP_EXIT = 77  # Meson's and automake's convention


def run_limited(command, limit, **kwargs):
    """(exit code or None when it ran over the limit, output). Ends the whole process group."""
    try:
        p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, start_new_session=True, **kwargs)
    except OSError as e:
        return 127, str(e).encode()
    try:
        out, _ = p.communicate(timeout=limit)
        return p.returncode, out
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL)
        out, _ = p.communicate()
        return None, out


# ---- Meson ---------------------------------------------------------------------------------------

def meson_tests(build, part):
    listed = json.loads(subprocess.check_output(
        ["meson", "introspect", "--tests", build], stdin=subprocess.DEVNULL))
    mark = "/test/%s/" % part
    tests = [t for t in listed if any(mark in word for word in t["cmd"])]
    for t in tests:
        t["build"] = build  # where Meson itself runs them
    return tests


def run_meson_test(t):
    env = dict(os.environ)
    env.update(t["env"])
    env.pop("CMOCKA_MESSAGE_OUTPUT", None)
    started = time.monotonic()
    code, out = run_limited(t["cmd"], max(60, (t["timeout"] or 30) * 4), env=env,
                            cwd=t["workdir"] or t["build"])
    return t, code, out, time.monotonic() - started


def run_meson(args):
    tests = meson_tests(args.build, args.part)
    if not tests:
        print("no Meson tests below test/%s" % args.part)
        return 0, 0, 0
    passed = skipped = 0
    failed = []

    def report(result, final):
        nonlocal passed, skipped
        t, code, out, seconds = result
        if code == 0:
            n = CMOCKA_PASSED.findall(out)
            passed += sum(map(int, n)) if n else 1
            skipped += sum(map(int, CMOCKA_SKIPPED.findall(out)))
            print("ok %s (%.1f s)" % (t["name"], seconds))
        elif code == SKIP_EXIT:
            skipped += 1
            print("SKIPPED %s: %s" % (t["name"], out.decode(errors="replace").strip()[-300:]))
        else:
            print("%s %s (%.1f s): %s" % ("FAILED" if final else "failed at first:", t["name"],
                  seconds, "ran over its time limit" if code is None else "exit %d" % code))
            sys.stdout.write(out.decode(errors="replace")[-8000:])
            print()
            return False
        return True

    with ThreadPoolExecutor(max_workers=2) as pool:
        parallel = [t for t in tests if t["is_parallel"]]
        alone = [t for t in tests if not t["is_parallel"]]
        for result in pool.map(run_meson_test, parallel):
            if not report(result, final=False):
                failed.append(result[0])
    for t in alone:
        if not report(run_meson_test(t), final=False):
            failed.append(t)

    still = [t for t in failed if not report(run_meson_test(t), final=True)]
    if len(failed) > len(still):
        print("rerun: %d tests failed at first and passed alone: %s" % (
            len(failed) - len(still), " ".join(t["name"] for t in failed if t not in still)))
    return passed, len(still), skipped


# ---- pytest --------------------------------------------------------------------------------------

def junit_results(path):
    """{test id: (passed | failed | skipped, reason)} of a JUnit file; {} when there is none."""
    results = {}
    try:
        root = ET.parse(path).getroot()
    except (OSError, ET.ParseError):
        return results
    for case in root.iter("testcase"):
        name = "%s::%s" % (case.get("classname"), case.get("name"))
        state, why = "passed", ""
        for child in case:
            if child.tag in ("failure", "error"):
                state, why = "failed", child.get("message") or ""
            elif child.tag == "skipped" and state != "failed":
                state, why = "skipped", child.get("message") or ""
        # A test that passed and whose teardown failed is listed twice.
        if results.get(name, ("", ""))[0] != "failed":
            results[name] = (state, why)
    return results


def run_pytest(args):
    found = []
    for folder, _, names in os.walk(args.path):
        found += [n for n in names if n.startswith("test_") and n.endswith(".py")]
    if not found:
        print("no pytest files below %s" % args.path)
        return 0, 0, 0
    tag = args.path.strip("/").replace("/", "-")
    xml = os.path.join(os.path.dirname(args.counts) or ".", "%s.xml" % tag)
    cache = os.path.abspath(os.path.join(os.path.dirname(args.counts) or ".", "cache-%s" % tag))
    env = dict(os.environ, LAMBKIN_BIN=os.path.abspath(args.binary))
    command = [args.python, "-m", "pytest", "-q", "-ra", "--tb=short", "--color=no",
               "-o", "cache_dir=%s" % cache, "-o", "junit_family=xunit1", "--durations=5",
               "--timeout=%d" % TEST_LIMIT_S, "--timeout-method=signal", args.path]

    def once(extra, xml_path):
        if os.path.exists(xml_path):
            os.unlink(xml_path)
        sys.stdout.flush()
        code = subprocess.call(command + ["--junitxml", xml_path] + extra, env=env,
                               stdin=subprocess.DEVNULL)
        return code, junit_results(xml_path)

    code, results = once([], xml)
    failed = [k for k, v in results.items() if v[0] == "failed"]
    if code == 1 and failed:
        print("\n%d tests failed: once more, alone" % len(failed))
        code2, again = once(["--last-failed", "--last-failed-no-failures", "none"],
                            xml.replace(".xml", "-rerun.xml"))
        recovered = [k for k in failed if again.get(k, ("",))[0] == "passed"]
        if recovered:
            print("rerun: %d tests failed at first and passed alone: %s" % (
                len(recovered), " ".join(recovered)))
        for k in recovered:
            results[k] = again[k]
        failed = [k for k in failed if k not in recovered]
        if code2 not in (0, 1):
            failed = failed or ["pytest ended with exit code %d" % code2]
    elif code not in (0, 5):
        failed = failed or ["pytest ended with exit code %d" % code]
    for k in failed:
        print("failed: %s" % k)
    states = [v[0] for v in results.values()]
    return states.count("passed"), len(failed), states.count("skipped")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="kind", required=True)
    m = commands.add_parser("meson")
    m.add_argument("--build", required=True)
    m.add_argument("--part", required=True)
    p = commands.add_parser("pytest")
    p.add_argument("--python", default=sys.executable)
    p.add_argument("--binary", required=True)
    p.add_argument("--path", required=True)
    for sub in (m, p):
        sub.add_argument("--counts", required=True)
    args = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    passed, failed, skipped = (run_meson if args.kind == "meson" else run_pytest)(args)
    with open(args.counts, "w") as f:
        f.write("%d %d %d\n" % (passed, failed, skipped))
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
