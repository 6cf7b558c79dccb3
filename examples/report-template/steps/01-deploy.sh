#!/usr/bin/env bash
set -euo pipefail
. lib/catalog.sh
mkdir -p "$CEMLI_ARTIFACTS/before"
for t in templates/*.xml; do
  name=${t##*/}
  catalog_get "$name" >"$CEMLI_ARTIFACTS/before/$name"
  catalog_put "$name" <"$t"
  echo "deployed $name"
done
(cd templates && sha256sum ./*.xml) | tee "$CEMLI_ARTIFACTS/deployed.sha256"
