// Package faults defines what can go wrong on purpose in a local OCI, and which faults are in force.
package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// Duration is a time.Duration that JSON has as text, such as "200ms".
type Duration time.Duration

// UnmarshalJSON reads the text.
func (d *Duration) UnmarshalJSON(doc []byte) error {
	var text string
	if err := json.Unmarshal(doc, &text); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(text)
	*d = Duration(parsed)
	return err
}

// MarshalJSON writes the text.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// Faults are what goes wrong on purpose. Rates are probabilities from 0 to 1, for each request to a service or each
// event.
type Faults struct {
	Latency     Duration `json:"latency,omitempty"`     // before each request is served
	Throttle    float64  `json:"throttle,omitempty"`    // 429
	Unavailable float64  `json:"unavailable,omitempty"` // 503, nothing was done
	Drop        float64  `json:"drop,omitempty"`        // the connection breaks, nothing was done
	LoseAnswer  float64  `json:"lose_answer,omitempty"` // the request was carried out, and the connection breaks
	FalseNo     float64  `json:"false_404,omitempty"`   // 404, although it exists
	ClockSkew   Duration `json:"clock_skew,omitempty"`  // of the services' clock
	DiskFull    bool     `json:"disk_full,omitempty"`   // nothing can be written

	EventLose float64 `json:"event_lose,omitempty"` // never delivered
	// delivered twice, or with the same probability once more
	EventDuplicate float64  `json:"event_duplicate,omitempty"`
	EventDelay     Duration `json:"event_delay,omitempty"`   // before each delivery
	EventReorder   Duration `json:"event_reorder,omitempty"` // up to this long before each, at random

	// Of calls of functions by clients; for calls by other services there are the faults of events.
	CallTo         string  `json:"call_to,omitempty"`          // the one function whose calls are meant; empty: each
	CallThrottle   float64 `json:"call_throttle,omitempty"`    // 429, and the function was not called
	CallFail       float64 `json:"call_fail,omitempty"`        // 503, and the function was not called
	CallLose       float64 `json:"call_lose,omitempty"`        // accepted if detached, else the connection breaks
	CallLoseAnswer float64 `json:"call_lose_answer,omitempty"` // the function was called, and the connection breaks
	// delivered twice at once, or with the same probability three times
	CallDuplicate float64  `json:"call_duplicate,omitempty"`
	CallDelay     Duration `json:"call_delay,omitempty"` // before each delivery, though the caller may have gone

	LogLose  float64  `json:"log_lose,omitempty"`  // an entry of the write log never comes
	LogDelay Duration `json:"log_delay,omitempty"` // an entry is found only after this time
}

// check refuses invalid faults.
func (f Faults) check() error {
	for name, rate := range map[string]float64{
		"throttle": f.Throttle, "unavailable": f.Unavailable, "drop": f.Drop, "lose_answer": f.LoseAnswer,
		"false_404":  f.FalseNo,
		"event_lose": f.EventLose, "event_duplicate": f.EventDuplicate, "log_lose": f.LogLose,
		"call_throttle": f.CallThrottle, "call_fail": f.CallFail, "call_lose": f.CallLose,
		"call_lose_answer": f.CallLoseAnswer, "call_duplicate": f.CallDuplicate,
	} {
		if rate < 0 || rate > 1 {
			return fmt.Errorf("%s must be from 0 to 1", name)
		}
	}
	for name, d := range map[string]Duration{
		"latency": f.Latency, "event_delay": f.EventDelay, "event_reorder": f.EventReorder, "log_delay": f.LogDelay,
		"call_delay": f.CallDelay,
	} {
		if d < 0 || d > Duration(time.Hour) {
			return fmt.Errorf("%s must be from 0s to 1h", name)
		}
	}
	if f.CallTo != "" && f.CallTo != Executor && f.CallTo != Runner {
		return fmt.Errorf("call_to must be %s or %s", Executor, Runner)
	}
	return nil
}

// The functions that CallTo can name.
const (
	Executor = "executor"
	Runner   = "runner"
)

// Calls are the faults of calls of a function: none if they are another's.
func (f Faults) Calls(function string) Faults {
	if f.CallTo != "" && f.CallTo != function {
		return Faults{}
	}
	return f
}

// Times is how often something is delivered of which that part is delivered twice or, with the same probability, once
// more.
func Times(duplicate float64) int {
	times := 1
	for times < 3 && Hit(duplicate) {
		times++
	}
	return times
}

// Box holds the faults in force. Its zero value holds none.
type Box struct{ now atomic.Pointer[Faults] }

// Get returns the faults in force.
func (b *Box) Get() Faults {
	if f := b.now.Load(); f != nil {
		return *f
	}
	return Faults{}
}

// Set replaces the faults in force; empty ones end all.
func (b *Box) Set(f Faults) error {
	if err := f.check(); err != nil {
		return err
	}
	b.now.Store(&f)
	return nil
}

// Parse reads "name=value" and sets it in f; a name alone means true.
func Parse(text string, f *Faults) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		value = "true"
	}
	member := map[string]json.RawMessage{name: json.RawMessage(value)}
	if !json.Valid([]byte(value)) {
		quoted, err := json.Marshal(value)
		if err != nil {
			return err
		}
		member[name] = quoted
	}
	doc, err := json.Marshal(member)
	if err != nil {
		return err
	}
	known := json.NewDecoder(bytes.NewReader(doc))
	known.DisallowUnknownFields()
	if err := known.Decode(f); err != nil {
		return fmt.Errorf("the fault %s is not known or has another kind of value: %w", text, err)
	}
	return f.check()
}

// Hit decides at random whether something of this probability happens.
func Hit(rate float64) bool { return rate > 0 && rand.Float64() < rate } // #nosec G404 -- chance, not secrecy
