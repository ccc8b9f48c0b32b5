#!/bin/bash
# Shows that torture finds a collector that was broken on purpose: by itself, and by the library's check.
# usage: test_faults.sh TORTURE
# The time is a bound: each run ends with what it finds.
set -euo pipefail

torture=$1
output=$(mktemp)
trap 'rm -f "$output"' EXIT
ulimit -c 0

# Runs with the given options and demands that it aborts and says a line that matches.
expect() {
  local debug=$1 pattern=$2 status=0
  # In a shell of its own, which says nothing of how it ended.
  bash -c '"$@"; exit $?' -- "$torture" --seconds 120 --threads 4 --seed 1 --debug "$debug" >"$output" 2>&1 || status=$?
  if [ "$status" -eq 134 ] || [ "$status" -eq 139 ]; then
    if grep -Eq "$pattern" "$output" && grep -q "^torture: seed 0x1, 4 threads" "$output"; then
      echo "$debug: found"
      return 0
    fi
  fi
  echo "$debug: status $status and no line like \"$pattern\" in:"
  cat "$output"
  return 1
}

found="^torture: (LOST|signal)"
for fault in root child; do
  expect "inject=$fault" "$found"
  expect "inject=$fault,poison=1" "$found"
  expect "inject=$fault,check=1" "^tricolor: check: "
done
