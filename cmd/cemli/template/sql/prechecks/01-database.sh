#!/usr/bin/env bash
# The database can be reached and is in the state that the change begins with: sql/precheck.sql selects what speaks against it.
set -euo pipefail
source lib/sql.sh

if [[ $CEMLI_PARAM_DATABASE == demo ]]; then
  run_sql demo.sql
fi
problems=$(run_sql precheck.sql)
[[ -z $problems ]] || {
  echo "$problems" >&2
  exit 1
}
