#!/usr/bin/env bash
# Runs the integration tests in two lanes that take about as long.
# Within a lane one after another. Both to their end; the status says whether one has failed.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Job control, so that the lane in the background does not ignore SIGINT, which its children would inherit.
set -m

beside='^IntegrationTests\.(BundleTests|AnomalyDeliveryTests|AnomalyKindsTests|AnomalyReplayTests|AnomalyWatchTests|LogTortureTests|ConnectionFaultTests|ConnectionServerFaultTests|FullDiskTests|WitnessBehaviourTests)'
bundle=.build/debug/coffrePackageTests.xctest
output=$(mktemp)
trap 'kill %1 2>/dev/null || true; rm -f "$output"' EXIT

"$bundle" --testing-library swift-testing --no-parallel --filter "$beside" >"$output" 2>&1 &
status=0
"$bundle" --testing-library swift-testing --no-parallel --filter '^IntegrationTests\.' --skip "$beside" || status=$?
wait %1 || status=$?
echo "== the other lane"
cat "$output"
exit "$status"
