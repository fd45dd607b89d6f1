#!/bin/sh
# keep_report.sh REPORT COMMAND...: runs a compiler and keeps what ptxas says of each kernel in REPORT.
report=$1
shift
"$@" 2>"$report.part"
status=$?
grep -v -e '^ptxas info' -e '^    [0-9]* bytes stack frame' "$report.part" >&2
mv "$report.part" "$report"
exit $status
