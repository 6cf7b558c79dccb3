package executor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"cemli-executor/internal/evidence"
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

// hideValues learns what has to be masked before anything is decided: what a request gives, all of it while it is
// not known what is sensitive, and every sensitive value in the manifest, which the result quotes.
func (r *report) hideValues(m *manifest.Manifest) {
	r.manifest, r.hidden = m, nil
	for _, name := range slices.Sorted(maps.Keys(r.request.Parameters)) {
		if m != nil && m.Shows(name) {
			continue
		}
		if v, err := manifest.ParseValue(r.request.Parameters[name]); err == nil {
			r.hidden = append(r.hidden, v.Text())
		}
	}
	if m != nil {
		for _, v := range m.SensitiveValues() {
			r.hidden = append(r.hidden, v.Text())
		}
	}
	r.masker = redact.New(fitting(r.hidden))
}

// fitting are as many values as may be masked; a run that has more is refused.
func fitting(values []string) []string {
	size := 0
	for i, v := range values {
		if size += len(v); size > steps.MaxMasked {
			return values[:i]
		}
	}
	return values
}

// askedParameters are the parameters that the request gives, for results of runs that end before all of them
// are known: to do the same again one needs them. Values that are not known to be harmless are hidden.
func (r *asked) askedParameters(m *manifest.Manifest) map[string]any {
	if len(r.request.Parameters) == 0 {
		return nil
	}
	values := map[string]any{}
	for name, doc := range r.request.Parameters {
		values[name] = redact.Mask
		if m == nil {
			continue
		}
		declared, ok := m.Parameters[name]
		if v, err := manifest.ParseValue(doc); err == nil && ok && !declared.Sensitive {
			values[name] = v
		}
	}
	return values
}

// tooMuch refuses more than can be masked.
func tooMuch(values []string) []problem.Problem {
	values = slices.Compact(slices.Sorted(slices.Values(values)))
	if len(fitting(values)) == len(values) {
		return nil
	}
	return []problem.Problem{{
		Code: "secret.size", Message: fmt.Sprintf("the secrets of the package and the sensitive values of the request and the manifest have more than %d bytes together", steps.MaxMasked),
		Hint: "give less of what has to be masked; put what is long into a file that the scripts fetch",
	}}
}

// maxSecrets is how long all secrets of a run are together: they become variables of an environment,
// and each is looked for in all its forms. The vault itself takes 25 KB for one.
const maxSecrets = 32 << 10

// readSecrets fetches the secrets of a plan and makes sure that none of them is shown.
func (r *decided) readSecrets(ctx context.Context, plan *manifest.Plan) error {
	hide, problems := sensitive(plan.Arguments())
	hide = append(hide, r.hidden...)
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
		hide = append(hide, string(found.Value))
	}
	problems = append(problems, tooMuch(hide)...)
	r.masker = redact.New(fitting(hide))
	return problem.Join(problems)
}

// sensitive lists the sensitive values of a plan; one that cannot be masked is refused.
func sensitive(arguments manifest.Arguments) ([]string, []problem.Problem) {
	var values []string
	var problems []problem.Problem
	for _, a := range arguments {
		if !a.Sensitive {
			continue
		}
		if len(a.Value.Text()) < redact.MinBytes {
			problems = append(problems, tooShort(a.Name))
		}
		values = append(values, a.Value.Text())
	}
	return values, problems
}

func tooShort(where string) problem.Problem {
	return problem.Problem{
		Code: "secret.short", Where: where, Message: fmt.Sprintf("the value has fewer than %d bytes, which cannot be masked without masking much else", redact.MinBytes),
		Hint: "use a longer one",
	}
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
		return tooShort(env), true
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

// given is where a request has the values of parameters.
const given = "/parameters/"

// hidesGiven reports whether a pointer into a request is that of a value that is not known to be anybody's to
// read: all of them, until the manifest says that they are.
func (r *report) hidesGiven(pointer string) bool {
	name, ok := strings.CutPrefix(pointer, given)
	return ok && !strings.Contains(name, "/") && (r.manifest == nil || !r.manifest.Shows(name))
}

// words are those that documents of ours and of the platform are made of: keys, and values that the contract
// fixes. What a package chose as a secret does not change them.
var words = func() map[string]bool {
	known := map[string]bool{}
	for _, word := range strings.Fields(`
		$schema args change_ticket concurrency continue_on_error default delay description dry_run enum env environment_parameters
		environments group idempotent labels max name network on_busy on_failure on_set_failure outputs owner parameter_sets parameters
		pattern phase required requires requires_wait retries rollback rollback_timeout run runs_on not_before secrets sensitive steps
		timeout tools type vault_secret version
		boolean configuration continue extension integer integration localization modification none number post_check pre_check queue
		reject stop string
		bucket object etag version_id action parameter_set rerun_of resume_from rollback_of once_per force emergency verdict
		request_id reason reference scope state package dirhash run_id approval
		apply check cancel mark sweep probe request applied not_applied
		cloudEventsVersion eventID eventType eventTime eventTypeVersion contentType source extensions data compartmentId compartmentName
		resourceName resourceId availabilityDomain freeformTags definedTags additionalDetails bucketName bucketId objectName
		namespace versionId eTag archivalState identity principalName principalId
		specversion id time subject datacontenttype dataschema`) {
		known[word] = true
	}
	return known
}()
