package executor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/manifest"
)

// Secret is a version of a secret in a vault.
type Secret struct {
	Value   []byte
	ID      string // OCID
	Version string
}

// SecretSource reads a secret by its name or OCID. env is the variable that it is for. An
// error that is a *problem.Error of the family "secret" goes into the result.
type SecretSource func(ctx context.Context, env, ref string) (Secret, error)

// maxSecrets is how long all secrets of a run are together: they become variables of an environment,
// and each is looked for in all its forms. The vault itself takes 25 KB for one.
const maxSecrets = 32 << 10

// readSecrets fetches the secrets of a plan and makes sure that none of them is shown.
func (r *decided) readSecrets(ctx context.Context, plan *manifest.Plan) error {
	secret, problems := hiding.Sensitive(plan.Arguments())
	total := 0
	wanted := plan.Manifest().Secrets
	if len(wanted) > 0 {
		if err := r.mayReadSecrets(); err != nil {
			return err
		}
	}
	for _, env := range slices.Sorted(maps.Keys(wanted)) {
		found, err := r.exec.Secrets(ctx, env, wanted[env])
		if retryable(err) {
			return err
		}
		if err != nil {
			problems = append(problems, problem.Of(err, problem.Problem{
				Code: "secret.unavailable", Where: env, Message: "the secret " + wanted[env] + " cannot be read",
				Hint: "check that it exists in the vault, and that the function may read it",
			}).Problems...)
			r.log.Error("a secret cannot be read", "variable", env, "error", err.Error())
			continue
		}
		total += len(found.Value)
		if p, bad := unusable(env, found.Value, total); bad {
			problems = append(problems, p)
			continue
		}
		r.job.Secrets = append(r.job.Secrets, steps.Variable{Name: env, Value: string(found.Value)})
		r.result.Secrets = append(r.result.Secrets, evidence.Secret{Env: env, SecretID: found.ID, Version: found.Version})
		secret = append(secret, string(found.Value))
	}
	r.hides = r.hides.And(secret)
	return problem.Join(append(problems, r.hides.TooMuch()...))
}

// mayReadSecrets refuses secrets where scripts could also take the function's identity, unless the
// policy of the environment has accepted that.
func (r *decided) mayReadSecrets() error {
	if r.exec.Secrets == nil {
		return problem.New(problem.Problem{
			Code: "secret.unavailable", Where: "/secrets", Message: "there is no vault here", Hint: "run the package where the function can read its vault",
		}, nil)
	}
	if r.plannedLayers().Level().Reaches(sandbox.LevelIsolated) || r.accepted {
		return nil
	}
	cause := sandbox.Probe().Lacks(sandbox.LevelIsolated)
	if cause == "" {
		cause = "CEMLI_SANDBOX is none"
	}
	return problem.New(problem.Problem{
		Code: "secret.sandbox", Where: "/secrets",
		Message: fmt.Sprintf("the package uses secrets, and scripts are confined at level %s, below isolated: %s", r.plannedLayers().Level(), cause),
		Hint:    "use a kernel with Landlock, or name the level that is accepted as sandbox in the policy",
	}, nil)
}

// unusable says why a value cannot be given to scripts.
func unusable(env string, value []byte, total int) (problem.Problem, bool) {
	switch {
	case len(value) < redact.MinBytes:
		return hiding.TooShort(env), true
	case total > maxSecrets:
		return problem.Problem{
			Code: "secret.large", Where: env, Message: fmt.Sprintf("with this one the secrets of the package have %d bytes; at most %d are given to scripts", total, maxSecrets),
			Hint: "keep a short key in the vault, and what it opens elsewhere",
		}, true
	case !utf8.Valid(value) || slices.Contains(value, 0):
		return problem.Problem{
			Code: "secret.value", Where: env, Message: "the secret is no text in UTF-8, and cannot be a variable", Hint: "store it as base64 text, and decode it in the script",
		}, true
	}
	return problem.Problem{}, false
}
