#!/usr/bin/env bash
# How the API is called. Client secret and token reach curl in a configuration, never as arguments, which others see.

# quoted writes a value as curl's configurations want it.
quoted() {
  local value=${1//\\/\\\\}
  printf '"%s"' "${value//\"/\\\"}"
}

# authorize gets an access token. It is masked before the script has it, so that nothing can print it.
authorize() {
  ACCESS_TOKEN=$(
    curl --silent --show-error --fail --retry 3 --max-time 30 \
      --config <(printf 'user = %s\n' "$(quoted "$CEMLI_PARAM_CLIENT_ID:$CLIENT_SECRET")") \
      --data grant_type=client_credentials --data-urlencode "scope=$CEMLI_PARAM_SCOPE" "$CEMLI_PARAM_TOKEN_URL" |
      jq -r '.access_token // error("the answer has no access_token")' | tee -a "$CEMLI_MASK"
  )
}

# api METHOD PATH [OPTION…] calls the API and prints its answer. Where there are too many calls (429: nothing was done) it
# waits as long as the server says; a token that has ended (401) is replaced, once.
api() {
  local method=$1 path=$2 status after renewed=""
  shift 2
  for _ in 1 2 3 4 5; do
    status=$(
      curl --silent --show-error --max-time 60 --config <(printf 'header = %s\n' "$(quoted "Authorization: Bearer $ACCESS_TOKEN")") \
        --request "$method" --header 'Accept: application/json' --output "$TMPDIR/answer" --dump-header "$TMPDIR/headers" \
        --write-out '%{http_code}' "$@" "$CEMLI_PARAM_API/$path"
    ) || return
    if [[ $status == 2* ]]; then
      cat "$TMPDIR/answer"
      return
    elif [[ $status == 429 ]]; then
      after=$(sed -n 's/^retry-after: *\([0-9]\{1,3\}\)\r*$/\1/Ip' "$TMPDIR/headers")
      echo "too many calls: waiting ${after:-5} seconds" >&2
      sleep "${after:-5}"
    elif [[ $status == 401 && -z $renewed ]]; then
      renewed=yes
      authorize || return
    else
      break
    fi
  done
  echo "$method $path: status $status: $(head -c 1000 "$TMPDIR/answer")" >&2
  return 1
}

# supplier REFERENCE prints the supplier with that external reference, or nothing.
supplier() {
  api GET suppliers --get --data-urlencode "q=ExternalReference='$1'" | jq -c '.items[]'
}

# ended LOAD waits until a load has ended, and prints what became of it. The step's time bounds that.
ended() {
  local load
  while load=$(api GET "supplierLoads/$1") || return; jq -e '.Status | IN("WAIT", "RUNNING")' <<<"$load" >/dev/null; do
    sleep "$CEMLI_PARAM_POLL_SECONDS"
  done
  printf '%s\n' "$load"
}
