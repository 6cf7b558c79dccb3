#!/usr/bin/env bash
set -euo pipefail
# All are tried, so that the report is whole; the verdict comes at the end.
bad=0
for url in $CEMLI_PARAM_ENDPOINTS; do
  status=$(curl -sS -o /dev/null --max-time 10 -w '%{http_code}' "$url") || true
  echo "$url answers $status"
  echo "| $url | $status |" >>"$TMPDIR/rows"
  [[ $status == 2* ]] || bad=$((bad + 1))
  if [[ $url == https://* ]]; then
    host=${url#https://} host=${host%%/*}
    [[ $host == *:* ]] || host=$host:443
    openssl s_client -connect "$host" -servername "${host%:*}" </dev/null 2>/dev/null | openssl x509 >"$TMPDIR/${host//:/_}.pem" || true
  fi
done
echo "ENDPOINTS_BAD=$bad" >>"$CEMLI_OUTPUT"
