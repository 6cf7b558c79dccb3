package intake

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/problem"
)

// PackageName guesses a package's name from its object's, by the convention <name>-<version>.zip, for runs that end
// before the manifest is read.
func PackageName(object string) string {
	name := strings.ToLower(path.Base(object))
	name = versionSuffix.ReplaceAllString(strings.TrimSuffix(name, ".zip"), "")
	name = strings.TrimLeft(notInName.ReplaceAllString(name, "-"), "._-")
	if name == "" {
		return "unnamed"
	}
	return name[:min(len(name), 63)]
}

var (
	versionSuffix = regexp.MustCompile(`-v?[0-9]+\.[0-9]+\.[0-9]+([-+].*)?$`)
	notInName     = regexp.MustCompile(`[^a-z0-9._-]+`)
)

// ReadMetadata takes what the uploader chose by object metadata, where the request says nothing. It refuses an unknown
// key of ours, because a misspelt action must not become apply; then the request stays as it was.
func (q *Request) ReadMetadata(metadata map[string]string) error {
	const prefix = "cemli-"
	if q.PreviousRun() != "" {
		return nil // everything is taken from the run that is named
	}
	read := *q
	if read.ByHand() {
		setDefault(&read.Action, ActionApply) // a request by hand is not changed by metadata
	}
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		word, ours := strings.CutPrefix(strings.ToLower(key), prefix)
		if !ours {
			continue
		}
		if wrong := read.choose(word, metadata[key]); wrong != "" {
			return metadataError(key, wrong)
		}
	}
	*q = read
	return nil
}

// choose takes one choice of the uploader; it returns what is wrong with it.
func (q *Request) choose(word, value string) (wrong string) {
	switch word {
	case "action":
		action := Action(value)
		if action != ActionApply && action != ActionDryRun && action != ActionCheck {
			return "the action must be apply, dry_run or check"
		}
		setDefault(&q.Action, action)
	case "parameter-set":
		if !q.OnEvent { // such a request does not depend on the version of the object
			setDefault(&q.ParameterSet, value)
		}
	case "reason":
		setDefault(&q.Reason, value)
	case "reference":
		setDefault(&q.Reference, value)
	case "not-before":
		return "this version does not support the key"
	default:
		return "unknown metadata key"
	}
	return ""
}

func metadataError(key, message string) error {
	return problem.New(problem.Problem{
		Code: "trigger.metadata", Where: "opc-meta-" + key, Message: message,
		Hint: "known keys are cemli-action, cemli-parameter-set, cemli-reason and cemli-reference; upload the object " +
			"again",
	}, nil)
}

// CreatedAt returns when an object was written. The store tells the time of a single object to the second; within that
// second, and no further, the time in the listing that found the object, or else in the event, is believed.
func (q Request) CreatedAt(told time.Time) time.Time {
	closer := q.Created
	if closer.IsZero() {
		closer = q.Trigger.EventTime
	}
	switch last := told.Add(time.Second - time.Millisecond); {
	case told.IsZero() || told.Nanosecond() != 0 || closer.Before(told): // closer may be zero
		return told
	case closer.After(last):
		return last
	}
	return closer.Truncate(time.Millisecond)
}

// IsPackage reports whether an object of the packages bucket is a package, by its name.
func IsPackage(object string) bool { return strings.EqualFold(path.Ext(object), ".zip") }

// Event is an event that is not an upload, as the policy's triggers see it.
type Event struct {
	Type  string
	Names []string // of what it is about: the resource's name, its id
	// Invalid is a *problem.Error that says why the event cannot trigger anything; nil if it can.
	Invalid error
}
