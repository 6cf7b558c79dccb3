#!/usr/bin/env bash
# The database can be reached and is in the state that the change begins with. It changes nothing but the demo.
set -euo pipefail
source lib/sql.sh

if [[ $CEMLI_PARAM_DATABASE == demo ]]; then
  sql demo.sql
fi
found=$(sql precheck.sql)
[[ $found == 0 ]] || {
  echo "the change is there already, wholly or in part: $found rows" >&2
  exit 1
}
