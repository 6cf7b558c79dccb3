#!/usr/bin/env bash
# image-test.sh IMAGE: builds the image and runs an event through it. Where the Dockerfile's bases are
# not given and none can be made, and where there is no engine, it says so and passes.
set -euo pipefail

skip() { echo "NOT TESTED: the image: $*"; exit 0; }
docker version >/dev/null 2>&1 || skip "there is no container engine"
if [[ -z ${GO_IMAGE:-} || -z ${RUNTIME_IMAGE:-} ]]; then
  command -v debootstrap >/dev/null || skip "its bases need debootstrap; or name others in GO_IMAGE and RUNTIME_IMAGE"
  [[ $(id -u) = 0 ]] || skip "debootstrap needs root"
fi
bases=$(scripts/base-images.sh)
# shellcheck disable=SC2086 # two words
env $bases make image smoke IMAGE="$1"
