"""Outbound network: what the operator granted, for functions with VpcConfig subnets, and no more.

The test's own server stands in a network namespace behind a pair of virtual devices, so nothing
beyond this machine is asked for.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request

import pytest

from harness import make_function, unique_name, wait_until

# Of the range for benchmarks (RFC 2544); two runs of this test on one machine do not meet.
NETWORK = "198.19.%d." % (os.getpid() % 256)
HERE, THERE = (NETWORK + "%d" % (os.getpid() // 256 % 64 * 4 + i) for i in (1, 2))
PORT = 8077
VPC = {"SubnetIds": ["subnet-0a1b2c3d"], "SecurityGroupIds": ["sg-0a1b2c3d"]}

CODE = """
import errno, socket

def reach(host, port):
    try:
        with socket.create_connection((host, port), timeout=20) as s:
            return s.recv(100).decode()
    except TimeoutError:
        return "no answer"
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e))

def handler(event, context):
    return [reach(host, port) for host, port in event]
"""

GREETER = """
import socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("listening", flush=True)
while True:
    c, _ = s.accept()
    c.sendall(b"hello from outside")
    c.close()
"""


def run(*words):
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def outside():
    """A server on THERE:PORT in a namespace of its own, and one on the host's HERE:PORT."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for tool in ("pasta", "ip", "unshare", "nsenter"):
        if not shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin"):
            pytest.skip("no %s here" % tool)
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as e:
        pytest.skip("no tap devices here: %s" % e)
    ours, theirs = "lk%da" % os.getpid(), "lk%db" % os.getpid()
    with contextlib.ExitStack() as stack:
        def ended(p):
            p.kill()
            p.wait()

        holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo in; exec sleep 3600"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        stack.callback(ended, holder)
        if holder.stdout.readline().strip() != "in":
            pytest.skip("no network namespace to be had here")
        inside = ["nsenter", "--net", "--target", str(holder.pid)]
        made = run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs)
        if made.returncode != 0:
            pytest.skip("no virtual devices here: %s" % made.stderr.strip())
        stack.callback(run, "ip", "link", "delete", ours)
        for words in (["ip", "link", "set", theirs, "netns", str(holder.pid)],
                      ["ip", "address", "add", HERE + "/30", "dev", ours],
                      ["ip", "link", "set", ours, "up"],
                      [*inside, "ip", "address", "add", THERE + "/30", "dev", theirs],
                      [*inside, "ip", "link", "set", "lo", "up"],
                      [*inside, "ip", "link", "set", theirs, "up"]):
            done = run(*words)
            assert done.returncode == 0, (words, done.stderr)
        for prefix, address in ((inside, THERE), ([], HERE)):
            server = subprocess.Popen(
                [*prefix, sys.executable, "-c", GREETER, address, str(PORT)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            stack.callback(ended, server)
            assert server.stdout.readline().strip() == "listening"

        def answers(address):
            try:
                with socket.create_connection((address, PORT), timeout=5) as s:
                    return s.recv(100) == b"hello from outside"
            except OSError:
                return False
        # Seen from the host first: whatever fails later is the sandbox's doing.
        wait_until(lambda: answers(THERE), what="the host reaches the namespace")
        assert answers(HERE)
        yield


@pytest.fixture
def loopback_server():
    """A server on the host's own 127.0.0.1; answers its port."""
    s = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def serve():
        while not stopping.is_set():
            try:
                c, _ = s.accept()
            except OSError:
                return
            with contextlib.suppress(OSError):
                c.sendall(b"hello from the host")
            c.close()
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield s.getsockname()[1]
    stopping.set()
    with contextlib.suppress(OSError):
        s.shutdown(socket.SHUT_RDWR)
    s.close()


def no_network(daemon):
    """Why this daemon cannot grant any, or None."""
    def connected():
        with urllib.request.urlopen(daemon.url + "/_lambkin/health", timeout=60) as r:
            isolation = json.load(r)["isolation"]
        return isolation if isolation["connected"] else None
    isolation = wait_until(connected, what="the keeper has greeted the server")
    return None if isolation.get("network") else "no network namespaces here: %s" % isolation


@pytest.mark.parametrize("granted", ["0.0.0.0/0", "192.0.2.0/24, 198.19.0.0/16"])
def test_granted(new_daemon, outside, loopback_server, granted):
    daemon = new_daemon("--isolation", "best-effort", "--outbound-networks", granted)
    why_not = no_network(daemon)
    if why_not:
        pytest.skip(why_not)
    targets = [(THERE, PORT), (HERE, PORT), ("127.0.0.1", loopback_server),
               ("127.0.0.1", daemon.port), ("169.254.169.254", 80)]
    with_vpc = make_function(daemon, "python", source=CODE, Timeout=120, VpcConfig=VPC)
    reached = with_vpc.call(targets)
    assert reached[0] == "hello from outside", reached
    for answer in reached[1:]:
        assert answer in ("ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED", "EACCES"), reached
    # Granted to that function, not to its neighbours.
    without = make_function(daemon, "python", source=CODE, Timeout=120)
    for answer in without.call(targets):
        assert answer in ("ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED", "EACCES"), answer


def test_vpc_config_alone_grants_nothing(daemon, make_function, outside):
    name = unique_name("vpc")
    f = make_function("python", source=CODE, name=name, Timeout=120, VpcConfig=VPC)
    config = daemon.client("lambda").get_function_configuration(FunctionName=name)["VpcConfig"]
    assert config["SubnetIds"] == VPC["SubnetIds"]
    assert config["SecurityGroupIds"] == VPC["SecurityGroupIds"]
    for answer in f.call([(THERE, PORT), (HERE, PORT), ("169.254.169.254", 80)]):
        assert answer in ("ENETUNREACH", "EHOSTUNREACH", "EACCES"), answer
    wait_until(lambda: "outbound-networks" in daemon.log_text(), what="the daemon says why")


def test_only_what_is_listed(new_daemon, outside):
    daemon = new_daemon("--isolation", "best-effort", "--outbound-networks", "192.0.2.0/24")
    why_not = no_network(daemon)
    if why_not:
        pytest.skip(why_not)
    f = make_function(daemon, "python", source=CODE, Timeout=120, VpcConfig=VPC)
    for answer in f.call([(THERE, PORT), (HERE, PORT), ("169.254.169.254", 80)]):
        assert answer in ("ENETUNREACH", "EHOSTUNREACH", "EACCES"), answer
