#!/usr/bin/env bash
# image-tag.sh: prints the tag of the image that a build run makes: its commit, as far as it is
# known, and the run, as tags are never used twice and a commit may be built again.
set -euo pipefail

commit=${OCI_TRIGGER_COMMIT_HASH:-$(git rev-parse HEAD 2>/dev/null || true)} # no trigger: a run by hand
run=${OCI_BUILD_RUN_ID:?is not set: this is not a build run}
echo "${commit:+${commit:0:12}-}run-${run: -8}"
