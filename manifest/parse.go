package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"cemli-executor/internal/problem"
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
	if err := checkSyntax(doc); err != nil {
		return nil, err
	}
	members, err := object(doc)
	if err != nil {
		return nil, err
	}
	c := checker{members: members}
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

// TooLarge is the error for a manifest of more than MaxBytes.
func TooLarge(size int64) error {
	return refuse("manifest.too_large", "", fmt.Sprintf("the manifest has %d bytes; at most %d are allowed", size, MaxBytes),
		"move data that scripts use into a file of the package")
}

func refuse(code, where, message, hint string) error {
	return problem.New(problem.Problem{Code: code, Where: where, Message: message, Hint: hint}, nil)
}

// checkSyntax refuses what is not one JSON value of bounded depth.
func checkSyntax(doc []byte) error {
	dec := jsontext.NewDecoder(bytes.NewReader(doc))
	for depth := 0; ; {
		token, err := dec.ReadToken()
		if err != nil {
			return syntaxError(doc, dec, err)
		}
		switch token.Kind() {
		case '{', '[':
			if depth++; depth > MaxDepth {
				return refuse("manifest.too_deep", "", fmt.Sprintf("values are nested more than %d deep", MaxDepth), "flatten the document")
			}
		case '}', ']':
			depth--
		}
		if depth == 0 {
			break
		}
	}
	if rest := bytes.TrimSpace(dec.UnreadBuffer()); len(rest) > 0 {
		return refuse("manifest.json", "", "there is text after the JSON value", "remove everything after the closing brace")
	}
	return nil
}

func syntaxError(doc []byte, dec *jsontext.Decoder, err error) error {
	where := string(dec.StackPointer())
	if errors.Is(err, jsontext.ErrDuplicateName) {
		var at *jsontext.SyntacticError
		if errors.As(err, &at) {
			where = string(at.JSONPointer)
		}
		return refuse("manifest.duplicate_key", where, "the key occurs twice in its object", "keep one of the two")
	}
	if len(bytes.TrimSpace(doc)) == 0 {
		return refuse("manifest.json", "", "the manifest is empty", `begin with {"name":"…","version":"1.0.0","type":"extension"}`)
	}
	line := 1 + bytes.Count(doc[:min(int64(len(doc)), dec.InputOffset())], []byte("\n"))
	return problem.New(problem.Problem{
		Code: "manifest.json", Where: where, Message: "the manifest is not valid JSON (line " + strconv.Itoa(line) + "): " + cause(err),
		Hint: "check for a missing comma or quote and for text that is not UTF-8",
	}, err)
}

// cause is the library's reason without its prefix.
func cause(err error) string {
	var at *jsontext.SyntacticError
	if errors.As(err, &at) && at.Err != nil {
		return at.Err.Error()
	}
	return strings.TrimPrefix(err.Error(), "jsontext: ")
}

// object returns the members of the top-level object.
func object(doc []byte) (map[string]jsontext.Value, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(doc))
	if dec.PeekKind() != '{' {
		return nil, refuse("manifest.not_object", "", "the manifest is JSON but not an object", `begin with {"name":"…","version":"1.0.0","type":"extension"}`)
	}
	_, _ = dec.ReadToken() // syntax has been checked
	members := map[string]jsontext.Value{}
	for dec.PeekKind() != '}' {
		key, err := dec.ReadToken()
		if err != nil {
			return nil, syntaxError(doc, dec, err)
		}
		name := key.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, syntaxError(doc, dec, err)
		}
		members[name] = value.Clone()
	}
	return members, nil
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
	text, err := jsontext.AppendUnquote[[]byte](nil, []byte(value))
	if value.Kind() != '"' || err != nil {
		c.add("manifest.type", pointer(key), key+" must be text", "put the value in quotes")
		return ""
	}
	if len(text) == 0 && slices.Contains(required, key) {
		c.add("manifest.required", pointer(key), key+" is empty", "")
	}
	return string(text)
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
