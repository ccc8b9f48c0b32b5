#!/usr/bin/env python3
"""Tests "tricolor types": the maps that it writes, which are compiled, and what it says of those written by hand.

usage: test_types.py TRICOLOR OBJECT PROGRAM INCLUDE
OBJECT is shapes.c, compiled with -g; PROGRAM is maps.c, linked with -g; INCLUDE has tricolor.h.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

TOOL, OBJECT, PROGRAM, INCLUDE = sys.argv[1:5]
SOURCES = pathlib.Path(__file__).resolve().parent
PATIENCE_S = 60
RANGE = re.compile(r"\{(\d+), (\d+)\}")

# The words that may hold pointers, read by hand; None: only conservatively.
BY_HAND = {
    "struct plain": [],
    "struct one_pointer": [0],
    "struct list": [0],
    "struct tree": [0, 1],
    "struct guide": [],
    "struct only_functions": [],
    "struct text": [0],
    "struct pointers_in_arrays": [0, 1, 2, 5, 6, 7, 8],
    "struct nested": [1],
    "struct array_of_structs": [0, 2],
    "struct with_union": [1],
    "struct with_pointerless_union": [3],
    "struct anonymous_members": [1],
    "struct flexible": None,
    "struct bits": [],
    "struct packed": None,
    "struct aligned": [8],
    "wide": [],
    "struct qualified": [0, 1],
    "struct recursive_function": [1, 2],
    "struct no_waste_but_order": [],
}


def run(*arguments):
    return subprocess.run([TOOL, "types", *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


class Written(unittest.TestCase):
    maxDiff = None

    def test_maps(self):
        done = run(OBJECT)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = {}
        for block in re.split(r"(?m)^(?=/\* )", done.stdout)[1:]:
            name = re.match(r"/\* ((?:struct )?\w+)", block).group(1)
            words = [word for offset, size in RANGE.findall(block)
                     for word in range(int(offset) // 8, (int(offset) + int(size)) // 8)]
            found[name] = None if "conservatively" in block else words
        self.assertEqual(found, BY_HAND)

    def test_maps_compile(self):
        """Behind the structs themselves, and only there: a map of another struct is refused."""
        maps = run(OBJECT).stdout
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "maps.c"
            for shapes, good in ((SOURCES / "shapes.c", True), (pathlib.Path(folder) / "other.c", False)):
                if not good:
                    shapes.write_text((SOURCES / "shapes.c").read_text().replace("  long key;", "  long key, more;"))
                source.write_text(f'#include "{shapes}"\n#include <tricolor.h>\n{maps}', encoding="utf-8")
                done = subprocess.run([os.environ.get("CC", "cc"), "-Wall", "-Wextra", "-Werror", f"-I{INCLUDE}",
                                       "-fsyntax-only", str(source)], capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode == 0, good, done.stderr)

    def test_one(self):
        done = run(OBJECT, "list")
        self.assertIn("TRI_TYPE_RANGES(struct list, {0, 8} /* next */);", done.stdout)
        self.assertNotIn("struct tree", done.stdout)


class Checked(unittest.TestCase):
    def test_program(self):
        subprocess.run([PROGRAM], check=True)
        done = run("--check", PROGRAM)
        self.assertEqual((done.returncode, done.stderr), (1, ""))
        lines = done.stdout.splitlines()
        for line in ("node: right", "struct plain: right", "ranges: right", "5 maps, 1 of them wrong",
                     "generous: right; words without pointers are read, too"):
            self.assertIn(line, lines)
        wrong = [line for line in lines if "is not named" in line]
        self.assertEqual(len(wrong), 2)
        self.assertTrue(all(line.startswith("named: void *data[2], at byte ") for line in wrong))

    def test_one(self):
        self.assertEqual(run("--check", PROGRAM, "node").returncode, 0)


class Misuse(unittest.TestCase):
    def refused(self, arguments, *texts):
        done = run(*arguments)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        for text in texts:
            self.assertIn(text, done.stderr)

    def test_errors(self):
        self.refused([], "which file?", "usage:")
        self.refused(["/nowhere/at/all"], "cannot be read")
        self.refused([OBJECT, "nothing"], 'no struct "nothing"')
        self.refused(["--check", OBJECT], "this is an object file")
        with tempfile.TemporaryDirectory() as folder:
            stripped = os.path.join(folder, "stripped")
            subprocess.run(["objcopy", "--wildcard", "--strip-symbol=tri_type_map_*", PROGRAM, stripped], check=True)
            self.refused(["--check", stripped], "symbols are stripped")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
