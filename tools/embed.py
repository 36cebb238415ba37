#!/usr/bin/env python3
# embed.py - writes files as C arrays: embed.py OUT.c NAME=FILE…; each becomes NAME and NAME_len.
import sys

out = ["// Made by tools/embed.py.", "#include <stddef.h>", ""]
for pair in sys.argv[2:]:
    name, path = pair.split("=", 1)
    data = open(path, "rb").read()
    out.append(f"extern const unsigned char {name}[];\nextern const size_t {name}_len;")
    out.append(f"const unsigned char {name}[] = {{")
    for at in range(0, len(data), 24):
        out.append("    " + ",".join(str(b) for b in data[at : at + 24]) + ",")
    out.append(f"    0}};\nconst size_t {name}_len = {len(data)};\n")
open(sys.argv[1], "w").write("\n".join(out))
