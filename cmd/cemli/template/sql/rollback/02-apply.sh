#!/usr/bin/env bash
set -euo pipefail
source lib/sql.sh

run_sql undo.sql
echo "undone"
