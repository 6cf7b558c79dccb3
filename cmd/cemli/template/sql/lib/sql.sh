#!/usr/bin/env bash
# How SQL files are run. This is the one place to change for another database.

# run_sql FILE runs a file of sql/ as one transaction, stops at its first error, and prints the rows that it selects.
run_sql() {
  {
    echo 'begin;'
    cat "sql/$1" && echo 'commit;'
  } | sqlite3 -bail -batch "$(database)"
}

# database is where the demo lives: a folder of the run's own.
database() {
  if [[ $CEMLI_PARAM_DATABASE == demo ]]; then
    echo "$HOME/demo.db"
  else
    echo "$CEMLI_PARAM_DATABASE"
  fi
}

# For Oracle put this instead, "sqlplus" (or "sql", which is SQLcl) into "tools" of the manifest, and DB_USER and DB_PASSWORD
# into its "secrets". The password goes in by stdin: others see arguments. Some errors do not end the client, so they are
# found in its output, all of which is kept in spool.log.
#
# export NLS_LANG=.AL32UTF8
# run_sql() {
#   local output=$TMPDIR/client.out failed=0
#   {
#     printf 'whenever oserror exit failure rollback\nwhenever sqlerror exit failure rollback\n'
#     printf 'set define off echo off feedback off heading off pagesize 0 linesize 32767 trimout on sqlblanklines on\n'
#     printf 'connect %s/"%s"@%s\n' "$DB_USER" "$DB_PASSWORD" "$CEMLI_PARAM_DATABASE"
#     cat "sql/$1" && printf '\ncommit;\nexit success\n'
#   } | sqlplus -S -L /nolog >"$output" 2>&1 || failed=1
#   cat "$output" >>"$CEMLI_ARTIFACTS/spool.log"
#   if grep -qE '^(ORA|PLS|SP2|TNS)-[0-9]+|^Warning: .* compilation errors' "$output" || [[ $failed == 1 ]]; then
#     cat "$output" >&2
#     return 1
#   fi
#   sed '/^Connected\.$/d' "$output"
# }
