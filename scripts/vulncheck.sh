#!/usr/bin/env bash
# vulncheck.sh COMMAND…: runs govulncheck. Where its database cannot be reached it says so, and
# passes only outside of a build run: what is released was checked. Whoever builds where it never can
# be sets VULN_UNCHECKED=1.
set -uo pipefail

out=$("$@" 2>&1)
code=$?
printf '%s\n' "$out"
if [[ $code -ne 0 ]] && grep -q '^govulncheck: fetching vulnerabilities:' <<<"$out"; then
  echo "NOT CHECKED: the vulnerability database cannot be reached from here" >&2
  [[ -z ${OCI_BUILD_RUN_ID:-} || ${VULN_UNCHECKED:-} = 1 ]] || exit "$code"
  exit 0
fi
exit "$code"
