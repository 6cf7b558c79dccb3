package claim_test

import (
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/store"
)

// Of several invocations that begin with the same request only one succeeds, and if it dies, that counts.
func TestIntents(t *testing.T) {
	t.Parallel()
	b, err := store.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, now := t.Context(), time.Now()
	one, other := claim.Intent{Environment: "prod", Key: "k", Pending: "k-0"},
		claim.Intent{Environment: "prod", Key: "k", Pending: "k-0"}
	begin := func(t *testing.T, who *claim.Intent, want bool) {
		t.Helper()
		if ok, err := who.Begin(ctx, b, now.Add(time.Minute)); ok != want || err != nil {
			t.Fatalf("began: %v, %v; want %v", ok, err, want)
		}
	}
	begin(t, &one, true)
	begin(t, &other, false)
	found, err := book(b, "prod").Intents(ctx)
	if err != nil || len(found) != 1 || found["k"].Tries != 1 || found["k"].Pending != "k-0" {
		t.Fatalf("%+v, %v", found["k"], err)
	}
	after := now.Add(time.Minute + claim.MaxSkew + time.Second)
	if !found["k"].Busy(now) || found["k"].Busy(after) || found["k"].Busy(now.Add(-100*24*time.Hour)) {
		t.Error("whether somebody is at it is told wrongly")
	}
	// It died; two come after it.
	again, err := book(b, "prod").Intent(ctx, "k")
	if err != nil {
		t.Fatal(err)
	}
	begin(t, found["k"], true)
	begin(t, again, false)
	// It could not do it, which is no death: the one before still counts.
	if err := found["k"].End(ctx, false); err != nil {
		t.Fatal(err)
	}
	last, err := book(b, "prod").Intent(ctx, "k")
	if err != nil || last.Tries != 1 || last.Busy(now) {
		t.Fatalf("%+v, %v", last, err)
	}
	begin(t, last, true)
	if err := one.End(ctx, true); err != nil { // of the one that was believed dead
		t.Fatal(err)
	}
	if t2, err := book(b, "prod").Intent(ctx, "k"); err != nil || t2 == nil {
		t.Fatalf("the note of another was removed: %v", err)
	}
	if err := last.End(ctx, true); err != nil {
		t.Fatal(err)
	}
	if found, err := book(b, "prod").Intents(ctx); err != nil || len(found) != 0 {
		t.Errorf("left: %v, %v", found, err)
	}
}

// A taking that cannot be read does not hide the others.
func TestADamagedIntent(t *testing.T) {
	t.Parallel()
	b, err := store.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "taking/prod/a.json", strings.NewReader("{"), 1, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	good := claim.Intent{Environment: "prod", Key: "b"}
	if _, err := good.Begin(t.Context(), b, time.Now()); err != nil {
		t.Fatal(err)
	}
	if found, err := book(b, "prod").Intents(t.Context()); err == nil || found["b"] == nil {
		t.Errorf("%v, %v", found, err)
	}
}
