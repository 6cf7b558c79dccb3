package manifest

import (
	"regexp"
	"strconv"
	"strings"

	ranges "github.com/Masterminds/semver/v3"
	"golang.org/x/mod/semver"
)

// PlainVersion returns a version without its build metadata: versions that differ only in that are the same.
func PlainVersion(version string) string {
	plain, _, _ := strings.Cut(version, "+")
	return plain
}

// isPrerelease reports whether a version has a part after a hyphen.
func isPrerelease(version string) bool { return semver.Prerelease("v"+version) != "" }

// older reports whether version a precedes b, by SemVer 2.0.0: build metadata does not count.
func older(a, b string) bool { return semver.Compare("v"+a, "v"+b) < 0 }

// Satisfies reports whether a SemVer 2.0.0 version, whatever its build metadata, is in a range that Parse has accepted.
func Satisfies(version, wanted string) bool {
	rule, err := ranges.NewConstraint(wanted)
	if err != nil {
		return false
	}
	v, err := ranges.StrictNewVersion(bounded(PlainVersion(version)))
	return err == nil && rule.Check(v)
}

// vast matches numbers that a range cannot name, as they may not fit into the 64 bits of those who read it. The numbers
// of a version may have any length.
var vast = regexp.MustCompile(`[0-9]{20,}`)

// largest stands for every number that is larger than those of all ranges.
const largest = "18446744073709551615"

// bounded returns a version whose numbers fit into 64 bits and that compares to ranges in the same way.
func bounded(version string) string {
	core, pre, isPre := strings.Cut(version, "-")
	core = boundedParts(core)
	if isPre {
		core += "-" + boundedParts(pre)
	}
	return core
}

func boundedParts(text string) string {
	parts := strings.Split(text, ".")
	for i, part := range parts {
		if _, err := strconv.ParseUint(part, 10, 64); err != nil && strings.Trim(part, "0123456789") == "" {
			parts[i] = largest
		}
	}
	return strings.Join(parts, ".")
}
