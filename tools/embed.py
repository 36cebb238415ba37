#!/usr/bin/env python3
# embed.py - writes files as C arrays: embed.py OUT.c NAME=FILE…; each becomes NAME and NAME_len.
# GROUP:PATH=FILE… become one array GROUP of struct embedded_file, which a member without a name ends.
import sys


def array(name, data, linkage):
    rows = [f"{linkage}const unsigned char {name}[] = {{"]
    for at in range(0, len(data), 24):
        rows.append("    " + ",".join(str(b) for b in data[at : at + 24]) + ",")
    return rows + ["    0};", ""]


out = ["// Made by tools/embed.py.", "#include <stddef.h>", ""]
groups = {}
for pair in sys.argv[2:]:
    name, path = pair.split("=", 1)
    data = open(path, "rb").read()
    group, colon, member = name.partition(":")
    if colon:
        members = groups.setdefault(group, [])
        own = f"{group}_{len(members)}"
        out += array(own, data, "static ")
        members.append(f'    {{"{member}", {own}, {len(data)}}},')
        continue
    out.append(f"extern const unsigned char {name}[];\nextern const size_t {name}_len;")
    out += array(name, data, "")
    out.append(f"const size_t {name}_len = {len(data)};\n")
if groups:
    out.append("struct embedded_file {\n    const char *name;\n    const unsigned char *data;\n"
               "    size_t len;\n};")
for group, members in groups.items():
    out.append(f"extern const struct embedded_file {group}[];")
    out += [f"const struct embedded_file {group}[] = {{", *members, "    {0}};", ""]
open(sys.argv[1], "w").write("\n".join(out))
