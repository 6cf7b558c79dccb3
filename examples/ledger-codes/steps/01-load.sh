#!/usr/bin/env bash
set -euo pipefail
api="$CEMLI_PARAM_API/ledgers/$CEMLI_PARAM_LEDGER/codes"
curl -fsS "$api" >"$CEMLI_ARTIFACTS/before.json"      # saved, and evidence
jq --argjson id "$CEMLI_PARAM_LEDGER" 'map(.ledger = $id)' artifacts/codes.json |
  curl -fsS -X PUT -H 'Content-Type: application/json' --data-binary @- "$api"
