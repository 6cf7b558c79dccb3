#!/usr/bin/env bash
# dist.sh DIR builds a release into DIR: for each system a binary and an archive of the command line, with the modules in
# them, the stack for Resource Manager, and checksums of all. The same sources give the same bytes. TARGETS names the
# systems, and VERSION the release.
set -euo pipefail

dir=$(mkdir -p "$1" && cd "$1" && pwd)
read -ra targets <<<"${TARGETS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64}"
export VERSION=${VERSION:-devel}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 315532800)}
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Made and run here, whatever they are for.
"${GO:-go}" build -o "$work/release" ./scripts/release
scripts/build.sh "$work/cemli" ./cmd/cemli
mkdir "$work/completions"
"$work/cemli" completion bash >"$work/completions/cemli.bash"
"$work/cemli" completion fish >"$work/completions/cemli.fish"
"$work/cemli" completion powershell >"$work/completions/cemli.ps1"
"$work/cemli" completion zsh >"$work/completions/_cemli"

# Whoever is given a binary is given the licences of what is in it.
modules() {
  "${GO:-go}" list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}} {{.Dir}}{{end}}{{end}}' . ./cmd/cemli
}
{
  echo "Go's standard library"
  cat "$("${GO:-go}" env GOROOT)/LICENSE"
  modules | LC_ALL=C sort -u | while read -r module path; do
    printf '\n---\n%s\n\n' "$module"
    find "$path" -maxdepth 1 -type f \( -iname 'license*' -o -iname 'licence*' -o -iname 'notice*' -o -iname 'copying*' \) |
      LC_ALL=C sort | xargs cat
  done
} >"$work/LICENSES-OF-OTHERS"

find "$dir" -maxdepth 1 -name 'cemli-*' -delete
for target in "${targets[@]}"; do
  system=${target%/*}
  name=$system-${target#*/}
  folder=$work/cemli-$VERSION-$name
  exe=$([[ $system != windows ]] || echo .exe)
  mkdir -p "$folder"
  GOOS=$system GOARCH=${target#*/} scripts/build.sh "$folder/cemli$exe" ./cmd/cemli
  cp "$folder/cemli$exe" "$dir/cemli-$name$exe"
  # Beside it cemli local finds the function, which runs on Linux alone.
  [[ $system != linux ]] || GOOS=$system GOARCH=${target#*/} scripts/build.sh "$folder/cemli-executor" .
  cp -R "$work/completions" "$work/LICENSES-OF-OTHERS" LICENSE README.md CHANGELOG.md "$folder/"
  "$work/release" archive "$dir/cemli-$VERSION-$name.$([[ $system == windows ]] && echo zip || echo tar.gz)" "$folder"
done
"$work/release" stack "$dir/cemli-stack.zip" terraform
"$work/release" sbom "$dir/cemli-$VERSION.cdx.json" cemli "$work"/cemli-*/cemli*
(cd "$dir" && sha256sum cemli-* >SHA256SUMS)
