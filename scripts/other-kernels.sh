#!/bin/sh
# The tests of what runs scripts, as on kernels with another Landlock than this machine's: none, for all of
# them, and the rules of ABI 1 and 3 for runs and examples. Names of kernels as arguments take those alone.
# What is skipped is listed with its reason.
set -eu
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
${GO:=go} build -o "$work/kernel" ./internal/testkit/kernel

wanted=${*:-ENOSYS 1 3}
code=0
on() {
  kernel=$1
  shift
  case " $wanted " in *" $kernel "*) ;; *) return 0 ;; esac
  echo "== as on a kernel with Landlock $kernel"
  # A container has the machine's own kernel.
  "$work/kernel" "$kernel" "$GO" test -count=1 -timeout 30m -v -skip 'Container|^TestImage$' "$@" \
    >"$work/log" 2>&1 || code=1
  awk -f scripts/skipped.awk "$work/log"
  grep -E '^(ok|FAIL|---? FAIL|panic)|^ +--- FAIL|_test\.go:[0-9]+: .*(want|FAIL)' "$work/log" || true
}

on ENOSYS . ./executor ./internal/pipeline ./internal/confinement ./examples ./internal/sandbox ./internal/local ./cmd/...
on 1 ./executor ./internal/pipeline ./internal/confinement ./examples
on 3 ./executor ./internal/pipeline ./internal/confinement ./examples
exit "$code"
