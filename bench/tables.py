"""The tables: one for each workload and variant, and one of the bars."""
from measure import label
from workloads import COMMON, GC_COLUMNS, GROUPS, MALLOCS, MICRO_SIZES, PEAK, STOP_P99


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
    idle = column in GC_COLUMNS + (STOP_P99,) and (entrant[0] in MALLOCS or entrant[1] == "none")
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
        if not entrants:
            continue
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


def group_table(group, records, quick):
    lines = ["", f"bars of {group}: tricolor / Go where no unit is named, medians of the same run"]
    if quick:
        lines.append("(quick: smaller work and fewer runs than the bars ask for; a hint, not a verdict)")
    elif any(r["runs"] is not None and r["runs"] < r["runs_wanted"] for r in records):
        lines.append("(a verdict from fewer runs than are wanted is a hint)")
    rows = [[r["bar"], f"{'>=' if r['at_least'] else '<='} {r['limit']:g}", number(r["figure"], 3),
             f"{r['runs'] or '-'}/{r['runs_wanted']}", r["verdict"]] for r in records]
    return lines + table(["bar", "wanted", "figure", "runs", "verdict"], rows)


def bars_table(records, quick):
    lines = []
    for group in GROUPS:
        own = [r for r in records if group in r["groups"]]
        lines += group_table(group, own, quick) if own else []
    return lines + [f"{r['bar'].partition(':')[0]} by size: {r['note']}" for r in records if r["note"]]
