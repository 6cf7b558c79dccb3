#!/usr/bin/env bash
# Undoes steps/01-apply.sh. To see it at work, let a test fail: cemli run shows both.
set -euo pipefail

rm -f "$CEMLI_ARTIFACTS/applied.txt"
echo "undone"
