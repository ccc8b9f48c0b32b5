"""What tricolor is to reach, and whether it does: ratios to Go of the same run, and what starting costs."""
import dataclasses

from workloads import MICRO_BAR_SIZES

BAR_RUNS = 7  # what the bars ask for


@dataclasses.dataclass(frozen=True)
class Bar:
    text: str
    workload: str
    keys: tuple  # the worst of these counts
    limit: float
    variant: str = ""
    peer_variant: str = ""
    at_least: bool = False


def bars():
    sizes = tuple(f"ns_{size}" for size in MICRO_BAR_SIZES)
    yield Bar("binary-trees 18: wall", "binary-trees-18", ("wall_s",), 0.4)
    yield Bar("binary-trees 18: peak memory", "binary-trees-18", ("peak_kib",), 1.0)
    yield Bar("GCBench: wall", "gcbench", ("wall_s",), 0.4)
    yield Bar("GCBench: peak memory", "gcbench", ("peak_kib",), 1.0)
    for kind in ("noscan", "typed"):
        yield Bar(f"micro {kind}: ns, worst size of 16 to 256 B", "micro", sizes, 0.5, kind, kind)
        yield Bar(f"micro {kind}: ns, geometric mean of them", "micro", ("ns_mean",), 0.5, kind, kind)
    for size in ("2M", "20M"):
        yield Bar(f"graph {size} typed: objects/s", f"graph-{size}", ("mobj_per_s",), 1.5, "typed", "typed", True)
        yield Bar(f"graph {size} conservative: objects/s", f"graph-{size}", ("mobj_per_s",), 1.0, "conservative",
                  "typed", True)
    yield Bar("guide07: allocation and collection", "guide07", ("total_ms",), 1.0)


def judge(bar, results):
    """One bar as a record: figure is None and verdict says why where nothing can be said."""
    record = {"bar": bar.text, "limit": bar.limit, "at_least": bar.at_least, "figure": None, "runs": None, "note": ""}
    result = results.get(bar.workload)
    if result is None:
        return dict(record, verdict="not run")
    if not result.agrees():
        return dict(record, verdict="refused: checks differ")
    ours, theirs = ("tricolor", bar.variant), ("go", bar.peer_variant)
    ratios = {key: result.ratio(ours, theirs, key) for key in bar.keys}
    if None in ratios.values():
        return dict(record, verdict="no figure")
    worst = (min if bar.at_least else max)(ratios, key=ratios.get)
    figure = ratios[worst]
    if len(ratios) > 1:
        record["note"] = "  ".join(f"{key.removeprefix('ns_')} {ratio:.2f}" for key, ratio in ratios.items())
    passed = figure >= bar.limit if bar.at_least else figure <= bar.limit
    runs = min(len(result.runs[ours]), len(result.runs[theirs]))
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
        return {"bar": text, "limit": limit, "at_least": False, "figure": figure, "runs": runs, "note": "",
                "verdict": verdict}

    def over(other):
        return None if wall is None or other is None or not result.agrees() else (wall - other) * 1e3

    yield record("start: wall over an empty program, ms", 1.0, over(empty_wall))
    yield record("start: wall over the same without tri_init, ms", 1.0, over(linked_wall))
    yield record("start: peak memory, MB", 4.0, None if peak is None else peak * 1024 / 1e6)
