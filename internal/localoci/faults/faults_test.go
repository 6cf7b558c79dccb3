package faults_test

import (
	"testing"
	"time"

	"cemli-executor/internal/localoci/faults"

	"github.com/google/go-cmp/cmp"
)

func TestParseFault(t *testing.T) {
	t.Parallel()
	var f faults.Faults
	for _, text := range []string{"latency=200ms", "throttle=0.5", "disk_full", "event_duplicate=1"} {
		if err := faults.Parse(text, &f); err != nil {
			t.Fatal(err)
		}
	}
	want := faults.Faults{
		Latency: faults.Duration(200 * time.Millisecond), Throttle: 0.5, DiskFull: true, EventDuplicate: 1,
	}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	for _, text := range []string{"speed=1", "latency=1", "throttle=x", "throttle=7", ""} {
		if err := faults.Parse(text, &f); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
