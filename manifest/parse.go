package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/strictjson"
)

var (
	nameRule = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	// versionRule is the expression that semver.org publishes for SemVer 2.0.0.
	versionRule = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$`)
)

// maxVersion bounds a version, which SemVer does not: it is part of file names.
const maxVersion = 128

// required are the keys that every manifest has.
var required = []string{"name", "version", "type"}

// described are keys that are checked to be text and kept in Raw only.
var described = []string{"$schema", "description", "owner", "change_ticket"}

// later are keys of the contract whose features this version does not have.
var later = []string{
	"labels", "environments", "parameters", "environment_parameters", "parameter_sets", "secrets", "tools",
	"network", "concurrency", "timeout", "rollback_timeout", "on_failure", "idempotent", "steps", "outputs", "requires",
}

// Parse reads a manifest. The error is a *problem.Error with every problem.
func Parse(doc []byte) (*Manifest, error) {
	if len(doc) > MaxBytes {
		return nil, TooLarge(int64(len(doc)))
	}
	found, err := members(doc)
	if err != nil {
		return nil, err
	}
	c := checker{members: found}
	c.keys()
	m := &Manifest{Raw: doc}
	m.Name = c.text("name")
	m.Version = c.text("version")
	m.Type = c.text("type")
	for _, key := range described {
		c.text(key)
	}
	c.rules(m)
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
	strictjson.Trailing:  {"manifest.json", "remove everything after the closing brace"},
	strictjson.Duplicate: {"manifest.duplicate_key", "keep one of the two"},
	strictjson.Depth:     {"manifest.too_deep", "flatten the document"},
}

// members checks the syntax and returns the members of the top-level object.
func members(doc []byte) (map[string]jsontext.Value, error) {
	if fault := strictjson.Check(doc, MaxDepth); fault != nil {
		f := faults[fault.Kind]
		return nil, refuse(f.code, fault.Pointer, "the manifest is not valid JSON: "+fault.Error(), f.hint)
	}
	found, ok := strictjson.Members(doc)
	if !ok {
		return nil, refuse("manifest.not_object", "", "the manifest is JSON but not an object", faults[strictjson.Empty].hint)
	}
	return found, nil
}

// checker collects the problems of one document.
type checker struct {
	members  map[string]jsontext.Value
	problems []problem.Problem
}

func (c *checker) add(code, where, message, hint string) {
	c.problems = append(c.problems, problem.Problem{Code: code, Where: where, Message: message, Hint: hint})
}

func pointer(key string) string { return string(jsontext.Pointer("").AppendToken(key)) }

// keys refuses keys that are not of the contract, or not yet.
func (c *checker) keys() {
	known := slices.Concat(required, described)
	for _, key := range sortedKeys(c.members) {
		switch {
		case slices.Contains(known, key), strings.HasPrefix(key, "x-"):
		case slices.Contains(later, key):
			c.add("manifest.unsupported_key", pointer(key), "this version does not support the key "+key, "remove it, or use an executor that supports it")
		default:
			c.unknown(key, slices.Concat(known, later))
		}
	}
}

func (c *checker) unknown(key string, known []string) {
	message, hint := "unknown key "+printable(key), `keys of your own begin with "x-"`
	if near := problem.Nearest(key, known); near != "" {
		message += "; did you mean " + near + "?"
		hint = "rename it to " + near
	}
	c.add("manifest.unknown_key", pointer(key), message, hint)
}

// text returns a member that must be text; "" where it is absent or is not.
func (c *checker) text(key string) string {
	value, ok := c.members[key]
	if !ok {
		if slices.Contains(required, key) {
			c.add("manifest.required", "", "the key "+key+" is missing", "add "+key)
		}
		return ""
	}
	text, ok := strictjson.Text(value)
	if !ok {
		c.add("manifest.type", pointer(key), key+" must be text", "put the value in quotes")
		return ""
	}
	if len(text) == 0 && slices.Contains(required, key) {
		c.add("manifest.required", pointer(key), key+" is empty", "")
	}
	return text
}

// rules checks the values that have a form of their own.
func (c *checker) rules(m *Manifest) {
	if m.Name != "" && !nameRule.MatchString(m.Name) {
		c.add("manifest.name", "/name", "the name must be 1 to 63 of a-z 0-9 . _ - and begin with a letter or digit", "")
	}
	if m.Version != "" && (!versionRule.MatchString(m.Version) || len(m.Version) > maxVersion) {
		c.add("manifest.version", "/version", printable(m.Version)+" is not a SemVer 2.0.0 version", "write MAJOR.MINOR.PATCH, such as 1.0.0")
	}
	if m.Type != "" && !slices.Contains(Types, m.Type) {
		hint := ""
		if near := problem.Nearest(m.Type, Types); near != "" {
			hint = "did you mean " + near + "?"
		}
		c.add("manifest.package_type", "/type", "the type must be one of "+strings.Join(Types, ", "), hint)
	}
}
