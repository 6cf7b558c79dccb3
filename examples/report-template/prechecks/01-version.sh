#!/usr/bin/env bash
set -euo pipefail
# The layout says the version that the package has: what is deployed can be told later.
for t in templates/*.xml; do
  grep -q "version=\"$CEMLI_VERSION\"" "$t" || { echo "$t is not of version $CEMLI_VERSION" >&2; exit 1; }
done
