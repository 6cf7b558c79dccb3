#!/usr/bin/env bash
# Is the change there, all of it? sql/verify.sql prints what is not as it should be.
set -euo pipefail
# shellcheck source=/dev/null
source "lib/$CEMLI_PARAM_CLIENT.sh"

problems=$(run_sql verify.sql)
[[ -z $problems ]] || { echo "$problems" >&2; exit 1; }
