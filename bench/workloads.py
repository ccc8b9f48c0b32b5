"""What the bench runs: the peers, and every workload with its arguments, its figure and its tables' columns."""
import dataclasses

MALLOCS = ("glibc", "mimalloc", "jemalloc")
PEERS = ("tricolor", "go", "bdwgc") + MALLOCS
MICRO_SIZES = (8, 16, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
MICRO_BAR_SIZES = tuple(size for size in MICRO_SIZES if 16 <= size <= 256)
GROUPS = ("throughput", "latency")
RUNS, LATENCY_RUNS, QUICK_RUNS = 7, 9, 3  # what the bars ask for; a longest time needs more runs than a mean


@dataclasses.dataclass(frozen=True)
class Column:
    key: str
    header: str
    digits: int = 1
    scale: float = 1.0


WALL = Column("wall_s", "wall s", 3)
PEAK = Column("peak_kib", "peak MiB", 1, 1 / 1024)
WORST = Column("max_us", "worst us")
STOP_P99 = Column("stop_p99_us", "stop p99 ms", 3, 1e-3)
GC_COLUMNS = (Column("gc_cpu_ms", "GC CPU s", 2, 1e-3), Column("collections", "GCs", 0), Column("stops", "stops", 0),
              Column("longest_stop_us", "longest ms", 3, 1e-3))
COMMON = (PEAK, Column("cpu_s", "CPU s", 2)) + GC_COLUMNS
# What latency.h says; the last two only where the peer tells whether a collection is on.
LATENCY = (Column("p50_us", "p50 us", 2), Column("p99_us", "p99 us", 2), Column("p999_us", "p99.9 us", 2),
           Column("p9999_us", "p99.99 us"), Column("wall_ms", "wall ms"), STOP_P99,
           Column("win_median", "ops/10 ms", 0), Column("win_p1", "p1", 0), Column("win_min", "least", 0),
           Column("win_inside", "in cycles", 0), Column("win_outside", "outside", 0))


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    program: str
    args: tuple
    figure: Column = WALL  # what is compared; its spread is shown
    higher: bool = False   # whether a higher figure is the better one
    details: tuple = ()    # columns of a second table
    variants: dict = dataclasses.field(default_factory=dict)  # peer -> the words that the argument {} takes
    references: tuple = ()  # of them, those that are a row in the others' table
    peers: tuple = PEERS
    groups: tuple = GROUPS[:1]
    runs: int = RUNS    # rounds where --runs does not say
    more_runs: int = 1  # runs for each of these: short workloads
    at_most: dict = dataclasses.field(default_factory=dict)  # peer -> runs: long programs that no bar is about
    heavy: bool = False  # rounds after the first are run only while there is time
    memory_mib: int = 0  # what must be available for its largest program

    def entrants(self, found):
        """(peer, variant) for all that take part, in the order in which they run."""
        return [(peer, v) for peer in self.peers if peer in found for v in self.variants.get(peer, ("",))]

    def blocks(self):
        """The variants that have a table each."""
        return tuple(v for v in self.variants.get("tricolor", ("",)) if v not in self.references)

    def opponents(self, found, variant):
        """Who is in the table of one variant: every peer with that variant, or with its last, which comes nearest; and
        with those that are for reference."""
        for peer in self.peers:
            own = self.variants.get(peer, ("",))
            if peer in found:
                nearest = variant if variant in own else own[-1]
                yield (peer, nearest)
                yield from ((peer, v) for v in own if v in self.references and v != nearest)


TABLES = (("int", "1000", "5000"), ("int", "1000000", "2"), ("string", "1000", "5000"), ("string", "1000000", "2"))
GRAPH = {
    "figure": Column("mobj_per_s", "Mobj/s", 2),
    "higher": True,
    "details": (Column("build_ms", "build ms"), Column("collect_ms", "collection ms")),
    "variants": {"tricolor": ("typed", "conservative"), "go": ("typed",), "bdwgc": ("typed", "conservative")},
    "peers": ("tricolor", "go", "bdwgc"),
}


def latency_workloads(quick):
    """How long single operations and stops take, on programs that make it hard to keep them short."""
    shared = {"figure": WORST, "details": LATENCY, "groups": GROUPS[1:], "runs": LATENCY_RUNS}
    few = dict.fromkeys(("bdwgc",) + MALLOCS, 3)
    # "off": no collections, which shows the machine's own noise. What churn drops only a collector can find.
    churn = {
        "variants": {"tricolor": ("on", "off"), "go": ("on",), "bdwgc": ("on",), "glibc": ("off",)},
        "references": ("off",),
        "peers": ("tricolor", "go", "bdwgc", "glibc"),
        "at_most": few,
        **shared,
    }
    nodes, operations = ("400000", "1000000") if quick else ("4000000", "10000000")
    yield Workload(
        "pusher", "pusher", ("400000" if quick else "2000000", "200000", "{}"), references=("off",),
        variants={**dict.fromkeys(PEERS, ("on",)), "tricolor": ("on", "off")}, **shared)
    yield Workload("churn", "churn", (nodes, operations, "1", "{}"), **churn)
    yield Workload("churn-2-threads", "churn", (nodes, operations, "2", "{}"), **churn)
    yield Workload("hide", "hide", ("200000", "4000000") if quick else ("1000000", "20000000"), **shared)
    yield Workload("deep", "deep", ("8", "1000000" if quick else "5000000"), **shared)
    for threads in ("100", "1000"):
        yield Workload(f"threads-{threads}", "threads", (threads, "1000000" if quick else "5000000"), **shared)
    yield Workload("data", "data", ("2000000" if quick else "10000000",), **shared)
    yield Workload("cache-256M", "cache", ("256", "1000000" if quick else "5000000"), at_most=few, **shared)
    if not quick:
        yield Workload("cache-1G", "cache", ("1024", "5000000"), at_most=few, memory_mib=3 << 10, **shared)


def heavy_workloads():
    """What takes long, and so comes last."""
    yield Workload("binary-trees-21", "binary_trees", ("21",), at_most=dict.fromkeys(PEERS, 3), heavy=True)
    yield Workload("graph-20M", "graph", ("20000000", "{}", "1"), at_most={"bdwgc": 1}, heavy=True, **GRAPH)
    # Collectors at their defaults take twice what is alive.
    for size, operations, memory_mib in (("4", "8000000", 10 << 10), ("8", "16000000", 20 << 10)):
        yield Workload(
            f"cache-{size}G", "cache", (str(int(size) << 10), operations), figure=WORST, details=LATENCY,
            peers=("tricolor", "go", "bdwgc"), groups=GROUPS[1:], runs=LATENCY_RUNS, at_most={"bdwgc": 1}, heavy=True,
            memory_mib=memory_mib)


def workloads(quick):
    kinds = ("noscan", "conservative", "typed")
    yield Workload(
        "start", "start", ("{}",), figure=Column("wall_s", "wall ms", 3, 1e3), more_runs=30,
        variants={"tricolor": ("init", "none"), "bdwgc": ("init", "none"), "glibc": ("none",)},
        peers=("tricolor", "bdwgc", "glibc"))
    yield Workload(
        "guide07", "guide07", ("100000",), figure=Column("total_ms", "both ms", 2), more_runs=3,
        details=(Column("alloc_ms", "allocation ms", 2), Column("collect_ms", "collection ms", 2)))
    yield Workload("binary-trees-16", "binary_trees", ("16",))
    yield Workload("binary-trees-18", "binary_trees", ("18",), groups=GROUPS, runs=LATENCY_RUNS)
    yield Workload("binary-trees-2-threads", "binary_trees", ("16" if quick else "18", "2"))
    yield Workload("gcbench", "gcbench", ("18", "16", "500000") if quick else ("20", "18", "2000000"), groups=GROUPS,
                   runs=LATENCY_RUNS)
    yield Workload(
        "micro", "micro", ("{}", "32" if quick else "256"), figure=Column("ns_mean", "ns 16-256 B", 2),
        variants={"tricolor": kinds, "go": kinds, "bdwgc": kinds[:2], **{peer: kinds[:1] for peer in MALLOCS}})
    for threads in ("1", "2"):
        yield Workload(f"pool-{threads}", "pool", (threads, "5000000" if quick else "20000000"),
                       figure=Column("pair_ns", "ns get, put", 2), more_runs=3)
    yield Workload("slice", "slice", ("100000", "50" if quick else "500"), figure=Column("append_ns", "ns append", 2),
                   more_runs=3)
    for keys, entries, rounds in TABLES:
        rounds = str(max(1, int(rounds) // 5)) if quick else rounds
        yield Workload(f"table-{keys}-{entries}", "table", (keys, entries, rounds),
                       figure=Column("hit_ns", "ns look up", 2),
                       details=(Column("insert_ns", "insert", 2), Column("miss_ns", "look up in vain", 2),
                                Column("delete_ns", "delete", 2)))
    yield Workload("graph-2M", "graph", ("2000000", "{}"), **GRAPH)
    yield from latency_workloads(quick)
    if not quick:
        yield from heavy_workloads()
