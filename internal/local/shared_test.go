package local_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/local"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// Several containers of a Fn server are one user under one kernel: what the scripts of one start does
// not count against those of another.
func TestInstancesThatShareAUser(t *testing.T) {
	c := start(t, func(o *local.Options) { o.Instances, o.SharedUID, o.MemoryMB = 4, true, 256 })
	for n := range 4 {
		c.put(fmt.Sprintf("sleeper%d-1.0.0.zip", n), testkit.Zip(t, map[string]string{
			"manifest.json": fmt.Sprintf(`{"name":"sleeper%d","version":"1.0.0","type":"extension"}`, n),
			"steps/run.sh": "id -u; for i in $(seq 12); do sleep 0.5; done; for i in $(seq 12); do sleep 1 & done; " +
				"wait",
		}))
		c.awaitRunning(n + 1) // so that the others begin while it runs
	}
	var users []string
	for range 4 {
		r := c.result(c.answer())
		if r.Status != evidence.StatusSuccess || r.Execution.Stderr != "" {
			t.Errorf("status %s, %s, stderr %q", r.Status, r.Message, r.Execution.Stderr)
		}
		if !slices.Contains(r.Sandbox.Gaps, "processes") || r.Sandbox.Limits.Processes != 30 {
			t.Errorf("sandbox %+v", r.Sandbox)
		}
		users = append(users, strings.TrimSpace(r.Execution.Stdout))
	}
	if same := slices.Compact(slices.Clone(users)); len(same) != 1 || os.Geteuid() == 0 && same[0] == "0" {
		t.Errorf("the scripts are the users %v", users)
	}
}

// awaitRunning waits until the steps of so many runs have begun, by their claims.
func (c *cloud) awaitRunning(runs int) {
	c.t.Helper()
	state := c.Person().Bucket(c.Buckets().State)
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		page, err := state.List(c.t.Context(), store.ListOptions{Prefix: "claims/"})
		if err != nil {
			c.t.Fatal(err)
		}
		running := 0
		for _, o := range page.Objects {
			if doc := c.read(state, o.Name); bytes.Contains(doc, []byte(`"state":"running"`)) {
				running++
			}
		}
		if running >= runs {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("%d runs have begun; want %d", running, runs)
		}
	}
}

// read reads an object.
func (c *cloud) read(bucket store.Bucket, name string) []byte {
	c.t.Helper()
	body, _, err := bucket.Get(c.t.Context(), name, store.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer body.Close()
	doc, err := io.ReadAll(body)
	if err != nil {
		c.t.Fatal(err)
	}
	return doc
}

// A script that starts more than it may is ended, and the run beside it notices nothing.
func TestABombBesideAnInnocentRun(t *testing.T) {
	c := start(t, func(o *local.Options) { o.Instances, o.SharedUID, o.MemoryMB = 2, true, 256 })
	for name, script := range map[string]string{
		"innocent": "for i in $(seq 40); do echo $i | cat; sleep 0.05; done",
		"bomb":     "sleep 0.5; for i in $(seq 60); do sleep 100 & done; wait",
	} {
		c.put(name+"-1.0.0.zip", testkit.Zip(t, map[string]string{
			"manifest.json": fmt.Sprintf(`{"name":%q,"version":"1.0.0","type":"extension"}`, name),
			"steps/run.sh":  script,
		}))
	}
	for range 2 {
		r := c.result(c.answer())
		want, code := evidence.StatusSuccess, ""
		if r.Package.Name == "bomb" {
			want, code = evidence.StatusFailed, "step.processes"
		}
		if r.Status != want || code != "" && (r.Error == nil || r.Error.Code != code) {
			t.Errorf("%s: status %s, %+v, stderr %q", r.Package.Name, r.Status, r.Error, r.Execution.Stderr)
		}
	}
}
