#!/usr/bin/env bash
# vulncheck.sh COMMAND…: runs govulncheck. Where its database cannot be reached it says
# so and passes; anything else that is not a success fails.
set -uo pipefail

out=$("$@" 2>&1)
code=$?
printf '%s\n' "$out"
if [[ $code -ne 0 ]] && grep -q '^govulncheck: fetching vulnerabilities:' <<<"$out"; then
  echo "NOT CHECKED: the vulnerability database cannot be reached from here" >&2
  exit 0
fi
exit "$code"
