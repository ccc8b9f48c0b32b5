#!/usr/bin/env python3
"""Holds "tricolor layout" against pahole (Debian: apt-get install dwarves) on a file with debugging information.

usage: compare_pahole.py TRICOLOR FILE

Sizes must be the same, and every saving that `pahole --reorganize` finds must be found; those that it gets by packing a
struct do not count, for they cost its alignment. Exit status 1 otherwise. Prints what only tricolor finds.
"""

import json
import re
import subprocess
import sys


def output_of(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def ours_of(tool, path):
    types = {}
    for one in json.loads(output_of(tool, "layout", "--json", path)):
        types.setdefault(one["name"].removeprefix("struct "), []).append(one)
    return types


def pahole_saves(name, path):
    text = output_of("pahole", "--reorganize", "-C", name, path)
    saved = re.search(r"saved (\d+) byte", text)
    return int(saved.group(1)) if saved and "__packed__" not in text else 0


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    tool, path = sys.argv[1:]
    ours = ours_of(tool, path)
    sizes = {}
    for line in output_of("pahole", "-s", path).splitlines():
        name, size, _ = line.split("\t")
        sizes[name] = int(size)
    wrong = same = more = 0
    for name, types in sorted(ours.items()):
        if name in sizes and sizes[name] not in (one["size"] for one in types):
            print(f"{name}: {types[0]['size']} bytes, and pahole says {sizes[name]}")
            wrong += 1
        theirs = pahole_saves(name, path)
        saves = max(one.get("better", {}).get("saves", 0) for one in types)
        if theirs > saves:
            print(f"{name}: {saves} bytes saved, and pahole saves {theirs}")
            wrong += 1
        elif saves > theirs:
            print(f"{name}: {saves} bytes saved; pahole: {theirs}")
            more += 1
        elif saves:
            same += 1
    print(f"{len(ours)} structs; savings: {same} by both, {more} by tricolor alone; {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
