#!/usr/bin/env bash
set -euo pipefail
. lib/erp.sh
left=$(erp_export | affected)
echo "$left suppliers are left"
[[ $left -eq 0 ]]
