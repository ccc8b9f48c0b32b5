#!/bin/bash
# Installs the packages that a make target needs and the system lacks, through apt, saying for each what it is for.
# usage: install_needed.sh demo|check|bench|ci
# On a terminal it asks first; otherwise it asks nothing. Without apt, or without the right to use it, it prints the names
# and fails when something indispensable is missing.
set -euo pipefail

# Each line: the targets it is for | how to see that it is there | Debian's package | + or ? | what for
# "+" is indispensable; without "?" the target does less and says so.
needs() {
  cat <<'TABLE'
demo check bench ci | command -v cc || command -v gcc | gcc | + | the C compiler builds the library
demo check bench ci | have_header stdio.h | libc6-dev | + | the C library's headers
demo check bench ci | command -v cmake | cmake | + | the build is described for CMake
demo check bench ci | command -v ninja || command -v make | ninja-build | + | CMake hands the build to it
ci | command -v make | make | + | CI begins with make check
check ci | command -v pkg-config | pkg-config | + | it finds cmocka, and the installation test uses it
check ci | have_header cmocka.h | libcmocka-dev | + | the unit tests use it
check ci | command -v python3 | python3 | + | the layer and symbol checks are written in it
check ci | command -v spin | spin | ? | the models of the protocols are verified with it
check ci | command -v readelf | binutils | + | the symbol and installation tests read the libraries with it
check ci | command -v c++ || command -v g++ | g++ | ? | the public header is also tested as C++
demo check bench ci | have_header elfutils/libdwfl.h | libdw-dev | ? | tricolor layout reads debugging information with it
check ci | have_header cjson/cJSON.h | libcjson-dev | ? | one example puts the cJSON library on our heap
bench | command -v python3 | python3 | + | the benchmark runner is written in it
ci bench | have_header uthash.h | uthash-dev | ? | the benchmarks compare hash tables with uthash's
bench | have_header gc.h || have_header gc/gc.h | libgc-dev | ? | the benchmarks compare with bdwgc
bench | have_library libmimalloc.so | libmimalloc2.0 | ? | the benchmarks compare with mimalloc
bench | have_library libjemalloc.so | libjemalloc2 | ? | the benchmarks compare with jemalloc
ci | command -v clang | clang | + | everything is built by a second compiler
ci | sanitizers_of clang | libclang-rt-14-dev | + | the tests run under clang's sanitizers
ci | sanitizers_of gcc | gcc | + | the tests run under gcc's sanitizers
ci | tools/dev/check_format.sh --find | clang-format-14 | + | the layout of the sources is checked with it
TABLE
}

have_header() { echo "#include <$1>" | "$compiler" -include stdarg.h -include stddef.h -include setjmp.h -include stdint.h -E - ; }
have_library() { PATH=$PATH:/sbin ldconfig -p 2>/dev/null | grep "$1" >/dev/null; }
sanitizers_of() {
  local sanitizer
  for sanitizer in address,undefined thread; do
    echo 'int main(void) { return 0; }' | "$1" -x c "-fsanitize=$sanitizer" -o /dev/null - || return 1
  done
}

say() { echo "install_needed: $*"; }

# Reads the table for target $1 into missing_packages, missing_reasons and missing_indispensable.
find_missing() {
  local target=$1 targets probe package kind reason
  missing_packages=() missing_reasons=() missing_indispensable=()
  while IFS='~' read -r targets probe package kind reason; do
    [[ " $targets " == *" $target "* ]] || continue
    if (eval "$probe") >/dev/null 2>&1 </dev/null; then continue; fi
    [[ " ${missing_packages[*]-} " == *" $package "* ]] && continue
    missing_packages+=("$package")
    missing_reasons+=("$reason")
    if [ "$kind" = + ]; then missing_indispensable+=("$package"); fi
  done < <(needs | sed 's/ *|| */\x01/g; s/ *| */~/g; s/\x01/ || /g')
}

# Fails when an indispensable package is missing.
settle() {
  if [ ${#missing_indispensable[@]} -gt 0 ]; then
    say "cannot go on without: ${missing_indispensable[*]}" >&2
    exit 1
  fi
  if [ ${#missing_packages[@]} -gt 0 ]; then say "going on without: ${missing_packages[*]}"; fi
  exit 0
}

# Sets as_root to the words before a command that needs root's rights; false when they cannot be had.
find_root() {
  as_root=()
  if [ "$(id -u)" -eq 0 ]; then return 0; fi
  command -v sudo >/dev/null || return 1
  if [ "$interactive" = yes ]; then as_root=(sudo); else as_root=(sudo -n); fi
  "${as_root[@]}" true 2>/dev/null
}

apt_install() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" </dev/null
}

# One run for all; when apt knows no such package or its lists are old, again after an update, then one by one, so that an
# unknown optional package does not keep the others away.
install_all() {
  if apt_install "$@"; then return; fi
  say "updating apt's lists, for it could not install from the present ones"
  "${as_root[@]}" apt-get update </dev/null || true
  if apt_install "$@"; then return; fi
  local package
  for package in "$@"; do apt_install "$package" || say "apt could not install $package"; done
}

cd "$(dirname "$0")/../.."
target=${1:-}
case $target in
demo | check | bench | ci) ;;
*)
  echo "usage: $0 demo|check|bench|ci" >&2
  exit 2
  ;;
esac
compiler=${CC:-$(command -v cc || command -v gcc || echo cc)}
interactive=no
if [ -t 0 ] && [ -t 1 ] && [ -z "${CI:-}" ]; then interactive=yes; fi

find_missing "$target"
if [ ${#missing_packages[@]} -eq 0 ]; then exit 0; fi

can_install=yes
if ! command -v apt-get >/dev/null; then
  can_install=no
  say "there is no apt here; please install what Debian calls:"
elif ! find_root; then
  can_install=no
  say "installing takes root's rights; please install:"
fi
for i in "${!missing_packages[@]}"; do
  if [ $can_install = yes ]; then
    say "installing ${missing_packages[i]}: ${missing_reasons[i]}"
  else
    say "  ${missing_packages[i]}: ${missing_reasons[i]}"
  fi
done
if [ $can_install = no ]; then settle; fi

if [ $interactive = yes ]; then
  read -r -p "install_needed: go ahead with apt-get install ${missing_packages[*]}? [Y/n] " answer
  case $answer in
  "" | y* | Y*) ;;
  *) settle ;;
  esac
fi
install_all "${missing_packages[@]}"
compiler=${CC:-$(command -v cc || command -v gcc || echo cc)}
find_missing "$target"
settle
