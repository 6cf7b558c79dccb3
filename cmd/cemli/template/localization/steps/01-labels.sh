#!/usr/bin/env bash
# Applies one country's labels; each parameter set is a run of its own. Put the call to your system here.
set -euo pipefail

cp "labels/$CEMLI_PARAM_COUNTRY.properties" "$CEMLI_ARTIFACTS/labels.properties"
echo "applied $(wc -l <"$CEMLI_ARTIFACTS/labels.properties") labels for $CEMLI_PARAM_COUNTRY"
