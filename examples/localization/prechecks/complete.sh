#!/usr/bin/env bash
set -euo pipefail
# Every label of the base language has a translation, and none is left over.
keys() { cut -d= -f1 "labels/$1.properties" | sort; }
missing=$(comm -3 <(keys base) <(keys "$CEMLI_PARAM_COUNTRY"))
[[ -z $missing ]] || { echo "labels that do not match: ${missing//$'\n'/ }" >&2; exit 1; }
