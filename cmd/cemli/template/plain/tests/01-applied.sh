#!/usr/bin/env bash
# Checks the result of the change; a failure here fails the run, and undoes it.
set -euo pipefail

test -s "$CEMLI_ARTIFACTS/applied.txt"
