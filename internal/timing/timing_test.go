package timing_test

import (
	"context"
	"testing"
	"time"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/timing"
)

// now is when leases begin here.
var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func budget() timing.Budget {
	return timing.Budget{Reserve: 20 * time.Second, Now: func() time.Time { return now }}
}

// A lease ends with what the run may need, and no later than its invocation.
func TestLeaseEnd(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) time.Time { return now.Add(d) }
	for name, c := range map[string]struct {
		hard time.Time
		need time.Duration
		want time.Time
	}{
		"nothing is known":          {time.Time{}, 0, at(time.Hour + 25*time.Second)},
		"the invocation ends":       {at(5 * time.Minute), 0, at(5*time.Minute + 5*time.Second)},
		"the run needs less":        {at(5 * time.Minute), time.Minute, at(2*time.Minute + 25*time.Second)},
		"it needs more than it has": {at(5 * time.Minute), time.Hour, at(5*time.Minute + 5*time.Second)},
	} {
		if got := budget().LeaseEnd(c.hard, c.need, time.Hour); !got.Equal(c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// A run is bounded by its own time and by what the evidence needs, and refused if no step could end.
func TestBound(t *testing.T) {
	t.Parallel()
	start := time.Now()
	within := func(d time.Duration) context.Context {
		ctx, cancel := context.WithDeadline(t.Context(), start.Add(d))
		t.Cleanup(cancel)
		return ctx
	}
	for name, c := range map[string]struct {
		ctx  context.Context
		want time.Duration
	}{
		"no invocation": {t.Context(), 10 * time.Minute},
		"a longer one":  {within(time.Hour), 10 * time.Minute},
		"a shorter one": {within(5 * time.Minute), 5*time.Minute - 20*time.Second},
	} {
		ctx, cancel, err := budget().Bound(c.ctx, start, 10*time.Minute, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if end, _ := ctx.Deadline(); !end.Equal(start.Add(c.want)) {
			t.Errorf("%s: ends after %s, want %s", name, end.Sub(start), c.want)
		}
		cancel()
	}
	_, _, err := budget().Bound(within(21*time.Second), start, 10*time.Minute, time.Time{})
	if code := problem.CodeOf(err); code != "step.deadline" {
		t.Errorf("no time: %v", err)
	}
}

// Evidence may take the reserve and, once a step may have started, all that is left up to the end of the lease.
func TestForEvidence(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	hard, cancel := context.WithDeadline(t.Context(), begun.Add(10*time.Minute))
	defer cancel()
	for name, c := range map[string]struct {
		ctx     context.Context
		started bool
		lease   time.Time
		want    time.Duration
	}{
		"before a step":   {hard, false, begun.Add(time.Second), 20 * time.Second},
		"after one":       {hard, true, time.Time{}, 10 * time.Minute},
		"a shorter lease": {hard, true, begun.Add(2 * time.Minute), 2 * time.Minute},
		"nothing ends":    {t.Context(), false, time.Time{}, time.Minute},
	} {
		ctx, cancel := budget().ForEvidence(c.ctx, c.started, c.lease)
		end, _ := ctx.Deadline()
		if got := end.Sub(begun).Round(5 * time.Second); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		cancel()
	}
}
