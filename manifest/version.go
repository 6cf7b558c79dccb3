package manifest

import "golang.org/x/mod/semver"

// isPrerelease reports whether a version has a part after a hyphen.
func isPrerelease(version string) bool { return semver.Prerelease("v"+version) != "" }

// older reports whether version a precedes b, by SemVer 2.0.0.
func older(a, b string) bool { return semver.Compare("v"+a, "v"+b) < 0 }
