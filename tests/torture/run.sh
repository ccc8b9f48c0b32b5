#!/bin/bash
# Runs torture for so many minutes in all, divided among numbers of threads and sets of options, and prints a table.
# usage: run.sh TORTURE MINUTES
# TORTURE_GEARS: gears to run each set with, as TRICOLOR_GEAR takes them; none: the default alone. TORTURE_SEED: the
# first seed; each run has its own. Ends at the first failure, whose output it shows.
set -euo pipefail

torture=$1
minutes=$2
if ! [[ $minutes =~ ^[0-9]+([.][0-9]+)?$ ]]; then
  echo "run.sh: \"$minutes\" is not a number of minutes" >&2
  exit 2
fi
seed=${TORTURE_SEED:-$(date +%s)}
read -r -a gears <<<"${TORTURE_GEARS:-default}"

threads=(1 2 4 16 64)
# What it is called, TRICOLOR_DEBUG, TRICOLOR_GC_THREADS, MiB of ballast.
sets=(
  "plain - 0 32"
  "check check=1 0 16"
  "poison poison=1 0 32"
  "both check=1,poison=1 0 8"
  "gcevery check=1,poison=1,gcevery=500 0 1"
  "workbufs check=1,poison=1,workbufs=1 0 16"
  "marker poison=1 1 32"
  "markers poison=1,workbufs=20 8 32"
)
runs=$((${#gears[@]} * ${#sets[@]} * ${#threads[@]}))
seconds=$(awk -v m="$minutes" -v r="$runs" 'BEGIN { s = m * 60 / r; printf "%.1f", s < 1 ? 1 : s }')
output=$(mktemp)
table=$(mktemp)
trap 'rm -f "$output" "$table"' EXIT

format='%-8s %-9s %7s %11s %7s %11s %11s %11s %8s %10s\n'

echo "$runs runs of $seconds s"
# shellcheck disable=SC2059 # the format is ours
printf "$format" gear options threads seed seconds steps collections checked peak-MiB longest-ms

run() {
  local gear=$1 name=$2 debug=$3 markers=$4 ballast=$5 count=$6 options=()
  [ "$gear" = default ] || options+=(--gear "$gear")
  [ "$debug" = - ] || options+=(--debug "$debug")
  if ! TRICOLOR_GC_THREADS=$markers "$torture" --seconds "$seconds" --threads "$count" --seed "$seed" \
    --ballast "$ballast" "${options[@]}" >"$output" 2>&1; then
    cat "$output"
    echo "FAILED: TRICOLOR_GC_THREADS=$markers $torture --threads $count --seed $seed --ballast $ballast ${options[*]}"
    exit 1
  fi
  grep "^tricolor" "$output" || true
  sed -n 's/^passed: //p' "$output" | tr ' ' '\n' |
    awk -F= -v gear="$gear" -v name="$name" -v format="$format" '{ v[$1] = $2 }
      END { printf format, gear, name, v["threads"], v["seed"], v["seconds"], v["steps"], v["collections"],
            v["checked"], v["peak_mib"], v["longest_stop_ms"] }' | tee -a "$table"
  seed=$((seed + 1))
}

for gear in "${gears[@]}"; do
  for set in "${sets[@]}"; do
    read -r name debug markers ballast <<<"$set"
    for count in "${threads[@]}"; do run "$gear" "$name" "$debug" "$markers" "$ballast" "$count"; done
  done
done

awk '{ s += $5; steps += $6; gc += $7; checked += $8 }
  END { printf "nothing lost in %.1f minutes: %.0f steps, %.0f collections, %.0f graphs checked\n", s / 60, steps, gc,
        checked }' "$table"
