#!/usr/bin/env bash
# How SQL files are run. This is the one place to change for another database.

# sql FILE runs a file of sql/, stops at its first error, and prints what it selects.
sql() {
  sqlite3 -bail "$(database)" <"sql/$1"
}

# database is where the demo lives: a folder of the run's own.
database() {
  if [[ $CEMLI_PARAM_DATABASE == demo ]]; then
    echo "$HOME/demo.db"
  else
    echo "$CEMLI_PARAM_DATABASE"
  fi
}

# For Oracle put this instead, "sql" (SQLcl) or "sqlplus" into "tools" of the manifest, and DB_USER and DB_PASSWORD into its
# "secrets". The password goes by stdin: others see arguments. Errors that do not end the client are found in its output.
#
# sql() {
#   local spool="$CEMLI_ARTIFACTS/${1%.sql}.log"
#   export NLS_LANG=.AL32UTF8
#   {
#     printf 'whenever oserror exit failure rollback\nwhenever sqlerror exit failure rollback\n'
#     printf 'set echo on feedback on define off\n'
#     printf 'connect %s/"%s"@%s\n' "$DB_USER" "$DB_PASSWORD" "$CEMLI_PARAM_DATABASE"
#     cat "sql/$1"
#     printf '\ncommit;\nexit success\n'
#   } | sqlplus -S -L /nolog | tee "$spool"
#   ! grep -E '^(ORA|PLS|SP2|TNS)-[0-9]+' "$spool" >&2
# }
