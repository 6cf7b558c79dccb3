package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"cemli-executor/internal/document"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/strictjson"
)

// Policy is what an environment demands of packages. Only ParsePolicy makes one.
type Policy struct {
	Environment string

	require    []requirement
	types      []string // nil: all
	objectName string   // template; empty: any
	prerelease bool     // allowed
	downgrade  bool
	reuse      bool
	repeat     bool
	actions    map[string][]string // by kind of trigger; nil: all
	network    string              // allow, declared or deny
	secrets    []string            // patterns; nil: all
	embedded   bool                // secrets in files are allowed
	runners    []string            // labels that packages may name; nil: all
	// Sandbox is the lowest level at which scripts may run; empty: the executor's own.
	Sandbox string
	group   string // template of the concurrency group of every package; empty: its own
	freeze  []window
	// triggers start packages when other events than uploads arrive.
	triggers []Trigger
	// Limits are bounds below the executor's own, by name; durations in nanoseconds.
	Limits map[string]int64
}

// requirement is one member of require.
type requirement struct {
	pointer jsontext.Pointer
	rule    document.Expression // without a rule: present, with a visible value
}

// PolicyLimits are the names of the limits that a policy may set: those of the
// function's CEMLI_LIMIT_ variables.
var PolicyLimits = []string{
	"package_bytes", "entries", "file_bytes", "total_bytes", "ratio", "log_bytes", "artifacts", "artifact_bytes",
	"run_time",
}

// ParsePolicy reads the policy of an environment. The error is a *problem.Error with every problem, all of the code
// "policy.unavailable": a policy with a key that is not understood admits nothing.
func ParsePolicy(doc []byte, environment string) (*Policy, error) {
	const code = "policy.unavailable"
	if len(doc) > MaxBytes {
		return nil, refuse(code, "", fmt.Sprintf("the policy has %d bytes; at most %d are allowed", len(doc), MaxBytes),
			"shorten it")
	}
	if fault := strictjson.Check(doc, MaxDepth); fault != nil {
		return nil, refuse(code, fault.Pointer, "the policy is not valid JSON: "+fault.Error(),
			"mend it; until then nothing runs")
	}
	c := &document.Checker{Code: code}
	p := &Policy{prerelease: true, downgrade: true, embedded: true, network: "allow"}
	c.Root(doc).Fields(p.fields())
	if p.Environment != "" && p.Environment != environment {
		c.Add(code, "/environment",
			fmt.Sprintf("the policy is for the environment %s; this is %s", p.Environment, environment),
			"give "+environment+" its own policy; CEMLI_POLICY names it")
	}
	if err := c.Refused(); err != nil {
		return nil, err
	}
	return p, nil
}

// fields is the contract's table of keys.
func (p *Policy) fields() []document.Field {
	table := []document.Field{
		document.Optional("$schema", func(n document.Node) { n.Line(2048) }),
		document.Optional("description", func(n document.Node) { n.Text(maxText) }),
		document.Required("environment", func(n document.Node) {
			p.Environment = n.Word("", environmentRule, anEnvironment)
		}),
		document.Optional("require", func(n document.Node) { p.require = readRequirements(n) }),
		document.Optional("types", func(n document.Node) {
			p.types = []string{}
			for _, e := range n.List() {
				p.types = append(p.types, e.Choice("", Types...))
			}
		}),
		document.Optional("object_name", func(n document.Node) { p.objectName = readTemplate(n) }),
		document.Optional("version", func(n document.Node) {
			n.Fields([]document.Field{
				document.Optional("prerelease", func(v document.Node) { p.prerelease = readAllow(v) }),
				document.Optional("downgrade", func(v document.Node) { p.downgrade = readAllow(v) }),
				document.Optional("reuse", func(v document.Node) { p.reuse = readAllow(v) }),
				document.Optional("repeat", func(v document.Node) { p.repeat = readAllow(v) }),
			})
		}),
		document.Optional("actions", func(n document.Node) { p.actions = readActions(n) }),
		document.Optional("network", func(n document.Node) { p.network = n.Choice("", "allow", "declared", "deny") }),
		document.Optional("secrets", func(n document.Node) {
			p.secrets = []string{}
			for _, e := range n.List() {
				p.secrets = append(p.secrets, readPattern(e))
			}
		}),
		document.Optional("embedded_secrets", func(n document.Node) { p.embedded = readAllow(n) }),
		document.Optional("sandbox", func(n document.Node) {
			p.Sandbox = n.Choice("", "none", "basic", "isolated", "full")
		}),
		document.Optional("runners", func(n document.Node) { p.runners = n.Words("", labelRule, aLabel) }),
		document.Optional("concurrency", func(n document.Node) {
			n.Fields([]document.Field{document.Required("group", func(v document.Node) { p.group = readGroup(v) })})
		}),
		document.Optional("limits", func(n document.Node) { p.Limits = readLimits(n) }),
		document.Optional("freeze", func(n document.Node) {
			for _, e := range n.List() {
				p.freeze = append(p.freeze, readWindow(e))
			}
		}),
		document.Optional("triggers", func(n document.Node) { p.triggers = readTriggers(n) }),
	}
	return append(table,
		document.Later("", "revision", "windows", "signatures", "ownership", "require_success_in",
			"emergency")...)
}

// readAllow reads whether something is allowed.
func readAllow(n document.Node) bool { return n.Choice("", "allow", "deny") == "allow" }

// readPattern reads a pattern of names.
func readPattern(n document.Node) string {
	text := n.Line(document.MaxLine)
	if _, err := path.Match(text, ""); err != nil || text == "" {
		n.Bad("", document.Printable(text)+" is not a pattern such as erp-*",
			"close the bracket, or escape it with a backslash")
	}
	return text
}

// readRequirements reads {pointer: true | expression}.
func readRequirements(n document.Node) []requirement {
	var list []requirement
	members := n.Members()
	for _, key := range sortedKeys(members) {
		member := members[key]
		r := requirement{pointer: jsontext.Pointer(key)}
		if !r.pointer.IsValid() || key == "" {
			member.Bad("", fmt.Sprintf("%q is not a JSON pointer into the manifest", document.Printable(key)),
				"write it like /change_ticket")
			continue
		}
		switch member.Value().Kind() {
		case 't':
		case '"':
			text, _ := strictjson.Text(member.Value())
			r.rule = member.Expression(text)
		default:
			member.Bad("", "a requirement is true or a regular expression", `write true, or "^CHG[0-9]{7}$"`)
		}
		list = append(list, r)
	}
	return list
}

var placeholders = []string{"{name}", "{version}", "{type}"}

// readTemplate reads the form of object names.
func readTemplate(n document.Node) string {
	text := n.Line(document.MaxLine)
	rest := text
	for _, p := range placeholders {
		rest = strings.ReplaceAll(rest, p, "")
	}
	if text == "" || strings.ContainsAny(rest, "{}") {
		n.Bad("", fmt.Sprintf("%q is not a form of names", document.Printable(text)),
			"use "+strings.Join(placeholders, ", ")+", as in {name}-{version}.zip")
	}
	return text
}

// setPlaceholder stands for the parameter set in a group's name.
const setPlaceholder = "{set}"

// readGroup reads the name of a concurrency group, which may have a placeholder for the set.
func readGroup(n document.Node) string {
	text := n.Line(document.MaxLine)
	if !stepRule.MatchString(strings.ReplaceAll(text, setPlaceholder, "SET")) {
		n.Bad("", fmt.Sprintf("%q is not a group's name: letters, digits, spaces, . _ -", document.Printable(text)),
			"write it like erp, or erp-{set} to let parameter sets run side by side")
	}
	return text
}

// GroupFor returns the concurrency group that the policy gives to a run of a parameter set, whose name is empty for a
// run of none; "" leaves the group to the package.
func (p *Policy) GroupFor(set string) string {
	return strings.ReplaceAll(p.group, setPlaceholder, set)
}

// The forms of requests, and the actions that they may ask for.
var (
	triggerKinds = []string{"event", "cloud_event", "request", "cli"}
	actionNames  = []string{"apply", "dry_run", "check", "rollback"}
	laterActions = []string{"mark"} // of the contract; not in this version
)

// readActions reads what each kind of trigger may ask for; a kind that is not named may ask for nothing.
func readActions(n document.Node) map[string][]string {
	allowed := map[string][]string{}
	members := n.Members()
	for _, kind := range sortedKeys(members) {
		if !slices.Contains(triggerKinds, kind) {
			members[kind].Unknown(kind, triggerKinds)
			continue
		}
		allowed[kind] = []string{}
		for _, e := range members[kind].List() {
			if text, _ := strictjson.Text(e.Value()); slices.Contains(laterActions, text) {
				e.Bad("", "this version does not support the action "+text,
					"remove it, or use an executor that supports it")
				continue
			}
			allowed[kind] = append(allowed[kind], e.Choice("", actionNames...))
		}
	}
	return allowed
}

// readLimits reads bounds below the executor's own.
func readLimits(n document.Node) map[string]int64 {
	limits := map[string]int64{}
	var table []document.Field
	for _, name := range PolicyLimits {
		table = append(table, document.Optional(name, func(v document.Node) {
			if name == "run_time" {
				limits[name] = int64(v.Duration())
			} else {
				limits[name] = v.Count(1 << 50)
			}
		}))
	}
	n.Fields(table)
	return limits
}

// ScansFiles reports whether the package's files are to be searched for secrets.
func (p *Policy) ScansFiles() bool { return !p.embedded }

// AllowsRepeat reports whether content that succeeded already may run again.
func (p *Policy) AllowsRepeat() bool { return p.repeat }

// Case is what a policy decides on. Fields about earlier runs are empty if there were none.
type Case struct {
	Manifest *Manifest
	Object   string // name of the package's object
	Action   string
	Kind     string // of the trigger
	Now      time.Time
	DirHash  string
	// Current is the version that succeeded last in this environment; Seen is the
	// dirhash under which the package's version ran before.
	Current, Seen string
	// Rollback: the request goes back to an earlier run, and says why.
	Rollback bool
	// Reference is the incident or change that the request names.
	Reference string
	// Embedded are the places that look like secrets.
	Embedded []string
}

// Admit returns everything in which a package breaks the policy, in the order of the policy's keys; nothing if it may
// run.
func (p *Policy) Admit(c Case) []problem.Problem {
	v := &violations{policy: p, c: c}
	if c.Action != "rollback" { // what was admitted once may be undone, even if the policy has changed since
		v.requirements()
		v.identity()
		v.versions()
	}
	v.abilities()
	v.frozen()
	return v.problems
}

type violations struct {
	policy   *Policy
	c        Case
	problems []problem.Problem
}

func (v *violations) add(code, where, message, hint string) {
	v.problems = append(v.problems, problem.Problem{Code: code, Where: where, Message: message, Hint: hint})
}

func (v *violations) requirements() {
	work := 0
	for _, r := range v.policy.require {
		value := lookUp(v.c.Manifest.Raw, r.pointer)
		text := textOf(value)
		work += r.rule.Work(text)
		switch {
		case absent(text):
			v.add("policy.require", string(r.pointer),
				"the environment "+v.policy.Environment+" requires this in the manifest", "add it")
		case r.rule.Rule == nil && !legible(value):
			v.add("policy.require", string(r.pointer),
				"the environment "+v.policy.Environment+
					" requires this in the manifest, and there is nothing to be seen in it",
				"write something that people can read")
		case work > document.MaxMatching:
			v.add("policy.require", string(r.pointer),
				"it takes too long to compare this with what the environment "+v.policy.Environment+" requires",
				"shorten it")
		case r.rule.Rule != nil && !r.rule.Rule.MatchString(text):
			v.add("policy.require", string(r.pointer),
				fmt.Sprintf("%q does not match %s, which the environment %s requires", document.Printable(text),
					r.rule.Rule, v.policy.Environment), "correct it")
		}
	}
}

// lookUp finds a value of the manifest; nil if it is not there.
func lookUp(doc []byte, pointer jsontext.Pointer) jsontext.Value {
	value := jsontext.Value(doc)
	for token := range pointer.Tokens() {
		next, ok := member(value, token)
		if !ok {
			return nil
		}
		value = next
	}
	return value
}

// textOf returns the text of a value, or its JSON if it is no text.
func textOf(value jsontext.Value) string {
	if text, ok := strictjson.Text(value); ok {
		return text
	}
	return string(value)
}

// absent reports whether a value is missing or empty.
func absent(text string) bool {
	return slices.Contains([]string{"", "null", "[]", "{}"}, text)
}

// legible reports whether a value tells a person something: a number or boolean does, a text with a visible character
// does, and so does an array or object that has such a value.
func legible(value jsontext.Value) bool {
	within := func(v jsontext.Value) bool { return legible(v) }
	if members, ok := strictjson.Members(value); ok {
		return slices.ContainsFunc(slices.Collect(maps.Values(members)), within)
	}
	if elements, ok := strictjson.Elements(value); ok {
		return slices.ContainsFunc(elements, within)
	}
	return value.Kind() != 'n' && Visible(textOf(value))
}

func member(value jsontext.Value, token string) (jsontext.Value, bool) {
	if members, ok := strictjson.Members(value); ok {
		found, ok := members[token]
		return found, ok
	}
	elements, _ := strictjson.Elements(value)
	for i, e := range elements {
		if fmt.Sprint(i) == token {
			return e, true
		}
	}
	return nil, false
}

// identity checks type and name.
func (v *violations) identity() {
	p, m := v.policy, v.c.Manifest
	if p.types != nil && !slices.Contains(p.types, m.Type) {
		v.add("policy.type", "/type", fmt.Sprintf("packages of type %s may not run in %s", m.Type, p.Environment),
			"allowed: "+problem.Names(p.types))
	}
	if p.objectName == "" {
		return
	}
	want := strings.NewReplacer("{name}", m.Name, "{version}", m.Version, "{type}", m.Type).Replace(p.objectName)
	have := v.c.Object
	if !strings.Contains(p.objectName, "/") {
		have = path.Base(have)
	}
	if have != want {
		v.add("policy.object_name", v.c.Object, "the object must be named "+want, "upload it under that name")
	}
}

// versions compares the version with those that ran before.
func (v *violations) versions() {
	p, m := v.policy, v.c.Manifest
	if !p.prerelease && isPrerelease(m.Version) {
		v.add("policy.prerelease", "/version", m.Version+" is a prerelease, and "+p.Environment+" takes none",
			"release it: remove what follows the hyphen")
	}
	if !p.downgrade && v.c.Current != "" && older(m.Version, v.c.Current) && !v.c.Rollback {
		v.add("policy.downgrade", "/version",
			fmt.Sprintf("%s is older than %s, which is in %s", m.Version, v.c.Current, p.Environment),
			"raise the version; to go back on purpose, send a request with the object, rollback_of (the earlier run "+
				"that is to be applied again) and reason")
	}
	if !p.reuse && v.c.Seen != "" && v.c.Seen != v.c.DirHash {
		v.add("policy.reuse", "/version",
			fmt.Sprintf("version %s ran in %s with other contents (%s)", m.Version, p.Environment, v.c.Seen),
			"raise the version whenever the contents change")
	}
}

// Allows reports whether a kind of trigger may ask for an action.
func (p *Policy) Allows(kind, action string) bool {
	return p.actions == nil || slices.Contains(p.actions[kind], action)
}

// abilities checks what the request and the package want to do.
func (v *violations) abilities() {
	p, m := v.policy, v.c.Manifest
	if !p.Allows(v.c.Kind, v.c.Action) {
		v.add("policy.action", v.c.Action,
			fmt.Sprintf("a %s may not ask for %s in %s", kindName(v.c.Kind), v.c.Action, p.Environment), "")
	}
	switch {
	case p.network == "deny" && m.Network:
		v.add("policy.network", "/network", p.Environment+" takes only packages without network",
			`add "network": false`)
	case p.network == "declared" && !m.NetworkDeclared:
		v.add("policy.network", "/network", p.Environment+" wants the package to say whether it uses the network",
			`add "network": true or false`)
	}
	for _, name := range sortedKeys(m.Secrets) {
		secret := m.Secrets[name]
		if p.secrets != nil && !slices.ContainsFunc(p.secrets,
			func(glob string) bool { ok, _ := path.Match(glob, secret); return ok }) {
			v.add("policy.secret", "/secrets/"+name,
				fmt.Sprintf("the secret %s may not be used in %s", document.Printable(secret), p.Environment),
				"allowed: "+problem.Names(p.secrets))
		}
	}
	if p.runners != nil && m.RunsOn != "" && !slices.Contains(p.runners, m.RunsOn) {
		v.add("policy.runner", "/runs_on",
			fmt.Sprintf("packages may not name the runner %s in %s", m.RunsOn, p.Environment),
			"allowed: "+cmp.Or(problem.Names(p.runners), "none")+"; a package that names none runs on the default")
	}
	if !p.embedded && v.c.Action != "rollback" {
		for _, place := range v.c.Embedded {
			v.add("policy.embedded_secret", place, "this looks like a secret, and packages may hold none",
				"take it out, put it into the vault, and change it: it is known now")
		}
	}
}

func kindName(kind string) string { return strings.ReplaceAll(kind, "_", " ") }

// frozen checks the time. A check runs no script, so it passes; an undo may be urgent, so the windows have to name it.
func (v *violations) frozen() {
	if v.c.Action == "check" {
		return
	}
	for _, w := range v.policy.freeze {
		end, in := w.holds(v.c.Now)
		if !in {
			continue
		}
		hint := "upload the package again then"
		if v.c.Action == "rollback" {
			if !w.noRollback && Visible(v.c.Reference) {
				continue
			}
			hint = "name the incident or change as reference: then a rollback passes this freeze"
			if w.noRollback {
				hint = "send the request again then: this freeze is closed to rollbacks too, whatever their reference"
			}
		}
		v.add("policy.freeze", "",
			fmt.Sprintf("%s is frozen until %s: %s", v.policy.Environment, end.Format("2006-01-02 15:04 MST"),
				w.reason), hint)
	}
}
