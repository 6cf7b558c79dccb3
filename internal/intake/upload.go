package intake

import (
	"path"
	"regexp"
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

// ReadMetadata takes what the uploader chose by object metadata, unless the request says otherwise. It refuses unknown
// keys with our prefix: a misspelt action must not become apply.
func (q *Request) ReadMetadata(metadata map[string]string) error {
	const prefix = "cemli-"
	if q.PreviousRun() != "" {
		return nil // everything is taken from the run that is named
	}
	if q.ByHand() {
		setDefault(&q.Action, ActionApply) // a request by hand is not changed by metadata
	}
	for key, value := range metadata {
		word, ours := strings.CutPrefix(strings.ToLower(key), prefix)
		if !ours {
			continue
		}
		switch word {
		case "action":
			switch action := Action(value); action {
			case ActionApply, ActionDryRun, ActionCheck:
				setDefault(&q.Action, action)
			default:
				return metadataError(key, "the action must be apply, dry_run or check")
			}
		case "parameter-set":
			if !q.OnEvent { // such a request does not depend on the version of the object
				setDefault(&q.ParameterSet, value)
			}
		case "reason":
			setDefault(&q.Reason, value)
		case "reference":
			setDefault(&q.Reference, value)
		case "not-before":
			return metadataError(key, "this version does not support the key")
		default:
			return metadataError(key, "unknown metadata key")
		}
	}
	return nil
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
