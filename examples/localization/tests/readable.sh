#!/usr/bin/env bash
set -euo pipefail
grep -q "^invoice.vat.rate=$CEMLI_PARAM_VAT_RATE$" "$CEMLI_OUT_FILE"
echo "- $CEMLI_PARAM_COUNTRY: $(grep -c = "$CEMLI_OUT_FILE") entries" >>"$CEMLI_SUMMARY"
