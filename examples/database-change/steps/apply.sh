#!/usr/bin/env bash
# The change: the files of sql/apply in their order, each a transaction. If one fails, those before it stay, for the undo.
set -euo pipefail
# shellcheck source=/dev/null
source "lib/$CEMLI_PARAM_CLIENT.sh"

for file in sql/apply/*.sql; do
  echo "$file"
  run_sql "${file#sql/}"
done
run_sql touched.sql >"$CEMLI_ARTIFACTS/after.csv"
diff "$CEMLI_ARTIFACTS/before.csv" "$CEMLI_ARTIFACTS/after.csv" >"$CEMLI_ARTIFACTS/change.diff" || [[ $? -eq 1 ]]
echo "- suppliers changed: $(grep -c '^>' "$CEMLI_ARTIFACTS/change.diff" || true)" >>"$CEMLI_SUMMARY"
