#!/usr/bin/env bash
set -euo pipefail
touch "state-index"
echo "made index"
