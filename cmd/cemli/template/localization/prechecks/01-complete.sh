#!/usr/bin/env bash
# Every label of the base language has a translation, and none is left over.
set -euo pipefail

keys() { cut -d= -f1 "labels/$1.properties" | sort; }
different=$(comm -3 <(keys base) <(keys "$CEMLI_PARAM_COUNTRY"))
[[ -z $different ]] || {
  echo "labels that do not match:" >&2
  echo "$different" >&2
  exit 1
}
