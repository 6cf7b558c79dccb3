#!/usr/bin/env bash
set -euo pipefail
target=target/$CEMLI_ENVIRONMENT/invoice_$CEMLI_PARAM_COUNTRY.properties
mkdir -p "${target%/*}"
{
  cat "labels/$CEMLI_PARAM_COUNTRY.properties"
  echo "invoice.vat.rate=$CEMLI_PARAM_VAT_RATE"
  echo "invoice.currency=$CEMLI_PARAM_CURRENCY"
} >"$target"
echo "FILE=$target" >>"$CEMLI_OUTPUT"
