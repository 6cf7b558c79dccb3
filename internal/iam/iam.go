// Package iam reads and applies policy statements in OCI's language, as far as this
// project's own statements use it:
//
//	Allow PRINCIPAL to VERB RESOURCE in compartment id OCID [where CONDITION]
//
// A principal is any-user, or a group, dynamic-group or service with its name. A verb
// stands for permissions, each including those of the verbs before it: inspect, read, use,
// manage; which ones is data, verbs.json, from Oracle's own tables. A condition compares
// variables with texts (target.bucket.name='x', request.permission!='X') or patterns
// (target.object.name=/runs*/), alone or in all {…} or any {…}, which may hold others. A
// statement that says anything else is an error: one that were misread would allow more or
// less than OCI.
package iam

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Permission is what an operation needs, in OCI's words.
type Permission string

// The permissions that local OCI knows.
const (
	ObjectInspect    Permission = "OBJECT_INSPECT"
	ObjectRead       Permission = "OBJECT_READ"
	ObjectCreate     Permission = "OBJECT_CREATE"
	ObjectOverwrite  Permission = "OBJECT_OVERWRITE"
	ObjectDelete     Permission = "OBJECT_DELETE"
	VersionDelete    Permission = "OBJECT_VERSION_DELETE"
	BucketInspect    Permission = "BUCKET_INSPECT"
	BucketRead       Permission = "BUCKET_READ"
	BucketCreate     Permission = "BUCKET_CREATE"
	BucketUpdate     Permission = "BUCKET_UPDATE"
	BucketDelete     Permission = "BUCKET_DELETE"
	ParManage        Permission = "PAR_MANAGE"
	RetentionManage  Permission = "RETENTION_RULE_MANAGE"
	SecretBundleRead Permission = "SECRET_BUNDLE_READ"
	TopicPublish     Permission = "ONS_TOPIC_PUBLISH"
	FunctionInvoke   Permission = "FN_INVOCATION"
	FunctionRead     Permission = "FN_FUNCTION_READ"
	LogContentRead   Permission = "LOG_CONTENT_READ"
)

var verbs = []string{"inspect", "read", "use", "manage"}

//go:embed verbs.json
var tables []byte

// Table is what the verbs add for one type of resource, and who says so.
type Table struct {
	Source string `json:"source"`
	// Unread is which part of the source was not available, and what stands here instead; empty: nothing.
	Unread  string       `json:"unread"`
	Inspect []Permission `json:"inspect"`
	Read    []Permission `json:"read"`
	Use     []Permission `json:"use"`
	Manage  []Permission `json:"manage"`
}

// Verbs are all tables: types of resources, and families that stand for several types.
type Verbs struct {
	Types    map[string]Table    `json:"types"`
	Families map[string][]string `json:"families"`
}

// Tables returns the verb tables by which statements are read.
var Tables = sync.OnceValue(func() Verbs {
	var v Verbs
	if err := json.Unmarshal(tables, &v); err != nil {
		panic("verbs.json, which is part of the program, cannot be read: " + err.Error())
	}
	return v
})

// grants are the permissions for which a verb of this level stands.
func (v Verbs) grants(resource string, level int) ([]Permission, bool) {
	types, ok := v.Families[resource]
	if !ok {
		types = []string{resource}
	}
	var all []Permission
	for _, name := range types {
		table, ok := v.Types[name]
		if !ok {
			return nil, false
		}
		all = append(all,
			slices.Concat([][]Permission{table.Inspect, table.Read, table.Use, table.Manage}[:level+1]...)...)
	}
	return all, true
}

// Request is an operation that a principal wants to do.
type Request struct {
	Group       string // dynamic group of the principal; empty: it is in none, and may do nothing
	Compartment string // OCID of the target's compartment
	Permission  Permission
	// Target are the variables that conditions may name, such as target.bucket.name.
	Target map[string]string
}

// Policy is a list of statements. It denies what no statement allows.
type Policy struct{ statements []Statement }

// Statement is one parsed statement.
type Statement struct {
	Principal   string // any-user, or its kind and name
	Verb        string
	Resource    string
	Compartment string
	// granted are the permissions for which the verb stands, before any condition.
	granted   []Permission
	condition condition
}

var form = regexp.MustCompile(
	`^(?i:allow)\s+((?i:any-user)|(?i:dynamic-group|group|service)\s+\S+)\s+(?i:to)\s+(\w+)\s+([\w-]+)\s+` +
		`(?i:in)\s+(?i:compartment)\s+(?i:id)\s+(\S+)(?:\s+(?i:where)\s+(.+))?$`)

// Parse reads statements.
func Parse(texts []string) (Policy, error) {
	var p Policy
	for _, text := range texts {
		s, err := Read(text)
		if err != nil {
			return Policy{}, fmt.Errorf("policy statement %q: %w", text, err)
		}
		p.statements = append(p.statements, s)
	}
	return p, nil
}

// Read reads one statement.
func Read(text string) (Statement, error) {
	match := form.FindStringSubmatch(text)
	if match == nil {
		return Statement{}, errors.New("it has a form that is not known here")
	}
	s := Statement{
		Principal: principal(match[1]), Verb: strings.ToLower(match[2]), Resource: strings.ToLower(match[3]),
		Compartment: match[4],
	}
	level := slices.Index(verbs, s.Verb)
	if level < 0 {
		return Statement{}, fmt.Errorf("the verb %s is not known here", match[2])
	}
	var ok bool
	if s.granted, ok = Tables().grants(s.Resource, level); !ok {
		return Statement{}, fmt.Errorf("the resource type %s is not known here", match[3])
	}
	var err error
	if match[5] != "" {
		s.condition, err = parseCondition(match[5])
	}
	return s, err
}

// principal is the kind in lower case, because case does not matter there, and the name unchanged.
func principal(text string) string {
	kind, name, found := strings.Cut(text, " ")
	if !found {
		return strings.ToLower(kind)
	}
	return strings.ToLower(kind) + " " + strings.TrimSpace(name)
}

// Permissions are those that the statement can grant: what its verb stands for, except what its condition excludes
// for every target and principal.
func (s Statement) Permissions() []Permission {
	return slices.DeleteFunc(slices.Clone(s.granted), func(p Permission) bool {
		return !s.condition.holds(func(variable string) (string, knowledge) {
			if variable == "request.permission" {
				return string(p), known
			}
			return "", open
		})
	})
}

// Allows reports whether any statement allows a request.
func (p Policy) Allows(r Request) bool {
	return slices.ContainsFunc(p.statements, func(s Statement) bool {
		return r.Group != "" && s.Principal == "dynamic-group "+r.Group && s.Compartment == r.Compartment &&
			slices.Contains(s.granted, r.Permission) && s.condition.holds(r.variable)
	})
}

// variable is the request's value for a variable of a condition.
func (r Request) variable(name string) (string, knowledge) {
	if name == "request.permission" {
		return string(r.Permission), known
	}
	if value, ok := r.Target[name]; ok {
		return value, known
	}
	return "", absent
}
