#!/usr/bin/env python3
"""Checks the order of the layers: a source file includes headers of its own layer or of those before it.

base < os < heap < gc < (stack, pool, prof) < (api, compat, tools); layers in brackets stand beside each other and do not
include one another. With --objects LIBRARY.a the compiled functions are checked too: an object file refers to no symbol
that only a later layer defines, so that a declaration written by hand is found as well. A later layer is reached by hooks.
"""

import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RANKS = {"base": 0, "os": 1, "heap": 2, "gc": 3, "stack": 4, "pool": 4, "prof": 4, "api": 5, "compat": 5, "tools": 5}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)
SOURCES = (".c", ".h", ".S")


def may_use(layer, other):
    return layer == other or RANKS[other] < RANKS[layer]


def check_includes(path, layer):
    """Yields a message for every include of one file that breaks the order."""
    text = path.read_text(encoding="utf-8")
    for match in INCLUDE.finditer(text):
        bracket, name = match.groups()
        where = f"{path.relative_to(ROOT)}:{text.count(chr(10), 0, match.start(2)) + 1}"
        if bracket == "<":
            if name.split("/")[0] in RANKS and (ROOT / "src" / name).exists():
                yield f'{where}: write "{name}" in quotes, it is an internal header'
        elif name == "tricolor.h" or name.startswith("tricolor/"):
            continue
        elif not (ROOT / "src" / name).is_file():
            yield f'{where}: "{name}" is no path below src/ (write "layer/file.h")'
        elif not may_use(layer, name.split("/")[0]):
            yield f'{where}: {layer} may not include "{name}"'


def source_files():
    for directory in sorted((ROOT / "src").iterdir()):
        if directory.name not in RANKS:
            sys.exit(f"check_layers: src/{directory.name} is no known layer; add it to RANKS")
        for path in sorted(directory.rglob("*")):
            if path.suffix in SOURCES:
                yield path, directory.name


def object_layers():
    """The layer of each object file, by the name that CMake gives it; None when two layers share a name."""
    layers = {}
    for path, layer in source_files():
        if path.suffix != ".h":
            name = path.name + ".o"
            layers[name] = layer if name not in layers else None
    return layers


def read_symbols(library):
    """Yields (object file, symbol, defined) for the external symbols of a static library."""
    lines = subprocess.run(["nm", "-A", "-g", "-P", str(library)], check=True, text=True, capture_output=True).stdout
    for line in lines.splitlines():
        match = re.match(r"^.*\[(.+)\]: (\S+) (\w)", line)
        if match:
            yield match.group(1), match.group(2), match.group(3) not in "Uvw"


def check_objects(library):
    """Yields a message for every reference from one layer to a function that only later layers define."""
    layers = object_layers()
    symbols = [(layers.get(name), name, symbol, defined) for name, symbol, defined in read_symbols(library)]
    if not any(layer for layer, _, _, _ in symbols):
        yield f"{library}: no object file of the library was recognised"
    home = {symbol: layer for layer, _, symbol, defined in symbols if defined and layer}
    for layer, name, symbol, defined in symbols:
        # A libc function that compat interposes is libc's to the layers below.
        if defined or not layer or not symbol.startswith("tri_"):
            continue
        if symbol in home and not may_use(layer, home[symbol]):
            yield f"{name}: {layer} refers to {symbol}, which {home[symbol]} defines"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--objects", metavar="LIBRARY", help="the static library, to check references too")
    arguments = parser.parse_args()

    files = list(source_files())
    problems = [problem for path, layer in files for problem in check_includes(path, layer)]
    if arguments.objects:
        problems.extend(check_objects(arguments.objects))
    for problem in problems:
        print(f"check_layers: {problem}", file=sys.stderr)
    if not problems:
        print(f"check_layers: {len(files)} files keep the order of the layers")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
