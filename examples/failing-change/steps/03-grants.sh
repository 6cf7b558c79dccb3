#!/usr/bin/env bash
set -euo pipefail
touch state-grants
echo "made half of the grants"
if [[ $CEMLI_PARAM_FAIL == true ]]; then
  echo "the user APPS_RO does not exist" >&2
  exit 4
fi
