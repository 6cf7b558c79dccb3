#!/usr/bin/env bash
# Puts the labels back that were there before.
set -euo pipefail

rm -f "$CEMLI_ARTIFACTS/labels.properties"
echo "undone for $CEMLI_PARAM_COUNTRY"
