#!/usr/bin/env bash
# bench/gpu_check.sh with a made-up GPU, compiler, cmake, ctest, sanitizer and benchmarks, and what it makes of their
# failures.
#   gpu_check_test.sh CMAKE   CMAKE reads the JSON
set -euo pipefail

readonly cmake=$1
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/build/bin" "$work/build/Testing/Temporary" "$work/deps/usr/lib/x86_64-linux-gnu" \
  "$work/deps/lib/x86_64-linux-gnu"

tool() { cat >"$work/$1" && chmod +x "$work/$1"; }
tool bin/nvidia-smi <<'TEXT'
#!/bin/bash
[[ -z $NO_GPU ]] || exit 9
case $* in *name*) echo 'Made-up "GPU"' ;; *compute_cap*) echo 9.0 ;; *) echo 1 ;; esac
TEXT
tool bin/nvcc <<<'echo release 13'
tool bin/cmake <<TEXT
#!/bin/bash
printf '%s\n' "\$@" >>"$work/cmake.log"
[[ -z \$BROKEN_BUILD || \$1 != --build ]]
TEXT
tool bin/ctest <<TEXT
#!/bin/bash
log=$work/build/Testing/Temporary/LastTest.log
printf 'a_test.cpp:1: Skipped\n%s\n' "\${SKIPPED:-needs the emulated device}" >"\$log"
[[ -z \$BROKEN_TESTS ]] || { printf 'the output\tof "a" test\n'; exit 8; }
echo '100% tests passed, 0 tests failed out of 3'
TEXT
tool bin/compute-sanitizer <<'TEXT'
#!/bin/bash
[[ "$* " != *" $BROKEN_TOOL "* ]]
TEXT
for name in section fit hessian; do
  tool build/bin/${name}_bench <<'TEXT'
#!/bin/bash
file=$(printf '%s\n' "$@" | sed -n 's/--benchmark_out=//p')
error=
[[ " $* " != *" cuda "* || -z $MESSAGE ]] || error='"error_occurred": true,
"error_message": "'$MESSAGE'",'
printf '{"benchmarks": [{%s\n"name": "a"}]}' "$error" >"$file"
TEXT
done
tool bin/no-python <<<'exit 1'
tool bin/some-python <<TEXT
#!/bin/bash
[[ \$1 != -c ]] || exit 0
printf '%s\n' "\$*" >>"$work/python.log"
[[ -z \$BROKEN_PEERS ]] || exit 1
file=\$(printf '%s\n' "\$@" | grep -A 1 -x -e --json | tail -n 1)
echo '{"rows": {"a": 1}}' >"\$file"
echo 'a table of sections'
TEXT

check() {  # check STATUS [VARIABLE=VALUE...] -- ARGUMENT...: the run ends with STATUS, and its JSON is well-formed
  local wanted=$1 status=0 environment=()
  shift
  while [[ $1 != -- ]]; do environment+=("$1"); shift; done
  shift
  rm -f "$work/out.json"
  env PATH="$work/bin:$PATH" "${environment[@]}" "$source_dir/bench/gpu_check.sh" --build "$work/build" \
    --out "$work/out.json" --python "$work/bin/no-python" "$@" >"$work/log" 2>&1 || status=$?
  if [[ $status != "$wanted" ]]; then
    cat "$work/log"
    echo "status $status, expected $wanted: ${environment[*]} $*"
    exit 1
  fi
}

member() {  # member PATH...: from the record
  cat >"$work/member.cmake" <<'TEXT'
file(READ "${FILE}" text)
string(JSON value GET "${text}" ${MEMBERS})
message("${value}")
TEXT
  local IFS=';'
  "$cmake" -DFILE="$work/out.json" -DMEMBERS="$*" -P "$work/member.cmake" 2>&1
}

expect() { [[ $1 == "$2" ]] || { cat "$work/log" "$work/out.json"; echo "received $1, expected $2"; exit 1; }; }

check 3 NO_GPU=1 --
expect "$(wc -l <"$work/log")" 1
check 2 -- --unknown
check 2 -- --deps "$work/nowhere"
check 2 -- --only tests,everything
check 2 -- --rounds 0
check 2 -- --minutes none
check 2 -- --seconds

check 0 --
expect "$(member passed)" ON
expect "$(member gpu name)" 'Made-up "GPU"'
expect "$(member steps 0 name)" configure
expect "$(member benchmarks hessian-cuda benchmarks 0 name)" a
check 0 -- --quick
check 0 MESSAGE='[hessian] received a device without that operation' --

# Peers where Python has them, and only what was asked for.
check 0 -- --python "$work/bin/some-python"
expect "$(member benchmarks section-peers rows a)" 1
grep -q 'a table of sections' "$work/log"
grep -q -e '--device cuda .*--rounds 3 .*--cases dense,theorem1 ' "$work/python.log"
grep -q -e '--scaling' "$work/python.log"
for case in {2_1250_1,20_60_60_10,784_20_10}{,_n60000}; do
  grep -q -e "hessian_run.py .*--device cuda .*--cases [0-9_n,]*$case[, ]" "$work/python.log"
done
grep -q -e 'hessian_run.py .*--device cuda .*--spectra 2_1250_1,20_60_60_10,784_20_10 ' "$work/python.log"
expect "$(member benchmarks hessian-peers-cuda rows a)" 1
rm "$work/python.log"
check 0 -- --python "$work/bin/some-python" --only sections --cases all --rounds 7 --seconds 60
expect "$(member steps 2 name)" section-peers
expect "$(member only)" sections
[[ $(wc -l <"$work/python.log") == 1 ]]
grep -q -e '--rounds 7 .*--cases  --seconds 60' "$work/python.log"
rm "$work/python.log"
check 0 -- --python "$work/bin/some-python" --only hessians
expect "$(member benchmarks hessian-peers-cuda rows a)" 1
[[ $(wc -l <"$work/python.log") == 2 ]]
check 1 BROKEN_PEERS=1 -- --python "$work/bin/some-python"

# What does not fit is skipped, and said to be.
check 0 SECONDS=100 -- --minutes 1
expect "$(member steps 0 detail)" '1 minutes are over'

check 1 BROKEN_BUILD=1 --
expect "$(member passed)" OFF
check 1 BROKEN_TESTS=1 --
expect "$(member steps 2 status)" failed
check 1 SKIPPED='no CUDA driver' --
for tool in memcheck racecheck initcheck synccheck; do check 1 BROKEN_TOOL=$tool --; done
check 1 MESSAGE='a kernel failed' --

# Links out of the folder are led back into it, and OpenBLAS is found where the package has it.
echo >"$work/deps/lib/x86_64-linux-gnu/libz.so.9"
ln -s /lib/x86_64-linux-gnu/libz.so.9 "$work/deps/usr/lib/x86_64-linux-gnu/libz.so"
check 0 -- --quick --deps "$work/deps"
expect "$(readlink -f "$work/build/links/lib/libz.so")" "$work/deps/lib/x86_64-linux-gnu/libz.so.9"
grep -q "^-DCMAKE_LIBRARY_PATH=.*/openblas-pthread;" "$work/cmake.log"
