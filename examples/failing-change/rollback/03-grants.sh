#!/usr/bin/env bash
set -euo pipefail
rm -f "state-grants"
echo "removed grants"
