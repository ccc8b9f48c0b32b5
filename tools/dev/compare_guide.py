#!/usr/bin/env python3
"""Runs the guide's programs beside their Go originals and compares what they print, line by line.

usage: compare_guide.py BUILD_DIR

A line agrees when it is the same but for its figures; of the programs named in SAME every line is the same byte for byte.
What only the C program prints is listed in OURS. Where times differ the ratio of C's to Go's is shown: one run each,
which says less than `make bench`. Without Go the C programs run alone. Exit status 1 when lines disagree.
"""

import difflib
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SOURCES = ROOT / "examples" / "guide" / "go"
SAME = {"04", "17", "20", "23"}
OURS = re.compile(r"Collections beside the program: ")
FIGURE = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
TIME = re.compile(r"(?<![\w.])((?:\d+(?:\.\d+)?(?:h|ms|m|µs|ns|s))+)(?![\w])")
PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|µs|ns|s)")
UNITS_NS = {"h": 3.6e12, "m": 6e10, "s": 1e9, "ms": 1e6, "µs": 1e3, "ns": 1.0}
PATIENCE_S = 120


def duration_ns(text):
    return sum(float(number) * UNITS_NS[unit] for number, unit in PART.findall(text))


def shape(line):
    """The line without its figures."""
    return FIGURE.sub("#", TIME.sub("TIME", line))


def output_of(command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode != 0:
        sys.exit(f"compare_guide: {command[0]}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout.splitlines()


def remark(ours, theirs):
    times = [[duration_ns(text) for text in TIME.findall(line)] for line in (ours, theirs)]
    if len(times[0]) == 1 and len(times[1]) == 1 and times[1][0] > 0:
        return f"{times[0][0] / times[1][0]:.2f} of Go's"
    return ""


def compare(number, ours, theirs):
    """Prints the lines side by side: "=" the same, "~" but for figures, "+" ours, "!" wrong. Returns how many are."""
    wrong = 0
    left, right = [shape(line) for line in ours], [shape(line) for line in theirs]
    for tag, a, b, c, d in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        if tag == "equal":
            for mine, other in zip(ours[a:b], theirs[c:d]):
                mark = "=" if mine == other else "!" if number in SAME else "~"
                wrong += mark == "!"
                print(f"  {mark} {mine:<62} {'' if mark == '=' else other:<46} {remark(mine, other)}".rstrip())
            continue
        for mine in ours[a:b]:
            mark = "+" if OURS.match(mine) else "!"
            wrong += mark == "!"
            print(f"  {mark} {mine}")
        for other in theirs[c:d]:
            wrong += 1
            print(f"  ! {'':<62} {other}")
    return wrong


def build_original(go, source, directory):
    program = directory / source.stem
    subprocess.run([go, "build", "-o", str(program), str(source)], check=True, env={**os.environ, "GO111MODULE": "off"})
    return program


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1])
    go = os.environ.get("PEER_GO") or shutil.which("go")
    if not go:
        print("Go is not here: the C programs run alone (PEER_GO names a go command)")
    else:
        print(f"{'C, on tricolor':<66} Go   (= the same, ~ but for figures, + C's own, ! wrong)")
    originals = build / "guide-go"
    originals.mkdir(exist_ok=True)
    wrong = compared = 0
    for source in sorted(SOURCES.glob("*.go")):
        print(f"\n{source.stem}")
        ours = output_of([str(build / "examples" / f"guide-{source.stem}")])
        if not go:
            print("\n".join(f"    {line}" for line in ours))
            continue
        compared += 1
        wrong += compare(source.stem[:2], ours, output_of([str(build_original(go, source, originals))]))
    print(f"\n{compared} programs compared, {wrong} lines disagree")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
