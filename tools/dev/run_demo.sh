#!/bin/bash
# Builds the two programs of the demonstration and hands over to its script.
# usage: run_demo.sh BUILD_DIR JOBS
set -euo pipefail
build_dir=$1
jobs=$2
script=examples/textindex/demo.sh
if [ ! -f "$script" ]; then
  echo "run_demo: this tree has no $script, so there is nothing to show"
  exit 0
fi
echo "run_demo: building textindex and textindex-malloc"
log=$build_dir/demo-build.log
if ! cmake --build "$build_dir" -j "$jobs" --target textindex textindex-malloc >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
exec bash "$script" "$build_dir"
