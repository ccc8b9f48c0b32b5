#!/usr/bin/env python3
"""Tests "tricolor layout": what it says of structs read by hand, and of files that it cannot read.

usage: test_layout.py TRICOLOR OBJECT [--compiler CC]
OBJECT is shapes.c, compiled with -g.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

TOOL, OBJECT = sys.argv[1:3]
PATIENCE_S = 60

# name: size, holes in bytes, padding, words that may hold pointers, size of the best order (None: no better one)
BY_HAND = {
    "struct plain": (8, 0, 0, [], None),
    "struct one_pointer": (8, 0, 0, [0], None),
    "struct list": (16, 0, 0, [0], None),
    "struct tree": (24, 0, 4, [0, 1], None),
    "struct guide": (32, 10, 7, [], 16),
    "struct only_functions": (24, 0, 0, [], None),
    "struct text": (24, 0, 1, [0], None),
    "struct pointers_in_arrays": (72, 4, 0, [0, 1, 2, 5, 6, 7, 8], None),
    "struct nested": (32, 7, 0, [1], None),
    "struct array_of_structs": (40, 0, 6, [0, 2], None),
    "struct with_union": (16, 7, 0, [1], None),
    "struct with_pointerless_union": (32, 0, 0, [3], None),
    "struct anonymous_members": (24, 4, 4, [1], 16),
    "struct flexible": (8, 4, 0, [], None),
    "struct bits": (24, 3, 6, [], 16),
    "struct packed": (17, 0, 0, [], None),
    "struct aligned": (128, 4, 56, [8], None),
    "wide": (32, 3, 4, [], None),
    "struct qualified": (24, 0, 0, [0, 1], None),
    "struct recursive_function": (24, 0, 0, [1, 2], None),
    "struct no_waste_but_order": (8, 0, 0, [], None),
}


def run(*arguments):
    return subprocess.run([TOOL, "layout", *arguments], capture_output=True, text=True, errors="replace",
                          timeout=PATIENCE_S, check=False)


class ByHand(unittest.TestCase):
    maxDiff = None

    def test_structs(self):
        done = run("--json", OBJECT)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = {one["name"]: one for one in json.loads(done.stdout)}
        seen = {
            name: (one["size"], one["hole_bytes"], one["padding"], one["pointer_words"],
                   one["better"]["size"] if "better" in one else None)
            for name, one in found.items()
        }
        self.assertEqual(seen, BY_HAND)

    def test_better_order_is_what_the_compiler_makes_of_it(self):
        """Each better order, written as C, has the size that was promised."""
        types = {one["name"]: one for one in json.loads(run("--json", OBJECT).stdout)}
        checks = 0
        with tempfile.TemporaryDirectory() as folder:
            source = pathlib.Path(folder) / "better.c"
            lines = ["#include <stdbool.h>", "#include <stdint.h>", "struct list;"]
            for number, one in enumerate(one for one in types.values() if "better" in one):
                if any("{" in field["declaration"] for field in one["better"]["fields"]):
                    continue
                fields = "".join(f"{field['declaration']}; " for field in one["better"]["fields"])
                lines.append(f"struct better_{number} {{ {fields}}};")
                lines.append(f"_Static_assert(sizeof(struct better_{number}) == {one['better']['size']}, \"\");")
                checks += 1
            source.write_text("\n".join(lines) + "\n", encoding="utf-8")
            subprocess.run([os.environ.get("CC", "cc"), "-fsyntax-only", str(source)], check=True)
        self.assertGreaterEqual(checks, 2)

    def test_text(self):
        done = run(OBJECT, "guide")
        self.assertEqual(done.returncode, 0)
        for part in ("struct guide: 32 bytes, aligned to 8", "10 bytes in 2 holes, 7 of padding", "/* 7 bytes of hole */",
                     "in another order 16 bytes, 16 fewer"):
            self.assertIn(part, done.stdout)
        self.assertNotIn("struct nested", done.stdout)
        self.assertIn("callback *", run(OBJECT, "struct only_functions").stdout)

    def test_limit(self):
        self.assertEqual(run("--max-padding", "17", OBJECT, "guide").returncode, 0)
        done = run("--max-padding", "16", OBJECT, "guide")
        self.assertEqual(done.returncode, 1)
        self.assertIn("struct guide", done.stdout)


class Misuse(unittest.TestCase):
    def refused(self, arguments, *texts):
        done = run(*arguments)
        self.assertEqual(done.returncode, 2, done.stdout)
        for text in texts:
            self.assertIn(text, done.stderr)
        self.assertEqual(done.stdout, "")

    def test_command_line(self):
        self.refused([], "which file?", "usage:")
        self.refused([OBJECT, "one", "two"], '"two" is one argument too many')
        self.refused(["--max-padding", "many", OBJECT], '"many" is not a number of bytes')
        self.refused(["--max-padding", "-1", OBJECT], '"-1" is not a number of bytes')
        self.refused([OBJECT, "nothing"], 'no struct "nothing"')
        self.refused(["--unknown", OBJECT], "usage:")

    def test_files(self):
        self.refused(["/nowhere/at/all"], "/nowhere/at/all: cannot be read", "No such file")
        self.refused([__file__], "cannot be read")
        with tempfile.TemporaryDirectory() as folder:
            stripped = os.path.join(folder, "stripped.o")
            subprocess.run(["objcopy", "--strip-debug", OBJECT, stripped], check=True)
            self.refused([stripped], "no debugging information", "compile with -g")
            other = os.path.join(folder, "other.o")
            compiled = subprocess.run(["c++", "-x", "c++", "-g", "-c", "-o", other, "-"], check=False, text=True,
                                      input="struct shape { char c; long l; }; shape one;", capture_output=True)
            if compiled.returncode == 0:
                self.refused([other], "not C's, but of C++")

    def test_damaged_files(self):
        """Whatever is broken in a file: an answer or an error, never a crash."""
        whole = bytearray(pathlib.Path(OBJECT).read_bytes())
        chance = random.Random(4)
        with tempfile.TemporaryDirectory() as folder:
            damaged = pathlib.Path(folder) / "damaged.o"
            for turn in range(int(os.environ.get("TURNS", "150"))):
                data = bytearray(whole)
                if turn % 3 == 0:
                    del data[chance.randrange(len(data)):]
                for _ in range(chance.choice((1, 4, 32)) if turn % 3 else 0):
                    data[chance.randrange(len(data))] = chance.randrange(256)
                damaged.write_bytes(data)
                done = run("--json", str(damaged))
                self.assertIn(done.returncode, (0, 2), f"turn {turn}: {done.stderr[-2000:]}")
                if done.returncode == 0:
                    json.loads(done.stdout)
                else:
                    self.assertIn("tricolor: ", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
