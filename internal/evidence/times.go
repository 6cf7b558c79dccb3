package evidence

import (
	"encoding/json"
	"fmt"
	"time"
)

// Times says when a step's log arrived; it is stored beside the log, as one line of JSON.
type Times struct {
	SchemaVersion int `json:"schema_version"`
	// Start is when the step began, by the executor's clock.
	Start time.Time `json:"start"`
	// EveryMS is how exact the moments are: output on one stream within so many milliseconds is one moment.
	EveryMS int64    `json:"every_ms"`
	Moments []Moment `json:"entries"`
}

// Moment is a place in the log where output begins; it extends to the next moment or the end.
type Moment struct {
	Offset int64 // of its first byte in the log
	MS     int64 // since Start, by the monotonic clock
	Stream Stream
}

// Both is the stream of moments that had to be merged.
const Both Stream = "both"

// MarshalJSON writes a moment as [offset, milliseconds, stream].
func (m Moment) MarshalJSON() ([]byte, error) { return json.Marshal([]any{m.Offset, m.MS, m.Stream}) }

// UnmarshalJSON reads what MarshalJSON has written.
func (m *Moment) UnmarshalJSON(doc []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(doc, &parts); err != nil {
		return err
	}
	if len(parts) != 3 {
		return fmt.Errorf("a moment has 3 parts, not %d", len(parts))
	}
	for i, into := range []any{&m.Offset, &m.MS, &m.Stream} {
		if err := json.Unmarshal(parts[i], into); err != nil {
			return err
		}
	}
	return nil
}

// Encode is the document's bytes.
func (t Times) Encode() ([]byte, error) {
	t.SchemaVersion = SchemaVersion
	t.Moments = append([]Moment{}, t.Moments...) // a list, never null
	doc, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode times: %w", err)
	}
	return append(doc, '\n'), nil
}

// DecodeTimes reads a document of a version that this package knows.
func DecodeTimes(doc []byte) (Times, error) {
	var t Times
	if err := json.Unmarshal(doc, &t); err != nil {
		return Times{}, fmt.Errorf("decode times: %w", err)
	}
	if t.SchemaVersion != SchemaVersion {
		return Times{}, fmt.Errorf("decode times: schema_version %d is not %d", t.SchemaVersion, SchemaVersion)
	}
	return t, nil
}

const (
	// exactMS is how exact moments are while they are few.
	exactMS = 100
	// maxMoments bounds the moments, whatever a script prints: about 100 KB.
	maxMoments = 4000
)

// timeline notes moments as output arrives. When there are too many, it makes them less exact.
type timeline struct {
	begun   time.Time // by the monotonic clock
	every   int64
	mixed   bool // within EveryMS, streams are no longer told apart
	moments []Moment
}

func newTimeline() timeline { return timeline{begun: time.Now(), every: exactMS} }

// note notes that the log from offset on arrives now.
func (t *timeline) note(offset int64, s Stream) {
	t.moments = t.append(t.moments, Moment{offset, time.Since(t.begun).Milliseconds(), s})
	for len(t.moments) > maxMoments {
		t.thin()
	}
}

// append adds a moment, or extends the last one.
func (t *timeline) append(to []Moment, m Moment) []Moment {
	if len(to) == 0 {
		return append(to, m)
	}
	last := &to[len(to)-1]
	near := m.MS-last.MS < t.every
	switch {
	case near && m.Stream == last.Stream:
	case near && t.mixed:
		last.Stream = Both
	default:
		to = append(to, m)
	}
	return to
}

// thin merges neighbours until half of the moments are left.
func (t *timeline) thin() {
	for t.mixed = true; len(t.moments) > maxMoments/2; t.every *= 2 {
		kept := t.moments[:0]
		for _, m := range t.moments {
			kept = t.append(kept, m)
		}
		t.moments = kept
	}
}

func (t *timeline) times() Times {
	return Times{Start: t.begun.UTC(), EveryMS: t.every, Moments: t.moments}
}
