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
MICRO_SIZES = (8, 16, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
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
GC_COLUMNS = (Column("collections", "GCs", 0), Column("stops", "stops", 0),
              Column("longest_stop_us", "longest ms", 3, 1e-3))
COMMON = (Column("peak_kib", "peak MiB", 1, 1 / 1024), Column("cpu_s", "CPU s", 2))


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    program: str
    args: tuple
    columns: tuple = (WALL,)  # the workload's own; the first is the main figure, whose spread is shown
    ratios: tuple = (("wall_s", ""), ("peak_kib", ""))  # (figure, variant of tricolor)
    variants: dict = dataclasses.field(default_factory=dict)  # peer -> the words that the first argument {} takes
    peers: tuple = PEERS
    more_runs: int = 1  # runs for each that --runs asks for: short workloads
    at_most: dict = dataclasses.field(default_factory=dict)  # peer -> runs: long programs that no bar is about

    def entrants(self, found):
        """(peer, variant) for all that take part, in the order in which they run."""
        return [(peer, v) for peer in self.peers if peer in found for v in self.variants.get(peer, ("",))]


def workloads(quick):
    graph = dict(
        columns=(Column("mobj_per_s", "Mobj/s", 2), Column("collect_ms", "GC ms"), WALL),
        ratios=(("mobj_per_s", "typed"), ("mobj_per_s", "conservative"), ("peak_kib", "typed")),
        variants={"tricolor": ("typed", "conservative"), "go": ("typed",), "bdwgc": ("typed", "conservative")},
        peers=("tricolor", "go", "bdwgc"),
    )
    yield Workload("binary-trees-16", "binary_trees", ("16",))
    yield Workload("binary-trees-18", "binary_trees", ("18",))
    if not quick:
        yield Workload("binary-trees-21", "binary_trees", ("21",), at_most=dict.fromkeys(PEERS, 3))
    yield Workload("binary-trees-2-threads", "binary_trees", ("16" if quick else "18", "2"))
    yield Workload("gcbench", "gcbench", ("18", "16", "500000") if quick else ("20", "18", "2000000"))
    yield Workload("graph-2M", "graph", ("2000000", "{}"), **graph)
    if not quick:
        yield Workload("graph-20M", "graph", ("20000000", "{}", "1"), at_most={"bdwgc": 1}, **graph)
    yield Workload(
        "pusher", "pusher", ("400000" if quick else "2000000", "200000"),
        columns=(Column("max_us", "max us"), Column("p50_us", "p50 us", 2), Column("p99_us", "p99 us", 2),
                 Column("p999_us", "p99.9 us", 2), Column("p9999_us", "p99.99 us"), WALL),
        ratios=(("max_us", ""), ("p9999_us", ""), ("wall_s", ""), ("peak_kib", "")))
    yield Workload(
        "micro", "micro", ("{}", "32" if quick else "256"),
        ratios=(),
        variants={"tricolor": ("noscan", "conservative", "typed"), "go": ("noscan", "conservative", "typed"),
                  "bdwgc": ("noscan", "conservative"), **{peer: ("noscan",) for peer in MALLOCS}})
    yield Workload(
        "guide07", "guide07", ("100000",), more_runs=3,
        columns=(Column("total_ms", "both ms", 2), Column("alloc_ms", "alloc ms", 2), Column("collect_ms", "GC ms", 2)),
        ratios=(("total_ms", ""), ("peak_kib", "")))


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
    sizes = tuple(f"ns_{size}" for size in MICRO_SIZES if 16 <= size <= 256)
    yield Bar("binary-trees 18: wall", "binary-trees-18", ("wall_s",), 0.4)
    yield Bar("binary-trees 18: peak memory", "binary-trees-18", ("peak_kib",), 1.0)
    yield Bar("GCBench: wall", "gcbench", ("wall_s",), 0.4)
    yield Bar("GCBench: peak memory", "gcbench", ("peak_kib",), 1.0)
    for kind in ("noscan", "typed"):
        yield Bar(f"micro {kind}, 16 to 256 B: ns", "micro", sizes, 0.5, kind, kind)
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


def find_programs(build, peer):
    """bench-NAME-PEER for every NAME, wherever the build puts programs."""
    names = sorted(path.stem for path in (HERE / "c").glob("*.c"))
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
    folder = (build / "bench-go").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    environment = dict(os.environ, GOTOOLCHAIN="local", GOFLAGS="", GOWORK="off", GOPROXY="off")
    programs = {}
    for source in sorted((HERE / "go").glob("*/main.go")):
        name = source.parent.name
        command = [go, "build", "-o", str(folder / name), f"./{name}"]
        try:
            done = subprocess.run(command, cwd=HERE / "go", env=environment, capture_output=True, text=True)
        except OSError as error:
            raise LookupError(f"{go} does not run: {error}") from None
        if done.returncode != 0:
            raise LookupError(f"{' '.join(command)}: {done.stderr.strip()}")
        programs[name] = str(folder / name)
    return programs


def find_peers(build):
    """The peers that are there, and for each that is not, why."""
    found, missing = {}, {}
    for name in PEERS:
        try:
            if name == "go":
                found[name] = Peer(name, build_go(build))
            elif name in MALLOCS:
                library = "" if name == "glibc" else find_library(f"PEER_{name.upper()}", f"lib{name}")
                found[name] = Peer(name, find_programs(build, "malloc"), library)
            else:
                found[name] = Peer(name, find_programs(build, name))
        except LookupError as error:
            missing[name] = str(error)
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
        if key in ("check", "version", "allocator", "kind", "peer", "workload"):
            figures[key] = value
            continue
        try:
            figures[key] = float(value)
        except ValueError:
            raise RunFailed(f"{pair} is not a number") from None
    if "check" not in figures:
        raise RunFailed("it printed no check")
    return figures


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
    return figures


# ---- One workload --------------------------------------------------------------------------------------------------


class Result:
    """All runs of one workload."""

    def __init__(self, workload):
        self.workload = workload
        self.runs = {}    # (peer, variant) -> the figures of each run
        self.failed = {}  # (peer, variant) -> why; such an entrant is in no ratio

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


def run_workload(workload, found, runs, progress):
    result = Result(workload)
    entrants = workload.entrants(found)
    for i in range(runs * workload.more_runs):
        for entrant in entrants:
            name, variant = entrant
            if entrant in result.failed or i >= workload.at_most.get(name, math.inf):
                continue
            progress(f"{workload.name}: run {i + 1}, {label(entrant)}")
            command = [found[name].programs[workload.program]] + [a.format(variant) for a in workload.args]
            try:
                result.runs.setdefault(entrant, []).append(run_once(found[name], command))
            except (RunFailed, OSError) as error:
                result.failed[entrant] = str(error)
    return result


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


def ratio_header(workload, key, variant):
    column = next((c for c in workload.columns + COMMON if c.key == key), None)
    what = (column.header if column else key).rsplit(" ", 1)[0] if key != "mobj_per_s" else "obj/s"
    return f"{what} {variant or 'tri'}/it"


def result_tables(result, found):
    workload = result.workload
    lines = ["", f"{workload.name}   ({workload.program} {' '.join(workload.args).format('KIND')})"]
    if not result.agrees():
        lines.append("THE CHECKS DIFFER: these programs did not do the same work, so there are no ratios.")
        lines += [f"  check {check}: {', '.join(sorted(map(label, who)))}" for check, who in result.checks().items()]
    main = workload.columns[0]
    header = ["", "runs", main.header, "spread"] + [c.header for c in workload.columns[1:] + COMMON + GC_COLUMNS]
    header += [ratio_header(workload, key, variant) for key, variant in workload.ratios]
    rows = []
    for entrant in workload.entrants(found):
        if entrant in result.failed:
            continue
        row = [label(entrant), str(len(result.runs[entrant]))]
        for column in workload.columns + COMMON + GC_COLUMNS:
            value = result.median(entrant, column.key)
            idle = column in GC_COLUMNS and entrant[0] in MALLOCS
            row.append("-" if value is None or idle else number(value * column.scale, column.digits))
            if column is main:
                row.append(f"{result.spread(entrant, column.key):.0%}")
        for key, variant in workload.ratios:
            own = entrant == ("tricolor", variant)
            row.append("" if own else number(result.ratio(("tricolor", variant), entrant, key), 2))
        rows.append(row)
    lines += table(header, rows)
    lines += [f"{label(entrant)} FAILED: {why}" for entrant, why in result.failed.items()]
    if workload.name == "micro":
        lines += micro_tables(result, found)
    return lines


def micro_rows(columns):
    """One row for each size; a column is (header, what gives its text from the figure's key)."""
    return table(["bytes"] + [header for header, _ in columns],
                 [[str(size)] + [text(f"ns_{size}") for _, text in columns] for size in MICRO_SIZES])


def micro_tables(result, found):
    """Nanoseconds per allocation by size: kind by kind beside Go's, then all the other peers."""
    def nanoseconds(entrant):
        return lambda key: number(result.median(entrant, key), 1)

    def ratio(kind):
        return lambda key: number(result.ratio(("tricolor", kind), ("go", kind), key), 2)

    beside_go = []
    for kind in result.workload.variants["tricolor"]:
        beside_go += [(kind, nanoseconds(("tricolor", kind))), ("go", nanoseconds(("go", kind)))]
        beside_go += [("tri/go", ratio(kind))]
    others = [(label(e), nanoseconds(e)) for e in result.workload.entrants(found) if e[0] not in ("tricolor", "go")]
    lines = ["", "micro: nanoseconds per allocation, tricolor and go"] + micro_rows(beside_go)
    if others:
        lines += ["", "micro: nanoseconds per allocation, the other peers"] + micro_rows(others)
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
        mean = math.exp(statistics.fmean(math.log(r) for r in ratios.values()))
        record["note"] = f"worst is {worst}; geometric mean {mean:.2f}"
    passed = figure >= bar.limit if bar.at_least else figure <= bar.limit
    runs = min(len(result.runs[ours]), len(result.runs[theirs]))
    return dict(record, figure=figure, runs=runs, verdict="pass" if passed else "FAIL")


def bars_table(records, quick):
    lines = ["", "bars: tricolor / Go, medians of the same run"]
    if quick:
        lines.append("(quick: smaller work and fewer runs than the bars ask for; a hint, not a verdict)")
    elif any(r["runs"] is not None and r["runs"] < 7 for r in records):
        lines.append("(fewer than the 7 runs that the bars ask for; a hint, not a verdict)")
    rows = [[r["bar"], f"{'>=' if r['at_least'] else '<='} {r['limit']:.2f}", number(r["figure"], 2),
             str(r["runs"] or "-"), r["verdict"]] for r in records]
    lines += table(["bar", "wanted", "figure", "runs", "verdict"], rows)
    return lines + [f"{r['bar']}: {r['note']}" for r in records if r["note"]]


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


def peer_versions(results, found):
    """What the programs themselves said; for a preloaded allocator the file says it better."""
    versions = {name: "not run" for name in found}
    for result in results.values():
        for (name, _), runs in result.runs.items():
            library = found[name].preload
            versions[name] = pathlib.Path(library).resolve().name if library else runs[0]["version"]
    return versions


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
                "runs": {label(e): runs for e, runs in r.runs.items()},
                "failed": {label(e): why for e, why in r.failed.items()},
            }
            for name, r in results.items()
        },
        "bars": records,
    }


# ---- The whole -----------------------------------------------------------------------------------------------------


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description="Measures tricolor and its peers; see bench/README.md.")
    parser.add_argument("--build-dir", type=pathlib.Path, metavar="DIR", default=HERE.parent / "build" / "release",
                        help="where the C programs are (build/release)")
    parser.add_argument("--runs", type=int, help="runs of each program (7; 3 with --quick)")
    parser.add_argument("--quick", action="store_true", help="less work and fewer runs: minutes")
    parser.add_argument("--only", action="append", metavar="NAME", help="workloads whose name starts so; repeatable")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="all runs (BUILD_DIR/bench.json)")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="the tables (BUILD_DIR/bench.txt)")
    args = parser.parse_args(argv)
    args.runs = args.runs if args.runs is not None else 3 if args.quick else 7
    if args.runs < 1:
        parser.error(f"--runs {args.runs}: at least 1")
    args.json = args.json or args.build_dir / "bench.json"
    args.out = args.out or args.build_dir / "bench.txt"
    args.chosen = [w for w in workloads(args.quick) if not args.only or w.name.startswith(tuple(args.only))]
    if not args.chosen:
        parser.error(f"--only {' '.join(args.only)}: there are {', '.join(w.name for w in workloads(args.quick))}")
    return args


def main(argv=None):
    args = parse_arguments(argv)
    found, missing = find_peers(args.build_dir)
    facts = machine()
    lines = []

    def say(more):
        lines.extend(more)
        if more:
            print("\n".join(more), flush=True)

    def progress(text):
        if sys.stderr.isatty():
            print(f"\r\033[K{text}\r", end="", file=sys.stderr, flush=True)

    say([f"{facts['cpu']}, {facts['processors']} processors, {facts['memory_mib']:,} MiB, Linux {facts['kernel']}, "
         f"huge pages {facts['huge_pages']}, load {facts['load_before']}"])
    if facts["load_before"] > facts["processors"] / 4:
        say([f"THE MACHINE IS BUSY (load {facts['load_before']}): times and ratios below are not to be relied on."])
    say([f"{name}: skipped; {why}" for name, why in missing.items()])
    results = {}
    for workload in args.chosen:
        results[workload.name] = run_workload(workload, found, args.runs, progress)
        progress("")
        say(result_tables(results[workload.name], found))
    records = [judge(bar, results) for bar in bars()]
    say(bars_table([r for r in records if r["verdict"] != "not run"], args.quick))
    say(["", "versions: " + ", ".join(f"{name} {version}" for name, version in peer_versions(results, found).items())])
    args.out.write_text("\n".join(lines) + "\n")
    args.json.write_text(json.dumps(to_json(args, facts, found, missing, results, records), indent=1) + "\n")
    print(f"tables in {args.out}, every run in {args.json}")
    broken = any(r.failed or not r.agrees() for r in results.values())
    return 1 if broken or "tricolor" not in found else 0


if __name__ == "__main__":
    sys.exit(main())
