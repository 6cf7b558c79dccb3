#!/usr/bin/env bash
set -euo pipefail
{
  echo "## $CEMLI_ENVIRONMENT"
  echo "| what | state |"
  echo "| --- | --- |"
  cat "$TMPDIR/rows" 2>/dev/null || true
} >>"$CEMLI_SUMMARY"
bad=$((${CEMLI_OUT_ENDPOINTS_BAD:-1} + ${CEMLI_OUT_CERTIFICATES_BAD:-1}))
echo "problems: $bad"
[[ $bad -eq 0 ]]
echo "READY=yes" >>"$CEMLI_OUTPUT"
