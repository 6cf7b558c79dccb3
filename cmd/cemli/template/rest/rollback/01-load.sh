#!/usr/bin/env bash
# Puts back what was there. Without the file the step had not begun to change anything.
set -euo pipefail
source lib/api.sh

if [[ -s $CEMLI_ARTIFACTS/before.json ]]; then
  api codes.json --upload-file "$CEMLI_ARTIFACTS/before.json"
  echo "undone"
fi
