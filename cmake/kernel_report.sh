#!/bin/sh
# kernel_report.sh [--no-spills] TABLE CU++FILT OBJECT...: writes to TABLE, and prints, a line for each kernel from the
# reports that keep_report.sh left beside the objects: architecture, registers, spilled and shared bytes. With
# --no-spills it fails if any kernel spills but Thrust's.
strict=no
[ "$1" = --no-spills ] && strict=yes && shift
table=$1 filter=$2
shift 2
for object; do
  [ -r "$object.report" ] || { echo "no kernel report beside $object" >&2; exit 1; }
done
for object; do cat "$object.report"; done | awk '
  /Compiling entry function/ { name = $0; sub(/.*entry function ./, "", name); arch = name; sub(/.* for ./, "", arch)
                               sub(/. for .*/, "", name); gsub(/\047/, "", name); gsub(/\047/, "", arch) }
  /bytes spill stores/       { spilled = 0; for (i = 2; i <= NF; ++i) if ($i == "bytes" && $(i + 1) == "spill") spilled += $(i - 1) }
  /Used [0-9]+ registers/    { registers = $0; sub(/.*Used /, "", registers); sub(/ registers.*/, "", registers)
                               shared = 0; if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART, RLENGTH) + 0
                               print arch, registers, spilled, shared, name }' | sort -u | while read -r arch registers spilled shared name; do
  printf '%-6s %3s registers %4s bytes spilled %5s bytes static shared  %s\n' "$arch" "$registers" "$spilled" "$shared" \
    "$("$filter" "$name" 2>/dev/null || echo "$name")"
done > "$table"
cut -c1-180 "$table"
[ -s "$table" ] || { echo "no kernel in the reports of $*" >&2; exit 1; }
[ "$strict" = no ] || ! grep -v ' 0 bytes spilled' "$table" | grep -vE '  (void )?(cub|thrust)::|_ZN(3cub|6thrust)'
