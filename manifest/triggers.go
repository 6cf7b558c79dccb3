package manifest

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Trigger is an entry of a policy's triggers, which starts a package when something happens that is no upload.
type Trigger struct {
	Object     string           // of the packages bucket
	Parameters map[string]Value // that the package is given; nil: none
	eventType  string
	resource   string // pattern
}

const (
	// maxTriggers bounds the entries: more than a tenancy has rules for events.
	maxTriggers = 100
	// maxGiven bounds the parameters of an entry, as those of a request by hand.
	maxGiven = 256
)

const (
	anEventType = "a type of events such as com.oraclecloud.vaultsecret.createsecretversion"
	aPackage    = "the name of a package's object such as rotate-1.0.0.zip"
)

var (
	eventRule = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
	// uploadEvents are what an upload is told by: the packages bucket's run by themselves, others never.
	uploadEvents = []string{"com.oraclecloud.objectstorage.createobject", "com.oraclecloud.objectstorage.updateobject"}
)

// Started returns the entries that an event starts, in the policy's order: those of its type whose pattern matches
// one of the names of what it is about.
func (p *Policy) Started(eventType string, names []string) []Trigger {
	var started []Trigger
	for _, t := range p.triggers {
		if t.eventType == eventType && slices.ContainsFunc(names, func(name string) bool { ok, _ := path.Match(t.resource, name); return ok }) {
			started = append(started, t)
		}
	}
	return started
}

// Awaits reports whether events of a type start anything at all.
func (p *Policy) Awaits(eventType string) bool {
	return slices.ContainsFunc(p.triggers, func(t Trigger) bool { return t.eventType == eventType })
}

// Triggers are all entries, in the policy's order.
func (p *Policy) Triggers() []Trigger { return slices.Clone(p.triggers) }

// triggers reads the list of entries.
func (n node) triggers() []Trigger {
	elements := n.list()
	if len(elements) > maxTriggers {
		n.bad("", fmt.Sprintf("there are %d triggers; at most %d are allowed", len(elements), maxTriggers), "let one pattern stand for several resources")
		return nil
	}
	var triggers []Trigger
	seen := map[string]bool{}
	for _, e := range elements {
		t := e.trigger()
		same := t.identity()
		if t.eventType != "" && seen[same] {
			e.bad("", "the same trigger is there twice", "keep one")
		}
		seen[same] = true
		triggers = append(triggers, t)
	}
	return triggers
}

// trigger reads one entry.
func (n node) trigger() Trigger {
	var t Trigger
	if n.orText(`{"event_type": "…", "resource": "erp-db", "object": "rotate-1.0.0.zip"}`) {
		return t
	}
	n.fields([]field{
		{"event_type", true, func(v node) { t.eventType = v.eventType() }},
		{"resource", true, func(v node) { t.resource = v.glob() }},
		{"object", true, func(v node) { t.Object = v.packageObject() }},
		{"parameters", false, func(v node) { t.Parameters = v.values() }},
	})
	return t
}

// identity is the same for entries that start the same by the same events.
func (t Trigger) identity() string {
	values := map[string]Value{}
	for name, value := range t.Parameters {
		values[name] = value.Canonical()
	}
	doc, err := json.Marshal([]any{t.eventType, t.resource, t.Object, values})
	if err != nil {
		panic(err) // values are valid JSON
	}
	return string(doc)
}

func (n node) eventType() string {
	text := n.word("", eventRule, anEventType)
	if slices.ContainsFunc(uploadEvents, func(upload string) bool { return strings.EqualFold(text, upload) }) {
		n.bad("", "uploads are no triggers: those to the packages bucket run by themselves, and those to other buckets never", "remove the entry")
	}
	return text
}

// packageObject reads the name of an object that can be a package.
func (n node) packageObject() string {
	text := n.word("", pathRule, aPackage)
	bidi := func(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) }
	if text != "" && (!strings.EqualFold(path.Ext(text), ".zip") || strings.ContainsFunc(text, bidi)) {
		n.bad("", printable(text)+" is not "+aPackage, "")
		return ""
	}
	return text
}

// values reads the values of parameters that a trigger gives; the package's manifest says what they must be.
func (n node) values() map[string]Value {
	members := n.keyed("", parameterRule, aParameter)
	if len(members) > maxGiven {
		n.bad("", fmt.Sprintf("there are %d parameters; at most %d are allowed", len(members), maxGiven), "")
		return nil
	}
	values := map[string]Value{}
	for _, name := range sortedKeys(members) {
		value, err := parseValue(members[name].value)
		if err != nil {
			members[name].bad("", err.Error(), "")
			continue
		}
		values[name] = value
	}
	return values
}
