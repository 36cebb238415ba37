"""denying.py (clone3 | namespaces) COMMAND...: runs it with system calls denied, as some containers do.

clone3: that and openat2 answer errors, for the ways around them. namespaces: nothing that makes or
enters one is left, as in an unprivileged container.
"""

import ctypes
import os
import struct
import sys

EPERM, ENOSYS = 1, 38
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
NAMESPACE_FLAGS = 0x7E020000
NUMBERS = {
    "x86_64": {"clone": 56, "clone3": 435, "openat2": 437, "unshare": 272, "setns": 308,
               "mount": 165, "open_tree": 428, "pivot_root": 155},
    "aarch64": {"clone": 220, "clone3": 435, "openat2": 437, "unshare": 97, "setns": 268,
                "mount": 40, "open_tree": 428, "pivot_root": 41},
}


def instruction(code, yes, no, value):
    return struct.pack("=HBBI", code, yes, no, value)


def program(kind):
    names = NUMBERS[os.uname().machine]
    denied = {"clone3": ENOSYS, "openat2": EPERM} if kind == "clone3" else {
        **{n: EPERM for n in ("unshare", "setns", "mount", "open_tree", "pivot_root")},
        "clone3": ENOSYS}
    out = [instruction(0x20, 0, 0, 0)]  # the call's number
    for name, error in denied.items():
        out += [instruction(0x15, 0, 1, names[name]), instruction(0x06, 0, 0, ERRNO | error)]
    if kind == "namespaces":
        out += [instruction(0x15, 0, 3, names["clone"]), instruction(0x20, 0, 0, 16),  # its flags
                instruction(0x45, 0, 1, NAMESPACE_FLAGS), instruction(0x06, 0, 0, ERRNO | EPERM)]
    return b"".join(out + [instruction(0x06, 0, 0, ALLOW)])


def main():
    text = program(sys.argv[1])
    filters = ctypes.create_string_buffer(text)
    header = struct.pack("HL" if ctypes.sizeof(ctypes.c_void_p) == 4 else "HxxxxxxQ",
                         len(text) // 8, ctypes.addressof(filters))
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 and libc.prctl(38, 1, 0, 0, 0) != 0:  # no_new_privs
        sys.exit("no_new_privs: %s" % os.strerror(ctypes.get_errno()))
    if libc.prctl(22, 2, ctypes.c_char_p(header), 0, 0) != 0:  # PR_SET_SECCOMP, filter
        sys.exit("seccomp: %s" % os.strerror(ctypes.get_errno()))
    os.execv(sys.argv[2], sys.argv[2:])


main()
