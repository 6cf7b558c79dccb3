package manifest

import (
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"cemli-executor/internal/document"
)

// Trigger is an entry of a policy's triggers, which starts a package when an event arrives that is not an upload.
type Trigger struct {
	Object     string           // of the packages bucket
	Parameters map[string]Value // for the package; nil: none
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
	// uploadEvents are the events of uploads: those to the packages bucket run by themselves, others never do.
	uploadEvents = []string{"com.oraclecloud.objectstorage.createobject", "com.oraclecloud.objectstorage.updateobject"}
)

// Started returns the entries that an event starts, in the policy's order: those of its type whose pattern matches one
// of the event's names.
func (p *Policy) Started(eventType string, names []string) []Trigger {
	var started []Trigger
	for _, t := range p.triggers {
		if t.eventType == eventType && slices.ContainsFunc(names,
			func(name string) bool { ok, _ := path.Match(t.resource, name); return ok }) {
			started = append(started, t)
		}
	}
	return started
}

// Awaits reports whether events of a type can start anything.
func (p *Policy) Awaits(eventType string) bool {
	return slices.ContainsFunc(p.triggers, func(t Trigger) bool { return t.eventType == eventType })
}

// Triggers returns all entries, in the policy's order.
func (p *Policy) Triggers() []Trigger { return slices.Clone(p.triggers) }

// readTriggers reads the list of entries.
func readTriggers(n document.Node) []Trigger {
	elements := n.List()
	if len(elements) > maxTriggers {
		n.Bad("", fmt.Sprintf("there are %d triggers; at most %d are allowed", len(elements), maxTriggers),
			"let one pattern stand for several resources")
		return nil
	}
	var triggers []Trigger
	seen := map[string]bool{}
	for _, e := range elements {
		t := readTrigger(e)
		same := t.identity()
		if t.eventType != "" && seen[same] {
			e.Bad("", "the same trigger is there twice", "keep one")
		}
		seen[same] = true
		triggers = append(triggers, t)
	}
	return triggers
}

// readTrigger reads one entry.
func readTrigger(n document.Node) Trigger {
	var t Trigger
	if n.OrText(`{"event_type": "…", "resource": "erp-db", "object": "rotate-1.0.0.zip"}`) {
		return t
	}
	n.Fields([]document.Field{
		document.Required("event_type", func(v document.Node) { t.eventType = readEventType(v) }),
		document.Required("resource", func(v document.Node) { t.resource = readPattern(v) }),
		document.Required("object", func(v document.Node) { t.Object = readPackageObject(v) }),
		document.Optional("parameters", func(v document.Node) { t.Parameters = readValues(v) }),
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

func readEventType(n document.Node) string {
	text := n.Word("", eventRule, anEventType)
	if slices.ContainsFunc(uploadEvents, func(upload string) bool { return strings.EqualFold(text, upload) }) {
		n.Bad("",
			"uploads are no triggers: those to the packages bucket run by themselves, and those to other buckets never",
			"remove the entry")
	}
	return text
}

// readPackageObject reads the name of an object that can be a package.
func readPackageObject(n document.Node) string {
	text := n.Word("", pathRule, aPackage)
	bidi := func(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) }
	if text != "" && (!strings.EqualFold(path.Ext(text), ".zip") || strings.ContainsFunc(text, bidi)) {
		n.Bad("", document.Printable(text)+" is not "+aPackage, "")
		return ""
	}
	return text
}

// readValues reads the values of parameters that a trigger gives; the package's manifest determines their types.
func readValues(n document.Node) map[string]Value {
	members := n.Keyed("", parameterRule, aParameter)
	if len(members) > maxGiven {
		n.Bad("", fmt.Sprintf("there are %d parameters; at most %d are allowed", len(members), maxGiven), "")
		return nil
	}
	values := map[string]Value{}
	for _, name := range sortedKeys(members) {
		value, err := parseValue(members[name].Value())
		if err != nil {
			members[name].Bad("", err.Error(), "")
			continue
		}
		values[name] = value
	}
	return values
}
