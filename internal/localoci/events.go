package localoci

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
)

// addEvent records, in the transaction of the change itself, what happened to an
// object of a bucket whose events are on.
func (s *storage) addEvent(tx *bolt.Tx, kind string, c change, o objectRecord) error {
	b, err := getBucket(tx, c.bucket)
	if err != nil || !b.Events {
		return err
	}
	return recordEvent(tx, eventFamily+kind, "ObjectStorage", c.now, map[string]any{
		"resourceName": c.name, "resourceId": "/n/" + Namespace + "/b/" + b.Name + "/o/" + c.name,
		"additionalDetails": map[string]string{
			"bucketName": b.Name, "versionId": o.Version, "archivalState": "Available",
			"namespace": Namespace, "bucketId": b.ID, "eTag": o.ETag,
		},
	})
}

// eventFamily begins the type of every event of Object Storage.
const eventFamily = "com.oraclecloud.objectstorage."

// recordEvent keeps an event, as OCI sends it, until it is delivered. The data is what is known of the resource.
func recordEvent(tx *bolt.Tx, eventType, source string, now time.Time, data map[string]any) error {
	number, err := tx.Bucket(tableEvents).NextSequence()
	if err != nil {
		return err
	}
	maps.Copy(data, map[string]any{
		"compartmentId": Compartment, "compartmentName": "local", "availabilityDomain": "PHX-AD-1",
		"freeformTags": map[string]string{}, "definedTags": map[string]string{},
	})
	return putRecord(tx, tableEvents, binary.BigEndian.AppendUint64(nil, number), map[string]any{
		"eventType": eventType, "cloudEventsVersion": "0.1", "eventTypeVersion": "2.0",
		"source": source, "eventTime": now.UTC().Format("2006-01-02T15:04:05.000Z"), "contentType": "application/json",
		"data": data, "eventID": uuid.NewString(), "extensions": map[string]string{"compartmentId": Compartment},
	})
}

// describeEvent says on one line what an event is about.
func describeEvent(event []byte) string {
	var e struct {
		EventType string `json:"eventType"`
		Data      struct {
			ResourceName string `json:"resourceName"`
			Details      struct {
				BucketName string `json:"bucketName"`
			} `json:"additionalDetails"`
		} `json:"data"`
	}
	_ = json.Unmarshal(event, &e) // the server has made it
	about := e.Data.ResourceName
	if bucket := e.Data.Details.BucketName; bucket != "" {
		about = bucket + "/" + about
	}
	return e.EventType[strings.LastIndexByte(e.EventType, '.')+1:] + " " + about
}

// How events are delivered.
const (
	maxInFlight   = 16
	maxDeliveries = 12 // attempts for one event
	firstBackoff  = 200 * time.Millisecond
	longestPause  = time.Minute
)

// dispatcher delivers the recorded events, each at least once: one is forgotten when
// its delivery has succeeded, or was tried too often.
type dispatcher struct {
	storage *storage
	deliver func(context.Context, []byte) error
	log     *slog.Logger

	faults func() Faults // what goes wrong on purpose

	slots   chan struct{} // one for each delivery under way
	running sync.WaitGroup
	mu      sync.Mutex
	known   map[uint64]bool // events that a delivery is under way or planned for
}

func newDispatcher(s *storage, deliver func(context.Context, []byte) error, log *slog.Logger) *dispatcher {
	return &dispatcher{storage: s, deliver: deliver, log: log, slots: make(chan struct{}, maxInFlight), known: map[uint64]bool{}, faults: func() Faults { return Faults{} }}
}

// start delivers until ctx ends.
func (d *dispatcher) start(ctx context.Context) {
	d.running.Go(func() {
		for {
			d.dispatch(ctx)
			select {
			case <-d.storage.changed:
			case <-ctx.Done():
				return
			}
		}
	})
}

func (d *dispatcher) wait() { d.running.Wait() }

// dispatch begins the delivery of every event that has none.
func (d *dispatcher) dispatch(ctx context.Context) {
	for number, event := range d.fresh() {
		d.running.Go(func() { d.handle(ctx, number, event) })
	}
}

// fresh returns the events that are not being handled, and marks them.
func (d *dispatcher) fresh() map[uint64][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	events := map[uint64][]byte{}
	err := d.storage.db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(tableEvents).ForEach(func(key, value []byte) error {
			if number := binary.BigEndian.Uint64(key); !d.known[number] {
				d.known[number] = true
				events[number] = append([]byte(nil), value...)
			}
			return nil
		})
	})
	if err != nil {
		d.log.Error("cannot read events", "error", err.Error())
	}
	return events
}

// handle delivers one event, as often as it takes.
func (d *dispatcher) handle(ctx context.Context, number uint64, event []byte) {
	times := d.misdeliver(ctx)
	backoff := firstBackoff
	for attempt := 1; ; attempt++ {
		var err error
		if times > 0 {
			err = d.attempt(ctx, event)
		}
		if ctx.Err() != nil {
			return // the next start delivers it
		}
		if err == nil {
			if times--; times > 0 {
				continue
			}
			break
		}
		d.log.Warn("event not delivered", "attempt", attempt, "error", err.Error())
		if attempt == maxDeliveries {
			d.log.Error("event given up", "event", json.RawMessage(event))
			break
		}
		select {
		case <-time.After(backoff/2 + rand.N(backoff/2)): // #nosec G404 -- chance, not secrecy
		case <-ctx.Done():
			return
		}
		backoff = min(2*backoff, longestPause)
	}
	d.forget(number)
}

// misdeliver applies the faults of events to one of them: it waits, and says how often
// the event is to be delivered.
func (d *dispatcher) misdeliver(ctx context.Context) int {
	f := d.faults()
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
	switch {
	case hit(f.EventLose):
		return 0
	case hit(f.EventDuplicate):
		if hit(f.EventDuplicate) {
			return 3
		}
		return 2
	}
	return 1
}

func (d *dispatcher) attempt(ctx context.Context, event []byte) error {
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-d.slots }()
	return d.deliver(ctx, event)
}

func (d *dispatcher) forget(number uint64) {
	err := d.storage.db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(tableEvents).Delete(binary.BigEndian.AppendUint64(nil, number))
	})
	if err != nil {
		d.log.Error("cannot forget an event; it will be delivered again", "error", err.Error())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, number)
}

// PendingEvents counts the events that are not delivered yet.
func (s *Server) PendingEvents() (int, error) {
	return view(s.storage, func(tx *bolt.Tx) (int, error) { return tx.Bucket(tableEvents).Stats().KeyN, nil })
}
