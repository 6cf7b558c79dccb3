#!/usr/bin/env bash
# Checks, before anything changes, that this can work. It must change nothing.
set -euo pipefail

for tool in date; do
  command -v "$tool" >/dev/null || {
    echo "missing: $tool" >&2
    exit 1
  }
done
