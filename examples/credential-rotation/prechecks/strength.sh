#!/usr/bin/env bash
set -euo pipefail
# Never as an argument of a program: other processes see those. printf is the shell's own.
[[ ${#BANK_PASSWORD} -ge 12 ]] || { echo "the password has fewer than 12 characters" >&2; exit 1; }
