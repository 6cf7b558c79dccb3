# Of the output of go test -v: the tests that are skipped, each with its reason, which is said before that it is.
/_test\.go:[0-9]+: / { why = $0; sub(/^ *[^ ]*: /, "", why) }
/--- SKIP: / { print "SKIPPED " $3 ": " why }
