#!/usr/bin/env bash
# Compares the numbers of this tree with those of a commit, to the bit; see --help.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

usage() {
  cat <<'TEXT'
usage: tests/same_bits.sh COMMIT [--emulated]

Builds the library of COMMIT and of this working tree on this machine, in build/same_bits, runs tests/same_bits/
same_bits.cpp on both (losses of sections of every kind of plan, gradients, Hessians, spectra, fits, searches,
embeddings, written files) and reports each result whose bits differ, with the largest difference. With --emulated also
on the emulated CUDA device, which takes some minutes more. Bits depend on the CPU: compare on one machine.

Exit status: 0 all bits are the same, 1 some differ or a build failed, 2 wrong usage.
TEXT
}

refuse() {
  echo "same_bits.sh: $1" >&2
  exit 2
}

case ${1:-} in
  --help | -h) usage && exit 0 ;;
  '') usage >&2 && exit 2 ;;
esac
commit=$(git -C "$here" rev-parse --verify --quiet "$1^{commit}") || refuse "received $1, expected a commit"
devices=(cpu)
case ${2:-} in
  '') ;;
  --emulated) devices+=(cuda) ;;
  *) refuse "received $2, expected --emulated" ;;
esac
(($# <= 2)) || refuse "received $# arguments, expected a commit and --emulated"

work=$here/build/same_bits
old=$work/$commit
rm -rf "$work/results"
if [[ ! -d $old ]]; then
  rm -rf "$old.part"
  mkdir -p "$old.part"
  git -C "$here" archive "$commit" | tar -x -C "$old.part"
  mv "$old.part" "$old"
fi

build() {  # build SOURCE NAME: the library and the program of one tree, in $work/NAME
  local source=$1 out=$work/build-$2 program=$1/tests/same_bits/same_bits.cpp
  local targets=(lossatlas)
  [[ ${#devices[@]} == 1 ]] || targets+=(lossatlas_cuda_emulated)
  [[ -f $program ]] || program=$here/tests/same_bits/same_bits.cpp
  echo "== building $2"
  cmake -S "$source" -B "$out" -G Ninja -DCMAKE_BUILD_TYPE=Release -DLOSSATLAS_CUDA=OFF -DLOSSATLAS_TESTS=ON \
    -DLOSSATLAS_EXAMPLES=OFF >/dev/null
  cmake --build "$out" --target "${targets[@]}" | tail -n 1
  "${CXX:-c++}" -std=c++20 -O1 -I"$source/include" "$program" -o "$out/same_bits" -L"$out/lib" -llossatlas \
    -Wl,--disable-new-dtags,-rpath,"$out/lib"
}

build "$old" "old-$commit"
build "$here" new
status=0
for device in "${devices[@]}"; do
  echo "== $device: $1 and this tree"
  for tree in "old-$commit" new; do
    LOSSATLAS_CUDA_MODULE=$work/build-$tree/lib/liblossatlas_cuda_emulated.so \
      "$work/build-$tree/same_bits" dump "$work/results/$device-$tree" "$device"
  done
  "$work/build-new/same_bits" compare "$work/results/$device-old-$commit" "$work/results/$device-new" || status=1
done
exit $status
