#!/usr/bin/env bash
# The change itself.
set -euo pipefail

echo "applying $CEMLI_PACKAGE $CEMLI_VERSION in $CEMLI_ENVIRONMENT"

# What is written to this folder becomes part of the evidence.
date -u +%FT%TZ >"$CEMLI_ARTIFACTS/applied.txt"
