"""HTTP/2 from outside: h2spec against the front door, where h2spec is installed."""

import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET

import pytest

from harness import clean_environment

# What is known to fail, and why. None does.
EXCEPTIONS = {}


def h2spec():
    return shutil.which("h2spec") or shutil.which("h2spec", path=os.path.expanduser("~/go/bin"))


@pytest.mark.skipif(not h2spec(), reason="no h2spec (CONTRIBUTING.md says how to install it)")
def test_h2spec(new_daemon, scratch):
    d = new_daemon("--tls-port", "0")
    port = re.search(r"https://[^ :]+:(\d+)", d.ready_line).group(1)
    report = os.path.join(scratch, "report.xml")
    # Patient, for a busy machine: a test that passes does not wait for its time limit.
    r = subprocess.run([h2spec(), "--tls", "--insecure", "--strict", "--host", "127.0.0.1",
                        "--port", port, "--path", "/_lambkin/health", "--timeout", "10",
                        "--junit-report", report], env=clean_environment(),
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    cases = list(ET.parse(report).getroot().iter("testcase"))
    assert len(cases) > 140, r.stdout[-2000:]
    failed = {"%s: %s" % (c.get("package"), c.get("classname")) for c in cases
              if c.find("failure") is not None or c.find("error") is not None}
    assert failed == set(EXCEPTIONS), r.stdout[-4000:]
