#!/usr/bin/env bash
set -euo pipefail

cmp "labels/$CEMLI_PARAM_COUNTRY.properties" "$CEMLI_ARTIFACTS/labels.properties"
