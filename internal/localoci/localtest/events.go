package localtest

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"cemli-executor/internal/localoci"
)

// Events is a function that collects delivered events; the first Refuse deliveries of each event fail.
type Events struct {
	Refuse  int
	Tries   map[string]int // by the event's id
	Arrived chan map[string]any
	mu      sync.Mutex
}

// Invoke receives a delivery.
func (e *Events) Invoke(_ context.Context, call localoci.Invocation) (localoci.Answer, error) {
	var doc map[string]any
	if err := json.Unmarshal(call.Body, &doc); err != nil {
		return localoci.Answer{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	id := doc["eventID"].(string)
	if e.Tries[id]++; e.Tries[id] <= e.Refuse {
		return localoci.Answer{}, errors.New("not now")
	}
	e.Arrived <- doc
	return localoci.Answer{}, nil
}

// Next waits for the next collected event.
func (e *Events) Next(t *testing.T) map[string]any {
	t.Helper()
	select {
	case doc := <-e.Arrived:
		return doc
	case <-time.After(20 * time.Second):
		t.Fatal("no event came")
		return nil
	}
}
