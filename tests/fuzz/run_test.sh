#!/usr/bin/env bash
# run.sh up to where clang is needed.
set -euo pipefail

run=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/run.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for name in bash cat dirname env paste sed; do ln -s "$(command -v $name)" "$work/$name"; done

expect() {  # expect STATUS TEXT ARGUMENT...: run.sh ends so, without clang, and says so
  local status=0 output
  output=$(PATH=$work "$run" "${@:3}" 2>&1) || status=$?
  [[ $status == "$1" && $output == *"$2"* ]] && return
  printf 'FAILED: run.sh %s: status %s, expected %s and "%s"\n%s\n' "${*:3}" "$status" "$1" "$2" "$output" >&2
  exit 1
}

expect 0 "Targets: csv idx journal npy options png safetensors shard spec" --help
expect 2 usage:
expect 2 "received 0 minutes" 0
expect 2 "received 1.5 minutes" 1.5
expect 2 "received the target nonsense" 1 npy nonsense
expect 1 "apt-get install clang libclang-rt-14-dev" 1 npy
