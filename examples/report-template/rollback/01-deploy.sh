#!/usr/bin/env bash
set -euo pipefail
. lib/catalog.sh
for t in "$CEMLI_ARTIFACTS"/before/*.xml; do
  [[ -e $t ]] || exit 0 # nothing was deployed
  catalog_put "${t##*/}" <"$t"
  echo "put back ${t##*/}"
done
