"""Running the programs: one process alone, all rounds of one workload, and what they gave."""
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from workloads import MALLOCS, MICRO_BAR_SIZES, QUICK_RUNS

TIMEOUT_S = 600

# What would change a memory manager's behaviour: nobody's settings but the defaults are measured.
SETTINGS = re.compile(
    r"^(GC_|TRICOLOR|MALLOC_|MIMALLOC_|(GLIBC_TUNABLES|LD_PRELOAD|GOGC|GOMEMLIMIT|GODEBUG|GOMAXPROCS|GOTRACEBACK)$)")


# What of a report is no number; the last three are lists, which plots.py reads.
WORDS = ("check", "version", "allocator", "kind", "mode", "peer", "workload", "ops_ns", "windows", "stops_us")


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
        if key in WORDS:
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


def label(entrant):
    name, variant = entrant
    return name if not variant or name in MALLOCS else f"{name} {variant}"


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


def available_mib():
    """Memory that programs can have without others losing theirs."""
    with open("/proc/meminfo") as lines:
        return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("MemAvailable:"))


def rounds_of(workload, runs, quick):
    """runs: what --runs says, or None."""
    return (runs or (QUICK_RUNS if quick else workload.runs)) * workload.more_runs


def run_workload(workload, found, rounds, clock):
    """Rounds of one run for every entrant; clock says how far it is and whether there is time for another round."""
    result = Result(workload)
    available = available_mib()
    if workload.memory_mib > available:
        result.cut = f"not run: it needs {workload.memory_mib:,} MiB of memory, and {available:,} are available"
        return result
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
