#!/usr/bin/env bash
# Installs into a prefix, moves it, and builds and runs examples/consumer from there, by find_package and by pkg-config.
#   package_test.sh BUILD_DIR CXX_COMPILER
set -euo pipefail

build=$1 compiler=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "package_test: $*" >&2; exit 1; }
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log"; fail "failed: $*"; }; }

quietly cmake --install "$build" --prefix "$work/first"
prefix="$work/a prefix"  # with a space in its name: such prefixes exist
mv "$work/first" "$prefix"
libdir=$(dirname "$(find "$prefix" -name liblossatlas.so)")
grep -rlF -e "$work/first" -e "$root" "$libdir/cmake" "$libdir/pkgconfig" && fail "the files above name a fixed path"

echo "-- installed program"
"$prefix/bin/lossatlas" --help >/dev/null || fail "the installed program does not start"

if [[ -e $build/lib/liblossatlas_cuda.so ]]; then
  echo "-- installed CUDA module"
  [[ -e $libdir/liblossatlas_cuda.so ]] || fail "the CUDA module is not beside the library"
  "$prefix/bin/lossatlas" info | grep -q '^module  *.*/a prefix/.*/liblossatlas_cuda.so$' ||
    fail "the installed program does not find the CUDA module"
fi

echo "-- find_package"
export CMAKE_PREFIX_PATH="$prefix" CXX="$compiler"
quietly cmake -S "$root/examples/consumer" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release
quietly cmake --build "$work/build"
by_cmake=$("$work/build/consumer") || fail "the consumer built by CMake fails: $by_cmake"
echo "$by_cmake"

echo "-- find_package of another minor version"
mkdir "$work/other"
sed 's/find_package(lossatlas [0-9.]*/find_package(lossatlas 0.0/' "$root/examples/consumer/CMakeLists.txt" \
  >"$work/other/CMakeLists.txt"
cp "$root/examples/consumer/main.cpp" "$work/other"
cmake -S "$work/other" -B "$work/other/build" -G Ninja >"$work/log" 2>&1 && fail "lossatlas was accepted as version 0.0"
grep -q 'compatible with requested version "0.0"' "$work/log" || { cat "$work/log"; fail "unexpected message"; }

echo "-- pkg-config"
export PKG_CONFIG_PATH="$libdir/pkgconfig"
flags=()
eval "flags=($(pkg-config --cflags --libs lossatlas))"  # pkg-config quotes for the shell
"$compiler" -std=c++20 "$root/examples/consumer/main.cpp" "${flags[@]}" -o "$work/consumer" ||
  fail "pkg-config's flags do not build"
by_pkg_config=$(LD_LIBRARY_PATH="$libdir" "$work/consumer") ||
  fail "the consumer built by pkg-config fails: $by_pkg_config"
echo "$by_pkg_config"
[[ $by_cmake == "$by_pkg_config" ]] || fail "the two consumers differ"
[[ $by_cmake == "lossatlas $(pkg-config --modversion lossatlas):"* ]] || fail "the versions differ"
