#!/usr/bin/env bash
# build.sh OUT PACKAGE…: builds static, stripped binaries that know what they are: VERSION,
# COMMIT and IMAGE, from the environment, are stamped in. OUT ends with a slash if it is a folder.
set -euo pipefail

info=cemli-executor/internal/buildinfo
CGO_ENABLED=0 "${GO:-go}" build -trimpath -buildvcs=false -o "$1" \
  -ldflags "-s -w -X $info.Version=${VERSION:-} -X $info.Commit=${COMMIT:-} -X $info.Image=${IMAGE:-}" "${@:2}"
