#!/usr/bin/env bash
# Fuzzes with libFuzzer, one target after the other; see --help.
set -euo pipefail

fuzz_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source_dir=$(cd "$fuzz_dir/../.." && pwd)
build_dir=$source_dir/build/fuzz

usage() {
  cat <<'TEXT'
usage: tests/fuzz/run.sh MINUTES [TARGET...]

Builds the fuzzers into build/fuzz with clang, AddressSanitizer and UndefinedBehaviorSanitizer, and runs each TARGET
(default: all) for MINUTES minutes, one after the other. A target starts from tests/fuzz/corpus/TARGET and from what
earlier runs found, in build/fuzz/found/TARGET. An input that shows a defect stays in build/fuzz/findings; give it to
build/fuzz/bin/TARGET_fuzz to see it again. The log of each run is build/fuzz/TARGET.log.

Exit status: 0 nothing found, 1 a finding or a failed build, 2 wrong usage.
TEXT
  echo "Targets: $(targets)"
}

targets() { (cd "$fuzz_dir" && printf '%s\n' *_fuzz.cpp) | sed 's/_fuzz\.cpp$//' | paste -sd' '; }

refuse() {
  echo "run.sh: $1" >&2
  exit "${2:-2}"
}

run() {  # run TARGET: false on a finding
  local found=$build_dir/found/$1 log=$build_dir/$1.log
  mkdir -p "$found" "$build_dir/findings"
  echo "== $1: $minutes min"
  if "$build_dir/bin/$1_fuzz" "$found" "$fuzz_dir/corpus/$1" -max_total_time=$((60 * minutes)) -max_len=4096 \
    -timeout=10 -rss_limit_mb=2048 -use_value_profile=1 -print_final_stats=1 \
    -artifact_prefix="$build_dir/findings/$1-" >"$log" 2>&1; then
    grep -E 'DONE|stat::(average_exec_per_sec|peak_rss_mb)' "$log"
  else
    grep -E 'ERROR|SUMMARY|does not hold|what\(\)|runtime error|Test unit written' "$log" || tail -n 5 "$log"
    return 1
  fi
}

case ${1:-} in
  --help | -h) usage && exit 0 ;;
  '') usage >&2 && exit 2 ;;
esac
minutes=$1
[[ $minutes =~ ^[1-9][0-9]{0,4}$ ]] || refuse "received $minutes minutes, expected a whole number of at least 1"
shift
all=$(targets)
for target in "$@"; do
  [[ " $all " == *" $target "* ]] || refuse "received the target $target, expected some of: $all"
done
echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
  clang++ -fsanitize=fuzzer -x c++ - -o /dev/null 2>/dev/null ||
  refuse "clang++ with libFuzzer is missing; as root, run: apt-get install clang libclang-rt-14-dev (clang's number)" 1

cd "$source_dir"
cmake --preset fuzz >/dev/null
fuzzers=(${*:-$all})
cmake --build build/fuzz --target "${fuzzers[@]/%/_fuzz}"
TMPDIR=$(mktemp -d -p "$([[ -d /dev/shm ]] && echo /dev/shm || echo "${TMPDIR:-/tmp}")" lossatlas-fuzz-XXXXXX)
export TMPDIR  # a finding ends a fuzzer before it can remove its files
trap 'rm -rf "$TMPDIR"' EXIT
status=0
for target in "${fuzzers[@]}"; do
  run "$target" || status=1
done
exit $status
