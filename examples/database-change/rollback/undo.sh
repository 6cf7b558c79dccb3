#!/usr/bin/env bash
# Takes back what is there of the change, all or half of it, and changes nothing when it runs again.
set -euo pipefail
# shellcheck source=/dev/null
source "lib/$CEMLI_PARAM_CLIENT.sh"

run_sql undo.sql
run_sql touched.sql >"$CEMLI_ARTIFACTS/undone.csv"
diff "$CEMLI_ARTIFACTS/before.csv" "$CEMLI_ARTIFACTS/undone.csv" ||
  echo "these rows were changed by others, too, and stay as they are now"
