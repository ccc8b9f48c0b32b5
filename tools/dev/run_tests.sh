#!/bin/bash
# Runs the tests of one build folder and ends with ctest's summary and a line "N passed, N failed".
# usage: run_tests.sh BUILD_DIR [ctest option...]
# When TRI_RESULTS names a file, a line "PASSED FAILED BUILD_NAME: CTEST'S SUMMARY" is added to it.
set -euo pipefail

build_dir=$(cd "$1" && pwd)
shift
log=$build_dir/ctest.log

status=0
ctest --test-dir "$build_dir" -j "${TEST_JOBS:-2}" --output-on-failure --no-tests=error "$@" 2>&1 | tee "$log" || status=$?

# ctest's last word: "93% tests passed, 1 tests failed out of 14". A skipped test is neither passed nor failed to us.
summary=$(grep -E '^[0-9]+% tests passed' "$log" | tail -n 1 || true)
failed=$(echo "$summary" | sed -n 's/.* \([0-9]*\) tests\{0,1\} failed out of .*/\1/p')
total=$(echo "$summary" | sed -n 's/.* out of \([0-9]*\).*/\1/p')
skipped=$(grep -c '\*\*\*Skipped' "$log" || true)
# ctest that did not come to its last word is a failure of its own.
if [ "$status" -ne 0 ] && [ "${failed:-0}" -eq 0 ]; then failed=1; fi
passed=$((${total:-$failed} - failed - skipped))
if [ -n "${TRI_RESULTS:-}" ]; then
  echo "$passed $failed $(basename "$build_dir"): ${summary:-ctest did not finish}" >>"$TRI_RESULTS"
fi
if [ "$skipped" -gt 0 ]; then echo "$skipped skipped"; fi
echo "$passed passed, $failed failed"
exit "$status"
