#!/usr/bin/env bash
# Keeps what the change is going to touch, as evidence and for people. Nothing has to be undone.
set -euo pipefail
source lib/sql.sh

run_sql backup.sql >"$CEMLI_ARTIFACTS/before.txt"
wc -l <"$CEMLI_ARTIFACTS/before.txt"
