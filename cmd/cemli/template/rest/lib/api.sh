#!/usr/bin/env bash
# How the API is called. This is the one place to change for yours.

# base is the API's address; the demo's "server" is a folder.
base() {
  if [[ $CEMLI_PARAM_BASE_URL == demo ]]; then
    echo "file://$PWD/demo"
  else
    echo "$CEMLI_PARAM_BASE_URL"
  fi
}

# api PATH [OPTION…] calls it, fails where the server refuses, and prints the answer. Headers come by stdin: others see
# arguments. For a token put API_TOKEN into "secrets" of the manifest; one that a script gets for itself is masked once it is
# a line of the file "$CEMLI_MASK".
api() {
  local path=$1
  shift
  printf 'header = "Accept: application/json"\n%s' "${API_TOKEN:+header = \"Authorization: Bearer $API_TOKEN\"}" |
    curl --silent --show-error --fail --max-time 30 --config - "$@" "$(base)/$path"
}
