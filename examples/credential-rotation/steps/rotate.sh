#!/usr/bin/env bash
set -euo pipefail
. lib/interface.sh
printf %s "$BANK_PASSWORD" | interface_set_password
echo "the password was set (attempt $CEMLI_ATTEMPT)"
echo "it is $BANK_PASSWORD" # a slip like this one is masked
