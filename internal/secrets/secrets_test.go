package secrets_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/secrets"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// vault is a source that has these secrets, by name.
func vault(values map[string]string) secrets.Source {
	return func(_ context.Context, _, ref string) (secrets.Secret, error) {
		value, ok := values[ref]
		if !ok {
			return secrets.Secret{}, errors.New("no secret " + ref)
		}
		return secrets.Secret{Value: []byte(value), ID: "ocid1.vaultsecret.oc1..a-" + ref, Version: "3"}, nil
	}
}

// Secrets come in the order of their variables, with what a result says of them.
func TestAllSecrets(t *testing.T) {
	t.Parallel()
	source := vault(map[string]string{"a": "value-of-a", "b": "väl'ue of b"})
	all, problems, err := secrets.All(t.Context(), source, map[string]string{"B": "a", "A": "b", "C": "a"}, quiet())
	if problems != nil || err != nil {
		t.Fatalf("%v, %v", problems, err)
	}
	a := secrets.Secret{Value: []byte("value-of-a"), ID: "ocid1.vaultsecret.oc1..a-a", Version: "3"}
	b := secrets.Secret{Value: []byte("väl'ue of b"), ID: "ocid1.vaultsecret.oc1..a-b", Version: "3"}
	want := []secrets.Read{{Env: "A", Secret: b}, {Env: "B", Secret: a}, {Env: "C", Secret: a}}
	if diff := cmp.Diff(want, all); diff != "" {
		t.Error("(-want +got):\n" + diff)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// Every secret that scripts cannot have is a problem of its variable, which does not quote it; the others are read.
func TestEverySecretThatCannotBeGiven(t *testing.T) {
	t.Parallel()
	source := vault(map[string]string{
		"good": "long-enough", "short": "x9!q", "empty": "", "binary": "\xff\xfe not text", "nul": "before\x00after",
		"large": strings.Repeat("large-secret", 3000),
	})
	log := &testkit.Buffer{}
	all, problems, err := secrets.All(t.Context(), source, map[string]string{
		"A": "good", "B": "short", "C": "empty", "D": "binary", "E": "nul", "F": "absent", "G": "good", "H": "large",
	}, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"B secret.short", "C secret.short", "D secret.value", "E secret.value", "F secret.unavailable",
		"H secret.large",
	}
	if diff := cmp.Diff(want, codesOf(problems)); diff != "" {
		t.Error("problems (-want +got):\n" + diff)
	}
	for _, p := range problems {
		text := p.Message + p.Hint
		if p.Hint == "" || strings.Contains(text, "x9!q") || strings.Contains(text, "large-secret") {
			t.Errorf("%+v", p)
		}
	}
	if len(all) != 2 || all[0].Env != "A" || all[1].Env != "G" {
		t.Errorf("%d secrets were read; want those of A and G", len(all))
	}
	if text := log.String(); !strings.Contains(text, "variable=F") || strings.Contains(text, "large-secret") {
		t.Errorf("log %s", text)
	}
}

func codesOf(problems []problem.Problem) []string {
	var list []string
	for _, p := range problems {
		list = append(list, p.Where+" "+p.Code)
	}
	return list
}

// All secrets together are bounded: the one that is too much is named, and those after it.
func TestSecretsAreBoundedTogether(t *testing.T) {
	t.Parallel()
	half := strings.Repeat("x", 16<<10)
	wanted := map[string]string{"A": "half", "B": "half"}
	source := vault(map[string]string{"half": half, "one more": "123456"})
	all, problems, err := secrets.All(t.Context(), source, wanted, quiet())
	if len(all) != 2 || problems != nil || err != nil {
		t.Errorf("32 KB: %d read, %v, %v", len(all), problems, err)
	}
	wanted["C"] = "one more"
	_, problems, err = secrets.All(t.Context(), source, wanted, quiet())
	if diff := cmp.Diff([]string{"C secret.large"}, codesOf(problems)); diff != "" || err != nil {
		t.Errorf("%v; problems (-want +got):\n%s", err, diff)
	}
}

// What the vault says itself goes into the result; that it cannot be asked now is an error, and no verdict on a secret.
func TestAVaultThatFails(t *testing.T) {
	t.Parallel()
	denied := problem.New(problem.Problem{Code: "secret.denied", Where: "A", Message: "no", Hint: "allow it"}, nil)
	for name, c := range map[string]struct {
		fault error
		want  []string
		fails bool
	}{
		"says why":    {denied, []string{"A secret.denied"}, false},
		"unavailable": {store.Error(store.ErrUnavailable, "read", "vault", "a", nil), nil, true},
	} {
		source := func(context.Context, string, string) (secrets.Secret, error) { return secrets.Secret{}, c.fault }
		all, problems, err := secrets.All(t.Context(), source, map[string]string{"A": "a"}, quiet())
		if diff := cmp.Diff(c.want, codesOf(problems)); diff != "" || (err != nil) != c.fails || all != nil {
			t.Errorf("%s: read %v, error %v; problems (-want +got):\n%s", name, all, err, diff)
		}
		if c.fails && !errors.Is(err, c.fault) {
			t.Errorf("%s: %v; want %v", name, err, c.fault)
		}
	}
	if err := secrets.NoVault(); problem.CodeOf(err) != "secret.unavailable" {
		t.Errorf("without a vault: %v", err)
	}
}
