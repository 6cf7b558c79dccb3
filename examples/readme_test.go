package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Whoever copies an example is told which lines to change, in which of its files, and what evidence to expect.
func TestExamplesSayWhatToChangeAndWhatToExpect(t *testing.T) {
	manifests, err := filepath.Glob("*/manifest.json")
	if err != nil || len(manifests) < 10 {
		t.Fatalf("%d examples, %v", len(manifests), err)
	}
	for _, name := range manifests {
		dir := filepath.Dir(name)
		readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
		if err != nil {
			t.Error(err)
			continue
		}
		_, rest, _ := strings.Cut(string(readme), "\n## Lines to change\n")
		lines, expect, _ := strings.Cut(rest, "\n## Evidence\n")
		if len(strings.TrimSpace(lines)) < 40 || len(strings.TrimSpace(expect)) < 40 {
			t.Errorf("%s/README.md has no part about the lines to change, or none about the evidence", dir)
		}
		for _, match := range regexp.MustCompile("`([a-z-]+/[a-z0-9/._-]*)[a-z*.]*`").FindAllStringSubmatch(lines, -1) {
			_, err := os.Stat(filepath.Join(dir, match[1]))
			if err != nil && !strings.HasPrefix(match[1], "rollback/") {
				t.Errorf("%s/README.md names %s, which is not there", dir, match[1])
			}
		}
	}
}
