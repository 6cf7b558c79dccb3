#!/usr/bin/env bash
# Says which tools are missing before anything is called.
set -euo pipefail

missing=0
for tool in curl jq; do
  if ! command -v "$tool" >/dev/null; then
    echo "missing: $tool" >&2
    missing=1
  fi
done
jq -e 'type == "array" and length > 0 and all(.[]; has("name") and has("url") and has("status"))' \
  artifacts/endpoints.json >/dev/null || {
  echo "artifacts/endpoints.json must be a list of {name, url, status}" >&2
  missing=1
}
exit "$missing"
