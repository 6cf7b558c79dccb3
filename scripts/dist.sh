#!/usr/bin/env bash
# dist.sh DIR: builds the command line for the systems that people use, into DIR.
set -euo pipefail

mkdir -p "$1"
for target in linux/amd64 linux/arm64 darwin/arm64 windows/amd64; do
  GOOS=${target%/*} GOARCH=${target#*/}
  export GOOS GOARCH
  scripts/build.sh "$1/cemli-$GOOS-$GOARCH$([[ $GOOS != windows ]] || echo .exe)" ./cmd/cemli
done
(cd "$1" && sha256sum cemli-* >SHA256SUMS)
