#!/usr/bin/env bash
set -euo pipefail
# Those in the package, and those that the endpoints showed.
bad=0
for file in certificates/*.pem "$TMPDIR"/*.pem; do
  [[ -s $file ]] || continue
  until=$(openssl x509 -in "$file" -noout -enddate | cut -d= -f2)
  name=${file##*/}
  verdict=valid
  openssl x509 -in "$file" -noout -checkend $((CEMLI_PARAM_MIN_DAYS * 86400)) >/dev/null || { verdict="too short"; bad=$((bad + 1)); }
  echo "$name: $verdict until $until"
  echo "| $name | $verdict until $until |" >>"$TMPDIR/rows"
done
echo "CERTIFICATES_BAD=$bad" >>"$CEMLI_OUTPUT"
