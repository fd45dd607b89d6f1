#!/usr/bin/env bash
# Everything that only a real GPU can show, in one run. See bench/gpu_check.sh --help.
set -uo pipefail
export LC_ALL=C

usage() {
  cat <<'TEXT'
usage: bench/gpu_check.sh [--deps DIR] [--build DIR] [--out FILE] [--python PYTHON] [--quick] [--only STEPS]
                          [--cases LIST] [--rounds N] [--seconds N] [--minutes N]

Builds lossatlas with CUDA for the GPU at hand, runs the device tests and the PTX fragment tests on it, a selection of
them under compute-sanitizer where that tool exists, and the benchmarks with their PyTorch and JAX peers where PYTHON
has these. Prints a short table. Needs no network. What does not fit into --minutes is skipped, and the table says so;
--only makes up for it in another run. bench/run.py --device cuda makes the whole record of sections.

  --deps DIR       take the libraries from these Debian packages, unpacked in DIR (dpkg -x PACKAGE.deb DIR):
                   libopenblas-dev libopenblas-pthread-dev libopenblas0-pthread libgfortran5 libquadmath0 libhwy-dev
                   libhwy1 libpng-dev libpng16-16 zlib1g-dev zlib1g nlohmann-json3-dev libcli11-dev libgtest-dev
                   libgmock-dev libbenchmark-dev libbenchmark1debian
  --build DIR      build there (default: build/gpu)
  --out FILE       the record as JSON (default: gpu_check.json in the build folder)
  --python PYTHON  default: python3
  --quick          fewer benchmarks, no peers, memcheck alone
  --only STEPS     some of tests,benchmarks,sections,scaling,hessians,memory after the build (default: all, in turn)
  --cases LIST     the sections to time (default: dense,theorem1; all: every case of section_bench)
  --rounds N       of the sections and their peers (default: 3)
  --seconds N      no section starts after so many of its step (default: 150)
  --minutes N      no step starts after so many (default: 10)

exit status: 0 all passed, 1 something failed, 2 wrong usage, 3 no GPU or no nvcc
TEXT
}

say() { printf '[gpu_check] %s\n' "$*"; }
die() { printf '[gpu_check] %s\n' "$2" >&2; exit "$1"; }

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
deps='' build=$root/build/gpu out='' python=python3 quick=no
readonly all_steps=tests,benchmarks,sections,scaling,hessians,memory
only=$all_steps cases=dense,theorem1 rounds=3 section_seconds=150 minutes=10
readonly command_line="$0 $*"
while (($#)); do
  case $1 in
    -h | --help) usage; exit 0 ;;
    --quick) quick=yes; shift; continue ;;
    --deps | --build | --out | --python | --only | --cases | --rounds | --seconds | --minutes)
      (($# > 1)) || die 2 "$1: expected a value; see --help"
      ;;
    *) die 2 "received $1; see --help" ;;
  esac
  case $1 in
    --deps) deps=$2 ;;
    --build) build=$2 ;;
    --out) out=$2 ;;
    --python) python=$2 ;;
    --only) only=$2 ;;
    --cases) cases=$2 ;;
    --rounds) rounds=$2 ;;
    --seconds) section_seconds=$2 ;;
    --minutes) minutes=$2 ;;
  esac
  shift 2
done
wants() { [[ ,$only, == *,$1,* ]]; }
for step in ${only//,/ }; do
  [[ ,$all_steps, == *,$step,* ]] || die 2 "--only: received $step; see --help"
done
at_least_one() { [[ $2 =~ ^[1-9][0-9]*$ ]] || die 2 "$1: received $2, expected at least 1"; }
at_least_one --rounds "$rounds"
at_least_one --seconds "$section_seconds"
at_least_one --minutes "$minutes"
[[ $cases != all ]] || cases=''

if [[ -n $deps ]]; then
  [[ -d $deps/usr ]] || die 2 "--deps: $deps has no folder usr; unpack the packages there with dpkg -x"
  deps=$(cd "$deps" && pwd)
fi
nvidia() { nvidia-smi --query-gpu="$1" --format=csv,noheader 2>/dev/null | head -n 1; }
gpu=$(nvidia name)
[[ -n $gpu ]] || die 3 "no GPU: nvidia-smi names none; run this on a machine with one"
capability=$(nvidia compute_cap)
nvcc=$(command -v nvcc || ls "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" 2>/dev/null) ||
  die 3 "no nvcc on PATH or in /usr/local/cuda/bin; install the CUDA toolkit"

made() {  # the absolute path of a folder that may not be there yet
  mkdir -p "$1" && (cd "$1" && pwd)
}
build=$(made "$build") || die 1 "the build folder cannot be made"
out=${out:-$build/gpu_check.json}
out=$(made "$(dirname "$out")")/$(basename "$out") || die 1 "the folder of $out cannot be made"

# --- unpacked packages

configure=(-DCMAKE_BUILD_TYPE=Release -DLOSSATLAS_CUDA=ON -DLOSSATLAS_TESTS=ON -DLOSSATLAS_BENCH=ON
           -DLOSSATLAS_EXAMPLES=OFF "-DCMAKE_CUDA_COMPILER=$nvcc" "-DCMAKE_CUDA_ARCHITECTURES=${capability/./}-real")
command -v ninja >/dev/null && configure+=(-G Ninja)
if [[ -n $deps ]]; then
  for folder in "$deps"/usr/lib/*-linux-gnu; do triplet=$(basename "$folder"); done
  links=$(made "$build/links/lib") || die 1 "the build folder cannot be written"
  # Absolute links, as libz.so is one, lead out of the folder.
  find "$deps/usr/lib/$triplet" -maxdepth 1 -type l -lname '/*' -printf '%f %l\n' | while read -r name target; do
    [[ ! -e $deps$target ]] || ln -sfn "$deps$target" "$links/$name"
  done
  # update-alternatives would have linked libopenblas.so one folder higher.
  libraries=$links:$deps/usr/lib/$triplet/openblas-pthread:$deps/usr/lib/$triplet:$deps/lib/$triplet
  configure+=("-DCMAKE_PREFIX_PATH=$build/links;$deps/usr" "-DCMAKE_LIBRARY_ARCHITECTURE=$triplet"
              "-DCMAKE_LIBRARY_PATH=${libraries//:/;}" "-DCMAKE_INCLUDE_PATH=$deps/usr/include/$triplet")
  export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
  export PATH=$PATH:$deps/usr/bin
fi

# --- steps

export LOSSATLAS_CUDA_MODULE=$build/lib/liblossatlas_cuda.so  # tests and benchmarks lie in another folder
work=$(mktemp -d) || exit 1
running=
trap '[[ -z $running ]] || kill "$running"; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
steps=() table=() benchmarks=() reports=() failed=no

quoted() {  # a JSON string
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  text=${text//$'\n'/\\n}
  text=${text//$'\t'/\\t}
  printf '"%s"' "$(printf '%s' "$text" | tr -d '\000-\037')"
}

add_step() {  # add_step NAME STATUS SECONDS COMMAND DETAIL
  steps+=("$(printf '{"name": %s, "status": "%s", "seconds": %s, "command": %s, "detail": %s}' \
    "$(quoted "$1")" "$2" "$3" "$(quoted "$4")" "$(quoted "$5")")")
  table+=("$(printf '%-34s %-8s %8.1f  %s' "$1" "$2" "$3" "${5%%$'\n'*}")")
  [[ $2 != failed ]] || failed=yes
}

skip_step() { say "$1: skipped, $2"; add_step "$1" skipped 0 '' "$2"; }

# run_step NAME LIMIT COMMAND...: output goes to $work/NAME.log, whose end is shown and recorded on failure.
run_step() {
  local name=$1 limit=$2 start=$EPOCHREALTIME seconds status=0 detail='' left=$((60 * minutes - SECONDS))
  shift 2
  ((left > 0)) || { skip_step "$name" "$minutes minutes are over"; return 1; }
  ((limit <= left + 60)) || limit=$((left + 60))
  say "$name"
  timeout --kill-after=10 "$limit" "$@" >"$work/$name.log" 2>&1 &
  running=$!
  wait $running || status=$?
  running=
  seconds=$(awk "BEGIN { print $EPOCHREALTIME - $start }")
  if ((status == 0)); then
    [[ $name == test* ]] && detail=$(grep -E 'tests passed|\[  PASSED' "$work/$name.log" | tail -n 1)
    add_step "$name" ok "$seconds" "$*" "$detail"
    return 0
  fi
  ((status == 124)) && detail="stopped after $limit s; " || detail="status $status; "
  tail -n 40 "$work/$name.log" >&2
  add_step "$name" failed "$seconds" "$*" "$detail$(tail -n 20 "$work/$name.log")"
  return 1
}

# Google Benchmark's JSON, or a driver's, under its step's name.
keep_numbers() { [[ -s $2 ]] && benchmarks+=("$(quoted "$1"): $(cat "$2")"); }

run_benchmark() {  # run_benchmark NAME LIMIT PROGRAM ARGUMENT...
  local name=$1 limit=$2 program=$build/bin/$3
  shift 3
  run_step "$name" "$limit" "$program" --benchmark_out="$work/$name.json" --benchmark_out_format=json "$@" || return
  if grep -q '"error_occurred": true' "$work/$name.json"; then
    local message
    message=$(grep '"error_message"' "$work/$name.json" | sort | uniq -c)
    if grep '"error_message"' "$work/$name.json" | grep -qv 'received a device without'; then
      add_step "$name-errors" failed 0 '' "$message"
    else
      skip_step "$name-errors" "$message"
    fi
  fi
  keep_numbers "$name" "$work/$name.json"
}

check_tests() {
  run_step tests 240 ctest --test-dir "$build" --parallel 4 -R '\.gpu$' --no-tests=error --output-on-failure
  # On this machine a device is there: only what needs the emulated one may be skipped.
  local wrong
  [[ -e $build/Testing/Temporary/LastTest.log ]] || return
  wrong=$(awk '/: Skipped$/ { getline; print } sub(/^skipped: /, "")' "$build/Testing/Temporary/LastTest.log" |
    grep -v 'emulated device' | sort | uniq -c)
  [[ -z $wrong ]] || add_step tests-skipped failed 0 '' "tests did not run: $wrong"
}

# A few of each: the tools slow kernels down a hundredfold.
readonly section_tests='*SizesStraddleTheTiles:*OutputsOfASampleFreePlan:*NonFinitePointsStayWhereTheyAre'
readonly backend_tests='*LossesAccuracyAndGradient:*LastLayersMatchTheCpu'
readonly pair_tests='*InfiniteActivationsKeepTheirLimits:*HeadsOfVeryDifferentScales*'
readonly stream_tests='*LayersOfSeveralPasses:*SamplesAndDirections:*PointsShareATile'
readonly point_tests='*LayersOfSeveralPasses:*PointsDirectionsAndDepths'
readonly hessian_tests='*MatchesTheCpuAtTheBordersOfTiles:*ProductsMatchTheCpu'

sanitizer() {
  command -v compute-sanitizer && return
  ls "$(dirname "$nvcc")/compute-sanitizer" 2>/dev/null
}

# check_with STEP TEST FILTER: a test program under the tool of check_memory.
check_with() {
  run_step "$1" 120 "$program" "${options[@]}" "$build/bin/$2" --gtest_filter="$3"
}

check_memory() {
  local tool tools=(memcheck racecheck initcheck synccheck) program
  program=$(sanitizer) || { skip_step sanitizers "no compute-sanitizer"; return; }
  [[ $quick == yes ]] && tools=(memcheck)
  for tool in "${tools[@]}"; do
    local options=(--tool "$tool" --error-exitcode 99)
    run_step "$tool-fragments" 60 "$program" "${options[@]}" "$build/bin/fragments_gpu_test"
    # What the libraries' own kernels do in shared memory is theirs.
    [[ $tool == memcheck ]] || options+=(--kernel-name kernel_substring=lossatlas)
    check_with "$tool-sections" cuda_section_test "$section_tests"
    check_with "$tool-backend" cuda_backend_test "$backend_tests"
    check_with "$tool-pairs" cuda_tensor_test "$pair_tests"
    check_with "$tool-stream" cuda_tensor_stream_test "$stream_tests"
    check_with "$tool-points" cuda_tensor_points_test "$point_tests"
    check_with "$tool-hessian" cuda_hessian_test "$hessian_tests"
  done
}

# Each benchmark once on either device, without peers.
measure() {
  local assemble='' device
  [[ $quick == yes ]] && assemble=assemble/2_100_1
  for device in cpu cuda; do
    run_benchmark "section-$device" 120 section_bench --device $device --cases dense --repetitions 1
    run_benchmark "hessian-$device" 180 hessian_bench --device $device --benchmark_min_time=0.1 \
      --benchmark_filter="$assemble"
    [[ $quick == yes ]] ||
      run_benchmark "fit-$device" 120 fit_bench --device $device --benchmark_filter=fit_features/2048
  done
}

has() { "$python" -c "import numpy, $1" 2>/dev/null; }

run_sections() {  # run_sections NAME LIMIT ARGUMENT...: bench/run.py on the GPU
  local name=$1 limit=$2
  shift 2
  run_step "$name" "$limit" "$python" "$root/bench/run.py" --device cuda --bench "$build/bin/section_bench" \
    --python "$python" --rounds "$rounds" --json "$work/$name.json" "$@" || return
  reports+=("$(cat "$work/$name.log")")
  keep_numbers "$name" "$work/$name.json"
}

compare_sections() {
  [[ $quick == no ]] || return
  has torch || { skip_step section-peers "no numpy or torch in $python"; return; }
  run_sections section-peers $((section_seconds + 240)) --cases "$cases" --seconds "$section_seconds"
}

scale() {
  [[ $quick == no ]] || return
  "$python" -c '' 2>/dev/null || { skip_step section-scaling "no $python"; return; }
  run_sections section-scaling 120 --scaling --precisions f32
}

run_hessians() {  # run_hessians DEVICE LIMIT ARGUMENT...: bench/hessian_run.py on it
  local device=$1 limit=$2 name=hessian-peers-$1
  shift 2
  if grep -qs '"error_occurred": true' "$work/hessian-$device.json"; then
    skip_step "$name" "nothing of ours to compare with"
    return
  fi
  run_step "$name" "$limit" "$python" "$root/bench/hessian_run.py" --bench "$build/bin/hessian_bench" \
    --python "$python" --device "$device" --rounds 1 --json "$work/$name.json" "$@" || return
  reports+=("$(cat "$work/$name.log")")
  keep_numbers "$name" "$work/$name.json"
}

# The eigenvalues of one matrix take as long whatever N it was summed over.
readonly solved=2_1250_1,20_60_60_10,784_20_10
readonly assembled=$solved,2_1250_1_n60000,20_60_60_10_n60000,784_20_10_n60000

compare_hessians() {
  [[ $quick == no ]] || return
  has torch || has jax || { skip_step hessian-peers "no numpy with torch or jax in $python"; return; }
  run_hessians cpu 120
  run_hessians cuda 360 --cases $assembled --spectra $solved --rows 64 --torch-forms functional,vmap --jax-forms map
}

joined() {  # with commas
  local IFS=$'\n' text
  text="$*"
  printf '%s' "${text//$'\n'/,$'\n'}"
}

write_record() {
  local commit cpu
  commit=$(git -C "$root" rev-parse HEAD 2>/dev/null) || commit=unknown
  [[ -z $(git -C "$root" status --porcelain 2>/dev/null) ]] || commit+=' with local changes'
  cpu=$(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
  {
    printf '{"machine": {"cpu": %s, "cores": %d, "system": %s},\n' "$(quoted "$cpu")" "$(nproc)" \
      "$(quoted "$(uname -srm)")"
    printf '"gpu": {"name": %s, "capability": "%s", "memory": %s, "driver": "%s", "nvcc": %s},\n' \
      "$(quoted "$gpu")" "$capability" "$(quoted "$(nvidia memory.total)")" "$(nvidia driver_version)" \
      "$(quoted "$("$nvcc" --version | grep release)")"
    printf '"commit": %s, "date": "%s", "command": %s, "only": "%s", "quick": %s, "passed": %s, "seconds": %d,\n' \
      "$(quoted "$commit")" "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$(quoted "$command_line")" "$only" \
      "$([[ $quick == yes ]] && echo true || echo false)" "$([[ $failed == no ]] && echo true || echo false)" \
      "$SECONDS"
    printf '"steps": [\n%s],\n"benchmarks": {\n%s}}\n' "$(joined "${steps[@]}")" "$(joined_blocks)"
  } >"$out.part" && mv -f "$out.part" "$out"
}

joined_blocks() {
  local index
  for index in "${!benchmarks[@]}"; do
    ((index == 0)) || printf ',\n'
    printf '%s' "${benchmarks[index]}"
  done
}

main() {
  say "$gpu, compute capability $capability, driver $(nvidia driver_version)"
  local targets=(gpu_tests section_bench fit_bench hessian_bench)
  if run_step configure 60 cmake -S "$root" -B "$build" "${configure[@]}" &&
    run_step build 900 cmake --build "$build" --parallel "$(nproc)" --target "${targets[@]}"; then
    ! wants tests || check_tests
    ! wants benchmarks || measure
    ! wants sections || compare_sections
    ! wants scaling || scale
    ! wants hessians || compare_hessians
    ! wants memory || check_memory
  fi
  write_record || die 1 "the record $out cannot be written"
  printf '\n%-34s %-8s %8s  %s\n' step status seconds detail
  printf '%s\n' "${table[@]}"
  ((${#reports[@]} == 0)) || printf '\n%s\n' "${reports[@]}"
  say "record: $out"
  [[ $failed == no ]] || die 1 "something failed"
  say "all passed in $SECONDS s"
}
main
