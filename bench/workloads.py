"""What the bench runs: the peers, and every workload with its arguments, its figure and its tables' columns."""
import dataclasses

MALLOCS = ("glibc", "mimalloc", "jemalloc")
PEERS = ("tricolor", "go", "bdwgc") + MALLOCS
MICRO_SIZES = (8, 16, 32, 48, 64, 96, 128, 192, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
MICRO_BAR_SIZES = tuple(size for size in MICRO_SIZES if 16 <= size <= 256)


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
