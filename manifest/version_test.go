package manifest_test

import (
	"testing"

	"cemli-executor/manifest"
)

func TestSatisfies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		version, wanted string
		want            bool
	}{
		{"1.2.3", "^1.2", true},
		{"2.0.0", ">=1.2, <2", false},
		{"1.2.3+build.7", "=1.2.3", true},
		{"1.2.3", "=1.2.3+build.7", true},
		{"1.2.3-rc.1", "^1.2", false},
		{"1.2.3-rc.1", "^1.2.3-0", true},
		// Numbers of a version may have any length.
		{"99999999999999999999.0.0", ">=1", true},
		{"99999999999999999999.0.0", "<9999999999999999999", false},
		{"1.99999999999999999999.0", "^1.2", true},
		{"1.2.99999999999999999999", "~1.2.3", true},
		{"1.2.99999999999999999999", "~1.3", false},
		{"1.0.0-99999999999999999999", ">1.0.0-9999999999999999999", true},
		{"1.0.0-99999999999999999999", "<1.0.0-0a", true},
		{"1.0.0-a99999999999999999999", ">1.0.0-a1", true},
		{"1.0.0", "nonsense", false},
		{"nonsense", "*", false},
		{"", "*", false},
	} {
		if got := manifest.Satisfies(c.version, c.wanted); got != c.want {
			t.Errorf("%q satisfies %q: %v", c.version, c.wanted, got)
		}
	}
}

func TestPlainVersion(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{
		"1.0.0": "1.0.0", "1.0.0+a": "1.0.0", "1.0.0-rc.1+a-b.c": "1.0.0-rc.1", "": "",
	} {
		if got := manifest.PlainVersion(version); got != want {
			t.Errorf("%q is %q; want %q", version, got, want)
		}
	}
}
