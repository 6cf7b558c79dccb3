#!/usr/bin/env bash
set -euo pipefail
touch "state-table"
echo "made table"
