#!/usr/bin/env bash
# Deletes what this change has created, all or part of it, and nothing that was there before. A second time it finds none.
set -euo pipefail
source lib/api.sh
[[ -s $CEMLI_ARTIFACTS/load.json ]] || exit 0 # nothing was sent
authorize

# The load may still run, also where its answer was lost: first it has to end.
run=$(jq -r .LoadReference "$CEMLI_ARTIFACTS/load.json")
loads=$(api GET supplierLoads --get --data-urlencode "q=LoadReference='$run'" | jq -r '.items[].LoadId')
for load in $loads; do
  ended "$load" >/dev/null
done

references=$(jq -r '.rows[].ExternalReference' "$CEMLI_ARTIFACTS/load.json")
for reference in $references; do
  id=$(supplier "$reference" | jq -r .SupplierId)
  [[ -n $id ]] || continue
  api DELETE "suppliers/$id"
  echo "deleted $reference"
done
