package events_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
)

func TestRuleChoosesEvents(t *testing.T) {
	t.Parallel()
	e := &localtest.Events{Tries: map[string]int{}, Arrived: make(chan map[string]any, 10)}
	s, err := localoci.Open(localoci.Config{
		Dir: t.TempDir(), Buckets: localtest.Buckets, Invoke: e.Invoke, Log: slog.New(slog.DiscardHandler),
		Rule: `{"eventType":["com.oraclecloud.objectstorage.deleteobject"],
			"data":{"resourceName":["in/*","*.zip"],"additionalDetails":{"bucketName":"packages"}}}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := localtest.PersonOf(t, s)
	for _, name := range []string{"out/x", "in/x", "out/x.zip"} {
		p.Send(t, "PUT", localtest.Object(s, "packages", name), "1", nil)
		p.Send(t, "DELETE", localtest.Object(s, "packages", name), "", nil)
	}
	got := map[any]bool{}
	for range 2 {
		got[e.Next(t)["data"].(map[string]any)["resourceName"]] = true
	}
	if !got["in/x"] || !got["out/x.zip"] {
		t.Errorf("events of %v", got)
	}
	if _, err := localoci.Open(
		localoci.Config{
			Dir: t.TempDir(), Buckets: localtest.Buckets, Rule: "{", Log: slog.New(slog.DiscardHandler),
		}); err == nil {
		t.Error("a rule that is no JSON was taken")
	}
}

func TestEventFaults(t *testing.T) {
	t.Parallel()
	e := &localtest.Events{Tries: map[string]int{}, Arrived: make(chan map[string]any, 10)}
	s := localtest.Open(t, t.TempDir(), e.Invoke)
	defer s.Close()
	p := localtest.PersonOf(t, s)
	put := func(name string) { t.Helper(); p.Send(t, "PUT", localtest.Object(s, "packages", name), "1", nil) }
	if err := s.SetFaults(localoci.Faults{EventLose: 1}); err != nil {
		t.Fatal(err)
	}
	put("lost")
	for end := time.Now().Add(5 * time.Second); localtest.Pending(t, s) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the lost event is still pending")
		}
	}
	if err := s.SetFaults(localoci.Faults{
		EventDuplicate: 1, EventReorder: localoci.Duration(5 * time.Millisecond),
	}); err != nil {
		t.Fatal(err)
	}
	put("twice")
	for range 2 {
		if name := e.Next(t)["data"].(map[string]any)["resourceName"]; name != "twice" {
			t.Errorf("an event of %v", name)
		}
	}
}

func TestEventsAreDeliveredUntilTheyArrive(t *testing.T) {
	t.Parallel()
	e := &localtest.Events{Refuse: 2, Tries: map[string]int{}, Arrived: make(chan map[string]any, 10)}
	s := localtest.Open(t, t.TempDir(), e.Invoke)
	defer s.Close()
	p := localtest.PersonOf(t, s)
	put, _ := p.Send(t, "PUT", localtest.Object(s, "packages", "in/a b.zip"), "1", nil)
	doc := e.Next(t)
	details := doc["data"].(map[string]any)["additionalDetails"].(map[string]any)
	got := []any{
		doc["eventType"], doc["cloudEventsVersion"], doc["source"], doc["data"].(map[string]any)["resourceName"],
		details["bucketName"], details["eTag"], details["namespace"],
	}
	want := []any{
		"com.oraclecloud.objectstorage.createobject", "0.1", "ObjectStorage", "in/a b.zip", "packages",
		put.Header.Get("Etag"), "localns",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("event (-want +got):\n" + diff)
	}
	p.Send(t, "PUT", localtest.Object(s, "packages", "in/a b.zip"), "2", nil)
	if doc := e.Next(t); doc["eventType"] != "com.oraclecloud.objectstorage.updateobject" {
		t.Errorf("after an overwrite: %v", doc["eventType"])
	}
	p.Send(t, "DELETE", localtest.Object(s, "packages", "in/a b.zip"), "", nil) // which the rule is not for
	p.Send(t, "PUT", localtest.Object(s, "state", "quiet"), "x", nil)
	p.Send(t, "PUT", localtest.Object(s, "packages", "last"), "x", nil)
	if doc := e.Next(t); doc["data"].(map[string]any)["resourceName"] != "last" {
		t.Errorf("a bucket without events sent one: %v", doc)
	}
}
