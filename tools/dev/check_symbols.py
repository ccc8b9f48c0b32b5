#!/usr/bin/env python3
"""Checks that libtricolor.so exports what it should and nothing else.

That is: what the public headers declare with TRI_API, and the names of libc that the library interposes,
listed in interposed.txt beside this file.
usage: check_symbols.py LIBRARY.so
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
DIRECTIVE = re.compile(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
DECLARATION = re.compile(r"\bTRI_API\b([^;]*);")


def declared_functions():
    """The names of functions, or else of pointers and structs, that follow TRI_API in the public headers."""
    names = set()
    for header in sorted((ROOT / "include").rglob("*.h")):
        text = DIRECTIVE.sub("", COMMENT.sub(" ", header.read_text(encoding="utf-8")))
        for declaration in DECLARATION.findall(text):
            forms = (r"\b(tri_\w+)\s*\(", r"\*\s*(tri_\w+)", r"\bstruct \w+ (tri_\w+)")
            name = next(filter(None, (re.search(form, declaration) for form in forms)), None)
            if not name:
                sys.exit(f"check_symbols: {header.name}: cannot read the declaration TRI_API{declaration};")
            names.add(name.group(1))
    return names


def interposed_functions():
    lines = (pathlib.Path(__file__).parent / "interposed.txt").read_text(encoding="utf-8").splitlines()
    return {line.split("#")[0].strip() for line in lines} - {""}


def exported_symbols(library):
    output = subprocess.run(
        ["nm", "-D", "-P", "--defined-only", library], check=True, text=True, capture_output=True
    ).stdout
    return {line.split()[0].split("@")[0] for line in output.splitlines()}


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} LIBRARY.so")
    declared = declared_functions()
    interposed = interposed_functions()
    exported = exported_symbols(sys.argv[1])
    problems = [f"{name} is exported, but no public header declares it" for name in sorted(exported - declared - interposed)]
    problems += [f"{name} is declared TRI_API, but not exported" for name in sorted(declared - exported)]
    problems += [f"{name} is in interposed.txt, but not exported" for name in sorted(interposed - exported)]
    for problem in problems:
        print(f"check_symbols: {problem}", file=sys.stderr)
    if not problems:
        print(f"check_symbols: {len(declared)} public functions and {len(interposed)} interposed ones, nothing else")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
