#!/usr/bin/env bash
set -euo pipefail
source lib/sql.sh

sql undo.sql
echo "undone"
