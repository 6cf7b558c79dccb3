#!/usr/bin/env bash
# image.sh IMAGE: builds the function's image under the name IMAGE, stamped with it and with
# VERSION and COMMIT. GO_IMAGE, RUNTIME_IMAGE and EXTRA_PACKAGES replace what the Dockerfile says.
set -euo pipefail
cd "$(dirname "$0")/.."

args=(--build-arg "IMAGE=$1" --build-arg "VERSION=${VERSION:-}" --build-arg "COMMIT=${COMMIT:-}"
  --build-arg "GOPROXY=$(go env GOPROXY)")
for name in GO_IMAGE RUNTIME_IMAGE EXTRA_PACKAGES; do
  [[ -z ${!name:-} ]] || args+=(--build-arg "$name=${!name}")
done
# The host's network: an engine may have none of its own.
docker build --network host "${args[@]}" -t "$1" .
