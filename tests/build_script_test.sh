#!/usr/bin/env bash
# build.sh in a folder of its own, with made-up package tools, cmake and program that note how they were called.
#   build_script_test.sh         everything that needs no data
#   build_script_test.sh mnist   downloads, from a mirror made of the MNIST files in LOSSATLAS_DATA
set -euo pipefail

source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly images=t10k-images-idx3-ubyte.gz labels=t10k-labels-idx1-ubyte.gz
if [[ ${1:-} == mnist && ! -f ${LOSSATLAS_DATA:-}/mnist-$images ]]; then
  echo "skipped: LOSSATLAS_DATA names no folder with MNIST"
  exit 77
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work/project" "$work/bin" "$work/log" "$work/elsewhere"
chmod 777 "$work/log"
cp "$source_dir/build.sh" "$work/project"

# --- a machine with nothing but these tools

tool() { cat >"$work/bin/$1" && chmod +x "$work/bin/$1"; }
for name in awk bash cat chmod dirname env gzip mkdir mktemp mv nproc rm sed sha256sum sort uniq; do
  ln -s "$(command -v $name)" "$work/bin/$name"
done
tool curl <<TEXT
#!/bin/bash
echo "\$*" >>"$work/log/curl"
exec "$(command -v curl)" "\$@"
TEXT
tool dpkg-query <<'TEXT'
#!/bin/bash
[[ " $MISSING " == *" ${!#} "* ]] && exit 1
printf installed
TEXT
tool apt-cache <<TEXT
#!/bin/bash
[[ -f "$work/log/updated" || -z \$UNKNOWN ]]
TEXT
tool apt-get <<TEXT
#!/bin/bash
echo "\$*" >>"$work/log/apt-get"
[[ \$1 == update ]] && { echo >"$work/log/updated"; exit 0; }
[[ -z \$BROKEN && ( -f "$work/log/updated" || -z \$STALE ) ]]
TEXT
tool sudo <<'TEXT'
#!/bin/bash
exit 1
TEXT
tool g++ <<'TEXT'
#!/bin/bash
echo 12
TEXT
tool cmake <<TEXT
#!/bin/bash
echo "\$*" >>"$work/log/cmake"
mkdir -p build/cpu/bin
echo >build/cpu/CMakeCache.txt
cat >build/cpu/bin/lossatlas <<'PROGRAM'
#!/bin/bash
printf '%s\n' "\$PWD" "\$@" >"$work/log/program"
exit \${PROGRAM_STATUS:-0}
PROGRAM
chmod +x build/cpu/bin/lossatlas
TEXT
tool ctest <<TEXT
#!/bin/bash
echo "\$* data=\$LOSSATLAS_DATA" >>"$work/log/ctest"
mkdir -p build/cpu/Testing/Temporary
printf '%s\n' 'x_test.cpp:7: Skipped' 'no GPU' 'y_test.cpp:9: Skipped' 'no GPU' 'skipped: no data' \
  >build/cpu/Testing/Temporary/LastTest.log
exit \${CTEST_STATUS:-0}
TEXT

# --- calls and expectations

check=none
fail() {
  printf 'FAILED [%s]: %s\n--- output, status %s\n%s\n' "$check" "$1" "${status:-}" "${output:-}" >&2
  exit 1
}
# build VARIABLE=VALUE... ARGUMENT...: runs build.sh from another folder; sets output and status.
build() {
  local settings=()
  while [[ ${1:-} == *=* ]]; do settings+=("$1") && shift; done
  rm -f "$work"/log/*
  status=0
  output=$(cd "$work/elsewhere" && "${as_user[@]}" env -i PATH="$work/bin" HOME="$work/home" "${settings[@]}" \
    "$work/project/build.sh" "$@" 2>&1) || status=$?
}
as_user=()
expect_status() { [[ $status == "$1" ]] || fail "expected status $1"; }
expect_output() { [[ $output == *"$1"* ]] || fail "expected in the output: $1"; }
expect_log() { [[ -f $work/log/$1 && $(<"$work/log/$1") == *"$2"* ]] || fail "expected a call: $1 ... $2"; }
expect_no() { [[ ! -e $work/log/$1 ]] || fail "unexpected call: $1 $(<"$work/log/$1")"; }
expect_program() {  # expect_program TRAIN TEST TRANSFER: the program was called so, in the project's folder
  local expected
  expected=$(printf '%s\n' "$work/project" fit --target demo --train "$1" --test "$2" --transfer "$3" \
    --grid 128x128 --out out)
  [[ -f $work/log/program && $(<"$work/log/program") == "$expected" ]] ||
    fail "the program was called with: $(cat "$work/log/program"), expected: $expected"
}
expect_glyphs() { expect_program glyphs:5000,seed=1 glyphs:5000,seed=2 glyphs:5000,seed=3; }
expect_mnist() {  # expect_mnist FOLDER [TRANSFER]
  local files=idx:$1/mnist-$images,$1/mnist-$labels
  expect_program "$files@0:5000" "$files@5000:10000" "${2:-glyphs:5000}"
}

without_data() {
  check="arguments"
  build && expect_status 2 && expect_output usage:
  build nonsense && expect_status 2 && expect_output "unknown command: nonsense" && expect_output usage:
  build demo test && expect_status 2
  build --help && expect_status 0 && expect_output LOSSATLAS_DATA && expect_no cmake

  check="no network: the built-in data set, from any folder, and nothing installed"
  build LOSSATLAS_MIRROR=file:///nonexistent demo
  expect_status 0 && expect_glyphs && expect_no apt-get && expect_output "glyphs are used"
  expect_log cmake "-DLOSSATLAS_TESTS=OFF"
  expect_log cmake "--target lossatlas_cli"

  check="demo leaves the tests of an existing build folder alone"
  build LOSSATLAS_MIRROR=file:///nonexistent demo
  expect_status 0
  grep -q LOSSATLAS_TESTS "$work/log/cmake" && fail "LOSSATLAS_TESTS was set"

  check="the program's failure is the script's"
  build LOSSATLAS_MIRROR=file:///nonexistent PROGRAM_STATUS=7 demo && expect_status 7

  check="wrong, truncated and empty downloads are refused and leave nothing behind"
  mkdir -p "$work/wrong"
  head -c 100000 /dev/zero | gzip >"$work/wrong/$images"
  head -c 50 "$work/wrong/$images" >"$work/wrong/$labels"
  build LOSSATLAS_MIRROR="file://$work/wrong" XDG_CACHE_HOME="$work/cache" demo
  expect_status 0 && expect_glyphs && expect_output "not the expected file"
  [[ -z $(ls -A "$work/cache/lossatlas") ]] || fail "left: $(ls -A "$work/cache/lossatlas")"

  check="LOSSATLAS_DATA"
  build LOSSATLAS_DATA="$work/none" demo && expect_status 1 && expect_output "$work/none, which is no folder"
  mkdir -p "$work/elsewhere/data"
  build LOSSATLAS_DATA=data demo && expect_status 1 && expect_output "has no mnist-$images" && expect_no program
  touch "$work/elsewhere/data/mnist-$images" "$work/elsewhere/data/mnist-$labels"
  build LOSSATLAS_DATA=data demo && expect_status 0 && expect_mnist "$work/elsewhere/data" && expect_no curl
  touch "$work/elsewhere/data/kmnist-$images" "$work/elsewhere/data/kmnist-$labels"
  build LOSSATLAS_DATA=data demo && expect_status 0
  expect_mnist "$work/elsewhere/data" "idx:$work/elsewhere/data/kmnist-$images,$work/elsewhere/data/kmnist-$labels"

  check="test"
  build LOSSATLAS_DATA=data test && expect_status 0 && expect_log ctest "data=$work/elsewhere/data"
  expect_log cmake "-DLOSSATLAS_TESTS=ON"
  expect_log cmake "--target all"
  expect_output "2 skipped: no GPU"
  expect_output "1 skipped: no data"
  build CTEST_STATUS=8 test && expect_status 8

  packages
}

packages() {
  local command="apt-get install --no-install-recommends libhwy-dev curl"
  local -a demo=(LOSSATLAS_DATA=data MISSING="libhwy-dev curl" demo)
  if ((EUID == 0)); then
    check="missing packages, and only those, are installed"
    build "${demo[@]}" && expect_status 0
    [[ $(<"$work/log/apt-get") == "install -qq -y --no-install-recommends libhwy-dev curl" ]] ||
      fail "apt-get was called with: $(<"$work/log/apt-get")"

    check="package lists that are empty or stale are updated, once"
    local problem
    for problem in UNKNOWN=1 STALE=1; do
      build "$problem" "${demo[@]}" && expect_status 0
      [[ $(grep -c update "$work/log/apt-get") == 1 ]] || fail "$problem: $(<"$work/log/apt-get")"
    done

    check="packages that cannot be had"
    build BROKEN=1 "${demo[@]}" && expect_status 1 && expect_output "as root, run: apt-get update && $command"
    expect_no cmake
    as_user=(setpriv --reuid=65534 --regid=65534 --clear-groups)
  fi

  check="neither root nor sudo"
  build "${demo[@]}" && expect_status 1 && expect_output "neither root nor sudo; as root, run: $command"
  expect_no cmake
  as_user=()

  check="no apt-get"
  mv "$work/bin/apt-get" "$work/apt-get"
  build "${demo[@]}" && expect_status 1 && expect_output "as root, run: $command"
  mv "$work/apt-get" "$work/bin/apt-get"
}

with_mnist() {
  local cache=$work/cache/lossatlas
  mkdir -p "$work/mirror" "$work/wrong"
  ln -s "$LOSSATLAS_DATA/mnist-$labels" "$work/mirror/$labels"
  gzip -dc "$LOSSATLAS_DATA/mnist-$images" | gzip -1 >"$work/mirror/$images"  # compressed otherwise: the same data
  head -c 1000000 "$work/mirror/$images" >"$work/wrong/$images"
  local -a demo=(LOSSATLAS_MIRROR="file://$work/mirror/" XDG_CACHE_HOME="$work/cache" demo)

  check="the first demo downloads both files"
  build "${demo[@]}" && expect_status 0 && expect_mnist "$cache" && expect_output "downloaded $labels"
  [[ $(ls -A "$cache") == "mnist-$images"$'\n'"mnist-$labels" ]] || fail "the cache holds: $(ls -A "$cache")"

  check="the second downloads nothing"
  build "${demo[@]}" && expect_status 0 && expect_mnist "$cache" && expect_no curl

  check="a damaged file of the cache, and only that, is fetched again"
  printf x | dd of="$cache/mnist-$images" bs=1 seek=5000 conv=notrunc status=none
  build "${demo[@]}" && expect_status 0 && expect_mnist "$cache"
  expect_output "downloaded $images"
  grep -q labels "$work/log/curl" && fail "the labels were fetched again"

  check="after a mirror with a truncated file comes the next"
  rm -r "$cache"
  build LOSSATLAS_MIRROR="file://$work/wrong file://$work/mirror" XDG_CACHE_HOME="$work/cache" demo
  expect_status 0 && expect_mnist "$cache" && expect_output "$images from file://$work/wrong is not the expected file"

  check="a damaged cache without a network is not used"
  printf x | dd of="$cache/mnist-$labels" bs=1 seek=500 conv=notrunc status=none
  build LOSSATLAS_MIRROR=file:///nonexistent XDG_CACHE_HOME="$work/cache" demo
  expect_status 0 && expect_glyphs
}

if [[ ${1:-} == mnist ]]; then with_mnist; else without_data; fi
echo "passed"
