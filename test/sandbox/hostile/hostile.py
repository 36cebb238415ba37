# hostile.py - attempts that are shorter in Python: hostile.py NAME. Same output as hostile.c.
import ctypes
import errno
import glob
import os
import socket
import stat
import sys


scratch_files = []


def scratch():
    """A name in /tmp that nobody has, removed at the end."""
    path = f"/tmp/hostile-{os.getpid()}-{os.urandom(8).hex()}"
    scratch_files.append(path)
    return path


def clean():
    for path in scratch_files:
        try:
            os.unlink(path)
        except OSError:
            pass


def failed(how):
    clean()
    print("failed:", how, flush=True)
    os._exit(0)


def succeeded(what):
    clean()
    print("SUCCEEDED:", what, flush=True)
    os._exit(10)


def attempt(action):
    """Runs it; an OSError is the way in which it failed."""
    try:
        what = action()
    except OSError as e:
        failed(errno.errorcode.get(e.errno, str(e)))
    succeeded(what)


def mounts():
    with open("/proc/self/mounts") as f:
        for line in f:
            _, point, kind, options = line.split()[:4]
            yield point, kind, options.split(",")


def py_follow_proc_root():
    attempt(lambda: os.listdir("/proc/self/root/../../root"))


def py_follow_cwd():
    os.chdir("/tmp")
    attempt(lambda: open("/proc/self/cwd/../../../etc/shadow").read(1))


def py_symlink_out():
    path = scratch()
    os.symlink("/etc/shadow", path)
    attempt(lambda: open(path).read(1))


def py_hardlink_system_file():
    attempt(lambda: os.link(os.path.realpath("/usr/bin/env"), scratch()))


def py_chown_to_root():
    path = scratch()
    open(path, "w").close()
    attempt(lambda: os.chown(path, 0, 0))


def py_set_groups():
    attempt(lambda: os.setgroups([0]))


def py_file_capability():
    path = scratch()
    open(path, "w").close()
    value = b"\x01\x00\x00\x02" + b"\xff" * 4 + b"\0" * 12
    attempt(lambda: os.setxattr(path, "security.capability", value))


def py_mount_by_ctypes():
    libc = ctypes.CDLL(None, use_errno=True)
    r = libc.mount(b"none", b"/tmp", b"ramfs", 0, None)
    if r < 0:
        failed(errno.errorcode[ctypes.get_errno()])
    succeeded("mounted")


def py_write_elsewhere():
    """Every folder there is: which of them can be written?"""
    found = []
    for top, dirs, _ in os.walk("/"):
        if top.startswith(("/proc", "/usr/share", "/usr/lib", "/usr/include", "/usr/src")):
            dirs[:] = []
            continue
        if os.access(top, os.W_OK) and not top.startswith(("/tmp", "/dev/shm")):
            found.append(top)
            if len(found) == 5:  # without isolation the walk would be that of the host's disk
                break
    succeeded(found) if found else failed("nowhere")


def py_writable_mounts():
    allowed = {"/tmp", "/dev/shm", "/proc"}
    bad = [p for p, _, o in mounts()
           if "ro" not in o and p not in allowed and not p.startswith(("/dev/", "/proc/"))]
    succeeded(bad) if bad else failed("none")


def py_setuid_mounts():
    bad = [p for p, _, o in mounts() if "nosuid" not in o]
    succeeded(bad) if bad else failed("none")


def py_device_mounts():
    bad = [p for p, k, o in mounts() if "nodev" not in o and k != "devtmpfs"]
    succeeded(bad) if bad else failed("none")


def py_odd_devices():
    known = {"null", "zero", "full", "random", "urandom", "fd", "stdin", "stdout", "stderr", "shm"}
    bad = set(os.listdir("/dev")) - known
    succeeded(sorted(bad)[:5]) if bad else failed("none")


def py_setuid_in_tmp():
    path = scratch()
    with open(path, "w") as f:
        f.write("#!/bin/sh\n")
    os.chmod(path, 0o6755)
    pid = os.fork()
    if pid == 0:
        os.execv(path, [path])
    os.waitpid(pid, 0)
    if os.geteuid() != 0 and os.stat(path).st_uid == os.geteuid():
        failed("ourselves")
    succeeded("root")


def py_spare_from_oom():
    def write():
        with open("/proc/self/oom_score_adj", "w") as f:
            f.write("-1000")
    attempt(write)


def py_resolve_name():
    try:
        succeeded(socket.getaddrinfo("example.com", 80)[0][4])
    except socket.gaierror:
        failed("gaierror")


def py_scan_loopback():
    port = int(os.environ["PORT"])
    for p in {port, 22, 80, 443, 5432, 6379, 8080}:
        s = socket.socket()
        s.settimeout(2)
        try:
            s.connect(("127.0.0.1", p))
        except OSError:
            continue
        succeeded(p)
    failed("closed")


def py_other_interfaces():
    names = [n for _, n in socket.if_nameindex() if n != "lo"]
    succeeded(names) if names else failed("only lo")


def py_cgroup_files():
    found = glob.glob("/sys/fs/cgroup/*") + glob.glob("/sys/kernel/*")
    succeeded(found[:3]) if found else failed("none")


def py_read_others_memory():
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                open(f"/proc/{entry}/mem", "rb").close()
            except OSError:
                continue
            succeeded(entry)
    failed("none")


def py_signal_others():
    for pid in range(1, 400):
        if pid == os.getpid():
            continue
        try:
            os.kill(pid, 0)
        except OSError:
            continue
        if pid != 1:  # pid 1 takes no signal from inside
            succeeded(pid)
    failed("nobody")


def py_knobs():
    found = []
    for top, _, files in os.walk("/proc/sys"):
        found += [os.path.join(top, f) for f in files if os.access(os.path.join(top, f), os.W_OK)]
    succeeded(found[:3]) if found else failed("none")


def py_host_name_in_files():
    name = os.environ["HOST_NAME"]
    if len(name) < 4 or name == "localhost":
        failed("nowhere")
    for path in ("/etc/hostname", "/etc/hosts", "/proc/sys/kernel/hostname"):
        try:
            if name in open(path).read():
                succeeded(path)
        except OSError:
            pass
    failed("nowhere")


def py_sticky_tmp():
    mode = os.stat("/tmp").st_mode
    failed("private") if stat.S_ISVTX & mode and not os.listdir("/tmp") else succeeded("shared")


globals()[sys.argv[1]]()
