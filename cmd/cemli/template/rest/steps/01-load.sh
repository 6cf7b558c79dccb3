#!/usr/bin/env bash
# Loads what is missing, so that doing it again changes nothing. What was there before is kept for the undo.
set -euo pipefail
source lib/api.sh

api codes.json >"$CEMLI_ARTIFACTS/before.json"
jq -s '.[0] + .[1] | unique_by(.code)' "$CEMLI_ARTIFACTS/before.json" demo/new.json >"$TMPDIR/after.json"
api codes.json --upload-file "$TMPDIR/after.json"
jq 'length' "$TMPDIR/after.json"
