#!/usr/bin/env bash
set -euo pipefail
. lib/erp.sh
found=$(erp_export | affected)
echo "AFFECTED=$found" >>"$CEMLI_OUTPUT"
echo "$found suppliers have blanks around their tax id; $CEMLI_PARAM_EXPECTED were approved"
[[ $found -eq $CEMLI_PARAM_EXPECTED ]]
