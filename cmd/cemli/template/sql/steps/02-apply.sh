#!/usr/bin/env bash
# The change. sql/undo.sql undoes it.
set -euo pipefail
source lib/sql.sh

run_sql apply.sql
