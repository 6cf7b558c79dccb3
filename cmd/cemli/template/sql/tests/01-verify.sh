#!/usr/bin/env bash
# The change is there, wholly.
set -euo pipefail
source lib/sql.sh

found=$(sql verify.sql)
[[ $found == 1 ]] || {
  echo "the change is not there: $found rows" >&2
  exit 1
}
