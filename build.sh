#!/usr/bin/env bash
# Sets lossatlas up on Debian and runs its demo or its tests. See ./build.sh --help.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: ./build.sh demo    build the program and put a picture into the loss surface of a network on real data:
                          out/*.png and out/report.json
       ./build.sh test    build everything and run all tests

Both install the Debian packages that are missing (as root or through sudo), build in build/cpu, and repeat nothing
that is already done. No GPU is needed.

environment:
  LOSSATLAS_DATA    folder with mnist-t10k-images-idx3-ubyte.gz and mnist-t10k-labels-idx1-ubyte.gz; where it also holds
                    kmnist-t10k-*, the demo shows the transfer to KMNIST. Without it the demo downloads the two MNIST
                    files once, or, without a network, works on the built-in glyphs.
  LOSSATLAS_MIRROR  base URLs to download from, separated by spaces (file:///folder works too)
  XDG_CACHE_HOME    downloads are kept in its folder lossatlas (default: ~/.cache/lossatlas)
TEXT
}

say() { printf '[build.sh] %s\n' "$*"; }
die() { printf '[build.sh] %s\n' "$*" >&2; exit 1; }

readonly packages=(g++ cmake ninja-build libopenblas-dev libhwy-dev libpng-dev zlib1g-dev nlohmann-json3-dev
                   libcli11-dev curl ca-certificates)
readonly test_packages=(libgtest-dev libgmock-dev libbenchmark-dev pkg-config)

# --- packages

as_root() {
  if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

install_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "this is no Debian system; needed are what Debian calls: $*"
    return
  fi
  local package missing=()
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  if ((${#missing[@]} == 0)); then
    say "all Debian packages are installed"
    return
  fi

  local by_hand="apt-get install --no-install-recommends ${missing[*]}"
  command -v apt-get >/dev/null || die "missing packages, and there is no apt-get here; as root, run: $by_hand"
  ((EUID == 0)) || sudo -n true 2>/dev/null || die "missing packages, and neither root nor sudo; as root, run: $by_hand"

  say "installing ${missing[*]}"
  local fresh=no
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}")
  if ! apt-cache show "${missing[@]}" >/dev/null 2>&1; then
    as_root apt-get update -qq || die "apt-get update failed; as root, run: apt-get update && $by_hand"
    fresh=yes
  fi
  as_root "${install[@]}" && return
  # Lists that are out of date name files that the mirrors no longer have.
  if [[ $fresh == no ]] && as_root apt-get update -qq && as_root "${install[@]}"; then return; fi
  die "the packages could not be installed; as root, run: apt-get update && $by_hand"
}

# --- build

readonly build=build/cpu

configure_and_build() {  # configure_and_build TARGET CMAKE_ARGUMENT...
  local target=$1 werror=OFF
  shift
  # Warnings are errors for the compiler that the project is developed with; another one may know more of them.
  [[ $(g++ -dumpversion 2>/dev/null) == 12 ]] && werror=ON
  say "configuring $build"
  cmake --preset cpu -DLOSSATLAS_WERROR=$werror "$@"
  say "building $target"
  cmake --build $build --target "$target" --parallel "$(nproc)"
}

# The CUDA module: for the tests wherever there is a compiler, for the demo only where there is also a GPU.
find_nvcc() { command -v nvcc >/dev/null || [[ -x /usr/local/cuda/bin/nvcc ]]; }
find_gpu() { nvidia-smi -L 2>/dev/null | grep -q '^GPU'; }

# --- data

readonly images=t10k-images-idx3-ubyte.gz labels=t10k-labels-idx1-ubyte.gz
declare -rA sha256=(  # of the decompressed bytes: mirrors differ in how they compress
  [$images]=0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7
  [$labels]=ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2
)
readonly mirrors="${LOSSATLAS_MIRROR:-https://ossci-datasets.s3.amazonaws.com/mnist \
https://storage.googleapis.com/cvdf-datasets/mnist}"

is_genuine() {  # is_genuine PATH FILE: PATH holds the MNIST file FILE
  [[ -f $1 ]] && [[ $(gzip -dc -- "$1" 2>/dev/null | sha256sum) == "${sha256[$2]}  -" ]]
}

download() {  # download MIRROR FILE DESTINATION: DESTINATION appears only when complete and genuine
  local part
  part=$(mktemp "$3.XXXXXX") || return 1
  if ! curl -fsSL --connect-timeout 5 --max-time 60 -o "$part" "${1%/}/$2"; then
    say "no $2 from $1"
  elif ! is_genuine "$part" "$2"; then
    say "$2 from $1 is not the expected file (SHA-256 differs)"
  else
    chmod 644 "$part" && mv -f -- "$part" "$3" && say "downloaded $2 from $1" && return 0
  fi
  rm -f -- "$part"
  return 1
}

fetch_mnist() {  # fetch_mnist FOLDER: both files are there and genuine, or failure
  local file mirror found
  mkdir -p -- "$1" || return 1
  for file in $images $labels; do
    is_genuine "$1/mnist-$file" "$file" && continue
    found=no
    for mirror in $mirrors; do
      download "$mirror" "$file" "$1/mnist-$file" && found=yes && break
    done
    [[ $found == yes ]] || return 1
  done
}

# Sets train, test and transfer to data set descriptions of the program.
choose_data() {
  local folder file
  if [[ -n ${LOSSATLAS_DATA:-} ]]; then
    folder=$LOSSATLAS_DATA
    for file in $images $labels; do
      [[ -f $folder/mnist-$file ]] ||
        die "LOSSATLAS_DATA is $folder, which has no mnist-$file; put it there or unset LOSSATLAS_DATA"
    done
    say "data: MNIST from $folder"
  else
    folder=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/lossatlas
    if ! fetch_mnist "$folder"; then
      say "data: MNIST could not be had, so the built-in glyphs are used"
      train=glyphs:5000,seed=1 test=glyphs:5000,seed=2 transfer=glyphs:5000,seed=3
      return
    fi
    say "data: MNIST from the cache $folder"
  fi

  train=idx:$folder/mnist-$images,$folder/mnist-$labels@0:5000
  test=idx:$folder/mnist-$images,$folder/mnist-$labels@5000:10000
  transfer=glyphs:5000
  if [[ -f $folder/kmnist-$images && -f $folder/kmnist-$labels ]]; then
    transfer=idx:$folder/kmnist-$images,$folder/kmnist-$labels
  fi
}

# --- commands

demo() {
  install_packages "${packages[@]}"
  # A build folder that already has the tests keeps them: switching them off would throw their objects away.
  local first=()
  [[ -f $build/CMakeCache.txt ]] || first=(-DLOSSATLAS_TESTS=OFF -DLOSSATLAS_EXAMPLES=OFF)
  if find_nvcc && find_gpu; then
    configure_and_build lossatlas_cuda "${first[@]}" -DLOSSATLAS_CUDA=ON
  fi
  configure_and_build lossatlas_cli "${first[@]}"

  local train test transfer
  choose_data
  local command=("$build/bin/lossatlas" fit --target demo --train "$train" --test "$test" --transfer "$transfer"
                 --grid 128x128 --out out)
  say "${command[*]}"
  "${command[@]}"
  say "done in $SECONDS s; the target beside its surfaces: $PWD/out/compare.png, the numbers: $PWD/out/report.json"
}

# Why tests were skipped, and how many for each reason: ctest itself only names them.
report_skipped() {
  awk '/: Skipped$/ { getline; if ($0 !~ /^\[  SKIPPED/) print } sub(/^skipped: /, "")' $build/Testing/Temporary/LastTest.log |
    sort | uniq -c | while read -r count reason; do say "$count skipped: $reason"; done
}

run_tests() {
  install_packages "${packages[@]}" "${test_packages[@]}"
  local cuda=OFF
  if find_nvcc; then cuda=ON; else say "no nvcc: the CUDA module and the emulated device are left out"; fi
  configure_and_build all -DLOSSATLAS_TESTS=ON -DLOSSATLAS_EXAMPLES=ON -DLOSSATLAS_BENCH=ON -DLOSSATLAS_CUDA=$cuda
  say "running the tests${LOSSATLAS_DATA:+ with data from $LOSSATLAS_DATA}"
  local status=0
  ctest --preset cpu --parallel "$(nproc)" || status=$?
  report_skipped
  say "done in $SECONDS s"
  return $status
}

(($# == 1)) || { usage >&2; exit 2; }
case $1 in
  demo | test) ;;
  -h | --help | help) usage; exit 0 ;;
  *) printf '[build.sh] unknown command: %s\n' "$1" >&2; usage >&2; exit 2 ;;
esac
# The caller's folder may be another one: make its relative path absolute before leaving it.
if [[ -n ${LOSSATLAS_DATA:-} ]]; then
  [[ -d $LOSSATLAS_DATA ]] || die "LOSSATLAS_DATA is $LOSSATLAS_DATA, which is no folder"
  LOSSATLAS_DATA=$(cd "$LOSSATLAS_DATA" && pwd)
fi
cd "$(dirname "${BASH_SOURCE[0]}")"
if [[ $1 == demo ]]; then demo; else run_tests; fi
