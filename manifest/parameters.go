package manifest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

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
}

// refuses says why a value is none of the parameter's; "" if it is.
func (p Parameter) refuses(v Value) string {
	switch {
	case !v.fits(p.Type):
		return "is not of type " + string(p.Type)
	case p.Enum != nil && !slices.ContainsFunc(p.Enum, v.equal):
		return "is none of the values in enum"
	case p.Pattern != nil && !p.Pattern.MatchString(v.text):
		return "does not match the pattern " + printable(p.Pattern.String())
	}
	return ""
}

// show is a value for a message; one that is not to be shown is hidden.
func (p Parameter) show(v Value) string {
	if p.Sensitive {
		return "the value"
	}
	return fmt.Sprintf("%q", printable(v.text))
}

func (n node) parameters() map[string]Parameter {
	declared := map[string]Parameter{}
	members := n.keyed("manifest.parameter_name", parameterRule, aParameter)
	for _, name := range sortedKeys(members) {
		declared[name] = members[name].parameter()
	}
	return declared
}

// parameter reads one declaration. Values are checked when all of it is known.
func (n node) parameter() Parameter {
	var p Parameter
	var fallback, pattern *node
	var enum []node
	if n.orText(`{"type": "integer"}`) {
		return p
	}
	n.fields([]field{
		{"type", true, func(v node) {
			p.Type = ParameterType(v.choice("manifest.choice", string(TypeString), string(TypeInteger), string(TypeNumber), string(TypeBoolean)))
		}},
		{"default", false, func(v node) { fallback = &v }},
		{"enum", false, func(v node) {
			if enum = v.list(); len(enum) == 0 && string(v.value) == "[]" {
				v.bad("manifest.required", "enum is empty: no value would be allowed", "list the values, or remove enum")
			}
		}},
		{"pattern", false, func(v node) { pattern = &v }},
		{"required", false, func(v node) { p.Required = v.boolean() }},
		{"sensitive", false, func(v node) { p.Sensitive = v.boolean() }},
		{"description", false, func(v node) { v.text(textRule, maxText) }},
	})
	if pattern != nil {
		p.Pattern = pattern.pattern(p.Type)
	}
	var allowed []Value
	for _, e := range enum {
		if v := e.valueOf(p); v != nil {
			allowed = append(allowed, *v)
		}
	}
	p.Enum = allowed
	if fallback != nil {
		p.Default = fallback.valueOf(p)
		fallback.given(p, p.Default)
	}
	return p
}

// pattern reads an RE2 expression; only texts have one.
func (n node) pattern(t ParameterType) *regexp.Regexp {
	text := n.text(textRule, maxLine*4)
	if text == "" {
		return nil
	}
	rule, err := regexp.Compile(text)
	switch {
	case err != nil:
		n.bad("manifest.pattern", "pattern is no RE2 expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "see https://github.com/google/re2/wiki/Syntax")
	case t != TypeString && t != "":
		n.bad("manifest.pattern", "only parameters of type string have a pattern", "use enum, or remove pattern")
	}
	return rule
}

// valueOf reads a value that a parameter is to have; nil, and a problem, if it cannot.
func (n node) valueOf(p Parameter) *Value {
	v, err := parseValue(n.value)
	switch {
	case err != nil && (n.value.Kind() == '"' || n.value.Kind() == '0'):
		n.bad("manifest.value", err.Error(), "")
		return nil
	case err != nil:
		n.wrongType("text, a number, true or false", "")
		return nil
	case p.Type == "":
		return nil // the type itself is wrong
	}
	if why := p.refuses(v); why != "" {
		n.bad("manifest.value", p.show(v)+" "+why, "")
		return nil
	}
	v = v.as(p.Type)
	return &v
}

// valueSets reads named groups of values of the parameters that are declared.
func valueSets(groups map[string]node, declared map[string]Parameter) map[string]map[string]Value {
	result := map[string]map[string]Value{}
	for _, group := range sortedKeys(groups) {
		result[group] = map[string]Value{}
		members := groups[group].keyed("manifest.parameter_name", parameterRule, aParameter)
		for _, name := range sortedKeys(members) {
			p, ok := declared[name]
			if !ok {
				members[name].bad("manifest.undeclared", undeclared(name, declared), "declare it under parameters")
			}
			v := members[name].valueOf(p)
			members[name].given(p, v)
			if v != nil {
				result[group][name] = *v
			}
		}
	}
	return result
}

func undeclared(name string, declared map[string]Parameter) string {
	message := "there is no parameter " + printable(name)
	if near := problem.Nearest(name, sortedKeys(declared)); near != "" {
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

// Resolve gives every parameter its value: the request's, else the set's, else the
// environment's, else the default. A parameter without any is left out. The error is a
// *problem.Error of the family "trigger" with everything that is wrong with the inputs;
// the arguments are then those that are right.
func (m *Manifest) Resolve(in Inputs) (Arguments, error) {
	var problems []problem.Problem
	add := func(code, where, message, hint string) {
		problems = append(problems, problem.Problem{Code: code, Where: where, Message: message, Hint: hint})
	}
	set, known := m.ParameterSets[in.Set]
	if in.Set != "" && !known {
		add("trigger.parameter_set", in.Set, "the package has no such parameter set", listed("its sets: ", "it has none: leave the set out", m.ParameterSets))
	}
	for _, name := range sortedKeys(in.Parameters) {
		if _, ok := m.Parameters[name]; !ok {
			add("trigger.parameter_unknown", name, undeclared(name, m.Parameters), listed("the package's parameters: ", "the package has none: leave it out", m.Parameters))
		}
	}
	var arguments Arguments
	for _, name := range sortedKeys(m.Parameters) {
		p := m.Parameters[name]
		v := p.Default
		for _, source := range []map[string]Value{m.EnvironmentParameters[in.Environment], set, in.Parameters} {
			if given, ok := source[name]; ok {
				v = &given
			}
		}
		switch {
		case v == nil && p.Required:
			add("trigger.parameter_missing", name, "the package needs a value for this parameter", "give it in the request, or under environment_parameters or as default in the manifest")
		case v == nil:
		case p.refuses(*v) != "":
			add("trigger.parameter", name, p.show(*v)+" "+p.refuses(*v), "see the package's manifest")
		default:
			arguments = append(arguments, Argument{name, v.as(p.Type), p.Sensitive})
		}
	}
	return arguments, problem.Join(problems)
}

// listed says which names there are, or that there are none.
func listed[V any](some, none string, names map[string]V) string {
	if len(names) == 0 {
		return none
	}
	return some + strings.Join(sortedKeys(names), ", ")
}
