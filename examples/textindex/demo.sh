#!/bin/sh
# demo.sh - runs textindex on tricolor with the trace on, then the same program on malloc and free, and compares the two.
#
#   demo.sh [BUILD_DIR] [textindex option]...
#
# BUILD_DIR is where the programs were built (default: build). Ends with 0 when both gave the same answers and peak memory
# kept its bars, with 1 when not, with 3 when a program could not run. KEEP=DIR keeps the figures and the trace there.
set -u

usage() {
  echo "usage: demo.sh [BUILD_DIR] [textindex option]..."
  echo "Runs textindex with tricolor and with malloc, and compares. BUILD_DIR (default: build) holds both programs."
  echo "KEEP=DIR keeps the figures and the trace in DIR. The options are textindex's: BUILD_DIR/examples/textindex --help"
}

for argument in "$@"; do
  if [ "$argument" = --help ] || [ "$argument" = -h ]; then
    usage
    exit 0
  fi
done

build=build
if [ $# -gt 0 ] && [ -d "$1" ]; then
  build=$1
  shift
fi

find_program() {
  found=$(find "$build" -type f -name "$1" -perm -u+x 2>/dev/null | sed -n 1p)
  if [ -z "$found" ]; then
    echo "demo.sh: no program $1 below $build: build it first, or name the build folder" >&2
    exit 3
  fi
  echo "$found"
}
collected=$(find_program textindex) || exit 3
freed=$(find_program textindex-malloc) || exit 3

if [ -n "${KEEP:-}" ]; then
  out=$KEEP
  mkdir -p "$out" || exit 3
else
  out=$(mktemp -d) || exit 3
  trap 'rm -rf "$out"' EXIT
  trap 'exit 130' INT TERM
fi

rule() { printf '%s\n' "--------------------------------------------------------------------------------------------------"; }

# run NAME COMMAND...: its table on standard output, its progress on standard error, anything else it says in a file.
run() {
  name=$1
  shift
  "$@" --json "$out/$name.json" --progress 3 3>&2 2>"$out/$name.log"
  status=$?
  grep -v '^gc [0-9]' "$out/$name.log" >&2
  if [ $status -gt 1 ] || [ ! -s "$out/$name.json" ]; then
    echo "demo.sh: $name ended with status $status" >&2
    exit 3
  fi
}

rule
TRICOLOR_TRACE=gc run tricolor "$collected" "$@"
rule
grep '^gc [0-9]' "$out/tricolor.log" >"$out/trace"
lines=$(wc -l <"$out/trace")
echo "trace: $lines collections, the first and the last three"
if [ "$lines" -le 6 ]; then
  cat "$out/trace"
else
  head -n 3 "$out/trace"
  echo "..."
  tail -n 3 "$out/trace"
fi
rule
run malloc "$freed" --show 0 "$@"
rule

awk '
  /:/ {
    name = $1
    value = $2
    gsub(/[",:]/, "", name)
    gsub(/[",]/, "", value)
    if (FNR == NR) gc[name] = value
    else std[name] = value
  }
  function row(label, a, b, remark) { printf "%-26s %18s %18s   %s\n", label, a, b, remark }
  function mb(bytes) { return sprintf("%.1f MB", bytes / 1048576) }
  function ms(us) { return sprintf("%.2f ms", us / 1000) }
  function verdict(kept) { if (!kept) broken = 1; return kept ? "kept" : "BROKEN" }
  END {
    same = gc["digest"] == std["digest"] && gc["queries"] == std["queries"] && gc["asked_bytes"] == std["asked_bytes"]
    if (!same) broken = 1
    peak = gc["peak_rss_growth_bytes"] + 0 # gsub made strings of them, which compare as such
    other = std["peak_rss_growth_bytes"] + 0
    limit = gc["limit_bytes"] + 0
    row("", "tricolor", "malloc/free", "")
    row("answers, digest", gc["digest"], std["digest"], same ? "the same" : "DIFFERENT")
    row("queries", gc["queries"], std["queries"], "")
    row("asked for", sprintf("%.2f GB", gc["asked_bytes"] / 1073741824), sprintf("%.2f GB", std["asked_bytes"] / 1073741824), "")
    row("time", sprintf("%.1f s", gc["seconds"]), sprintf("%.1f s", std["seconds"]), sprintf("%.2f x", gc["seconds"] / std["seconds"]))
    row("query, median", ms(gc["query_median_us"]), ms(std["query_median_us"]), "")
    row("query, 99 % within", ms(gc["query_p99_us"]), ms(std["query_p99_us"]), "")
    row("query, longest", ms(gc["query_longest_us"]), ms(std["query_longest_us"]), "")
    row("collections", gc["num_gc"], "-", "")
    row("longest stop", sprintf("%.3f ms", gc["stop_longest_ns"] / 1000000), "-", "")
    row("stopped in all", sprintf("%.1f ms", gc["pause_total_ns"] / 1000000), "-", "")
    row("largest marked heap", mb(gc["largest_marked_bytes"]), "-", "")
    row("peak RSS growth", mb(peak), mb(other), "")
    row("  2.2 x marked + 8 MB", mb(limit), "-", verdict(peak <= limit))
    row("  over malloc, at most 2.2", sprintf("%.2f x", peak / other), "", verdict(peak <= 2.2 * other))
    row("given back by the program", "nothing", "everything", "")
    print ""
    print broken ? "FAILED" : "same answers, bars kept"
    exit broken
  }
' "$out/tricolor.json" "$out/malloc.json"
