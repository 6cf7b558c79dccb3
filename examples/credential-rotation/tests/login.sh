#!/usr/bin/env bash
set -euo pipefail
. lib/interface.sh
printf %s "$BANK_PASSWORD" | interface_login && echo "login works"
