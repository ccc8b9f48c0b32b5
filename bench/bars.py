"""What tricolor is to reach, and whether it does: ratios to Go of the same run, absolute times, what starting costs."""
import dataclasses

from workloads import GROUPS, MICRO_BAR_SIZES, RUNS, STOP_P99, TABLES

THROUGHPUT, LATENCY = GROUPS

# Longest stop in ms, and what 99 of 100 stops are not to exceed: half of it, as near as the histogram of stops tells,
# whose buckets end at powers of two of microseconds.
STOPS = (("pusher", "pusher", "on", 0.5, 0.256), ("churn", "churn", "on", 1.0, 0.512),
         ("churn, 2 threads", "churn-2-threads", "on", 1.0, 0.512), ("hide", "hide", "", 1.0, 0.512),
         ("cache 1 GiB", "cache-1G", "", 1.0, 0.512), ("cache 8 GiB", "cache-8G", "", 3.0, 1.024))
# Operations: the longest, and the wall of them all, as a share of Go's.
OPERATIONS = (("pusher", "pusher", 0.25, 0.7), ("churn", "churn", 0.1, 0.8),
              ("churn, 2 threads", "churn-2-threads", 0.1, 0.8))
# Operations done in 10 ms while a collection is on, as a share of those done while none is; medians of windows.
WINDOWS = (("pusher", "pusher", "on", 0.5), ("churn", "churn", "on", 0.25),
           ("churn, 2 threads", "churn-2-threads", "on", 0.25), ("hide", "hide", "", 0.5),
           ("cache 1 GiB", "cache-1G", "", 0.5))


@dataclasses.dataclass(frozen=True)
class Bar:
    text: str
    workload: str
    keys: tuple  # the worst of these counts
    limit: float
    variant: str = ""
    peer_variant: str = ""
    at_least: bool = False
    groups: tuple = (THROUGHPUT,)
    absolute: bool = False  # tricolor's figure itself, times scale, and not its ratio to Go's
    scale: float = 1.0

    def peers(self):
        return ("tricolor",) if self.absolute else ("tricolor", "go")


def throughput_bars():
    sizes = tuple(f"ns_{size}" for size in MICRO_BAR_SIZES)
    yield Bar("binary-trees 18: wall", "binary-trees-18", ("wall_s",), 0.4, groups=GROUPS)
    yield Bar("binary-trees 18: peak memory", "binary-trees-18", ("peak_kib",), 1.0)
    yield Bar("GCBench: wall", "gcbench", ("wall_s",), 0.4, groups=GROUPS)
    yield Bar("GCBench: peak memory", "gcbench", ("peak_kib",), 1.0)
    for kind in ("noscan", "typed"):
        yield Bar(f"micro {kind}: ns, worst size of 16 to 256 B", "micro", sizes, 0.5, kind, kind)
        yield Bar(f"micro {kind}: ns, geometric mean of them", "micro", ("ns_mean",), 0.5, kind, kind)
    for size in ("2M", "20M"):
        yield Bar(f"graph {size} typed: objects/s", f"graph-{size}", ("mobj_per_s",), 1.5, "typed", "typed", True)
        yield Bar(f"graph {size} conservative: objects/s", f"graph-{size}", ("mobj_per_s",), 1.0, "conservative",
                  "typed", True)
    yield Bar("guide07: allocation and collection", "guide07", ("total_ms",), 1.0)
    yield Bar("pool: get and put, 1 thread", "pool-1", ("pair_ns",), 0.35)
    yield Bar("pool: get and put, 2 threads", "pool-2", ("pair_ns",), 0.5)
    yield Bar("slice: append", "slice", ("append_ns",), 1.0)
    for keys, entries, _ in TABLES:
        for text, figure in (("insert", "insert_ns"), ("look up", "hit_ns")):
            yield Bar(f"map of {entries} {keys}s: {text}", f"table-{keys}-{entries}", (figure,), 0.8)


def latency_bars():
    own = {"groups": (LATENCY,)}
    to_go = {"variant": "on", "peer_variant": "on", **own}
    for text, workload, variant, longest, most in STOPS:
        in_ms = {"variant": variant, "absolute": True, "scale": 1e-3, **own}
        yield Bar(f"{text}: longest stop, ms", workload, ("longest_stop_us",), longest, **in_ms)
        yield Bar(f"{text}: 99 of 100 stops, ms", workload, (STOP_P99.key,), most, **in_ms)
    for text, workload, longest, wall in OPERATIONS:
        yield Bar(f"{text}: longest operation", workload, ("max_us",), longest, **to_go)
        yield Bar(f"{text}: p99.99 of operations", workload, ("p9999_us",), 1.0, **to_go)
        yield Bar(f"{text}: wall of operations", workload, ("wall_ms",), wall, **to_go)
        yield Bar(f"{text}: collector's processor time", workload, ("gc_cpu_ms",), 1.0, **to_go)
    for text, workload in (("binary-trees 18", "binary-trees-18"), ("GCBench", "gcbench")):
        yield Bar(f"{text}: collector's processor time", workload, ("gc_cpu_ms",), 1.0, **own)
    for text, workload, variant, share in WINDOWS:
        yield Bar(f"{text}: operations in 10 ms of collecting, share of those outside", workload, ("win_share",), share,
                  variant, at_least=True, absolute=True, **own)


def bars():
    yield from throughput_bars()
    yield from latency_bars()


def bar_figures(bar, result):
    """What is judged for each key: a ratio to Go's, or tricolor's own; None where there is none."""
    ours, theirs = ("tricolor", bar.variant), ("go", bar.peer_variant)
    if not bar.absolute:
        return {key: result.ratio(ours, theirs, key) for key in bar.keys}
    medians = {key: result.median(ours, key) for key in bar.keys}
    return {key: None if median is None else median * bar.scale for key, median in medians.items()}


def judge(bar, results):
    """One bar as a record: figure is None and verdict says why where nothing can be said."""
    record = {"bar": bar.text, "groups": bar.groups, "limit": bar.limit, "at_least": bar.at_least, "figure": None,
              "runs": None, "runs_wanted": RUNS, "note": ""}
    result = results.get(bar.workload)
    if result is None:
        return dict(record, verdict="not run")
    record["runs_wanted"] = result.workload.runs
    if not result.agrees():
        return dict(record, verdict="refused: checks differ")
    figures = bar_figures(bar, result)
    if None in figures.values():
        return dict(record, verdict="no figure")
    worst = (min if bar.at_least else max)(figures, key=figures.get)
    figure = figures[worst]
    if len(figures) > 1:
        record["note"] = "  ".join(f"{key.removeprefix('ns_')} {ratio:.2f}" for key, ratio in figures.items())
    passed = figure >= bar.limit if bar.at_least else figure <= bar.limit
    entrants = zip(bar.peers(), (bar.variant, bar.peer_variant))
    runs = min(len(result.runs[entrant]) for entrant in entrants)
    return dict(record, figure=figure, runs=runs, verdict="pass" if passed else "FAIL")


def judge_start(results):
    """What tri_init costs, over a program without the library and over one that has it and leaves it alone."""
    result = results.get("start")
    if result is None:
        return
    ours, linked, empty = ("tricolor", "init"), ("tricolor", "none"), ("glibc", "none")
    wall, linked_wall, empty_wall = (result.median(entrant, "wall_s") for entrant in (ours, linked, empty))
    peak, runs = result.median(ours, "peak_kib"), len(result.runs.get(ours, ()))

    def record(text, limit, figure):
        verdict = "no figure" if figure is None else "pass" if figure < limit else "FAIL"
        return {"bar": text, "groups": (THROUGHPUT,), "limit": limit, "at_least": False, "figure": figure,
                "runs": runs, "runs_wanted": result.workload.runs, "note": "", "verdict": verdict}

    def over(other):
        return None if wall is None or other is None or not result.agrees() else (wall - other) * 1e3

    yield record("start: wall over an empty program, ms", 1.0, over(empty_wall))
    yield record("start: wall over the same without tri_init, ms", 1.0, over(linked_wall))
    yield record("start: peak memory, MB", 4.0, None if peak is None else peak * 1024 / 1e6)
