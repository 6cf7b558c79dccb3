#!/usr/bin/env bash
set -euo pipefail
rm -f "state-index"
echo "removed index"
