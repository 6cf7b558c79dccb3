#!/usr/bin/env bash
set -euo pipefail
cd catalog && sha256sum --check "$CEMLI_ARTIFACTS/deployed.sha256"
