#!/usr/bin/env bash
set -euo pipefail
# This step is given no secret.
[[ ! -v BANK_PASSWORD ]]
echo "| interface | rotated |
| --- | --- |
| bank | $(date -u +%F) |" >>"$CEMLI_SUMMARY"
