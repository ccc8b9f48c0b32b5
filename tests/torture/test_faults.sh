#!/bin/bash
# Shows that torture finds a collector that was broken on purpose: by itself, and by the library's check.
# usage: test_faults.sh TORTURE
# The time is a bound: each run ends with what it finds.
#
# Where the check is to find it, it must not be that torture is quicker: pointers only move then, and nobody looks at
# what they point to. The check does not see
#   register  for it looks into stacks from where the mark did, and what the signal saved lies below;
#   dirty     when what is lost was made during the mark: a pointer to it that was not read in the last stop may be a
#             word that was there before (gc/check.h). So objects there are old: of the moving ones none is made anew.
#   child     likewise, when the object was found in an earlier stop;
#   new       likewise, when the pointer was found in an earlier stop and not written since: but objects are lost in
#             each collection, and others are on stacks, or on pages just written.
set -euo pipefail

torture=$1
output=$(mktemp)
trap 'rm -f "$output"' EXIT
ulimit -c 0

# Runs with the given options. In a shell of its own, which says nothing of how it ended.
run() {
  bash -c '"$@"; exit $?' -- "$torture" --threads 4 --seed 1 "$@" >"$output" 2>&1
}

# Runs with the given fault, and options of torture's, and demands that it aborts or crashes (SIGABRT, SIGSEGV; SIGBUS for a
# poisoned pointer in the frame register) and says a line that matches.
expect() {
  local debug=$1 pattern=$2 status=0
  shift 2
  run --seconds 120 --debug "$debug" "$@" || status=$?
  if [ "$status" -eq 134 ] || [ "$status" -eq 135 ] || [ "$status" -eq 139 ]; then
    if grep -Eq "$pattern" "$output" && grep -q "^torture: seed 0x1, 4 threads" "$output"; then
      echo "$debug: found"
      return 0
    fi
  fi
  echo "$debug: status $status and no line like \"$pattern\" in:"
  cat "$output"
  return 1
}

# Without a fault, nothing: else what follows shows nothing.
expect_sound() {
  run --seconds 2 "$@" && return 0
  echo "without a fault, with $*:"
  cat "$output"
  return 1
}

found="^torture: (LOST|signal)"
checked="^tricolor: check: "
expect_sound
for fault in root child; do
  expect "inject=$fault" "$found"
  expect "inject=$fault,poison=1" "$found"
  expect "inject=$fault,check=1" "$checked" --only move,dwell
done
in_registers=(--only "vector,scratch,callee,check,replace,dwell")
expect inject=register "$found" "${in_registers[@]}"
expect inject=register,poison=1 "$found" "${in_registers[@]}"

# What only a collection beside the program does.
expect_sound --gear page
for fault in dirty new stack; do
  expect "inject=$fault" "$found" --gear page
  expect "inject=$fault,poison=1" "$found" --gear page
  expect "inject=$fault,check=1" "$checked" --gear page --only move,dwell
done
