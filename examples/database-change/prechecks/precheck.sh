#!/usr/bin/env bash
# Is the database in the state that the change was approved for? sql/precheck.sql prints what speaks against it.
set -euo pipefail
# shellcheck source=/dev/null
source "lib/$CEMLI_PARAM_CLIENT.sh"

[[ $CEMLI_PARAM_DATABASE != demo ]] || run_sql demo.sql
problems=$(run_sql precheck.sql)
[[ -z $problems ]] || { echo "$problems" >&2; exit 1; }
