#!/usr/bin/env python3
"""Runs the workloads on tricolor and on every peer found, and prints what each took, the ratios and the bars.

Every workload is run on all peers in turn (A B C A B C ...), one process at a time, and the medians are compared.
What is run is in workloads.py and what is wanted in bars.py; peers.py finds the peers, measure.py runs the programs,
tables.py writes. bench/README.md says what each workload measures and how to read the tables.
"""
import argparse
import dataclasses
import json
import os
import pathlib
import platform
import re
import sys

from bars import bars, judge, judge_start
from measure import Clock, label, rounds_of, run_workload
from peers import HERE, find_peers
from tables import bars_table, result_problems, result_tables
from workloads import GROUPS, LATENCY_RUNS, PEERS, QUICK_RUNS, RUNS, workloads

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
        "doubts": list(doubts(args.build_dir, facts)),
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
        if name not in GROUPS and not any(w.name.startswith(name) for w in every):
            parser.error(f"--only {name}: there are {', '.join(w.name for w in every)}, and the groups "
                         f"{' and '.join(GROUPS)}")
    chosen = [w for w in every if not only or w.name.startswith(tuple(only)) or set(only) & set(w.groups)]
    if not args.bars_only:
        return chosen
    about = {bar.workload for bar in bars()} | {"start"}
    return [dataclasses.replace(w, peers=("tricolor", "glibc") if w.name == "start" else ("tricolor", "go"))
            for w in chosen if w.name in about]


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description="Measures tricolor and its peers; see bench/README.md.")
    parser.add_argument("--build-dir", type=pathlib.Path, metavar="DIR", default=HERE.parent / "build" / "release",
                        help="where the C programs are (build/release)")
    parser.add_argument("--runs", type=int,
                        help=f"runs of each program ({RUNS}, for latency {LATENCY_RUNS}; {QUICK_RUNS} with --quick)")
    parser.add_argument("--quick", action="store_true", help="less work and fewer runs: minutes")
    parser.add_argument("--only", action="append", metavar="NAME[,NAME]",
                        help=f"workloads whose names start so, or whose group it is: {' or '.join(GROUPS)}")
    parser.add_argument("--peers", action="append", metavar="NAME[,NAME]", help=f"of {', '.join(PEERS)}; all")
    parser.add_argument("--bars-only", action="store_true", help="only the workloads and peers that bars are about")
    parser.add_argument("--strict", action="store_true", help="exit status 3 when a bar is missed or has no figure")
    parser.add_argument("--minutes", type=float, default=90, help="after these, heavy workloads get no new round (90)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="every run (BUILD_DIR/bench/results.json)")
    parser.add_argument("--out", type=pathlib.Path, metavar="FILE", help="the tables (BUILD_DIR/bench/results.txt)")
    args = parser.parse_args(argv)
    if args.runs is not None and args.runs < 1:
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
        results[workload.name] = run_workload(workload, found, rounds_of(workload, args.runs, args.quick), clock)
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
