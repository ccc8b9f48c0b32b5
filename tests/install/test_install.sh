#!/bin/bash
# Installs a build into a temporary prefix, moves the prefix, and builds and runs a program against it: by pkg-config and by
# find_package, with the shared and with the static library.
# usage: test_install.sh BUILD_DIR C_COMPILER VERSION SOVERSION
set -euo pipefail

build_dir=$1
compiler=$2
version=$3
soversion=$4
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "install test: $*" >&2
  exit 1
}

# Whether the program $1 loads libtricolor.so.SOVERSION.
loads_shared() {
  local needed
  needed=$(readelf -d "$1" | grep NEEDED)
  [[ $needed == *"[libtricolor.so.$soversion]"* ]]
}

cmake --install "$build_dir" --prefix "$work/first" >"$work/log" || fail "$(cat "$work/log")"
mv "$work/first" "$work/prefix"
prefix=$work/prefix

pc_file=$(find "$prefix" -name tricolor.pc)
[ -n "$pc_file" ] || fail "no tricolor.pc was installed"
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$pc_file")
lib_dir=$(pkg-config --variable=libdir tricolor)
[ "$(pkg-config --modversion tricolor)" = "$version" ] || fail "pkg-config gives version $(pkg-config --modversion tricolor)"
[ "$(readlink "$lib_dir/libtricolor.so.$soversion")" = "libtricolor.so.$version" ] || fail "the library is not versioned"
[ "$(readlink "$lib_dir/libtricolor.so")" = "libtricolor.so.$soversion" ] || fail "libtricolor.so names no SONAME"

echo "pkg-config, shared"
# shellcheck disable=SC2046 # the flags are several words
"$compiler" -O2 "$here/program.c" -o "$work/shared" $(pkg-config --cflags --libs tricolor) -Wl,-rpath,"$lib_dir"
loads_shared "$work/shared" || fail "the program does not load libtricolor.so.$soversion"
"$work/shared"

echo "pkg-config, static"
static_libs=$(pkg-config --static --libs tricolor | sed 's/-ltricolor/-l:libtricolor.a/')
# shellcheck disable=SC2046,SC2086
"$compiler" -O2 "$here/program.c" -o "$work/static" $(pkg-config --cflags tricolor) $static_libs
if loads_shared "$work/static"; then fail "the static program loads libtricolor.so"; fi
"$work/static"

echo "without a loader, refused by the linker or at the start"
# shellcheck disable=SC2046,SC2086
if "$compiler" -O2 -static "$here/program.c" -o "$work/alone" $(pkg-config --cflags tricolor) $static_libs \
    2>"$work/log"; then
  if "$work/alone" 2>"$work/log"; then fail "a program linked with -static runs"; fi
  grep -q "linked with -static" "$work/log" || fail "a program linked with -static is not told why it fails"
fi

echo "find_package, both"
if ! { cmake -S "$here" -B "$work/build" -DCMAKE_C_COMPILER="$compiler" -DCMAKE_PREFIX_PATH="$prefix" \
         -DWANTED_VERSION="$version" && cmake --build "$work/build"; } >"$work/log" 2>&1; then
  fail "$(cat "$work/log")"
fi
loads_shared "$work/build/shared" || fail "tricolor::tricolor is not the shared library"
if loads_shared "$work/build/static"; then fail "tricolor::static is not the static library"; fi
"$work/build/shared"
"$work/build/static"
