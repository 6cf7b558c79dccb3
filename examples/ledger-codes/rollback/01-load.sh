#!/usr/bin/env bash
set -euo pipefail
[[ -s "$CEMLI_ARTIFACTS/before.json" ]] || exit 0     # nothing was changed
curl -fsS -X PUT -H 'Content-Type: application/json' --data-binary @"$CEMLI_ARTIFACTS/before.json" \
  "$CEMLI_PARAM_API/ledgers/$CEMLI_PARAM_LEDGER/codes"
