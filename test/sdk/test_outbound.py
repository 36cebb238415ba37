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
# Addresses of nobody's (RFC 4193), likewise.
NETWORK6 = "fd6c:616d:7465:7374:%x::" % os.getpid()
HERE6, THERE6 = NETWORK6 + "1", NETWORK6 + "2"
PORT, OTHER_PORT = 8077, 8078
VPC = {"SubnetIds": ["subnet-0a1b2c3d"], "SecurityGroupIds": ["sg-0a1b2c3d"]}

CODE = """
import errno, socket, struct

def attempt(action):
    try:
        return action()
    except TimeoutError:
        return "no answer"
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e))

def reach(host, port):
    with socket.create_connection((host, port), timeout=20) as s:
        return s.recv(100).decode()

def device():
    return [n for _, n in socket.if_nameindex() if n != "lo"][0]

# With a device named by the program no route is asked for.
def reach_by_device(host, port):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device().encode())
        s.settimeout(10)
        s.connect((host, port))
        return s.recv(100).decode()

def ask_by_device(host, port):
    index = socket.if_nametoindex(device())
    v6 = ":" in host
    info = (struct.pack("=16sI", b"", index) if v6 else struct.pack("=I4s4s", index, b"", b""))
    with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendmsg([b"who is there"], [(socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, info) if v6 else
                                      (socket.IPPROTO_IP, 8, info)], 0, (host, port))
        return s.recv(100).decode()

def handler(event, context):
    how = globals()[event["how"]] if isinstance(event, dict) else reach
    targets = event["targets"] if isinstance(event, dict) else event
    return [attempt(lambda: how(host, port)) for host, port in targets]
"""

# At every address and both ports; by datagram as well.
GREETER = """
import select, socket, sys
places = [(a, int(p)) for a in sys.argv[1].split() for p in sys.argv[2].split()]
tcp, udp = [], []
for address, port in places:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    tcp.append(socket.create_server((address, port), family=family))
    udp.append(socket.socket(family, socket.SOCK_DGRAM))
    udp[-1].bind((address, port))
print("listening", flush=True)
while True:
    for s in select.select(tcp + udp, [], [])[0]:
        if s in udp:
            _, peer = s.recvfrom(100)
            s.sendto(b"hello from outside", peer)
            continue
        c, _ = s.accept()
        c.sendall(b"hello from outside")
        c.close()
"""


NO = ("ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED", "EACCES", "EPERM")
NEVER = NO + ("no answer", "EADDRNOTAVAIL", "ECONNRESET")


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
                      ["ip", "address", "add", HERE6 + "/126", "dev", ours, "nodad"],
                      ["ip", "link", "set", ours, "up"],
                      [*inside, "ip", "address", "add", THERE + "/30", "dev", theirs],
                      [*inside, "ip", "address", "add", THERE6 + "/126", "dev", theirs, "nodad"],
                      [*inside, "ip", "link", "set", "lo", "up"],
                      [*inside, "ip", "link", "set", theirs, "up"]):
            done = run(*words)
            assert done.returncode == 0, (words, done.stderr)
        for prefix, addresses in ((inside, [THERE, THERE6]), ([], [HERE, HERE6])):
            server = subprocess.Popen(
                [*prefix, sys.executable, "-c", GREETER, " ".join(addresses),
                 "%d %d" % (PORT, OTHER_PORT)],
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
        for address in (THERE, THERE6):
            wait_until(lambda: answers(address), what="the host reaches the namespace")
        assert answers(HERE) and answers(HERE6)
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
        assert answer in NO, reached
    # Granted to that function, not to its neighbours.
    without = make_function(daemon, "python", source=CODE, Timeout=120)
    for answer in without.call(targets):
        assert answer in NO, answer


def test_vpc_config_alone_grants_nothing(daemon, make_function, outside):
    name = unique_name("vpc")
    f = make_function("python", source=CODE, name=name, Timeout=120, VpcConfig=VPC)
    config = daemon.client("lambda").get_function_configuration(FunctionName=name)["VpcConfig"]
    assert config["SubnetIds"] == VPC["SubnetIds"]
    assert config["SecurityGroupIds"] == VPC["SecurityGroupIds"]
    for answer in f.call([(THERE, PORT), (HERE, PORT), ("169.254.169.254", 80)]):
        assert answer in NO, answer
    wait_until(lambda: "outbound-networks" in daemon.log_text(), what="the daemon says why")


def test_only_what_is_listed(new_daemon, outside):
    daemon = new_daemon("--isolation", "best-effort", "--outbound-networks", "192.0.2.0/24")
    why_not = no_network(daemon)
    if why_not:
        pytest.skip(why_not)
    f = make_function(daemon, "python", source=CODE, Timeout=120, VpcConfig=VPC)
    for answer in f.call([(THERE, PORT), (HERE, PORT), ("169.254.169.254", 80)]):
        assert answer in NO, answer


def test_a_device_is_no_way_around(new_daemon, outside):
    """A socket that is bound to the device needs no route: the packet filter minds."""
    daemon = new_daemon("--isolation", "best-effort", "--outbound-networks", THERE)
    why_not = no_network(daemon)
    if why_not:
        pytest.skip(why_not)
    f = make_function(daemon, "python", source=CODE, Timeout=120, VpcConfig=VPC)
    others = [(HERE, PORT), ("169.254.169.254", 80), ("127.0.0.1", daemon.port)]
    for how in ("reach_by_device", "ask_by_device"):
        reached = f.call({"how": how, "targets": [(THERE, PORT)]})
        assert reached == ["hello from outside"], (how, reached)  # the way as such works
        for answer in f.call({"how": how, "targets": others}):
            assert answer in NEVER, (how, answer)


NEIGHBOUR = """
import socket, threading
s = socket.create_server(("0.0.0.0", 7999))
def serve():
    while True:
        c, _ = s.accept()
        c.sendall(b"hello from a neighbour")
        c.close()
threading.Thread(target=serve, daemon=True).start()
""" + CODE


def test_functions_do_not_meet(new_daemon, outside):
    """Both have the grant of everything; each sees only itself."""
    daemon = new_daemon("--isolation", "best-effort", "--outbound-networks", "0.0.0.0/0",
                        "--freeze-after", "0s")
    why_not = no_network(daemon)
    if why_not:
        pytest.skip(why_not)
    a = make_function(daemon, "python", source=NEIGHBOUR, Timeout=120, VpcConfig=VPC)
    b = make_function(daemon, "python", source=CODE, Timeout=120, VpcConfig=VPC)
    places = [("127.0.0.1", 7999), ("198.18.0.2", 7999)]
    assert a.call(places) == ["hello from a neighbour"] * 2
    places += [("198.18.0.1", 7999), (HERE, 7999)]
    for how in ("reach", "reach_by_device"):
        for answer in b.call({"how": how, "targets": places}):
            assert answer in NEVER, (how, answer)


def test_ports(new_daemon, outside):
    daemon = new_daemon("--isolation", "best-effort", "--outbound-networks",
                        "198.19.0.0/16:%d" % PORT)
    why_not = no_network(daemon)
    if why_not:
        pytest.skip(why_not)
    f = make_function(daemon, "python", source=CODE, Timeout=120, VpcConfig=VPC)
    reached = f.call([(THERE, PORT), (THERE, OTHER_PORT), (HERE, PORT)])
    assert reached[0] == "hello from outside", reached
    assert reached[1] in NO and reached[2] in NO, reached
    answers = f.call({"how": "ask_by_device", "targets": [(THERE, PORT), (THERE, OTHER_PORT)]})
    assert answers[0] == "hello from outside" and answers[1] in NEVER, answers


def test_ipv6(new_daemon, outside):
    if not run("ip", "-6", "route", "show", "default").stdout.strip():
        pytest.skip("this host has no way out by IPv6, which pasta wants to see")
    daemon = new_daemon("--isolation", "best-effort", "--outbound-networks",
                        "[%s/112]:%d" % (NETWORK6, PORT))
    why_not = no_network(daemon)
    if why_not:
        pytest.skip(why_not)
    f = make_function(daemon, "python", source=CODE, Timeout=120, VpcConfig=VPC)
    others = [(THERE6, OTHER_PORT), (HERE6, PORT), ("fd00:ec2::254", 80), ("::1", daemon.port),
              (THERE, PORT)]
    reached = f.call([(THERE6, PORT), *others])
    assert reached[0] == "hello from outside", reached
    for answer in reached[1:]:
        assert answer in NO, reached
    for answer in f.call({"how": "reach_by_device", "targets": others}):
        assert answer in NEVER, answer
    without = make_function(daemon, "python", source=CODE, Timeout=120)
    for answer in without.call([(THERE6, PORT), *others]):
        assert answer in NEVER, answer
