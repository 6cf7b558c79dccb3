#!/usr/bin/env bash
# build-runner.sh COMMAND…: runs a command as on the managed build runner of OCI DevOps, as far as one
# machine can be like another: two cores, Podman under the name docker, a kernel without Landlock.
# Podman keeps what it makes in a folder of its own, which is removed afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v podman >/dev/null || { echo "build-runner.sh needs podman" >&2; exit 1; }

work=$(mktemp -d)
cleanup() {
  "$work/bin/docker" rm --all --force >/dev/null 2>&1 || true
  umount -l "$work"/storage/overlay 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
mkdir "$work/bin" "$work/storage" "$work/run"

# Limits that a machine can give away: the defaults are higher than some allow.
cat >"$work/containers.conf" <<CONF
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
cat >"$work/bin/docker" <<DOCKER
#!/bin/sh
export CONTAINERS_CONF=$work/containers.conf
# One --ulimit replaces all defaults.
[ "\$1" != run ] || { shift; set -- run --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 "\$@"; }
exec podman --root $work/storage --runroot $work/run "\$@"
DOCKER
chmod +x "$work/bin/docker"

${GO:=go} build -o "$work/kernel" ./internal/testkit/kernel
unset DOCKER_HOST GO_IMAGE RUNTIME_IMAGE
export PATH="$work/bin:$PATH"
taskset -c 0,1 "$work/kernel" ENOSYS "$@"
