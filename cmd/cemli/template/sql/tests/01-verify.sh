#!/usr/bin/env bash
# The change is there, wholly: sql/verify.sql selects what is not as it should be.
set -euo pipefail
source lib/sql.sh

problems=$(run_sql verify.sql)
[[ -z $problems ]] || {
  echo "$problems" >&2
  exit 1
}
