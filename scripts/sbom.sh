#!/usr/bin/env bash
# sbom.sh IMAGE FILE SCALIBR…: writes what an image contains, its Debian packages and the binary's
# Go modules, to FILE in CycloneDX's form.
set -euo pipefail

tar=$(mktemp --suffix .tar)
trap 'rm -f "$tar"' EXIT
docker save -o "$tar" "$1"
"${@:3}" --image-tarball "$tar" --plugins os/dpkg,go/binary -o "cdx-json=$2"
# An inventory without its two halves is none.
for part in pkg:deb/ pkg:golang/; do
  grep -q "$part" "$2" || { echo "$2 lists nothing that begins with $part" >&2; exit 1; }
done
