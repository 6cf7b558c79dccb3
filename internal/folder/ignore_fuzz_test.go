package folder

import "testing"

// Every ignore file is read or refused, and matching ends.
func FuzzIgnore(f *testing.F) {
	for _, text := range []string{
		"", "*.bak\n!keep.bak\n/notes/\n", "a/**/b/**\n", "[!a-c]\\ \n", "{a,b}\n[[:alpha:]]\n", "\uFEFF# \r\n",
		"!\n/\n//\n",
	} {
		f.Add(text, "notes/keep.bak")
	}
	f.Fuzz(func(t *testing.T, text, path string) {
		rules, err := parseIgnore(text)
		if err != nil {
			return
		}
		if rules.leaveOut(path, false) && len(rules) == 0 {
			t.Errorf("no rule leaves out %q", path)
		}
	})
}
