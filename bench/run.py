#!/usr/bin/env python3
"""Runs the workloads on tricolor and on every peer found, and prints what each took, the ratios and the bars.

Every workload is run on all peers in turn (A B C A B C ...), one process at a time, and the medians are compared.
bench/README.md says what each workload measures and how to read the tables.
"""
import argparse
import dataclasses
import json
import math
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
MALLOCS = ("glibc", "mimalloc", "jemalloc")
PEERS = ("tricolor", "go", "bdwgc") + MALLOCS
HOW_TO_GET = {
    "tricolor": "build with cmake -DTRI_BUILD_BENCH=ON, as make bench does",
    "go": "to have it: Go 1.25 or newer (go.dev/dl) in PATH, or PEER_GO=/path/to/go",
    "bdwgc": "to have it: apt-get install libgc-dev, then configure and build again",
    "glibc": "build with cmake -DTRI_BUILD_BENCH=ON, as make bench does",
    "mimalloc": "to have it: apt-get install libmimalloc2.0, or PEER_MIMALLOC=/path/to/libmimalloc.so",
    "jemalloc": "to have it: apt-get install libjemalloc2, or PEER_JEMALLOC=/path/to/libjemalloc.so",
}
MICRO_SIZES = (8, 16, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
MICRO_BAR_SIZES = tuple(size for size in MICRO_SIZES if 16 <= size <= 256)
BAR_RUNS = 7  # what the bars ask for
TIMEOUT_S = 600

# What would change a memory manager's behaviour: nobody's settings but the defaults are measured.
SETTINGS = re.compile(
    r"^(GC_|TRICOLOR|MALLOC_|MIMALLOC_|(GLIBC_TUNABLES|LD_PRELOAD|GOGC|GOMEMLIMIT|GODEBUG|GOMAXPROCS|GOTRACEBACK)$)")


# ---- What is run ---------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Column:
    key: str
    header: str
    digits: int = 1
    scale: float = 1.0


WALL = Column("wall_s", "wall s", 3)
PEAK = Column("peak_kib", "peak MiB", 1, 1 / 1024)
GC_COLUMNS = (Column("collections", "GCs", 0), Column("stops", "stops", 0),
              Column("longest_stop_us", "longest ms", 3, 1e-3))
COMMON = (PEAK, Column("cpu_s", "CPU s", 2)) + GC_COLUMNS


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    program: str
    args: tuple
    figure: Column = WALL  # what is compared; its spread is shown
    higher: bool = False   # whether a higher figure is the better one
    details: tuple = ()    # columns of a second table
    variants: dict = dataclasses.field(default_factory=dict)  # peer -> the words that the argument {} takes
    peers: tuple = PEERS
    more_runs: int = 1  # runs for each that --runs asks for: short workloads
    at_most: dict = dataclasses.field(default_factory=dict)  # peer -> runs: long programs that no bar is about
    heavy: bool = False  # rounds after the first are run only while there is time

    def entrants(self, found):
        """(peer, variant) for all that take part, in the order in which they run."""
        return [(peer, v) for peer in self.peers if peer in found for v in self.variants.get(peer, ("",))]

    def blocks(self):
        """The variants that have a table each."""
        return self.variants.get("tricolor", ("",))

    def opponents(self, found, variant):
        """Who is in the table of one variant: every peer with that variant, or with its last, which comes nearest."""
        for peer in self.peers:
            own = self.variants.get(peer, ("",))
            if peer in found:
                yield (peer, variant if variant in own else own[-1])


def workloads(quick):
    graph = {
        "figure": Column("mobj_per_s", "Mobj/s", 2),
        "higher": True,
        "details": (Column("build_ms", "build ms"), Column("collect_ms", "collection ms")),
        "variants": {"tricolor": ("typed", "conservative"), "go": ("typed",), "bdwgc": ("typed", "conservative")},
        "peers": ("tricolor", "go", "bdwgc"),
    }
    kinds = ("noscan", "conservative", "typed")
    yield Workload(
        "start", "start", ("{}",), figure=Column("wall_s", "wall ms", 3, 1e3), more_runs=30,
        variants={"tricolor": ("init", "none"), "bdwgc": ("init", "none"), "glibc": ("none",)},
        peers=("tricolor", "bdwgc", "glibc"))
    yield Workload(
        "guide07", "guide07", ("100000",), figure=Column("total_ms", "both ms", 2), more_runs=3,
        details=(Column("alloc_ms", "allocation ms", 2), Column("collect_ms", "collection ms", 2)))
    yield Workload("binary-trees-16", "binary_trees", ("16",))
    yield Workload("binary-trees-18", "binary_trees", ("18",))
    yield Workload("binary-trees-2-threads", "binary_trees", ("16" if quick else "18", "2"))
    yield Workload("gcbench", "gcbench", ("18", "16", "500000") if quick else ("20", "18", "2000000"))
    yield Workload(
        "micro", "micro", ("{}", "32" if quick else "256"), figure=Column("ns_mean", "ns 16-256 B", 2),
        variants={"tricolor": kinds, "go": kinds, "bdwgc": kinds[:2], **{peer: kinds[:1] for peer in MALLOCS}})
    yield Workload("graph-2M", "graph", ("2000000", "{}"), **graph)
    yield Workload(
        "pusher", "pusher", ("400000" if quick else "2000000", "200000"), figure=Column("max_us", "worst us"),
        details=(Column("p50_us", "p50 us", 2), Column("p99_us", "p99 us", 2), Column("p999_us", "p99.9 us", 2),
                 Column("p9999_us", "p99.99 us"), Column("wall_ms", "wall ms")))
    if not quick:
        yield Workload("binary-trees-21", "binary_trees", ("21",), at_most=dict.fromkeys(PEERS, 3), heavy=True)
        yield Workload("graph-20M", "graph", ("20000000", "{}", "1"), at_most={"bdwgc": 1}, heavy=True, **graph)


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


# ---- Finding the peers ---------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Peer:
    name: str
    programs: dict  # workload program -> path
    preload: str = ""


def find_programs(build, names, peer):
    """bench-NAME-PEER for every name, wherever the build puts programs."""
    found = {}
    for name in names:
        for folder in (build / "bench", build / "bin", build):
            path = folder / f"bench-{name}-{peer}"
            if path.is_file():
                found[name] = str(path)
                break
    missing = [name for name in names if name not in found]
    if missing:
        raise LookupError(f"bench-NAME-{peer} is not in {build} for {', '.join(missing)}")
    return found


def find_library(variable, stem):
    """The allocator's shared library: named by the variable, else known to the linker."""
    named = os.environ.get(variable)
    if named:
        named = os.path.abspath(named)
        if pathlib.Path(named).is_file():
            return named
        raise LookupError(f"{variable} names {named}, which is not a file")
    ldconfig = shutil.which("ldconfig") or "/sbin/ldconfig"
    try:
        listing = subprocess.run([ldconfig, "-p"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise LookupError(f"{variable} is not set and ldconfig does not run: {error}") from None
    for line in listing.splitlines():
        if line.strip().startswith(f"{stem}.so") and "=>" in line:
            return line.split("=>")[1].strip()
    raise LookupError(f"{variable} is not set and the linker knows no {stem}.so")


def build_go(build):
    go = os.environ.get("PEER_GO") or shutil.which("go")
    if not go:
        raise LookupError("PEER_GO is not set and there is no go in PATH")
    if os.sep in go:
        go = os.path.abspath(go)
    folder = (build / "bench-go").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, GOTOOLCHAIN="local", GOFLAGS="", GOWORK="off", GOPROXY="off")
    programs = {}
    for source in sorted((HERE / "go").glob("*/main.go")):
        name = source.parent.name
        command = [go, "build", "-buildvcs=false", "-o", str(folder / name), f"./{name}"]
        try:
            done = subprocess.run(command, cwd=HERE / "go", env=environment, capture_output=True, text=True)
        except OSError as error:
            raise LookupError(f"{go} does not run: {error}") from None
        if done.returncode != 0:
            raise LookupError(f"{' '.join(command)}: {done.stderr.strip()}")
        programs[name] = str(folder / name)
    return programs


def find_peers(build, chosen, wanted):
    """The peers with a program for every chosen workload they take part in; why others are not, and how to get them."""
    found, missing = {}, {}
    for name in wanted:
        programs = sorted({workload.program for workload in chosen if name in workload.peers})
        if not programs:
            continue
        try:
            if name == "go":
                found[name] = Peer(name, build_go(build))
            elif name in MALLOCS:
                library = "" if name == "glibc" else find_library(f"PEER_{name.upper()}", f"lib{name}")
                found[name] = Peer(name, find_programs(build, programs, "malloc"), library)
            else:
                found[name] = Peer(name, find_programs(build, programs, name))
        except LookupError as error:
            missing[name] = f"{error} ({HOW_TO_GET[name]})"
    return found, missing


# ---- One run -------------------------------------------------------------------------------------------------------


class RunFailed(Exception):
    pass


def child_environment(preload):
    environment = {key: value for key, value in os.environ.items() if not SETTINGS.match(key)}
    if preload:
        environment["LD_PRELOAD"] = preload
    return environment


def parse_report(text):
    """The figures of the last line that starts with "bench ": numbers where they are numbers."""
    lines = [line for line in text.splitlines() if line.startswith("bench ")]
    if not lines:
        raise RunFailed("it printed no line of figures")
    figures = {}
    for pair in lines[-1].split()[1:]:
        key, _, value = pair.partition("=")
        if key in ("check", "version", "allocator", "kind", "mode", "peer", "workload"):
            figures[key] = value
            continue
        try:
            figures[key] = float(value)
        except ValueError:
            raise RunFailed(f"{pair} is not a number") from None
    if "check" not in figures:
        raise RunFailed("it printed no check")
    return figures


def add_mean(figures):
    """micro's figure: the geometric mean of the sizes that bars are about."""
    nanoseconds = [figures.get(f"ns_{size}", 0.0) for size in MICRO_BAR_SIZES]
    if all(nanoseconds):
        figures["ns_mean"] = statistics.geometric_mean(nanoseconds)


def run_once(peer, command):
    """Runs one process alone and returns its figures, with wall and processor time as seen from outside."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                   env=child_environment(peer.preload))
        late = threading.Event()
        timer = threading.Timer(TIMEOUT_S, lambda: (late.set(), process.kill()))
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        text, complaint = (f.read().decode(errors="replace") for f in (out, err))
    if late.is_set():
        raise RunFailed(f"not done after {TIMEOUT_S} s")
    if process.returncode != 0:
        raise RunFailed(f"exit status {process.returncode}: {(complaint.strip().splitlines() or ['no message'])[-1]}")
    figures = parse_report(text)
    # A library that cannot be preloaded is only complained about, and glibc would be measured under its name.
    if peer.preload and peer.name not in figures.get("allocator", ""):
        raise RunFailed(f"{peer.preload} is not in use: malloc comes from {figures.get('allocator')}")
    figures.update(wall_s=wall, cpu_s=usage.ru_utime + usage.ru_stime)
    add_mean(figures)
    return figures


# ---- One workload --------------------------------------------------------------------------------------------------


class Result:
    """All runs of one workload."""

    def __init__(self, workload):
        self.workload = workload
        self.runs = {}    # (peer, variant) -> the figures of each run
        self.failed = {}  # (peer, variant) -> why; such an entrant is in no ratio
        self.cut = ""     # why there are fewer rounds than were asked for

    def median(self, entrant, key):
        values = [run[key] for run in self.runs.get(entrant, ()) if key in run]
        return statistics.median(values) if values and entrant not in self.failed else None

    def spread(self, entrant, key):
        """Highest less lowest, as a share of the median."""
        values = [run[key] for run in self.runs[entrant]]
        middle = statistics.median(values)
        return (max(values) - min(values)) / middle if middle else 0.0

    def checks(self):
        """check -> the entrants that gave it."""
        found = {}
        for entrant, runs in self.runs.items():
            for run in runs:
                found.setdefault(run["check"], set()).add(entrant)
        return found

    def agrees(self):
        return len(self.checks()) <= 1

    def ratio(self, entrant, other, key):
        """entrant/other, or None where there is no honest one: a side missing or failed, or checks that differ."""
        a, b = self.median(entrant, key), self.median(other, key)
        return a / b if self.agrees() and a is not None and b else None


def run_workload(workload, found, runs, clock):
    """Rounds of one run for every entrant; clock says how far it is and whether there is time for another round."""
    result = Result(workload)
    rounds = runs * workload.more_runs
    for i in range(min(rounds, max(workload.at_most.get(peer, rounds) for peer in workload.peers))):
        began = time.monotonic()
        for entrant in workload.entrants(found):
            name, variant = entrant
            if entrant in result.failed or i >= workload.at_most.get(name, math.inf):
                continue
            clock.progress(f"{workload.name}: round {i + 1} of {rounds}, {label(entrant)}")
            command = [found[name].programs[workload.program]] + [a.format(variant) for a in workload.args]
            try:
                figures = run_once(found[name], command)
                result.runs.setdefault(entrant, []).append(figures)
            except (RunFailed, OSError) as error:
                result.failed[entrant] = str(error)
        if workload.heavy and i + 1 < rounds and not clock.has(time.monotonic() - began):
            result.cut = f"ended after round {i + 1}: the {clock.minutes:g} minutes (--minutes) are used up"
            break
    return result


class Clock:
    """How long the whole has run, how long it may, and the progress line on standard error."""

    def __init__(self, minutes):
        self.minutes = minutes
        self.start = time.monotonic()
        self.line = sys.stderr.isatty()

    def elapsed(self):
        return time.monotonic() - self.start

    def has(self, seconds):
        return self.elapsed() + seconds <= self.minutes * 60

    def progress(self, text):
        """One line that is written over; nothing where standard error is not a terminal."""
        if self.line:
            minutes, seconds = divmod(int(self.elapsed()), 60)
            print(f"\r\033[K{minutes:2}:{seconds:02} {text}"[:110], end="", file=sys.stderr, flush=True)

    def workload(self, number, of, name):
        """One line for each workload where standard error is a file."""
        if not self.line:
            minutes, seconds = divmod(int(self.elapsed()), 60)
            print(f"{minutes:2}:{seconds:02} {number}/{of} {name}", file=sys.stderr, flush=True)

    def clear(self):
        if self.line:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


# ---- Tables --------------------------------------------------------------------------------------------------------


def label(entrant):
    name, variant = entrant
    return name if not variant or name in MALLOCS else f"{name} {variant}"


def number(value, digits):
    return "-" if value is None else f"{value:,.{digits}f}"


def table(header, rows):
    """Columns as wide as they must be; the first to the left, the rest to the right."""
    widths = [max(len(row[i]) for row in [header] + rows) for i in range(len(header))]
    lines = []
    for row in [header, ["-" * width for width in widths]] + rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return lines


def block_label(entrant, variant):
    """The peer alone, or with what it ran instead of the table's variant."""
    return entrant[0] if entrant[1] == variant else " ".join(entrant)


def title(workload, variant):
    command = " ".join([workload.program, *workload.args]).format(variant)
    better = "higher is better, and tri/it over 1" if workload.higher else "lower is better, and tri/it under 1"
    return f"{workload.name}{' ' + variant if variant else ''}   ({command}; {workload.figure.header}: {better})"


def cell(result, entrant, column):
    value = result.median(entrant, column.key)
    idle = column in GC_COLUMNS and (entrant[0] in MALLOCS or entrant[1] == "none")
    return "-" if value is None or idle else number(value * column.scale, column.digits)


def block_table(result, variant, entrants):
    """One table: the figure, what all workloads have in common, and tricolor over each other row."""
    workload, figure = result.workload, result.workload.figure
    what = figure.header.split(" ")[0]
    header = ["", "runs", figure.header, "spread"] + [c.header for c in COMMON] + [f"{what} tri/it", "peak tri/it"]
    rows = []
    for entrant in entrants:
        row = [block_label(entrant, variant), str(len(result.runs[entrant])), cell(result, entrant, figure),
               f"{result.spread(entrant, figure.key):.0%}"]
        row += [cell(result, entrant, column) for column in COMMON]
        for key in (figure.key, PEAK.key):
            own = entrant == ("tricolor", variant)
            row.append("" if own else number(result.ratio(("tricolor", variant), entrant, key), 2))
        rows.append(row)
    lines = table(header, rows)
    if workload.details:
        lines += [""] + table([""] + [c.header for c in workload.details], [
            [block_label(e, variant)] + [cell(result, e, c) for c in workload.details] for e in entrants])
    return lines


def micro_table(result, variant, entrants):
    """Nanoseconds per allocation by size."""
    def ratio(key):
        return number(result.ratio(("tricolor", variant), ("go", variant), key), 2)

    header = ["ns by bytes"] + [block_label(entrant, variant) for entrant in entrants] + ["tri/go"]
    return [""] + table(header, [
        [str(size)] + [number(result.median(e, f"ns_{size}"), 1) for e in entrants] + [ratio(f"ns_{size}")]
        for size in MICRO_SIZES])


def result_tables(result, found):
    workload = result.workload
    lines = []
    for variant in workload.blocks():
        entrants = [e for e in workload.opponents(found, variant) if e in result.runs and e not in result.failed]
        lines += ["", title(workload, variant)] + block_table(result, variant, entrants)
        if workload.name == "micro":
            lines += micro_table(result, variant, entrants)
    if result.cut:
        lines.append(f"{workload.name}: {result.cut}")
    return lines + result_problems(result)


def result_problems(result):
    """What keeps this workload from being a fair comparison; nothing, as a rule."""
    name = result.workload.name
    lines = [f"{name}: {label(entrant)} FAILED: {why}" for entrant, why in result.failed.items()]
    if not result.agrees():
        lines.append(f"{name}: THE CHECKS DIFFER: these programs did not do the same work, so there are no ratios.")
        lines += [f"  check {check}: {', '.join(sorted(map(label, who)))}" for check, who in result.checks().items()]
    return lines


# ---- Bars ----------------------------------------------------------------------------------------------------------


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


def bars_table(records, quick):
    lines = ["", "bars: tricolor / Go where no unit is named, medians of the same run"]
    if quick:
        lines.append("(quick: smaller work and fewer runs than the bars ask for; a hint, not a verdict)")
    elif any(r["runs"] is not None and r["runs"] < BAR_RUNS for r in records):
        lines.append(f"(under {BAR_RUNS} runs a bar's verdict is a hint)")
    rows = [[r["bar"], f"{'>=' if r['at_least'] else '<='} {r['limit']:.2f}", number(r["figure"], 3),
             str(r["runs"] or "-"), r["verdict"]] for r in records]
    lines += table(["bar", "wanted", "figure", "runs", "verdict"], rows)
    return lines + [f"{r['bar'].partition(':')[0]} by size: {r['note']}" for r in records if r["note"]]


# ---- The machine and the peers -------------------------------------------------------------------------------------


def first_match(path, pattern):
    try:
        match = re.search(pattern, pathlib.Path(path).read_text(), re.M)
    except OSError:
        return "unknown"
    return match.group(1).strip() if match else "unknown"


def machine():
    return {
        "cpu": first_match("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
        "processors": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "huge_pages": first_match("/sys/kernel/mm/transparent_hugepage/enabled", r"\[(\w+)\]"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def doubts(build, facts):
    """What makes the figures worth less."""
    if facts["load_before"] > facts["processors"] / 4:
        yield f"THE MACHINE IS BUSY (load {facts['load_before']}): times and ratios below are not to be relied on"
    for pattern, what in ((r"^(TRI_ASSERTIONS):BOOL=(?:ON|TRUE|1)$", "checks its assertions"),
                          (r"^(TRI_SANITIZE):STRING=.+$", "runs under a sanitizer"),
                          (r"^(CMAKE_BUILD_TYPE):STRING=(?:Debug)?$", "is not optimised")):
        if first_match(build / "CMakeCache.txt", pattern) != "unknown":
            yield f"the library in {build} {what}: figures are not those of a release"


def peer_versions(results, found):
    """What the programs themselves said; for a preloaded allocator the file says it better."""
    versions = {name: "not run" for name in found}
    for result in results.values():
        for (name, _), runs in result.runs.items():
            library = found[name].preload
            versions[name] = pathlib.Path(library).resolve().name if library else runs[0]["version"]
    return versions


def medians(result, entrant):
    keys = [key for key, value in result.runs[entrant][0].items() if isinstance(value, float)]
    return {key: result.median(entrant, key) for key in keys}


def to_json(args, facts, found, missing, results, records):
    return {
        "quick": args.quick,
        "machine": facts,
        "versions": peer_versions(results, found),
        "missing": missing,
        "workloads": {
            name: {
                "program": r.workload.program,
                "args": r.workload.args,
                "checks_agree": r.agrees(),
                "medians": {label(e): medians(r, e) for e in r.runs},
                "runs": {label(e): runs for e, runs in r.runs.items()},
                "cut": r.cut,
                "failed": {label(e): why for e, why in r.failed.items()},
            }
            for name, r in results.items()
        },
        "bars": records,
    }


# ---- The whole -----------------------------------------------------------------------------------------------------

LEGEND = ("Medians; spread: highest less lowest, in percent of the median. tri/it: tricolor's figure divided by that\n"
          "row's. CPU: processor time of all threads. Peak: VmHWM. Longest: the longest stop, median over the runs.")


def split_names(texts):
    return [name for text in texts or () for name in text.split(",") if name]


def choose_peers(parser, texts):
    names = ["glibc" if name == "malloc" else name for name in split_names(texts)]
    for name in names:
        if name not in PEERS:
            parser.error(f"--peers {name}: there are {', '.join(PEERS)}")
    return tuple(name for name in PEERS if not names or name in names or name == "tricolor")


def choose_workloads(parser, args):
    """Those that --only and --bars-only leave, with the peers that they are then run on."""
    every, only = list(workloads(args.quick)), split_names(args.only)
    for name in only:
        if not any(w.name.startswith(name) for w in every):
            parser.error(f"--only {name}: there are {', '.join(w.name for w in every)}")
    chosen = [w for w in every if not only or w.name.startswith(tuple(only))]
    if not args.bars_only:
        return chosen
    about = {bar.workload for bar in bars()} | {"start"}
    return [dataclasses.replace(w, peers=("tricolor", "glibc") if w.name == "start" else ("tricolor", "go"))
            for w in chosen if w.name in about]


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description="Measures tricolor and its peers; see bench/README.md.")
    parser.add_argument("--build-dir", type=pathlib.Path, metavar="DIR", default=HERE.parent / "build" / "release",
                        help="where the C programs are (build/release)")
    parser.add_argument("--runs", type=int, help=f"runs of each program ({BAR_RUNS}; 3 with --quick)")
    parser.add_argument("--quick", action="store_true", help="less work and fewer runs: minutes")
    parser.add_argument("--only", action="append", metavar="NAME[,NAME]", help="workloads whose names start so")
    parser.add_argument("--peers", action="append", metavar="NAME[,NAME]", help=f"of {', '.join(PEERS)}; all")
    parser.add_argument("--bars-only", action="store_true", help="only the workloads and peers that bars are about")
    parser.add_argument("--strict", action="store_true", help="exit status 3 when a bar is missed or has no figure")
    parser.add_argument("--minutes", type=float, default=25, help="after these, heavy workloads get no new round (25)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="every run (BUILD_DIR/bench/results.json)")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="the tables (BUILD_DIR/bench/results.txt)")
    args = parser.parse_args(argv)
    args.runs = args.runs if args.runs is not None else 3 if args.quick else BAR_RUNS
    if args.runs < 1:
        parser.error(f"--runs {args.runs}: at least 1")
    args.peers = choose_peers(parser, args.peers)
    args.chosen = choose_workloads(parser, args)
    if not args.build_dir.is_dir():
        parser.error(f"--build-dir {args.build_dir}: no such folder; build with cmake -DTRI_BUILD_BENCH=ON first")
    # Where a build puts its programs straight into its folder, the results lie there too.
    stem = args.build_dir / "bench" / "results" if (args.build_dir / "bench").is_dir() else args.build_dir / "bench"
    args.json = args.json or stem.with_suffix(".json")
    args.out = args.out or stem.with_suffix(".txt")
    return args


class Report:
    """The tables, on standard output as they come, and at the end in a file."""

    def __init__(self):
        self.lines = []

    def say(self, more):
        self.lines.extend(more)
        if more:
            print("\n".join(more), flush=True)


def closing_lines(args, found, missing, results, records):
    versions = ", ".join(f"{name} {version}" for name, version in peer_versions(results, found).items())
    yield from bars_table([r for r in records if r["verdict"] != "not run"], args.quick)
    yield from ("", f"versions: {versions}")
    yield from (f"not compared with {name}: {why}" for name, why in missing.items())
    problems = [line for result in results.values() for line in result_problems(result)]
    if problems:
        yield from ("", "PROBLEMS, for which the exit status is 1:", *problems)


def exit_status(args, found, results, records):
    if "tricolor" not in found or any(r.failed or not r.agrees() for r in results.values()):
        return 1
    missed = any(r["verdict"] not in ("pass", "not run") for r in records)
    return 3 if args.strict and missed else 0


def main(argv=None):
    args = parse_arguments(argv)
    found, missing = find_peers(args.build_dir, args.chosen, args.peers)
    facts, report, clock = machine(), Report(), Clock(args.minutes)
    report.say([f"{facts['cpu']}, {facts['processors']} processors, {facts['memory_mib']:,} MiB, Linux "
                f"{facts['kernel']}, huge pages {facts['huge_pages']}, load {facts['load_before']}"])
    report.say([f"WARNING: {doubt}" for doubt in doubts(args.build_dir, facts)])
    report.say([f"{name}: skipped; {why}" for name, why in missing.items()] + LEGEND.splitlines())
    results, records = {}, []
    for i, workload in enumerate(args.chosen):
        clock.workload(i + 1, len(args.chosen), workload.name)
        results[workload.name] = run_workload(workload, found, args.runs, clock)
        clock.clear()
        report.say(result_tables(results[workload.name], found))
        records = [judge(bar, results) for bar in bars()] + list(judge_start(results))
        # After each workload, so that a run that is broken off leaves what it has.
        args.json.write_text(json.dumps(to_json(args, facts, found, missing, results, records), indent=1) + "\n")
    report.say(list(closing_lines(args, found, missing, results, records)))
    args.out.write_text("\n".join(report.lines) + "\n")
    print(f"tables in {args.out}, every run in {args.json}")
    return exit_status(args, found, results, records)


if __name__ == "__main__":
    sys.exit(main())
