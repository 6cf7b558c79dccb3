#!/usr/bin/env bash
# The change itself. rollback/01-apply.sh undoes it, also when it has stopped half-way.
set -euo pipefail

echo "applying $CEMLI_PACKAGE $CEMLI_VERSION in $CEMLI_ENVIRONMENT: $CEMLI_PARAM_COMMENT"

# What is written to this folder becomes part of the evidence.
date -u +%FT%TZ >"$CEMLI_ARTIFACTS/applied.txt"
