#!/usr/bin/env bash
set -euo pipefail
. lib/erp.sh
before=$CEMLI_ARTIFACTS/before.csv after=$TMPDIR/after.csv
erp_export >"$before"
awk -F, -v OFS=, 'NR > 1 { gsub(/^ +| +$/, "", $3) } { print }' "$before" >"$after"
diff "$before" "$after" >"$CEMLI_ARTIFACTS/change.diff" || [[ $? -eq 1 ]]
cat "$CEMLI_ARTIFACTS/change.diff"
if [[ $CEMLI_DRY_RUN ]]; then
  echo "dry run: nothing was written"
  exit 0
fi
erp_import <"$after"
echo "## $CEMLI_OUT_AFFECTED suppliers corrected" >>"$CEMLI_SUMMARY"
