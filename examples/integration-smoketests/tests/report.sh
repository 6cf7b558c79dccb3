#!/usr/bin/env bash
# The report is what people act on: check that it says something about every endpoint.
set -euo pipefail

wanted=$(jq length artifacts/endpoints.json)
total=$(jq -e .total "$CEMLI_ARTIFACTS/report.json")
if [[ $total -ne $wanted ]]; then
  echo "the report has $total checks; there are $wanted endpoints" >&2
  exit 1
fi
echo "the report covers all $total endpoints"
