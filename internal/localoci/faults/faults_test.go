package faults_test

import (
	"testing"
	"time"

	"cemli-executor/internal/localoci/faults"
)

func TestParseFault(t *testing.T) {
	t.Parallel()
	var f faults.Faults
	for _, text := range []string{"latency=200ms", "throttle=0.5", "disk_full", "event_duplicate=1"} {
		if err := faults.Parse(text, &f); err != nil {
			t.Fatal(err)
		}
	}
	if want := (faults.Faults{
		Latency: faults.Duration(200 * time.Millisecond), Throttle: 0.5, DiskFull: true, EventDuplicate: 1,
	}); f != want {
		t.Errorf("faults %+v; want %+v", f, want)
	}
	for _, text := range []string{"speed=1", "latency=1", "throttle=x", "throttle=7", ""} {
		if err := faults.Parse(text, &f); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
