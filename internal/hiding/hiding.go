// Package hiding decides what is hidden of a run, in its evidence and in the function's log: secrets of the vault,
// sensitive parameters and, until the manifest is read, every parameter that a request gives.
package hiding

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/steps"
	"cemli-executor/manifest"
)

// Hidden is what is hidden of one run.
type Hidden struct {
	// Masker masks all of it, and what scripts add while they run.
	Masker   *redact.Masker
	values   []string
	manifest *manifest.Manifest // nil: not read yet
}

// Of returns what is hidden before any secret is read: the parameters that a request gives, all of them while m is nil
// because nothing tells which are sensitive, and every sensitive value in the manifest, which the result contains.
func Of(given map[string]json.RawMessage, m *manifest.Manifest) Hidden {
	var values []string
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if m != nil && m.Shows(name) {
			continue
		}
		if v, err := manifest.ParseValue(given[name]); err == nil {
			values = append(values, v.Text())
		}
	}
	if m != nil {
		for _, v := range m.SensitiveValues() {
			values = append(values, v.Text())
		}
	}
	return hidden(values, m)
}

func hidden(values []string, m *manifest.Manifest) Hidden {
	return Hidden{Masker: redact.New(fitting(values)), values: values, manifest: m}
}

// Values are the hidden values that were known before any script ran.
func (h Hidden) Values() []string { return fitting(h.values) }

// And returns h with more hidden values.
func (h Hidden) And(values []string) Hidden {
	return hidden(append(slices.Clone(values), h.values...), h.manifest)
}

// For returns what is hidden of another run of the same package, which executes none of its steps.
func (h Hidden) For(given map[string]json.RawMessage) Hidden {
	next := Of(given, h.manifest)
	if h.manifest != nil {
		next.Masker = h.Masker
	}
	return next
}

// fitting returns as many values as may be masked; a run that has more is refused.
func fitting(values []string) []string {
	size := 0
	for i, v := range values {
		if size += len(v); size > steps.MaxMasked {
			return values[:i]
		}
	}
	return values
}

// TooMuch returns a problem if there is more to hide than can be masked.
func (h Hidden) TooMuch() []problem.Problem {
	values := slices.Compact(slices.Sorted(slices.Values(h.values)))
	if len(fitting(values)) == len(values) {
		return nil
	}
	return []problem.Problem{{
		Code: "secret.size",
		Message: fmt.Sprintf("the secrets of the package and the sensitive values of the request and the manifest "+
			"have more than %d bytes together",
			steps.MaxMasked),
		Hint: "give less of what has to be masked; put what is long into a file that the scripts fetch",
	}}
}

// TooShort returns the problem of a secret value that is too short to mask.
func TooShort(where string) problem.Problem {
	return problem.Problem{
		Code: "secret.short", Where: where,
		Message: fmt.Sprintf("the value has fewer than %d bytes, which cannot be masked without masking much else",
			redact.MinBytes),
		Hint: "use a longer one",
	}
}

// Sensitive lists the sensitive values of a plan's arguments; one that is too short is a problem.
func Sensitive(arguments manifest.Arguments) (values []string, problems []problem.Problem) {
	for _, a := range arguments {
		if !a.Sensitive {
			continue
		}
		if len(a.Value.Text()) < redact.MinBytes {
			problems = append(problems, TooShort(a.Name))
		}
		values = append(values, a.Value.Text())
	}
	return values, problems
}

// Asked returns the parameters that a request gives, for the result of a run that ends before all parameters are known:
// to repeat the request one needs them. It masks values that are not known to be harmless.
func (h Hidden) Asked(given map[string]json.RawMessage) map[string]any {
	if len(given) == 0 {
		return nil
	}
	values := map[string]any{}
	for name, doc := range given {
		values[name] = redact.Mask
		if h.manifest == nil {
			continue
		}
		declared, ok := h.manifest.Parameters[name]
		if v, err := manifest.ParseValue(doc); err == nil && ok && !declared.Sensitive {
			values[name] = v
		}
	}
	return values
}

// Shown returns the arguments of a plan for the result, with sensitive values masked.
func Shown(arguments manifest.Arguments) map[string]any {
	if len(arguments) == 0 {
		return nil
	}
	values := map[string]any{}
	for _, a := range arguments {
		if values[a.Name] = a.Value; a.Sensitive {
			values[a.Name] = redact.Mask
		}
	}
	return values
}

// IsMasked reports whether a value of a result contained a secret, which has been masked.
func IsMasked(value any) bool {
	text, _ := value.(string)
	return strings.Contains(text, redact.Mask)
}

// Mask hides secrets in what a result quotes of scripts, requests and messages. It leaves the identity of the run and
// of its bytes as it is.
func (h Hidden) Mask(result *evidence.Result) {
	result.Mask(h.Masker)
	for name, value := range result.Parameters {
		if shown, ok := value.(manifest.Value); ok && h.in(shown.Text()) {
			result.Parameters[name] = h.Masker.String(shown.Text())
		}
	}
	if len(result.Trigger.Raw) > 0 {
		result.Trigger.Raw = h.Masker.JSON(result.Trigger.Raw, h.document(h.hidesGiven))
	}
	if len(result.Manifest) > 0 && h.manifest != nil {
		result.Manifest = h.Masker.JSON(result.Manifest, h.document(h.manifest.Hides))
	}
}

// in reports whether a text contains, or may contain, something hidden.
func (h Hidden) in(text string) bool {
	found, err := h.Masker.Found(strings.NewReader(text))
	return found || err != nil
}

// document says what is masked in a document of this run whatever the secrets are, and what never is.
func (h Hidden) document(hide func(pointer string) bool) redact.Document {
	return redact.Document{
		Hide: hide,
		Fixed: func(word string) bool {
			if words[word] || h.manifest == nil {
				return words[word]
			}
			_, parameter := h.manifest.Parameters[word]
			_, secret := h.manifest.Secrets[word]
			return parameter || secret
		},
	}
}

// given is where a request has the values of parameters.
const given = "/parameters/"

// hidesGiven reports whether a JSON pointer into a request is that of a value that not everybody may read: each of
// them, until the manifest says otherwise.
func (h Hidden) hidesGiven(pointer string) bool {
	name, ok := strings.CutPrefix(pointer, given)
	return ok && !strings.Contains(name, "/") && (h.manifest == nil || !h.manifest.Shows(name))
}
