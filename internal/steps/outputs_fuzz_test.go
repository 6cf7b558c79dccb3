package steps

import (
	"strings"
	"testing"

	"cemli-executor/internal/jobs"
)

// FuzzParseOutputs: whatever a script writes, the keys are keys and the values bounded.
func FuzzParseOutputs(f *testing.F) {
	for _, seed := range []string{
		"A=1\n", "A<<E\nx\ny\nE\n", "A<<\n\n", "A=<<B", "=", "<<", "A<<E\nA=1", "\r\nA=1\r\n", "A B=1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		outputs, err := parseOutputs(text)
		if err != nil && outputs != nil {
			t.Errorf("an error and %d outputs", len(outputs))
		}
		for key, value := range outputs {
			if !outputKey.MatchString(key) || len(value) > jobs.MaxOutput || !strings.Contains(text, key) {
				t.Errorf("output %q=%q of %q", key, value, text)
			}
		}
	})
}
