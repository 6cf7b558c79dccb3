#!/usr/bin/env bash
# run_sql FILE runs a file of sql/ as one transaction, stops at its first error, and prints the rows that it selects.
run_sql() {
  local database=$CEMLI_PARAM_DATABASE
  [[ $database != demo ]] || database=$HOME/demo.db
  {
    echo ".parameter set :approved $CEMLI_PARAM_APPROVED"
    echo 'pragma foreign_keys = on; begin;'
    cat "sql/$1" && echo 'commit;'
  } | sqlite3 -bail -batch "$database"
}
