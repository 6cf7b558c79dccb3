#!/usr/bin/env bash
# The rows are rows, no reference is there twice, and the API lets us in.
set -euo pipefail
source lib/api.sh

jq -e 'all(.ExternalReference and .Supplier) and (map(.ExternalReference) | length == (unique | length))' data/suppliers.json >/dev/null || {
  echo "data/suppliers.json: each row needs a Supplier, and an ExternalReference of its own" >&2
  exit 1
}
authorize
api GET suppliers --get --data limit=1 >/dev/null
