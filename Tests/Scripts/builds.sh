#!/usr/bin/env bash
# Builds what ships and what tests at the same time: each has stretches that keep one core busy, and together they take less.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Job control, so that what goes on in the background can be ended as a whole.
set -m

output=$(mktemp)
trap 'kill %1 2>/dev/null || true; rm -f "$output"' EXIT
echo "== release and debug builds at the same time (the first take minutes)"
"${MAKE:-make}" --no-print-directory build driver >"$output" 2>&1 &
status=0
"${MAKE:-make}" --no-print-directory debug || status=$?
wait %1 || status=$?
cat "$output"
exit "$status"
