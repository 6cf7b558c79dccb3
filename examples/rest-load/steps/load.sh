#!/usr/bin/env bash
# Loads the rows whose external reference is not there yet. What is sent is written down first, for the undo.
set -euo pipefail
source lib/api.sh
authorize

references=$(jq -r '.[].ExternalReference' data/suppliers.json)
for reference in $references; do
  supplier "$reference"
done >"$TMPDIR/there.jsonl"
jq --slurpfile there "$TMPDIR/there.jsonl" --arg run "$CEMLI_RUN_ID" \
  '{LoadReference: $run, rows: map(select(.ExternalReference | IN($there[].ExternalReference) | not))}' \
  data/suppliers.json >"$CEMLI_ARTIFACTS/load.json"

load='{"Status": "SUCCEEDED", "rows": []}'
if jq -e '.rows != []' "$CEMLI_ARTIFACTS/load.json" >/dev/null; then
  api POST supplierLoads --header 'Content-Type: application/json' --data-binary "@$CEMLI_ARTIFACTS/load.json" >"$TMPDIR/load.json"
  id=$(jq -er .LoadId "$TMPDIR/load.json")
  load=$(ended "$id")
fi

report=$CEMLI_ARTIFACTS/report.json
jq --slurpfile there "$TMPDIR/there.jsonl" '.rows += ($there | map({ExternalReference, Status: "THERE ALREADY"}))' <<<"$load" >"$report"
jq -r '"| supplier | outcome |", "| --- | --- |", (.rows[] | "| \(.ExternalReference) | \(.Status) |")' "$report" >>"$CEMLI_SUMMARY"
jq -r '.rows[] | select(.Message) | "\(.ExternalReference): \(.Message)"' "$report" >&2
jq -e '.Status == "SUCCEEDED"' "$report" >/dev/null
