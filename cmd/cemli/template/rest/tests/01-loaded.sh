#!/usr/bin/env bash
# Everything that was to be loaded is there.
set -euo pipefail
source lib/api.sh

missing=$(jq -n --argjson have "$(api codes.json)" --slurpfile want demo/new.json '[$want[0][].code] - [$have[].code] | length')
[[ $missing == 0 ]] || {
  echo "missing: $missing" >&2
  exit 1
}
