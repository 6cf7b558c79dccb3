#!/usr/bin/env bash
# fuzz.sh TIME: runs every fuzz target of the module for TIME, one after the other.
set -euo pipefail

time=${1:-30s}
count=0
while IFS=: read -r file target; do
  package=./$(dirname "$file")
  echo "== $package $target for $time"
  # Without a bound it spends the time on shortening what it finds.
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 1000x "$package"
  count=$((count + 1))
done < <(grep -rhoE --include='*_test.go' -H '^func Fuzz[A-Za-z0-9_]+' . | sed 's/func //; s|^\./||')

if [[ $count -eq 0 ]]; then
  echo "no fuzz targets found" >&2
  exit 1
fi
echo "$count fuzz targets passed"
