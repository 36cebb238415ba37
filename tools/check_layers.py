#!/usr/bin/env python3
"""Checks that every room includes only rooms below it, and never another room's *_impl.h."""

import os
import re
import sys

# From the ground up, as in ARCHITECTURE.md. A room may use those before it.
ROOMS = ["base", "os", "store", "images", "http", "wire", "sandbox", "runtime", "engine",
         "services", "triggers", "console", "cli"]
# base is pure C: of the system it may see only what has no system call behind it.
BASE_MAY_INCLUDE = re.compile(
    r"^(std\w+|string|strings|ctype|errno|limits|inttypes|math|float|time|assert|wchar|"
    r"openssl/\w+|pthread|arpa/inet|immintrin|x86intrin|endian|byteswap)\.h$")
# A service shows others only services/<name>/<name>.h and what is listed here.
SERVICE_SHOWS = {
    "lambda": {"names.h"},
}
INCLUDE = re.compile(r'^\s*#\s*include\s+(["<])([^">]+)[">]')


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    wrong = []
    checked = 0
    for folder, _, names in os.walk("src"):
        for name in sorted(names):
            if not name.endswith((".c", ".h")):
                continue
            path = os.path.join(folder, name)
            room = path.split("/")[1]
            if room not in ROOMS:
                wrong.append("%s: unknown room" % path)
                continue
            checked += 1
            with open(path, encoding="utf-8") as f:
                for number, line in enumerate(f, 1):
                    m = INCLUDE.match(line)
                    if not m:
                        continue
                    where = "%s:%d" % (path, number)
                    if m.group(1) == "<":
                        if room == "base" and not BASE_MAY_INCLUDE.match(m.group(2)):
                            wrong.append("%s: base is pure C, but includes <%s>" % (where, m.group(2)))
                        continue
                    target = m.group(2)
                    beside = os.path.normpath(os.path.join(folder, target))
                    full = beside if os.path.exists(beside) else os.path.join("src", target)
                    parts = os.path.normpath(full).split("/")
                    if len(parts) < 3 or parts[0] != "src" or parts[1] not in ROOMS:
                        continue  # generated at build time, or a library's
                    if ROOMS.index(parts[1]) > ROOMS.index(room):
                        wrong.append("%s: %s may not use %s" % (where, room, parts[1]))
                    if parts[1] == "services" and len(parts) == 4:
                        service, header = parts[2], parts[3]
                        shown = SERVICE_SHOWS.get(service, set()) | {service + ".h"}
                        if not (folder + "/").startswith("src/services/%s/" % service) \
                                and header not in shown:
                            wrong.append("%s: %s is the inside of services/%s" % (where, header, service))
                    if target.endswith("_impl.h") and os.path.dirname(full) != folder \
                            and not folder.startswith(os.path.dirname(full) + "/"):
                        wrong.append("%s: %s belongs to another folder" % (where, target))
    for line in wrong:
        print(line)
    print("layers: %d files, %d wrong" % (checked, len(wrong)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
