#!/usr/bin/env bash
# hessian_bench on tiny cases, and what hessian_run.py makes of it beside a made-up peer.
#   hessian_bench_test.sh CMAKE HESSIAN_BENCH DEVICE   CMAKE reads the JSON
set -euo pipefail

readonly cmake=$1 bench=$2 device=$3
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

member() {  # member FILE PATH...
  local IFS=';' file=$1
  shift
  cat >"$work/member.cmake" <<'TEXT'
file(READ "${FILE}" text)
string(JSON value GET "${text}" ${MEMBERS})
message("${value}")
TEXT
  "$cmake" -DFILE="$file" -DMEMBERS="$*" -P "$work/member.cmake" 2>&1
}

expect() {  # expect RECEIVED EXPECTED: equal numbers or texts
  [[ $1 == "$2" ]] || awk "BEGIN { exit !(\"$1\" + 0 == \"$2\" + 0 && \"$2\" ~ /^[0-9.e+]+$/) }" ||
    { echo "received $1, expected $2"; exit 1; }
}

positive() { awk "BEGIN { exit !($1 > 0) }" || { echo "received $1, expected a positive number"; exit 1; }; }

absent() { if grep "$1" "$2"; then echo "expected no $1"; exit 1; fi; }

# M = 21 and 35: widths with their biases.
"$bench" --device "$device" --cases 2_5_1,4_3_3_2_n50 --spectra 2_5_1 --benchmark_min_time=0.001 \
  --benchmark_format=json >"$work/times.json" 2>"$work/log" || { cat "$work/log"; exit 1; }
absent error_occurred "$work/times.json"
expect "$(member "$work/times.json" benchmarks 0 name)" assemble/2_5_1/process_time/real_time
expect "$(member "$work/times.json" benchmarks 0 flop)" $((1000 * 21 * 21))
expect "$(member "$work/times.json" benchmarks 1 name)" assemble/4_3_3_2_n50/process_time/real_time
expect "$(member "$work/times.json" benchmarks 1 N)" 50
expect "$(member "$work/times.json" benchmarks 1 flop)" $((50 * 35 * 35))
expect "$(member "$work/times.json" benchmarks 2 name)" spectrum/2_5_1/process_time/real_time
expect "$(member "$work/times.json" benchmarks 2 eigen_flop)" $((4 * 21 * 21 * 21 / 3))
positive "$(member "$work/times.json" benchmarks 2 assembly_s)"
positive "$(member "$work/times.json" benchmarks 2 eigen_s)"
[[ $device == cpu ]] || absent dgemm "$work/times.json"

# What a GPU is for is among its own choice of cases.
"$bench" --device "$device" --benchmark_list_tests=true >"$work/list" 2>/dev/null
[[ $device == cpu ]] ||
  for widths in 2_1250_1 20_60_60_10 784_20_10; do
    for name in {assemble,spectrum}/${widths}{,_n60000}; do grep -q "^$name/" "$work/list"; done
  done

"$bench" --device "$device" --export "$work/cases" --cases 4_3_3_2_n50,2_5_1_n7 --spectra 2_5_1_n7
expect "$(member "$work/cases/4_3_3_2_n50/case.json" samples)" 50
[[ -s $work/cases/2_5_1_n7/eigenvalues.npy && ! -e $work/cases/4_3_3_2_n50/eigenvalues.npy ]]
for name in n5 2 2_0_1 2_5_1_n0 2_5_1x; do
  if "$bench" --cases $name >"$work/log" 2>&1; then echo "$name was taken"; exit 1; fi
  grep -q "received $name, expected widths such as" "$work/log"
done

command -v python3 >/dev/null || exit 0
cat >"$work/made-up-python" <<'TEXT'
#!/bin/bash
[[ $1 != -c ]] || { [[ $2 == *torch* ]]; exit; }
[[ " $* " == *" --rows 8 "* ]] || exit 1
timed='"seconds": 2, "cpu_seconds": 3, "max_relative_error": 0'
printf '{"framework": "Made up", "version": "1", "threads": 1, "device": "none", "product_flop_per_second": 1e9,
"cases": {"2_5_1_n40": {"forms": {"functional": {%s, "rows": 8}}, "left_out": {}, "eigenvalues": {%s}}}}' \
  "$timed" "$timed"
TEXT
chmod +x "$work/made-up-python"
python3 "$source_dir/bench/hessian_run.py" --stock --device "$device" --bench "$bench" --rounds 1 --rows 8 \
  --python "$work/made-up-python" --cases 2_5_1_n40 --spectra 2_5_1_n40 --json "$work/run.json" >"$work/table"
row=(every_round 0 assemble/2_5_1_n40)
ours=$(member "$work/run.json" "${row[@]}" lossatlas flop_per_second)
positive "$(member "$work/run.json" "${row[@]}" torch/functional ratio)"
[[ $device == cpu ]] || expect "$(member "$work/run.json" "${row[@]}" lossatlas share_of_products)" \
  "$(awk "BEGIN { printf \"%.17g\", $ours / 1e9 }")"
row=(every_round 0 spectrum/2_5_1_n40)
ours=$(member "$work/run.json" "${row[@]}" lossatlas eigen_seconds)
expect "$(member "$work/run.json" "${row[@]}" 'torch/functional, eigvalsh' eigen_ratio)" \
  "$(awk "BEGIN { printf \"%.17g\", 2 / $ours }")"
grep -q '^spectrum/2_5_1_n40 .*torch/functional, eigvalsh' "$work/table"
