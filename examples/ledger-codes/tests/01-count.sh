#!/usr/bin/env bash
set -euo pipefail
want=$(jq length artifacts/codes.json)
have=$(curl -fsS "$CEMLI_PARAM_API/ledgers/$CEMLI_PARAM_LEDGER/codes" | jq length)
echo "- codes: $have of $want" >>"$CEMLI_SUMMARY"
[[ $have -eq $want ]]
