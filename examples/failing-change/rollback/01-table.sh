#!/usr/bin/env bash
set -euo pipefail
rm -f "state-table"
echo "removed table"
