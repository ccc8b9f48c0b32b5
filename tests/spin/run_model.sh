#!/bin/bash
# Verifies a model: without mistakes it has no errors, and with each of the named mistakes it has one.
# usage: run_model.sh SPIN COMPILER MODEL WORK_FOLDER [MISTAKE...]
set -euo pipefail
spin=$1 compiler=$2 model=$3 work=$4
shift 4

# Prints the number of errors; fails when the search was not exhaustive.
search() {
  local folder=$1 report
  shift
  rm -rf "$folder" && mkdir -p "$folder" && cd "$folder"
  "$spin" -a "$@" "$model" >&2
  "$compiler" -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=1024 -w -o pan pan.c
  report=$(./pan -m1000000 2>&1) || true
  echo "$report" >&2
  if ! grep -q 'errors: 0' <<<"$report"; then
    grep -o 'errors: [0-9]*' <<<"$report"
  elif grep -q -e 'max search depth too small' -e 'Search not completed' -e 'out of memory' <<<"$report"; then
    echo "not exhausted"
  else
    echo "errors: 0"
  fi
}

status=0
result=$(search "$work/right")
if [ "$result" != "errors: 0" ]; then
  echo "run_model: $model: $result" >&2
  status=1
fi
for mistake in "$@"; do
  result=$(search "$work/$mistake" "-D$mistake")
  if [ "$result" != "errors: 1" ]; then
    echo "run_model: $model: the mistake $mistake is not found: $result" >&2
    status=1
  fi
done
exit $status
