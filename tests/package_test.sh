#!/usr/bin/env bash
# Installs into a prefix, moves it, and builds and runs examples/consumer from there, by find_package and by pkg-config.
#   package_test.sh BUILD_DIR CXX_COMPILER
set -euo pipefail

build=$1 compiler=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "package_test: $*" >&2; exit 1; }

cmake --install "$build" --prefix "$work/first" >"$work/install.log" || { cat "$work/install.log"; fail "install failed"; }
prefix="$work/a prefix"  # with a space in its name: such prefixes exist
mv "$work/first" "$prefix"
libdir=$(dirname "$(find "$prefix" -name liblossatlas.so)")
grep -rlF -e "$work/first" -e "$root" "$libdir/cmake" "$libdir/pkgconfig" && fail "the files above name a fixed path"

echo "-- installed program"
"$prefix/bin/lossatlas" --help >/dev/null || fail "the installed program does not start"

echo "-- find_package"
cmake -S "$root/examples/consumer" -B "$work/cmake" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_CXX_COMPILER="$compiler" \
      -DCMAKE_PREFIX_PATH="$prefix" >"$work/cmake.log" 2>&1 || { cat "$work/cmake.log"; fail "find_package failed"; }
cmake --build "$work/cmake" >"$work/cmake.log" 2>&1 || { cat "$work/cmake.log"; fail "the consumer does not build"; }
by_cmake=$("$work/cmake/consumer") || fail "the consumer built by CMake fails: $by_cmake"
echo "$by_cmake"

echo "-- find_package of another minor version"
sed 's/find_package(lossatlas [0-9.]*/find_package(lossatlas 0.0/' "$root/examples/consumer/CMakeLists.txt" >"$work/CMakeLists.txt"
cmake -S "$work" -B "$work/other" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_CXX_COMPILER="$compiler" \
      >"$work/other.log" 2>&1 && fail "lossatlas was accepted as version 0.0"
grep -q 'compatible with requested version "0.0"' "$work/other.log" || { cat "$work/other.log"; fail "unexpected message"; }

echo "-- pkg-config"
export PKG_CONFIG_PATH="$libdir/pkgconfig"
flags=()
eval "flags=($(pkg-config --cflags --libs lossatlas))"  # pkg-config quotes for the shell
"$compiler" -std=c++20 "$root/examples/consumer/main.cpp" "${flags[@]}" -o "$work/consumer" ||
  fail "pkg-config's flags do not build"
by_pkg_config=$(LD_LIBRARY_PATH="$libdir" "$work/consumer") || fail "the consumer built by pkg-config fails: $by_pkg_config"
echo "$by_pkg_config"
[[ $by_cmake == "$by_pkg_config" ]] || fail "the two consumers differ"
[[ $by_cmake == "lossatlas $(pkg-config --modversion lossatlas):"* ]] || fail "the versions differ"
