package manifest

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"

	"cemli-executor/internal/document"
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
	c := &document.Checker{Open: func(key string) bool { return strings.HasPrefix(key, "x-") }}
	m := &Manifest{Raw: strictjson.Compact(doc), Needs: Needs{Network: true}, OnSetFailure: OnSetFailureStop}
	c.Root(doc).Fields(m.fields())
	if err := c.Refused(); err != nil {
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
	return refuse("manifest.too_large", "",
		fmt.Sprintf("the manifest has %d bytes; at most %d are allowed", size, MaxBytes),
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
		return refuse("manifest.not_object", "", "the manifest is JSON but not an object",
			faults[strictjson.Empty].hint)
	}
	return nil
}

// How messages call the forms of names.
const (
	anEnvironment = "an environment's name: 1 to 63 letters, digits, dots, underscores, hyphens"
	aParameter    = "a parameter's name: a letter, then up to 63 letters, digits, underscores"
	aSet          = "a set's name: 1 to 64 letters, digits, underscores, hyphens"
	aLabel        = "a runner's label: 1 to 32 of a-z 0-9 and the hyphen"
	aVariable     = "a variable's name: letters, digits, underscores"
	aPath         = "a path inside the package, such as steps/run.sh"
)

// fields returns the contract's table of keys, in its order: keys that refer to others come after them.
func (m *Manifest) fields() []document.Field {
	r := &valueReader{}
	table := []document.Field{
		document.Optional("$schema", func(n document.Node) { n.Line(2048) }),
		document.Required("name", func(n document.Node) { m.Name = readName(n) }),
		document.Required("version", func(n document.Node) { m.Version = readVersion(n) }),
		document.Required("type", func(n document.Node) { m.Type = n.Choice("manifest.package_type", Types...) }),
		document.Optional("description", func(n document.Node) { m.Description = n.Text(maxText) }),
		document.Optional("owner", func(n document.Node) { m.Owner = n.Line(document.MaxLine) }),
		document.Optional("change_ticket", func(n document.Node) { m.ChangeTicket = n.Line(document.MaxLine) }),
		document.Optional("labels", func(n document.Node) { m.Labels = readLabels(n) }),
		document.Optional("environments", func(n document.Node) {
			m.Environments = n.Words("manifest.environment_name", environmentRule, anEnvironment)
		}),
		document.Optional("parameters", func(n document.Node) { m.Parameters = r.parameters(n) }),
		document.Optional("environment_parameters", func(n document.Node) {
			groups := n.Keyed("manifest.environment_name", environmentRule, anEnvironment)
			m.EnvironmentParameters = r.sets(groups, m.Parameters)
		}),
		document.Optional("parameter_sets", func(n document.Node) {
			m.ParameterSets = r.sets(n.Keyed("manifest.set_name", setRule, aSet), m.Parameters)
		}),
		document.Optional("secrets", func(n document.Node) { m.Secrets = readSecrets(n) }),
		document.Optional("tools", func(n document.Node) {
			m.Tools = n.Words("manifest.tool", toolRule, "a command's name, without a folder")
		}),
		document.Optional("network", func(n document.Node) { m.Network, m.NetworkDeclared = n.Boolean(), true }),
		document.Optional("concurrency", func(n document.Node) { m.Concurrency = readConcurrency(n) }),
		document.Optional("timeout", func(n document.Node) { m.Timeout = n.Duration() }),
		document.Optional("rollback_timeout", func(n document.Node) { m.RollbackTimeout = n.Duration() }),
		document.Optional("on_failure", func(n document.Node) {
			m.OnFailure = OnFailure(n.Choice("manifest.choice", string(OnFailureRollback), string(OnFailureStop)))
		}),
		document.Optional("on_set_failure", func(n document.Node) {
			m.OnSetFailure = OnSetFailure(n.Choice("manifest.choice", string(OnSetFailureStop),
				string(OnSetFailureContinue)))
		}),
		document.Optional("idempotent", func(n document.Node) { m.Idempotent = n.Boolean() }),
		document.Optional("steps", func(n document.Node) { m.StepList = readSteps(n, m.Secrets) }),
		document.Optional("outputs", func(n document.Node) { m.Outputs = readGlobs(n) }),
		document.Optional("requires", func(n document.Node) { m.Requires = readRequires(n) }),
		document.Optional("runs_on", func(n document.Node) { m.RunsOn = n.Word("manifest.runner", labelRule, aLabel) }),
	}
	return append(table, document.Later("manifest.unsupported", "requires_wait", "not_before")...)
}

// readVersion reads the package's version.
func readVersion(n document.Node) string {
	const form = "a SemVer 2.0.0 version such as 1.0.0"
	if text, ok := strictjson.Text(n.Value()); ok && !versionRule.MatchString(text) {
		n.Bad("manifest.version", fmt.Sprintf("%q is not %s", document.Printable(text), form), versionHint(text))
		return ""
	}
	text := n.Word("manifest.version", versionRule, form)
	if len(text) > maxVersion {
		n.Bad("manifest.version", fmt.Sprintf("%s has more than %d characters", n.Label(), maxVersion), "shorten it")
		return ""
	}
	return text
}

// readLabels reads texts of one line by names of one line.
func readLabels(n document.Node) map[string]string {
	labels := map[string]string{}
	for key, member := range n.Members() {
		if key == "" || !document.IsLine(key) || len([]rune(key)) > document.MaxLine {
			member.Bad("manifest.text", "the key is empty, too long or has a control character", "use a short name")
			continue
		}
		labels[key] = member.Line(document.MaxLine)
	}
	return labels
}

// isVariable notes a problem with a name that the environment of scripts may not have.
func isVariable(n document.Node, name string) bool {
	switch {
	case !variableRule.MatchString(name):
		n.Bad("manifest.variable", fmt.Sprintf("the key %q is not %s", document.Printable(name), aVariable), "")
	case reservedRule.MatchString(name):
		n.Bad("manifest.reserved", "the variable "+name+" is reserved: it would change how scripts run",
			"use another name")
	default:
		return true
	}
	return false
}

// readSecrets reads the secrets of the vault, by the variables that scripts see them as.
func readSecrets(n document.Node) map[string]string {
	secrets := map[string]string{}
	members := n.Members()
	for _, name := range sortedKeys(members) {
		member := members[name]
		if !isVariable(member, name) {
			continue
		}
		if member.OrText(`{"vault_secret": "erp-db"}`) {
			continue
		}
		member.Fields([]document.Field{document.Required("vault_secret", func(v document.Node) {
			if secrets[name] = v.Line(document.MaxLine); secrets[name] == "" && len(v.Value()) == len(`""`) {
				v.Bad("manifest.required", "vault_secret is empty", "name the secret or give its OCID")
			}
		})})
	}
	return secrets
}

// readConcurrency reads which runs must not overlap.
func readConcurrency(n document.Node) Concurrency {
	c := Concurrency{Declared: true}
	n.Fields([]document.Field{
		document.Optional("group", func(v document.Node) {
			c.Group = v.Word("manifest.group", stepRule, "a group's name: letters, digits, spaces, . _ -")
		}),
		document.Optional("on_busy", func(v document.Node) {
			c.Reject = v.Choice("manifest.choice", "queue", "reject") == "reject"
		}),
	})
	return c
}

// readRequires reads the ranges of versions, by the packages of which one must have succeeded.
func readRequires(n document.Node) map[string]string {
	ranges := map[string]string{}
	for name, member := range n.Keyed("manifest.name", nameRule, "a package's name") {
		text := member.Line(document.MaxLine)
		if text == "" {
			if len(member.Value()) == len(`""`) {
				member.Bad("manifest.required", "the range of versions is empty", `write * for any`)
			}
			continue
		}
		if vast.MatchString(text) {
			member.Bad("manifest.version_range",
				fmt.Sprintf("%q has a number of more than 19 digits", document.Printable(text)),
				"name a smaller one, or * for any version")
		} else if _, err := semver.NewConstraint(text); err != nil {
			member.Bad("manifest.version_range", fmt.Sprintf("%q is not a range of versions", document.Printable(text)),
				`write it like ">=1.2, <2" or "^1.2"`)
		}
		ranges[name] = text
	}
	return ranges
}
