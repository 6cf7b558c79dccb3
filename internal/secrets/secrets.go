// Package secrets reads the secrets of a package from a vault.
package secrets

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"unicode/utf8"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/store"
)

// Secret is a version of a secret in a vault.
type Secret struct {
	Value   []byte
	ID      string // OCID
	Version string
}

// Source reads a secret by its name or OCID. env is the variable that it is for. An error that is a *problem.Error of
// the family "secret" goes into the result.
type Source func(ctx context.Context, env, ref string) (Secret, error)

// maxBytes bounds the size of all secrets of a run together: they become variables of an environment, and each is
// searched for in all its forms. The vault itself takes 25 KB for one secret.
const maxBytes = 32 << 10

// Read is a secret that was read.
type Read struct {
	Env string // the variable that it is for
	Secret
}

// All reads secrets, which are named by the variables that they are for. Problems are about secrets that do not exist
// or cannot be given to scripts; an error says that the vault could not be asked, and a later try may succeed.
func All(
	ctx context.Context, source Source, wanted map[string]string, log *slog.Logger,
) (all []Read, problems []problem.Problem, err error) {
	total := 0
	for _, env := range slices.Sorted(maps.Keys(wanted)) {
		found, err := source(ctx, env, wanted[env])
		if err != nil && codes.OfError(err).Retried {
			return nil, nil, err
		}
		if err != nil {
			problems = append(problems, problem.Of(err, problem.Problem{
				Code: "secret.unavailable", Where: env, Message: "the secret " + wanted[env] + " cannot be read",
				Hint: "check that it exists in the vault, and that the function may read it",
			}).Problems...)
			log.Error("a secret cannot be read", "variable", env, "error", err.Error())
			continue
		}
		total += len(found.Value)
		if p, bad := unusable(env, found.Value, total); bad {
			problems = append(problems, p)
			continue
		}
		all = append(all, Read{env, found})
	}
	return all, problems, nil
}

// unusable returns the problem with a value that cannot be given to scripts.
func unusable(env string, value []byte, total int) (problem.Problem, bool) {
	switch {
	case len(value) < redact.MinBytes:
		return hiding.TooShort(env), true
	case total > maxBytes:
		return problem.Problem{
			Code: "secret.large", Where: env,
			Message: fmt.Sprintf("with this one the secrets of the package have %d bytes; at most %d are given to "+
				"scripts", total, maxBytes),
			Hint: "keep a short key in the vault, and what it opens elsewhere",
		}, true
	case !utf8.Valid(value) || slices.Contains(value, 0):
		return problem.Problem{
			Code: "secret.value", Where: env, Message: "the secret is no text in UTF-8, and cannot be a variable",
			Hint: "store it as base64 text, and decode it in the script",
		}, true
	}
	return problem.Problem{}, false
}

// NoVault returns the error for a package with secrets if there is no vault.
func NoVault() error {
	return problem.New(problem.Problem{
		Code: "secret.unavailable", Where: "/secrets", Message: "there is no vault here",
		Hint: "run the package where the function can read its vault",
	}, nil)
}

// Version reads a version of a secret again, by its OCID.
type Version func(ctx context.Context, id, version string) ([]byte, error)

// Again reads the secrets again that scripts saw, for an invocation that goes on with their run. It reports whether
// these are all of them. Without a vault, when read is nil, there are none.
func Again(
	ctx context.Context, read Version, patience store.Patience, seen []evidence.Secret, log *slog.Logger,
) (values []string, all bool) {
	all = true
	for _, s := range seen {
		value, err := read.insist(ctx, patience, s)
		if err != nil {
			log.Error("a secret cannot be read again, so that the output is withheld", "variable", s.Env,
				"version", s.Version, "error", err.Error())
			all = false
		}
		values = append(values, value)
	}
	return values, all
}

// insist reads the version of a secret that scripts saw.
func (v Version) insist(ctx context.Context, patience store.Patience, s evidence.Secret) (value string, err error) {
	if v == nil {
		return "", errors.New("there is no vault here")
	}
	err = patience.Insist(ctx, func(ctx context.Context) error {
		doc, err := v(ctx, s.SecretID, s.Version)
		value = string(doc)
		return err
	})
	return value, err
}
