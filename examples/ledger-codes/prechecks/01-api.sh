#!/usr/bin/env bash
set -euo pipefail
curl -fsS --max-time 10 "$CEMLI_PARAM_API/health" | jq -e '.status == "UP"'
