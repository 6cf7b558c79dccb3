package manifest

import (
	"fmt"
	"regexp"
	"slices"

	"cemli-executor/internal/document"
	"cemli-executor/internal/problem"
)

// Parameter declares one input of a package.
type Parameter struct {
	Type      ParameterType
	Default   *Value
	Enum      []Value // nil: any
	Pattern   *regexp.Regexp
	Required  bool
	Sensitive bool
	size      int // of Pattern, in instructions
}

// work returns an upper bound for the cost of comparing a value with the pattern.
func (p Parameter) work(v Value) int { return p.size * (len(v.text) + 1) }

// refuses says why the parameter cannot have a value; "" if it can.
func (p Parameter) refuses(v Value) string {
	switch {
	case !v.fits(p.Type):
		return "is not of type " + string(p.Type)
	case p.Enum != nil && !slices.ContainsFunc(p.Enum, v.equal):
		return "is none of the values in enum"
	case p.Pattern != nil && !p.Pattern.MatchString(v.text):
		return "does not match the pattern " + document.Printable(p.Pattern.String())
	}
	return ""
}

// show returns a value for a message, or a placeholder for a sensitive one.
func (p Parameter) show(v Value) string {
	if p.Sensitive {
		return "the value"
	}
	return fmt.Sprintf("%q", document.Printable(v.text))
}

// valueReader reads the parameters of one manifest and their values, and adds up their cost.
type valueReader struct {
	sensitive int // bytes of the values of sensitive parameters
	matching  int // the work of comparing values with patterns
}

// parameters reads the declarations.
func (r *valueReader) parameters(n document.Node) map[string]Parameter {
	declared := map[string]Parameter{}
	members := n.Keyed("manifest.parameter_name", parameterRule, aParameter)
	for _, name := range sortedKeys(members) {
		declared[name] = r.parameter(members[name])
	}
	return declared
}

// parameter reads one declaration. It checks the values after the rest of the declaration is known.
func (r *valueReader) parameter(n document.Node) Parameter {
	var p Parameter
	var fallback, pattern *document.Node
	var enum []document.Node
	if n.OrText(`{"type": "integer"}`) {
		return p
	}
	n.Fields([]document.Field{
		document.Required("type", func(v document.Node) {
			p.Type = ParameterType(v.Choice("manifest.choice", parameterTypes...))
		}),
		document.Optional("default", func(v document.Node) { fallback = &v }),
		document.Optional("enum", func(v document.Node) {
			if enum = v.List(); len(enum) == 0 && string(v.Value()) == "[]" {
				v.Bad("manifest.required", "enum is empty: no value would be allowed",
					"list the values, or remove enum")
			}
		}),
		document.Optional("pattern", func(v document.Node) { pattern = &v }),
		document.Optional("required", func(v document.Node) { p.Required = v.Boolean() }),
		document.Optional("sensitive", func(v document.Node) { p.Sensitive = v.Boolean() }),
		document.Optional("description", func(v document.Node) { v.Text(maxText) }),
	})
	if pattern != nil {
		e := readExpression(*pattern, p.Type)
		p.Pattern, p.size = e.Rule, e.Size
	}
	var allowed []Value
	for _, e := range enum {
		if v := r.value(e, p); v != nil {
			allowed = append(allowed, *v)
		}
	}
	p.Enum = allowed
	if fallback != nil {
		p.Default = r.value(*fallback, p)
		r.given(*fallback, p, p.Default)
	}
	return p
}

// readExpression reads an RE2 expression; only texts may have one.
func readExpression(n document.Node, t ParameterType) document.Expression {
	text := n.Text(document.MaxLine * 4)
	if text == "" {
		return document.Expression{}
	}
	e := n.Expression(text)
	if e.Rule != nil && t != TypeString && t != "" {
		n.Bad("manifest.pattern", "only parameters of type string have a pattern", "use enum, or remove pattern")
	}
	return e
}

// value reads a value for a parameter; it returns nil and notes a problem if the value is wrong.
func (r *valueReader) value(n document.Node, p Parameter) *Value {
	v, err := parseValue(n.Value())
	switch {
	case err != nil && (n.Value().Kind() == '"' || n.Value().Kind() == '0'):
		n.Bad("manifest.value", err.Error(), "")
		return nil
	case err != nil:
		n.WrongType("text, a number, true or false", "")
		return nil
	case p.Type == "":
		return nil // the type itself is wrong
	}
	before := r.matching
	if r.matching += p.work(v); r.matching > document.MaxMatching {
		if before <= document.MaxMatching {
			n.Bad("manifest.value", slow, shorter)
		}
		return nil
	}
	if why := p.refuses(v); why != "" {
		n.Bad("manifest.value", p.show(v)+" "+why, "")
		return nil
	}
	v = v.as(p.Type)
	return &v
}

// sets reads named groups of values of declared parameters.
func (r *valueReader) sets(groups map[string]document.Node, declared map[string]Parameter) map[string]map[string]Value {
	result, names := map[string]map[string]Value{}, sortedKeys(declared)
	for _, group := range sortedKeys(groups) {
		result[group] = map[string]Value{}
		members := groups[group].Keyed("manifest.parameter_name", parameterRule, aParameter)
		for _, name := range sortedKeys(members) {
			p, ok := declared[name]
			if !ok {
				near := members[name].Nearest(name, names)
				members[name].Bad("manifest.undeclared", undeclared(name, near), "declare it under parameters")
			}
			v := r.value(members[name], p)
			r.given(members[name], p, v)
			if v != nil {
				result[group][name] = *v
			}
		}
	}
	return result
}

func undeclared(name, near string) string {
	message := "there is no parameter " + document.Printable(name)
	if near != "" {
		message += "; did you mean " + near + "?"
	}
	return message
}

// Inputs are what a request adds to the manifest.
type Inputs struct {
	Environment string
	Set         string // of the manifest's parameter sets; empty: none
	Parameters  map[string]Value
}

// Argument is one parameter with the value it has in a run.
type Argument struct {
	Name      string
	Value     Value
	Sensitive bool
}

// Arguments are the parameters that have a value, in the order of their names.
type Arguments []Argument

// Resolve gives every parameter its value: the request's, otherwise the set's, otherwise the environment's, otherwise
// the default. It leaves out a parameter that has none of these. The error is a *problem.Error of the family "trigger"
// with everything that is wrong with the inputs; the arguments are then those that are right.
func (m *Manifest) Resolve(in Inputs) (Arguments, error) {
	var problems []problem.Problem
	add := func(code, where, message, hint string) {
		problems = append(problems, problem.Problem{Code: code, Where: where, Message: message, Hint: hint})
	}
	set, known := m.ParameterSets[in.Set]
	if in.Set != "" && !known {
		add("trigger.parameter_set", in.Set, "the package has no such parameter set",
			listed("its sets: ", "it has none: leave the set out", m.ParameterSets))
	}
	declared := sortedKeys(m.Parameters)
	for _, name := range sortedKeys(in.Parameters) {
		if _, ok := m.Parameters[name]; !ok {
			near := ""
			if len(problems) < problem.Suggested {
				near = problem.Nearest(name, declared)
			}
			add("trigger.parameter_unknown", name, undeclared(name, near),
				listed("the package's parameters: ", "the package has none: leave it out", m.Parameters))
		}
	}
	var arguments Arguments
	work := 0
	for _, name := range declared {
		p := m.Parameters[name]
		v := p.Default
		for _, source := range []map[string]Value{m.EnvironmentParameters[in.Environment], set, in.Parameters} {
			if given, ok := source[name]; ok {
				v = &given
			}
		}
		if v != nil {
			work += p.work(*v)
		}
		switch {
		case v == nil && p.Required:
			add("trigger.parameter_missing", name, "the package needs a value for this parameter",
				"give it in the request, or under environment_parameters or as default in the manifest")
		case v == nil:
		case work > document.MaxMatching:
			add("trigger.parameter", name, slow, shorter)
		case p.refuses(*v) != "":
			add("trigger.parameter", name, p.show(*v)+" "+p.refuses(*v), "see the package's manifest")
		default:
			arguments = append(arguments, Argument{name, v.as(p.Type), p.Sensitive})
		}
	}
	return arguments, problem.Join(problems)
}

// The message and the hint once values are no longer compared with patterns.
const (
	slow    = "it takes too long to compare values as long as these with patterns as long as these"
	shorter = "shorten the values, or repeat less in the patterns"
)

// listed lists names for a hint, or says that there are none.
func listed[V any](some, none string, names map[string]V) string {
	if len(names) == 0 {
		return none
	}
	return some + problem.Names(sortedKeys(names))
}
