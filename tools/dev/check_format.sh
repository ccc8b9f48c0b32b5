#!/bin/bash
# Checks that clang-format 14 would leave every C source as it is, and that no line is longer than 120 columns.
# usage: check_format.sh [--fix | --find] [FILE...]    --fix rewrites the files, --find only looks for the program
set -euo pipefail
cd "$(dirname "$0")/../.."

# Other versions lay some lines out differently.
wanted=14

find_clang_format() {
  local program
  for program in "clang-format-$wanted" clang-format; do
    if command -v "$program" >/dev/null && [[ $("$program" --version) == *"version $wanted."* ]]; then
      echo "$program"
      return 0
    fi
  done
  echo "check_format: clang-format $wanted is not here (Debian: apt-get install clang-format-$wanted)" >&2
  return 1
}

mode=check
case ${1:-} in
--fix) mode="fix" && shift ;;
--find) mode="find" && shift ;;
esac
program=$(find_clang_format)
if [ $mode = find ]; then exit 0; fi

if [ $# -gt 0 ]; then
  files=("$@")
else
  mapfile -t files < <(find include src tests bench examples tools -type f \( -name '*.[ch]' -o -name '*.cc' \) | sort)
fi
if [ $mode = fix ]; then
  "$program" -i "${files[@]}"
  # Long lines that remain are reported, not fatal here.
  python3 tools/dev/wrap_comments.py --fix "${files[@]}" || true
  "$program" -i "${files[@]}"
  exit 0
fi
status=0
"$program" --dry-run -Werror "${files[@]}" || status=1
python3 tools/dev/wrap_comments.py "${files[@]}" || status=1
if [ $status -ne 0 ]; then
  echo "check_format: run tools/dev/check_format.sh --fix" >&2
  exit 1
fi
echo "check_format: ${#files[@]} files are laid out as .clang-format says, in at most 120 columns"
