"""The tables of docs/performance.md, and how they get between its markers.

    <!-- results: NAME -->
    what plots.py writes
    <!-- /results -->

All else on the page is written by hand and left alone.
"""
import re

from measured import COMPARED
from workloads import MALLOCS, PEERS

NOT_MEASURED = "Not measured yet."
MARKED = re.compile(r"<!-- results: ([\w-]+) -->\n.*?<!-- /results -->", re.S)
NAMES = {"tricolor": "tricolor", "go": "Go", "bdwgc": "bdwgc", "glibc": "malloc (glibc)", "mimalloc": "mimalloc",
         "jemalloc": "jemalloc"}
SHOWN = ("tricolor", "go", "bdwgc", "glibc")
LATENCY_NAMES = ("pusher", "churn", "churn-2-threads", "hide", "deep", "threads-100", "threads-1000", "data",
                 "cache-256M", "cache-1G", "cache-4G", "cache-8G")
COUNTS = ("collections", "stops", "win_median", "win_p1", "win_min", "win_inside", "win_outside")
# Workload, variant, what is compared, its unit and scale, and whether more is better.
THROUGHPUT = (
    ("binary-trees-16", None, "wall_s", "s", 1, False), ("binary-trees-18", None, "wall_s", "s", 1, False),
    ("binary-trees-2-threads", None, "wall_s", "s", 1, False), ("binary-trees-21", None, "wall_s", "s", 1, False),
    ("gcbench", None, "wall_s", "s", 1, False), ("micro", "noscan", "ns_mean", "ns", 1, False),
    ("micro", "typed", "ns_mean", "ns", 1, False), ("graph-2M", "typed", "mobj_per_s", "M objects/s", 1, True),
    ("graph-20M", "typed", "mobj_per_s", "M objects/s", 1, True), ("guide07", None, "total_ms", "ms", 1, False),
    *((name, None, "wall_ms", "s", 1e-3, False) for name in LATENCY_NAMES))


def fill(page, blocks):
    """The page with its marked parts replaced; every block must have its place, and every place its block."""
    places = MARKED.findall(page)
    if sorted(places) != sorted(blocks):
        raise ValueError(f"the page has places for {sorted(places)}, and the blocks are {sorted(blocks)}")
    return MARKED.sub(lambda m: f"<!-- results: {m[1]} -->\n{blocks[m[1]]}\n<!-- /results -->", page)


def number(value):
    """Three digits that count."""
    if value is None:
        return "–"
    for least, digits in ((100, 0), (10, 1), (1, 2), (0.1, 3)):
        if abs(value) >= least:
            return f"{value:,.{digits}f}"
    return f"{value:.3g}"


def table(header, rows):
    """Markdown; the first two columns to the left. A first cell that repeats the one above is left empty."""
    if not rows:
        return NOT_MEASURED
    lines = [header, ["---" if i < 2 else "---:" for i in range(len(header))]]
    before = None
    for row in rows:
        lines.append([("" if row[0] == before else row[0]), *row[1:]])
        before = row[0]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def peer_name(peer, variant=""):
    """off: no collections; so malloc, too, gives nothing back there."""
    return NAMES[peer] + (", no collections" if variant == "off" and peer == "tricolor" else "")


def machine_block(results):
    record = results.records[-1]
    facts = record["machine"]
    versions = ", ".join(f"{NAMES[peer]} {version}" for peer, version in
                         sorted(record["versions"].items(), key=lambda v: PEERS.index(v[0])))
    lines = [f"{facts['processors']} processors ({facts['architecture']}), {facts['memory_mib'] / 1024:.0f} GiB of "
             f"memory, Linux {facts['kernel'].split('-')[0]}, transparent huge pages: {facts['huge_pages']}.",
             f"Compared: {versions}."]
    if record["missing"]:
        lines.append(f"Not there, and so not compared: {', '.join(NAMES[peer] for peer in record['missing'])}.")
    if results.quick():
        lines.append("**A quick run: less work and fewer runs than the bars ask for. A hint, not a result.**")
    problems = list(dict.fromkeys(results.problems()))
    return "\n".join(lines + (["", *(f"- {problem}" for problem in problems)] if problems else []))


def bars_block(results):
    verdicts = {"pass": "met", "FAIL": "**missed**"}
    return table(["bar", "wanted", "measured", "runs", "verdict"],
                 [[b["bar"], f"{'≥' if b['at_least'] else '≤'} {b['limit']:g}", number(b["figure"]),
                   f"{b['runs'] or '–'} of {b['runs_wanted']}", verdicts.get(b["verdict"], b["verdict"])]
                  for b in results.bars.values()])


def entrants(results, name, off=True):
    """(what it is called, its label) for all that are shown of a workload."""
    for peer in SHOWN:
        label = results.entrant(name, peer)
        if label:
            yield peer_name(peer), label
        if off and peer == "tricolor" and results.entrant(name, peer, "off"):
            yield peer_name(peer, "off"), results.entrant(name, peer, "off")


def median_text(results, name, label, key, scale):
    value = results.median(name, label, key)
    if value is None or (key == "gc_cpu_ms" and label in MALLOCS):
        return number(None)
    return f"{value:,.0f}" if key in COUNTS else number(value * scale)


def figures_table(results, head, columns, names=LATENCY_NAMES, peers=None, off=True):
    """A row for each entrant of each workload; columns: header -> (key, scale)."""
    rows = [[name, who, *(median_text(results, name, label, *column) for column in columns.values())] for name in names
            for who, label in entrants(results, name, off) if not peers or label.split()[0] in peers]
    return table([*head, *columns], rows)


def latency_table(results):
    return figures_table(results, ["program", "on"], {
        "p50 µs": ("p50_us", 1), "p99 µs": ("p99_us", 1), "p99.9 µs": ("p999_us", 1), "p99.99 µs": ("p9999_us", 1),
        "worst µs": ("max_us", 1), "all s": ("wall_ms", 1e-3), "collector CPU s": ("gc_cpu_ms", 1e-3),
        "peak MiB": ("peak_kib", 1 / 1024)})


def stops_table(results):
    return figures_table(results, ["program", "on"], {
        "collections": ("collections", 1), "stops": ("stops", 1), "all stops ms": ("total_stop_us", 1e-3),
        "99 of 100 ms": ("stop_p99_us", 1e-3), "longest ms": ("longest_stop_us", 1e-3)},
        (*LATENCY_NAMES, "binary-trees-18", "gcbench"), ("tricolor", "go", "bdwgc"), off=False)


def windows_table(results):
    return figures_table(results, ["program", "on"], {
        "median": ("win_median", 1), "99 of 100 reach": ("win_p1", 1), "least": ("win_min", 1),
        "inside collections": ("win_inside", 1), "outside": ("win_outside", 1), "share": ("win_share", 1)},
        peers=("tricolor", "go", "bdwgc"), off=False)


def throughput_rows(results):
    """(name, unit, {peer: median}, more is better)."""
    for name, variant, key, unit, scale, higher in THROUGHPUT:
        found = {}
        for peer in SHOWN:
            label = results.entrant(name, peer, variant) or (variant and results.entrant(name, peer, COMPARED[1]))
            value = results.median(name, label, key)
            if value:
                found[peer] = value * scale
        if "tricolor" in found and len(found) > 1:
            yield f"{name} {variant}" if variant else name, unit, found, higher


def throughput_table(results):
    rows = []
    for name, unit, found, _ in throughput_rows(results):
        ratios = [found["tricolor"] / found[peer] if peer in found else None for peer in ("go", "bdwgc")]
        rows.append([name, unit, *(number(found.get(peer)) for peer in SHOWN), *map(number, ratios)])
    return table(["program", "unit", *(NAMES[peer] for peer in SHOWN), "tricolor / Go", "tricolor / bdwgc"], rows)
