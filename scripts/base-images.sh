#!/usr/bin/env bash
# base-images.sh: makes the Dockerfile's two bases where no image can be pulled, and prints
# them as GO_IMAGE=… RUNTIME_IMAGE=…: the Debian release that the Dockerfile names, by
# debootstrap from the mirror this machine uses, and this machine's Go in it.
# Takes root. The file system is kept in a cache, the images in the engine.
# Where both are set already, these it is.
set -euo pipefail
cd "$(dirname "$0")/.."

if [[ -n ${GO_IMAGE:-} && -n ${RUNTIME_IMAGE:-} ]]; then
  echo "GO_IMAGE=$GO_IMAGE RUNTIME_IMAGE=$RUNTIME_IMAGE"
  exit
fi

suite=$(sed -n 's/^ARG RUNTIME_IMAGE=docker.io\/library\/debian:\([a-z]*\).*/\1/p' Dockerfile)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/cemli-executor-bases
runtime=cemli-base:$suite
golang=cemli-base:$(go env GOVERSION)-$suite
have() { docker image inspect "$1" >/dev/null 2>&1; }

if [[ ! -f $cache/$suite.tar ]]; then
  # shellcheck disable=SC2016 # apt-get's variables
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
  mkdir -p "$cache"
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" >&2
  # Like Debian's own slim images: without what nobody reads in a container, now and later.
  printf 'path-exclude /usr/share/%s/*\n' doc info locale man >"$root/etc/dpkg/dpkg.cfg.d/slim"
  rm -rf "$root"/usr/share/{doc,info,locale,man}/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*
  rm -f "$root"/etc/{hostname,resolv.conf}
  tar -C "$root" --exclude='./dev/*' -cf "$cache/$suite.tar.new" .
  mv "$cache/$suite.tar.new" "$cache/$suite.tar"
fi
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
have "$runtime" || docker import --change "ENV PATH=$path" "$cache/$suite.tar" "$runtime" >&2
have "$golang" || {
  container=$(docker create "$runtime" true)
  docker cp "$(go env GOROOT)/." "$container:/usr/local/go"
  # Modules are downloaded from there: what this machine trusts, a proxy's authority too.
  docker cp "$(readlink -f /etc/ssl/certs/ca-certificates.crt)" "$container:/etc/ssl/certs/ca-certificates.crt"
  docker commit --change "ENV PATH=/usr/local/go/bin:$path" "$container" "$golang"
  docker rm "$container"
} >&2
echo "GO_IMAGE=$golang RUNTIME_IMAGE=$runtime"
