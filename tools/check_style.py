#!/usr/bin/env python3
"""Checks the style of tracked C files: format, banned functions, purpose line, length, tabs.

clang-format's output depends on its version; only version 14 (Debian 12's) is asked.
"""

import os
import re
import shutil
import subprocess
import sys

BANNED = re.compile(r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|system|gets)\s*\(")
# What is cleaned up must be set from the start: an early return would free what was never there.
UNSET_CLEANUP = re.compile(r"^[ \t]+_cleanup_\w*(\(\w+\))?[ \t]+(?![^;=]*=[^;]*;)[^;(]*;", re.M)
MAX_LINES = 800
VAGUE = re.compile(r"(^|_)(utils?|helpers?|common|misc|manager|stuff)(_|\.)")
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)


def tracked(*patterns):
    try:
        out = subprocess.check_output(["git", "-c", "safe.directory=*", "ls-files", "-z", "--", *patterns],
                                      stdin=subprocess.DEVNULL)
        return [p for p in out.decode().split("\0") if p and os.path.exists(p)]
    except (OSError, subprocess.CalledProcessError):
        # Not a clone: an unpacked archive.
        found = []
        for top in ("src", "test", "bench", "examples"):
            for folder, dirs, names in os.walk(top):
                dirs[:] = [d for d in dirs if d != "node_modules"]
                found += [os.path.join(folder, n) for n in names if n.endswith((".c", ".h"))]
        return found


def clang_format():
    for name in ("clang-format-14", "clang-format"):
        path = shutil.which(name)
        if not path:
            continue
        version = subprocess.run([path, "--version"], capture_output=True, text=True,
                                 stdin=subprocess.DEVNULL).stdout
        if re.search(r"version 14\.", version):
            return path
    return None


def main():
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
    wrong = []
    files = tracked("*.c", "*.h")
    written = [p for p in files if "/gen/" not in p]
    for path in written:
        with open(path, encoding="utf-8") as f:
            text = f.read()
        lines = text.count("\n")
        if lines > MAX_LINES:
            wrong.append("%s: %d lines; what second concept lives here?" % (path, lines))
        if not text.lstrip().startswith(("//", "/*", "#!")):
            wrong.append("%s:1: a file opens with its purpose" % path)
        bare = COMMENT_OR_STRING.sub(lambda m: "\n" * m.group(0).count("\n"), text)
        for m in BANNED.finditer(bare):
            wrong.append("%s:%d: %s is banned" % (path, bare.count("\n", 0, m.start()) + 1, m.group(1)))
        for m in UNSET_CLEANUP.finditer(bare):
            wrong.append("%s:%d: a _cleanup_ variable without a value" % (
                path, bare.count("\n", 0, m.start()) + 1))
    for path in tracked("*.c", "*.h", "*.py", "*.sh"):
        if VAGUE.search(os.path.basename(path)):
            wrong.append("%s: a file is called after what it holds" % path)
    formatter = clang_format()
    if not formatter:
        print("SKIPPED format: clang-format 14 is not here")
    elif written:
        # In portions, so that the command line stays short.
        for i in range(0, len(written), 100):
            r = subprocess.run([formatter, "--dry-run", "-Werror", "--ferror-limit=3",
                                *written[i:i + 100]], capture_output=True, text=True,
                               stdin=subprocess.DEVNULL)
            if r.returncode:
                wrong += [l for l in r.stderr.splitlines() if "error:" in l]
    for line in wrong:
        print(line)
    print("style: %d files, %d wrong" % (len(written), len(wrong)))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
