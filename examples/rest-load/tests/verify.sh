#!/usr/bin/env bash
# Every row of the file is there, as it is in the file.
set -euo pipefail
source lib/api.sh
authorize

wrong=0
rows=$(jq -c '.[]' data/suppliers.json)
while read -r row; do
  there=$(supplier "$(jq -r .ExternalReference <<<"$row")")
  jq -ne --argjson row "$row" --argjson there "${there:-{\}}" '$there == $there + $row' >/dev/null || {
    echo "in the file: $row, there: ${there:-nothing}" >&2
    wrong=1
  }
done <<<"$rows"
exit "$wrong"
