// Package iam reads and applies policy statements in OCI's language, as far as this
// project's own statements use it:
//
//	Allow dynamic-group NAME to VERB RESOURCE in compartment id OCID [where CONDITION]
//
// A verb stands for permissions, each including those of the verbs before it: inspect,
// read, use, manage. A condition compares variables with texts (target.bucket.name='x',
// request.permission!='X'), alone or in all {…} or any {…}. A statement that says
// anything else is an error: one that were misread would allow more or less than OCI.
package iam

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
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
	RetentionManage  Permission = "RETENTION_RULE_MANAGE"
	SecretBundleRead Permission = "SECRET_BUNDLE_READ"
	TopicPublish     Permission = "ONS_TOPIC_PUBLISH"
	FunctionInvoke   Permission = "FN_INVOCATION"
	FunctionRead     Permission = "FN_FUNCTION_READ"
)

var verbs = []string{"inspect", "read", "use", "manage"}

// grants are the permissions that each verb adds, by resource type.
var grants = map[string][4][]Permission{
	"objects": {
		{ObjectInspect}, {ObjectRead}, {ObjectOverwrite}, {ObjectCreate, ObjectDelete, VersionDelete},
	},
	"buckets": {
		{BucketInspect}, {BucketRead}, {BucketUpdate}, {BucketCreate, BucketDelete, RetentionManage},
	},
	"secret-bundles": {{"SECRET_BUNDLE_INSPECT"}, {SecretBundleRead}, nil, nil},
	"ons-topics":     {{"ONS_TOPIC_INSPECT"}, {"ONS_TOPIC_READ"}, {"ONS_TOPIC_UPDATE", TopicPublish}, {"ONS_TOPIC_CREATE", "ONS_TOPIC_DELETE"}},
	"fn-invocation":  {nil, nil, {FunctionInvoke}, nil},
	"fn-function":    {{"FN_FUNCTION_LIST"}, {FunctionRead}, {"FN_FUNCTION_UPDATE"}, {"FN_FUNCTION_CREATE", "FN_FUNCTION_DELETE"}},
}

// Request is an operation that a principal wants to do.
type Request struct {
	Group       string // dynamic group of the principal
	Compartment string // OCID of the target's compartment
	Permission  Permission
	// Target are the variables that conditions may name, such as target.bucket.name.
	Target map[string]string
}

// Policy is a list of statements. Nothing that none of them allows is allowed.
type Policy struct{ statements []statement }

type statement struct {
	group, compartment string
	permissions        []Permission
	condition          condition
}

var form = regexp.MustCompile(`^(?i:allow)\s+(?i:dynamic-group)\s+(\S+)\s+(?i:to)\s+(\w+)\s+([\w-]+)\s+(?i:in)\s+(?i:compartment)\s+(?i:id)\s+(\S+)(?:\s+(?i:where)\s+(.+))?$`)

// Parse reads statements.
func Parse(texts []string) (Policy, error) {
	var p Policy
	for _, text := range texts {
		s, err := parse(text)
		if err != nil {
			return Policy{}, fmt.Errorf("policy statement %q: %w", text, err)
		}
		p.statements = append(p.statements, s)
	}
	return p, nil
}

func parse(text string) (statement, error) {
	match := form.FindStringSubmatch(text)
	if match == nil {
		return statement{}, errors.New("it has a form that is not known here")
	}
	level := slices.Index(verbs, strings.ToLower(match[2]))
	added, ok := grants[strings.ToLower(match[3])]
	if level < 0 || !ok {
		return statement{}, fmt.Errorf("the verb %s or the resource type %s is not known here", match[2], match[3])
	}
	s := statement{group: match[1], compartment: match[4], permissions: slices.Concat(added[:level+1]...)}
	var err error
	if match[5] != "" {
		s.condition, err = parseCondition(match[5])
	}
	return s, err
}

// Allows reports whether any statement allows a request.
func (p Policy) Allows(r Request) bool {
	return slices.ContainsFunc(p.statements, func(s statement) bool {
		return s.group == r.Group && s.compartment == r.Compartment && slices.Contains(s.permissions, r.Permission) && s.condition.holds(r)
	})
}

// condition is a comparison, or several of which all or any must hold.
type condition struct {
	any   bool
	parts []comparison
}

type comparison struct {
	variable, value string
	not             bool
}

var (
	group      = regexp.MustCompile(`^(?i:(all|any))\s*\{(.*)\}$`)
	comparable = regexp.MustCompile(`^([a-z]+(?:\.[a-z-]+)+)\s*(!?=)\s*'([^']*)'$`)
)

func parseCondition(text string) (condition, error) {
	text = strings.TrimSpace(text)
	c := condition{}
	parts := []string{text}
	if match := group.FindStringSubmatch(text); match != nil {
		c.any = strings.EqualFold(match[1], "any")
		parts = strings.Split(match[2], ",")
	}
	for _, part := range parts {
		match := comparable.FindStringSubmatch(strings.TrimSpace(part))
		if match == nil {
			return c, fmt.Errorf("the condition %q is not known here", strings.TrimSpace(part))
		}
		c.parts = append(c.parts, comparison{variable: match[1], value: match[3], not: match[2] == "!="})
	}
	return c, nil
}

// holds reports whether the condition holds. As on OCI a comparison with a variable that
// the request does not have does not hold, whether = or !=.
func (c condition) holds(r Request) bool {
	if c.parts == nil {
		return true
	}
	one := func(part comparison) bool {
		value, ok := r.Target[part.variable]
		if part.variable == "request.permission" {
			value, ok = string(r.Permission), true
		}
		return ok && (value == part.value) != part.not
	}
	if c.any {
		return slices.ContainsFunc(c.parts, one)
	}
	return !slices.ContainsFunc(c.parts, func(part comparison) bool { return !one(part) })
}
