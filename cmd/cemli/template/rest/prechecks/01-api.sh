#!/usr/bin/env bash
# The API answers, and what is to be loaded is JSON.
set -euo pipefail
source lib/api.sh

api codes.json | jq -e 'type == "array"' >/dev/null
jq -e 'all(.code and .name)' demo/new.json >/dev/null
