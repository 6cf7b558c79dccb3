package manifest

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/bmatcuk/doublestar/v4"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/strictjson"
)

// Parse reads a manifest. The error is a *problem.Error with every problem.
func Parse(doc []byte) (*Manifest, error) {
	if len(doc) > MaxBytes {
		return nil, TooLarge(int64(len(doc)))
	}
	if err := strict(doc); err != nil {
		return nil, err
	}
	c := &checker{open: func(key string) bool { return strings.HasPrefix(key, "x-") }}
	m := &Manifest{Raw: strictjson.Compact(doc), Network: true, OnSetFailure: OnSetFailureStop}
	node{c: c, value: doc}.fields(m.fields())
	if err := problem.Join(c.problems); err != nil {
		return nil, err
	}
	return m, nil
}

// Missing is the error for a package without a manifest at its root.
func Missing() error {
	return refuse("manifest.missing", Name, "the package has no manifest at its root",
		`add manifest.json with at least {"name":"…","version":"1.0.0","type":"extension"}`)
}

// TooLarge is the error for a manifest of more than MaxBytes.
func TooLarge(size int64) error {
	return refuse("manifest.too_large", "", fmt.Sprintf("the manifest has %d bytes; at most %d are allowed", size, MaxBytes),
		"move data that scripts use into a file of the package")
}

func refuse(code, where, message, hint string) error {
	return problem.New(problem.Problem{Code: code, Where: where, Message: message, Hint: hint}, nil)
}

// faults gives each fault of a document its code and cure.
var faults = map[strictjson.Kind]struct{ code, hint string }{
	strictjson.Empty:     {"manifest.json", `begin with {"name":"…","version":"1.0.0","type":"extension"}`},
	strictjson.Syntax:    {"manifest.json", "check for a missing comma or quote and for text that is not UTF-8"},
	strictjson.Mark:      {"manifest.json", "save the file as UTF-8 without a byte order mark"},
	strictjson.Comma:     {"manifest.json", "remove the comma before the closing bracket"},
	strictjson.Trailing:  {"manifest.json", "remove everything after the closing brace"},
	strictjson.Duplicate: {"manifest.duplicate_key", "keep one of the two"},
	strictjson.Depth:     {"manifest.too_deep", "flatten the document"},
}

// strict checks that the document is one strict JSON object.
func strict(doc []byte) error {
	if fault := strictjson.Check(doc, MaxDepth); fault != nil {
		f := faults[fault.Kind]
		if fault.Kind == strictjson.Syntax {
			f.hint = cmp.Or(otherLanguage(doc, fault.Line), f.hint)
		}
		return refuse(f.code, fault.Pointer, "the manifest is not valid JSON: "+fault.Error(), f.hint)
	}
	if _, ok := strictjson.Members(doc); !ok {
		return refuse("manifest.not_object", "", "the manifest is JSON but not an object", faults[strictjson.Empty].hint)
	}
	return nil
}

// What forms of names are called in messages.
const (
	anEnvironment = "an environment's name: 1 to 63 letters, digits, dots, underscores, hyphens"
	aParameter    = "a parameter's name: a letter, then up to 63 letters, digits, underscores"
	aSet          = "a set's name: 1 to 64 letters, digits, underscores, hyphens"
	aVariable     = "a variable's name: letters, digits, underscores"
	aPath         = "a path inside the package, such as steps/run.sh"
)

// fields is the contract's table of keys, in its order: what refers to others comes
// after them.
func (m *Manifest) fields() []field {
	table := []field{
		{"$schema", false, func(n node) { n.text(lineRule, 2048) }},
		{"name", true, func(n node) {
			m.Name = n.name()
		}},
		{"version", true, func(n node) { m.Version = n.version() }},
		{"type", true, func(n node) { m.Type = n.choice("manifest.package_type", Types...) }},
		{"description", false, func(n node) { m.Description = n.text(textRule, maxText) }},
		{"owner", false, func(n node) { m.Owner = n.text(lineRule, maxLine) }},
		{"change_ticket", false, func(n node) { m.ChangeTicket = n.text(lineRule, maxLine) }},
		{"labels", false, func(n node) { m.Labels = n.labels() }},
		{"environments", false, func(n node) {
			m.Environments = n.words("manifest.environment_name", environmentRule, anEnvironment)
		}},
		{"parameters", false, func(n node) { m.Parameters = n.parameters() }},
		{"environment_parameters", false, func(n node) {
			m.EnvironmentParameters = valueSets(n.keyed("manifest.environment_name", environmentRule, anEnvironment), m.Parameters)
		}},
		{"parameter_sets", false, func(n node) {
			m.ParameterSets = valueSets(n.keyed("manifest.set_name", setRule, aSet), m.Parameters)
		}},
		{"secrets", false, func(n node) { m.Secrets = n.secrets() }},
		{"tools", false, func(n node) { m.Tools = n.words("manifest.tool", toolRule, "a command's name, without a folder") }},
		{"network", false, func(n node) { m.Network, m.NetworkDeclared = n.boolean(), true }},
		{"concurrency", false, func(n node) { m.Concurrency = n.concurrency() }},
		{"timeout", false, func(n node) { m.Timeout = n.duration() }},
		{"rollback_timeout", false, func(n node) { m.RollbackTimeout = n.duration() }},
		{"on_failure", false, func(n node) {
			m.OnFailure = OnFailure(n.choice("manifest.choice", string(OnFailureRollback), string(OnFailureStop)))
		}},
		{"on_set_failure", false, func(n node) {
			m.OnSetFailure = OnSetFailure(n.choice("manifest.choice", string(OnSetFailureStop), string(OnSetFailureContinue)))
		}},
		{"idempotent", false, func(n node) { m.Idempotent = n.boolean() }},
		{"steps", false, func(n node) { m.StepList = n.steps(m.Secrets) }},
		{"outputs", false, func(n node) { m.Outputs = n.globs() }},
		{"requires", false, func(n node) { m.Requires = n.requires() }},
	}
	return append(table, later("manifest.unsupported", "requires_wait", "not_before", "runs_on")...)
}

func (n node) version() string {
	const form = "a SemVer 2.0.0 version such as 1.0.0"
	if text, ok := strictjson.Text(n.value); ok && !versionRule.MatchString(text) {
		n.bad("manifest.version", fmt.Sprintf("%q is not %s", printable(text), form), versionHint(text))
		return ""
	}
	text := n.word("manifest.version", versionRule, form)
	if len(text) > maxVersion {
		n.bad("manifest.version", fmt.Sprintf("%s has more than %d characters", n.label(), maxVersion), "shorten it")
		return ""
	}
	return text
}

// labels reads texts of one line by names of one line.
func (n node) labels() map[string]string {
	labels := map[string]string{}
	for key, member := range n.members() {
		if key == "" || !lineRule.MatchString(key) || len([]rune(key)) > maxLine {
			member.bad("manifest.text", "the key is empty, too long or has a control character", "use a short name")
			continue
		}
		labels[key] = member.text(lineRule, maxLine)
	}
	return labels
}

// variable notes a name that the environment of scripts may not have.
func (n node) variable(name string) bool {
	switch {
	case !variableRule.MatchString(name):
		n.bad("manifest.variable", fmt.Sprintf("the key %q is not %s", printable(name), aVariable), "")
	case reservedRule.MatchString(name):
		n.bad("manifest.reserved", "the variable "+name+" is reserved: it would change how scripts run", "use another name")
	default:
		return true
	}
	return false
}

func (n node) secrets() map[string]string {
	secrets := map[string]string{}
	members := n.members()
	for _, name := range sortedKeys(members) {
		member := members[name]
		if !member.variable(name) {
			continue
		}
		if member.orText(`{"vault_secret": "erp-db"}`) {
			continue
		}
		member.fields([]field{{"vault_secret", true, func(v node) {
			if secrets[name] = v.text(lineRule, maxLine); secrets[name] == "" && len(v.value) == len(`""`) {
				v.bad("manifest.required", "vault_secret is empty", "name the secret or give its OCID")
			}
		}}})
	}
	return secrets
}

func (n node) concurrency() Concurrency {
	c := Concurrency{Declared: true}
	n.fields([]field{
		{"group", false, func(v node) {
			c.Group = v.word("manifest.group", stepRule, "a group's name: letters, digits, spaces, . _ -")
		}},
		{"on_busy", false, func(v node) { c.Reject = v.choice("manifest.choice", "queue", "reject") == "reject" }},
	})
	return c
}

func (n node) globs() []string {
	globs := []string{}
	for _, e := range n.list() {
		glob := e.word("manifest.path", pathRule, "a pattern of paths inside the package, such as reports/*.csv")
		if glob != "" && !doublestar.ValidatePattern(glob) {
			e.bad("manifest.glob", printable(glob)+" is not a pattern: a bracket or brace is open", "close it, or escape it with a backslash")
		}
		globs = append(globs, glob)
	}
	return globs
}

func (n node) requires() map[string]string {
	ranges := map[string]string{}
	for name, member := range n.keyed("manifest.name", nameRule, "a package's name") {
		text := member.text(lineRule, maxLine)
		if text == "" {
			if len(member.value) == len(`""`) {
				member.bad("manifest.required", "the range of versions is empty", `write * for any`)
			}
			continue
		}
		if vast.MatchString(text) {
			member.bad("manifest.version_range", fmt.Sprintf("%q has a number of more than 19 digits", printable(text)), "name a smaller one, or * for any version")
		} else if _, err := semver.NewConstraint(text); err != nil {
			member.bad("manifest.version_range", fmt.Sprintf("%q is not a range of versions", printable(text)), `write it like ">=1.2, <2" or "^1.2"`)
		}
		ranges[name] = text
	}
	return ranges
}
