#!/usr/bin/env bash
# run_sql FILE runs a file of sql/ as one transaction, stops at its first error, and prints the rows that it selects.
# The password is in psql's environment and not in its arguments, which others see.
run_sql() {
  PGPASSWORD=$DB_PASSWORD PGCLIENTENCODING=UTF8 PGCONNECT_TIMEOUT=10 PGOPTIONS='-c lock_timeout=30s' \
    psql --no-psqlrc --no-password --quiet --tuples-only --no-align --single-transaction \
    --set=ON_ERROR_STOP=1 --set=approved="$CEMLI_PARAM_APPROVED" \
    --username="$CEMLI_PARAM_DB_USER" --dbname="$CEMLI_PARAM_DATABASE" --file="sql/$1"
}
