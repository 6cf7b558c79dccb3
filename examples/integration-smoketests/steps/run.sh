#!/usr/bin/env bash
# Calls every endpoint, prints a line for each, and writes report.json.
set -euo pipefail

report="$CEMLI_ARTIFACTS/report.json"
results="$TMPDIR/results.jsonl"
body="$TMPDIR/body"
: >"$results"

count=$(jq length artifacts/endpoints.json)
for ((i = 0; i < count; i++)); do
  endpoint=$(jq -c ".[$i]" artifacts/endpoints.json)
  name=$(jq -r .name <<<"$endpoint")
  url=$(jq -r .url <<<"$endpoint")
  wanted=$(jq -r .status <<<"$endpoint")
  expect=$(jq -r '.expect // empty' <<<"$endpoint")

  verdict=pass reason=""
  # -q: a .curlrc must not change what is tested.
  if ! status=$(curl -qsS --max-time 10 --max-filesize 1048576 -o "$body" -w '%{http_code}' -- "$url" 2>"$TMPDIR/error"); then
    verdict=fail status=0 reason=$(<"$TMPDIR/error")
  elif [[ $status != "$wanted" ]]; then
    verdict=fail reason="status $status instead of $wanted"
  elif [[ -n $expect ]] && ! jq -e "$expect" "$body" >/dev/null 2>&1; then
    verdict=fail reason="the answer does not fulfil: $expect"
  fi

  echo "$verdict  $name${reason:+ ($reason)}"
  jq -nc --arg name "$name" --arg url "$url" --arg verdict "$verdict" --arg reason "$reason" \
    --argjson status "$status" '{$name, $url, $verdict, $status, $reason}' >>"$results"
done

jq -s '{total: length, failed: map(select(.verdict == "fail")) | length, checks: .}' "$results" >"$report"
failed=$(jq .failed "$report")

{
  echo "| check | verdict |"
  echo "| --- | --- |"
  jq -r '.checks[] | "| \(.name) | \(.verdict) |"' "$report"
} >"$CEMLI_SUMMARY"

echo "$failed of $count checks failed"
[[ $failed -eq 0 ]]
