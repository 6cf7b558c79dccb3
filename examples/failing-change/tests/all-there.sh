#!/usr/bin/env bash
set -euo pipefail
ls state-table state-index state-grants
