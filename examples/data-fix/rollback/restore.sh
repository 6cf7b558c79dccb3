#!/usr/bin/env bash
set -euo pipefail
. lib/erp.sh
[[ -s $CEMLI_ARTIFACTS/before.csv ]] || exit 0 # nothing was changed
erp_import <"$CEMLI_ARTIFACTS/before.csv"
echo "restored"
