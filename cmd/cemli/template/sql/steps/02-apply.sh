#!/usr/bin/env bash
# The change. sql/undo.sql undoes it.
set -euo pipefail
source lib/sql.sh

sql apply.sql
