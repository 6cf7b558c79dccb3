#!/usr/bin/env bash
client=sqlplus # SQLcl: client=sql
export NLS_LANG=.AL32UTF8 JAVA_TOOL_OPTIONS=-Dfile.encoding=UTF-8 # what SQL*Plus and SQLcl take the files' characters from

# run_sql FILE runs a file of sql/ as one transaction, as far as it has no DDL, and prints the rows that it selects.
# All that the client said is kept in spool.log. Some errors (SP2-, a login, a procedure that does not compile) do not end
# it, so they are found in its output.
run_sql() {
  local output=$TMPDIR/client.out failed=0
  commands "$1" | "$client" -S -L /nolog >"$output" 2>&1 || failed=1
  { echo "== $CEMLI_STEP: $1" && cat "$output"; } >>"$CEMLI_ARTIFACTS/spool.log"
  if grep -qE '^(ORA|PLS|SP2|TNS)-[0-9]+|^Warning: .* compilation errors' "$output" || [[ $failed == 1 ]]; then
    cat "$output" >&2
    return 1
  fi
  sed '/^Connected\.$/d; /^Picked up JAVA_TOOL_OPTIONS/d' "$output"
}

# commands are the client's stdin. The password is there and not in its arguments, which others see.
commands() {
  echo 'whenever oserror exit failure rollback'
  echo 'whenever sqlerror exit failure rollback'
  echo 'set define off echo off feedback off heading off pagesize 0 linesize 32767 trimout on sqlblanklines on'
  printf 'connect %s/"%s"@%s\n' "$CEMLI_PARAM_DB_USER" "$DB_PASSWORD" "$CEMLI_PARAM_DATABASE"
  printf 'variable approved number\nexecute :approved := %d\n' "$CEMLI_PARAM_APPROVED"
  cat "sql/$1" && printf '\ncommit;\nexit success\n'
}
