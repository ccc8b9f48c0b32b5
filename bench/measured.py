"""What run.py wrote down, as plots.py asks for it.

Entrants are asked for by peer: "tricolor on", "go typed" and the like are found by themselves. A workload whose checks
differ is left out as a whole, and an entrant that failed is left out of its workload.
"""
import json
import pathlib
import statistics

from bars import bars

# Of the variants of one peer the one that is compared, in the order in which they are looked for.
COMPARED = ("on", "", "typed", "init")


class Results:
    """Those of several files together: of a workload or bar that is in more than one, the last is taken."""

    def __init__(self, records):
        self.records = records
        self.workloads, self.bars = {}, {}
        for record in records:
            self.workloads.update({name: w for name, w in record["workloads"].items() if w["runs"]})
            self.bars.update({b["bar"]: b for b in record["bars"] if b["verdict"] != "not run"})
        order = [bar.text for bar in bars()]
        self.bars = dict(sorted(self.bars.items(), key=lambda b: order.index(b[0]) if b[0] in order else len(order)))

    @staticmethod
    def read(paths):
        return Results([json.loads(pathlib.Path(path).read_text()) for path in paths])

    def quick(self):
        return any(record["quick"] for record in self.records)

    def problems(self):
        """What a reader must know of before he believes a figure."""
        for record in self.records:
            yield from record.get("doubts", ())
        for name, w in self.workloads.items():
            if not w["checks_agree"]:
                yield f"{name}: the programs did not do the same work; it is left out"
            yield from (f"{name}: {label} failed: {why}" for label, why in w["failed"].items())
            if w["cut"]:
                yield f"{name}: {w['cut']}"

    def has(self, name):
        return name in self.workloads and self.workloads[name]["checks_agree"]

    def entrant(self, name, peer, variant=None):
        """The label of the runs of one peer, or None."""
        if not self.has(name):
            return None
        w = self.workloads[name]
        wanted = COMPARED if variant is None else (variant,)
        labels = [peer if not v else f"{peer} {v}" for v in wanted]
        return next((label for label in labels if label in w["runs"] and label not in w["failed"]), None)

    def runs(self, name, label):
        return self.workloads[name]["runs"][label] if label else []

    def values(self, name, label, key):
        return [run[key] for run in self.runs(name, label) if key in run]

    def median(self, name, label, key):
        values = self.values(name, label, key)
        return statistics.median(values) if values else None

    def histogram(self, name, label, key):
        """All runs together: (upper edge, count), sorted."""
        counts = {}
        for text in self.values(name, label, key):
            for pair in filter(None, text.split(",")):
                edge, count = pair.split(":")
                counts[float(edge)] = counts.get(float(edge), 0) + int(count)
        return sorted(counts.items())


def parse_windows(text):
    """In order: (operations, "i" inside a collection, "o" outside, "" where it is not told)."""
    return [(int(word.rstrip("io")), word.lstrip("0123456789")) for word in text.split(",")]


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
