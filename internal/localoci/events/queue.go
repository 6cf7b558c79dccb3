// Package events is the Events service of a local OCI: it records what happens to objects and secrets in the
// transaction in which that happens and, if a rule matches, delivers it to the function afterwards, at least once,
// also over restarts.
package events

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"log/slog"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/localoci/faults"
	"cemli-executor/internal/localoci/index"
	"cemli-executor/internal/localoci/tenancy"
)

var table = []byte("events")

// Tables is the index's table for the queue.
var Tables = [][]byte{table}

// Limits of deliveries.
const (
	maxInFlight   = 16
	maxDeliveries = 12 // attempts for one event
	firstBackoff  = 200 * time.Millisecond
	longestPause  = time.Minute
)

// Config configures a queue. All fields are required.
type Config struct {
	DB      *bolt.DB // the index, with the table
	Rules   Rules
	Deliver func(ctx context.Context, event []byte) error // hands an event to the function
	Observe func(detail string)                           // is called for each attempt, for people to watch
	Faults  func() faults.Faults                          // returns those in force
	Log     *slog.Logger
}

// Queue delivers recorded events. It removes an event when it was delivered, or tried too often.
type Queue struct {
	config   Config
	recorded chan struct{} // has an element when events were added
	slots    chan struct{} // one for each delivery under way
	running  sync.WaitGroup
	mu       sync.Mutex
	known    map[uint64]bool // events whose delivery is in progress or planned
}

// New makes the queue of an index; it delivers nothing before Start.
func New(config Config) *Queue {
	return &Queue{
		config: config, recorded: make(chan struct{}, 1), slots: make(chan struct{}, maxInFlight),
		known: map[uint64]bool{},
	}
}

// Record stores an event, in OCI's form, until it is delivered. The data describes the resource.
func (q *Queue) Record(tx *bolt.Tx, eventType, source string, at time.Time, data map[string]any) error {
	number, err := tx.Bucket(table).NextSequence()
	if err != nil {
		return err
	}
	maps.Copy(data, map[string]any{
		"compartmentId": tenancy.Compartment, "compartmentName": "local", "availabilityDomain": "PHX-AD-1",
		"freeformTags": map[string]string{}, "definedTags": map[string]string{},
	})
	return index.Put(tx, table, index.Numbered(number), map[string]any{
		"eventType": eventType, "cloudEventsVersion": "0.1", "eventTypeVersion": "2.0",
		"source": source, "eventTime": at.UTC().Format("2006-01-02T15:04:05.000Z"), "contentType": "application/json",
		"data": data, "eventID": uuid.NewString(),
		"extensions": map[string]string{"compartmentId": tenancy.Compartment},
	})
}

// Committed says that a transaction has ended that may have recorded events.
func (q *Queue) Committed() {
	select {
	case q.recorded <- struct{}{}:
	default:
	}
}

// Start delivers until ctx ends.
func (q *Queue) Start(ctx context.Context) {
	q.running.Go(func() {
		for {
			for number, event := range q.fresh() {
				q.running.Go(func() { q.handle(ctx, number, event) })
			}
			select {
			case <-q.recorded:
			case <-ctx.Done():
				return
			}
		}
	})
}

// Wait returns when no delivery is in progress after the context of Start has ended.
func (q *Queue) Wait() { q.running.Wait() }

// Pending counts the events that have not been delivered yet.
func (q *Queue) Pending() (int, error) {
	return index.View(q.config.DB, func(tx *bolt.Tx) (int, error) { return tx.Bucket(table).Stats().KeyN, nil })
}

// fresh returns the events that are not being handled yet, and marks them.
func (q *Queue) fresh() map[uint64][]byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	events := map[uint64][]byte{}
	err := q.config.DB.View(func(tx *bolt.Tx) error {
		return tx.Bucket(table).ForEach(func(key, value []byte) error {
			if number := binary.BigEndian.Uint64(key); !q.known[number] {
				q.known[number] = true
				events[number] = append([]byte(nil), value...)
			}
			return nil
		})
	})
	if err != nil {
		q.config.Log.Error("cannot read events", "error", err.Error())
	}
	return events
}

// handle delivers one event, however many attempts that takes, and removes it. If ctx ends before, the next start
// delivers it.
func (q *Queue) handle(ctx context.Context, number uint64, event []byte) {
	for range q.misdeliver(ctx) {
		if !q.insist(ctx, event) {
			break
		}
	}
	if ctx.Err() == nil {
		q.forget(number)
	}
}

// insist repeats the delivery of an event until it succeeds; it returns false if it gave up or ctx has ended.
func (q *Queue) insist(ctx context.Context, event []byte) bool {
	backoff := firstBackoff
	for attempt := 1; ; attempt++ {
		err := q.attempt(ctx, event)
		if err == nil || ctx.Err() != nil {
			return ctx.Err() == nil
		}
		q.config.Log.Warn("event not delivered", "attempt", attempt, "error", err.Error())
		if attempt == maxDeliveries {
			q.config.Log.Error("event given up", "event", json.RawMessage(event))
			return false
		}
		select {
		case <-time.After(backoff/2 + rand.N(backoff/2)): // #nosec G404 -- chance, not secrecy
		case <-ctx.Done():
			return false
		}
		backoff = min(2*backoff, longestPause)
	}
}

// misdeliver applies the faults to an event: it waits, and returns how often to deliver the event.
func (q *Queue) misdeliver(ctx context.Context) int {
	f := q.config.Faults()
	wait := time.Duration(f.EventDelay)
	if f.EventReorder > 0 {
		wait += rand.N(time.Duration(f.EventReorder)) // #nosec G404 -- chance, not secrecy
	}
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	if faults.Hit(f.EventLose) {
		return 0
	}
	return faults.Times(f.EventDuplicate)
}

// attempt delivers an event to the function once, if a rule matches.
func (q *Queue) attempt(ctx context.Context, event []byte) error {
	select {
	case q.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-q.slots }()
	if !q.config.Rules.Match(event) {
		q.config.Observe(describe(event) + " (no rule)")
		return nil
	}
	q.config.Observe(describe(event))
	return q.config.Deliver(ctx, event)
}

// describe says on one line what an event is about.
func describe(event []byte) string {
	var e struct {
		EventType string `json:"eventType"`
		Data      struct {
			ResourceName string `json:"resourceName"`
			Details      struct {
				BucketName string `json:"bucketName"`
			} `json:"additionalDetails"`
		} `json:"data"`
	}
	_ = json.Unmarshal(event, &e) // the queue has encoded it
	about := e.Data.ResourceName
	if bucket := e.Data.Details.BucketName; bucket != "" {
		about = bucket + "/" + about
	}
	return e.EventType[strings.LastIndexByte(e.EventType, '.')+1:] + " " + about
}

func (q *Queue) forget(number uint64) {
	err := q.config.DB.Update(func(tx *bolt.Tx) error { return tx.Bucket(table).Delete(index.Numbered(number)) })
	if err != nil {
		q.config.Log.Error("cannot forget an event; it will be delivered again", "error", err.Error())
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.known, number)
}
