#!/usr/bin/env python3
"""Makes docs/performance.md true: charts and tables from what run.py measured.

    python3 bench/plots.py build/release/bench/results.json [more results ...]

Several files are taken together, the later ones over the earlier. Charts go to the folder performance beside the page;
of those that are there, what the results do not say anything about is taken away. Without any file the page says that
nothing is measured yet.
"""
import argparse
import math
import pathlib
import statistics
import sys

from bars import STOPS, WINDOWS
from charts import Axis, Curve, Dot, Mark, Panel, Row, curves, dots, duration, linear_axis, log_axis, panels
from measured import Results, parse_windows, percentile
from page import (LATENCY_NAMES, NAMES, NOT_MEASURED, bars_block, fill, latency_table, machine_block, number, peer_name,
                  stops_table, throughput_rows, throughput_table, windows_table)

PAGE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "performance.md"
COLOURS = {"tricolor": "#0b5cad", "go": "#d9730d", "bdwgc": "#7b3fa0", "glibc": "#5f6b76"}
COLLECTORS = ("tricolor", "go", "bdwgc")
LATENCY_CHARTS = ("pusher", "churn", "hide", "cache-1G")
STOP_CHARTS = ("pusher", "churn", "cache-1G")
CACHES = tuple(name for name in LATENCY_NAMES if name.startswith("cache-"))
SERIES_WINDOWS = 400  # 4 seconds

# ---- Distributions -------------------------------------------------------------------------------------------------


def tail_place(share_over):
    """Where on the axis the value lies that so small a share exceeds: each nine as wide as the others."""
    return -math.log10(share_over)


def tail_points(histogram, scale):
    """Steps: what share of all exceeds which value. The last one is at one of all."""
    count = sum(n for _, n in histogram)
    left, points = count, []
    for edge, n in histogram:
        points.append((tail_place(left / count), edge * scale))
        left -= n
        points.append((tail_place(max(left, 1) / count), edge * scale))
    return points


def tail_axis(label, points):
    nines = max(1, math.ceil(max(x for x, _ in points) - 1e-9))
    names = ["0 %", "90 %", "99 %"] + [f"99.{'9' * k} %" for k in range(1, nines)]
    return Axis(label, 0.0, float(nines), list(enumerate(names[:nines + 1])))


def tail_curves(results, name, key, scale, who):
    """(peer, variant, dash) -> a curve for each that has such a histogram."""
    for peer, variant, dash in who:
        label = results.entrant(name, peer, variant)
        histogram = results.histogram(name, label, key)
        if histogram:
            yield Curve(peer_name(peer, variant), COLOURS[peer], tail_points(histogram, scale), dash,
                        2.8 if peer == "tricolor" and not dash else 1.8)


def tail_chart(title, subtitle, x_label, y_label, found):
    points = [point for curve in found for point in curve.points]
    up = log_axis(y_label, [y for _, y in points], duration)
    return curves(title, subtitle, tail_axis(x_label, points), up, found)


def latency_chart(results, name):
    found = list(tail_curves(results, name, "ops_ns", 1e-3, (
        ("tricolor", None, None), ("tricolor", "off", "3 3"), ("go", None, None), ("bdwgc", None, None),
        ("glibc", None, None))))
    return found and tail_chart(
        f"{name}: how long operations take", "All runs together. To the right: rarer and longer.",
        "share of operations that took no longer", "time of an operation", found)


def stops_chart(results, name):
    found = list(tail_curves(results, name, "stops_us", 1.0, [(peer, None, None) for peer in COLLECTORS]))
    return found and tail_chart(f"{name}: how long the program is stopped",
                                "All runs together; as each collector says of itself, in buckets.",
                                "share of stops that took no longer", "length of a stop", found)


# ---- Against the heap ----------------------------------------------------------------------------------------------


def heap_chart(results):
    names = [name for name in CACHES if results.has(name)]
    sizes = {name: float(results.workloads[name]["args"][0]) for name in names}
    found = []
    for peer in COLLECTORS:
        runs = {sizes[name]: results.values(name, results.entrant(name, peer), "longest_stop_us") for name in names}
        points = [(size, statistics.median(values)) for size, values in runs.items() if values]
        ranges = [(size, min(values), max(values)) for size, values in runs.items() if len(values) > 1]
        if points:
            found.append(Curve(NAMES[peer], COLOURS[peer], points, marks=True, ranges=ranges))
    if not found:
        return None
    lengths = [y for curve in found for part in curve.points + curve.ranges for y in part[1:]]
    wanted = [Mark(sizes[name], limit * 1e3, "wanted") for _, name, _, limit, _ in STOPS if name in sizes]
    ticks = [(size, f"{size:g} MiB" if size < 1024 else f"{size / 1024:g} GiB") for size in sizes.values()]
    across = Axis("live heap of the cache", min(sizes.values()) / 2, max(sizes.values()) * 2, ticks, log=True)
    up = log_axis("longest stop", [*lengths, *(mark.y for mark in wanted)], duration)
    return curves("Longest stop against heap size", "Median of the runs' longest, and from the best run to the worst.",
                  across, up, found, wanted)


# ---- Throughput ----------------------------------------------------------------------------------------------------


def throughput_chart(results):
    rows = []
    for name, _, found, higher in throughput_rows(results):
        if "go" not in found:
            continue
        times = {peer: found["go"] / value if higher else value / found["go"] for peer, value in found.items()}
        rows.append(Row(name, [Dot(NAMES[peer], times[peer], label=number(times[peer]) if peer == "tricolor" else "")
                               for peer in ("glibc", "bdwgc", "tricolor") if peer in times]))
    if not rows:
        return None
    values = [dot.value for row in rows for dot in row.dots] + [1.0]
    low, high = min(values) / 1.3, max(values) * 1.3
    ticks = [(t, f"{t:g}") for t in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= t <= high]
    styles = {NAMES[peer]: (COLOURS[peer], peer == "glibc") for peer in ("tricolor", "bdwgc", "glibc")
              if any(dot.series == NAMES[peer] for row in rows for dot in row.dots)}
    return dots("Time for the same work, as a share of Go's", "Medians; the black line is Go. To the left is faster.",
                Axis("time / Go's time", low, high, ticks, log=True), styles, rows, line_at=1.0)


# ---- Windows -------------------------------------------------------------------------------------------------------


def window_dots(results, name, peer):
    """Inside and outside as shares of the run's median outside; nothing where no run has both."""
    label = results.entrant(name, peer)
    told = [(n / run["win_outside"], mark) for run in results.runs(name, label) if "win_outside" in run
            for n, mark in parse_windows(run["windows"])]

    def dot(series, value, shares):
        return Dot(f"{NAMES[peer]}, {series}", value, percentile(shares, 0.05), percentile(shares, 0.95))

    inside, outside = ([share for share, mark in told if mark == wanted] for wanted in "io")
    return [dot("inside", results.median(name, label, "win_share"), inside),
            dot("outside", 1.0, outside)] if told else []


def windows_chart(results):
    limits = {name: limit for _, name, _, limit in WINDOWS}
    rows = []
    for name in LATENCY_NAMES:
        own, other = window_dots(results, name, "tricolor"), window_dots(results, name, "bdwgc")
        if own:
            own[0].label = number(own[0].value)
            rows.append(Row(name, own + other[:1], limits.get(name)))
    if not rows:
        return None
    high = max([1.2] + [min(dot.high, 2.0) for row in rows for dot in row.dots])
    styles = {"tricolor, inside": (COLOURS["tricolor"], False), "tricolor, outside": (COLOURS["tricolor"], True)}
    if any(dot.series.startswith("bdwgc") for row in rows for dot in row.dots):
        styles["bdwgc, inside"] = (COLOURS["bdwgc"], False)
    return dots("Operations per 10 ms window inside and outside collections",
                "As a share of the peer's median window outside; bars: 5th to 95th percentile, cut off at the edge.",
                linear_axis("operations / median window outside", high), styles, rows, line_at=1.0)


def bands(windows):
    """Where a collection was on, in seconds."""
    return [(i / 100, (i + 1) / 100) for i, (_, mark) in enumerate(windows) if mark == "i"]


def series_chart(results, name):
    rows = []
    for peer in COLLECTORS:
        texts = results.values(name, results.entrant(name, peer), "windows")
        if texts:
            windows = parse_windows(texts[0])[:SERIES_WINDOWS]
            told = any(mark for _, mark in windows)
            points = [(i / 100 + 0.005, n / 1e3) for i, (n, _) in enumerate(windows)]
            rows.append(Panel(Curve(NAMES[peer], COLOURS[peer], points, width=1.4), bands(windows),
                              "" if told else ": does not tell when a collection begins"))
    if not rows:
        return None
    points = [point for row in rows for point in row.curve.points]
    return panels(f"{name}: operations in each 10 ms", "The first seconds of the first run.", "a collection is on",
                  linear_axis("seconds", max(x for x, _ in points)),
                  linear_axis("thousand operations in 10 ms", max(y for _, y in points), 4), rows)


# ---- The page ------------------------------------------------------------------------------------------------------


def all_charts(results):
    """File name -> (block, what it shows, SVG or nothing)."""
    for name in LATENCY_CHARTS:
        what = f"{name}: distribution of the time of operations"
        yield f"latency-{name}.svg", "latency", what, latency_chart(results, name)
    for name in STOP_CHARTS:
        yield f"stops-{name}.svg", "stops", f"{name}: distribution of stops", stops_chart(results, name)
    yield "stops-heap.svg", "heap", "longest stop against heap size", heap_chart(results)
    yield "windows.svg", "windows", "operations per 10 ms inside and outside collections", windows_chart(results)
    yield "windows-churn.svg", "windows", "churn: operations in each 10 ms of a run", series_chart(results, "churn")
    yield "throughput.svg", "throughput", "time for the same work as a share of Go's", throughput_chart(results)


def make_blocks(results, folder):
    """Writes the charts; returns the blocks of the page."""
    images = {}
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    for file, block, what, svg in all_charts(results):
        if svg:
            (folder / file).write_text(svg)
            images.setdefault(block, []).append(f"![{what}]({folder.name}/{file})")
    tables = {"latency": latency_table(results), "stops": stops_table(results), "windows": windows_table(results),
              "throughput": throughput_table(results)}
    blocks = {"machine": machine_block(results) if results.workloads else NOT_MEASURED, "bars": bars_block(results)}
    for block in ("latency", "stops", "heap", "windows", "throughput"):
        parts = images.get(block, []) + ([tables[block]] if block in tables else [])
        blocks[block] = "\n\n".join(parts) or NOT_MEASURED
    return blocks


def main(argv=None):
    parser = argparse.ArgumentParser(description="Makes docs/performance.md and its charts from what run.py measured.")
    parser.add_argument("results", nargs="*", type=pathlib.Path, metavar="FILE", help="results.json of run.py")
    parser.add_argument("--page", type=pathlib.Path, default=PAGE, metavar="FILE", help="docs/performance.md")
    args = parser.parse_args(argv)
    blocks = make_blocks(Results.read(args.results), args.page.with_suffix(""))
    args.page.write_text(fill(args.page.read_text(), blocks))
    print(f"{args.page}: {sum(text == NOT_MEASURED for text in blocks.values())} of {len(blocks)} parts not measured")


if __name__ == "__main__":
    sys.exit(main())
