package confinement

import (
	"strings"
	"testing"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
)

// Secrets are given only where neither the function's identity nor another process of the user is in reach.
func TestSecretsAreRefusedWhereTheyCouldBeTaken(t *testing.T) {
	for _, c := range []struct {
		name   string
		layers sandbox.Layers
		says   []string // empty: they are given
	}{
		{"isolated", sandbox.Layers{NoNewPrivileges: true, Seccomp: true, Landlock: 1}, nil},
		{"full", sandbox.Layers{NoNewPrivileges: true, Seccomp: true, Landlock: 6}, nil},
		{"isolated, with an init in reach", sandbox.Layers{NoNewPrivileges: true, Seccomp: true, Landlock: 1, Init: true}, []string{"gap init"}},
		{"another user's", sandbox.Layers{NoNewPrivileges: true, Seccomp: true, Landlock: 1, Init: true, User: 62000}, nil},
		{"basic", sandbox.Layers{NoNewPrivileges: true, Seccomp: true}, []string{"level basic"}},
		{"basic, with an init in reach", sandbox.Layers{NoNewPrivileges: true, Seccomp: true, Init: true}, []string{"level basic", "gap init"}},
		{"none", sandbox.Layers{}, []string{"level none"}},
	} {
		err := ForSecrets(c.layers)
		if (err == nil) != (c.says == nil) || err != nil && problem.CodeOf(err) != "secret.sandbox" {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, text := range c.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v does not say %q", c.name, err, text)
			}
		}
	}
}
