#!/usr/bin/env bash
# The shared library exports the public API, as listed in exported_symbols.txt, nothing else, and never links CUDA.
#   exported_symbols_test.sh LIBRARY [--update]
set -euo pipefail
export LC_ALL=C

library=$1
list="$(dirname "${BASH_SOURCE[0]}")/exported_symbols.txt"
# The list leaves out weak functions (W): inline members, which one compiler emits and another does not.
symbols() { nm --dynamic --defined-only --demangle "$library" | sed -E 's/^[0-9a-f]+ //'; }
exported=$(symbols | sed -E -n 's/^[TDBRVui] //p' | sort -u)

if [[ ${2:-} == --update ]]; then
  printf '%s\n' "$exported" >"$list"
  echo "wrote $list"
  exit 0
fi

status=0
own='^(lossatlas::|(vtable|typeinfo|typeinfo name) for lossatlas::)'
foreign=$(symbols | sed -E 's/^. //' | grep -Ev "$own" || true)
if [[ -n $foreign ]]; then
  printf '%s exports symbols that are not of namespace lossatlas:\n%s\n' "$library" "$foreign"
  status=1
fi
if ! difference=$(diff -u --label "$list" --label "$library" "$list" - <<<"$exported"); then
  printf 'the exported symbols differ from the list:\n%s\n' "$difference"
  printf 'if the public API was meant to change so, run %s %s --update\n' "$0" "$library"
  status=1
fi
needed=$(readelf --dynamic --wide "$library" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
if grep -Ei 'cuda|cublas|cusolver|nvidia' <<<"$needed"; then
  echo "$library links CUDA; only the CUDA module may"
  status=1
fi
echo "$(wc -l <<<"$exported") symbols exported, needed: ${needed//$'\n'/ }"
exit $status
