#!/usr/bin/env bash
set -euo pipefail

greeting="Hello from Automated CEMLI Execution"
echo "$greeting"
echo "package $CEMLI_PACKAGE $CEMLI_VERSION, run $CEMLI_RUN_ID in $CEMLI_ENVIRONMENT"

# What is written here becomes part of the evidence.
printf '%s\n' "$greeting" >"$CEMLI_ARTIFACTS/greeting.txt"
