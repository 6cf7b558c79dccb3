#!/usr/bin/env bash
# Keeps the rows that will be touched: in a table for the undo, and a list of them as evidence.
set -euo pipefail
# shellcheck source=/dev/null
source "lib/$CEMLI_PARAM_CLIENT.sh"

run_sql backup.sql
run_sql touched.sql >"$CEMLI_ARTIFACTS/before.csv"
