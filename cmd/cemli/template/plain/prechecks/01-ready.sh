#!/usr/bin/env bash
# Checks, before anything changes, that this can work. It must change nothing.
set -euo pipefail

[[ -d $CEMLI_ARTIFACTS ]] || {
  echo "there is no folder for artifacts" >&2
  exit 1
}
