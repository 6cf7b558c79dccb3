package local_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// working are the processes of the executor's instances: children of this program, as the runner's are not.
func working(t *testing.T) []int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, path := range paths {
		exe, err := os.Readlink(path + "/exe")
		stat, err2 := os.ReadFile(path + "/stat")
		if err != nil || err2 != nil || filepath.Base(exe) != "function" {
			continue
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if pid, err := strconv.Atoi(filepath.Base(path)); err == nil && fields[1] == strconv.Itoa(os.Getpid()) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// until waits for a condition.
func (c *cloud) until(what string, holds func() bool) {
	c.t.Helper()
	for end := time.Now().Add(90 * time.Second); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("it does not happen that %s; the function's log:\n%s", what, c.log)
		}
	}
}

// namesIn are those of a bucket's objects.
func (c *cloud) namesIn(bucket, prefix string) []string {
	c.t.Helper()
	page, err := c.Person().Bucket(bucket).List(c.t.Context(), store.ListOptions{Prefix: prefix})
	if err != nil {
		c.t.Fatal(err)
	}
	var names []string
	for _, o := range page.Objects {
		names = append(names, o.Name)
	}
	return names
}

// tells waits until a runner says how far it is.
func (c *cloud) tells() {
	c.t.Helper()
	c.until("the runner tells how far it is", func() bool {
		return slices.ContainsFunc(c.namesIn(c.Buckets().Jobs, ""),
			func(name string) bool { return strings.HasSuffix(name, "/progress.json") })
	})
}

// alone lets the time pass in which somebody who waits for a runner says so again.
func (c *cloud) alone() {
	c.t.Helper()
	state := c.Person().Bucket(c.Buckets().State)
	for _, name := range c.namesIn(c.Buckets().State, "claims/") {
		var doc map[string]any
		if err := json.Unmarshal(c.read(state, name), &doc); err != nil {
			c.t.Fatal(err)
		}
		apart, ok := doc["apart"].(map[string]any)
		if !ok {
			continue
		}
		apart["attended"] = time.Now().Add(-time.Minute).UTC()
		changed, err := json.Marshal(doc)
		if err != nil {
			c.t.Fatal(err)
		}
		_, err = state.Put(c.t.Context(), name, strings.NewReader(string(changed)), int64(len(changed)), store.PutOptions{})
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

// The executor is killed while its runner works. The run ends as if nothing had been: as success, once, with all logs,
// and what they have of a secret is masked, although the vault has another version of it by then.
func TestTheExecutorIsKilledWhileItsRunnerWorks(t *testing.T) {
	log := &testkit.Buffer{}
	c := start(t, func(o *local.Options) {
		o.Runner, o.Instances, o.Timeout = &local.Runner{Log: log}, 2, 2*time.Minute
		o.Settings = map[string]string{"CEMLI_POLICY": `{"environment":"local","sandbox":"basic"}`}
	})
	if _, err := c.Server().PutSecret("erp-db", []byte("tiger-s3cr3t")); err != nil {
		t.Fatal(err)
	}
	c.put("long-1.0.0.zip", testkit.Zip(t, map[string]string{
		"manifest.json": `{"name":"long","version":"1.0.0","type":"extension","secrets":{"DB":{"vault_secret":"erp-db"}}}`,
		"steps/1.sh":    `echo "one with $DB"; sleep 2`,
		"steps/2.sh":    `echo two; sleep 18; echo "two has ended with $DB"; echo kept >$CEMLI_ARTIFACTS/a`,
		"steps/3.sh":    `echo three`,
	}))
	c.tells()
	for _, pid := range working(t) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	if a := c.answer(); a.err == nil {
		t.Fatalf("the executor lives: %+v", a)
	}
	if _, err := c.Server().PutSecret("erp-db", []byte("lion-s3cr3t")); err != nil {
		t.Fatal(err)
	}
	c.alone()
	if _, err := c.invoke(`{"action":"sweep"}`); err != nil {
		t.Fatal(err)
	}
	c.until("there is a result", func() bool { return len(c.stored(t)) > 0 })
	all := c.stored(t)
	if r := all[0]; len(all) != 1 || r.Status != evidence.StatusSuccess || len(r.Steps) != 3 || len(r.Artifacts) != 1 {
		t.Fatalf("%d results; status %s, %s, %+v; the function's log:\n%s\nthe runner's:\n%s", len(all), r.Status, r.Message,
			r.Steps, c.log, log)
	}
	c.complete(all[0])
	for i, want := range []string{"one with ***\n", "two\ntwo has ended with ***\n", "three\n"} {
		got := string(c.read(c.results(), evidence.Dir(all[0].RunID)+all[0].Steps[i].Log))
		if got != want {
			t.Errorf("log %d is %q; want %q", i+1, got, want)
		}
	}
	if n := strings.Count(log.String(), `"msg":"job begins"`); n != 1 {
		t.Errorf("the job began %d times; the runner's log:\n%s", n, log)
	}
	for _, text := range []string{c.log.String(), log.String()} {
		if strings.Contains(text, "tiger") {
			t.Error("the secret is in a log")
		}
	}
}

// While the runner works its mailbox is deleted, or its creator's right is taken away. The answer carries what fits:
// only logs and artifacts are not there.
func TestTheMailboxEndsWhileTheRunnerWorks(t *testing.T) {
	for name, ends := range map[string]func(c *cloud){
		"deleted": func(c *cloud) {
			state := c.Person().Bucket(c.Buckets().State)
			for _, name := range c.namesIn(c.Buckets().State, "claims/") {
				var doc struct {
					Apart struct {
						Mailbox string `json:"mailbox"`
					} `json:"apart"`
				}
				if err := json.Unmarshal(c.read(state, name), &doc); err != nil || doc.Apart.Mailbox == "" {
					c.t.Fatalf("%v, %+v", err, doc)
				}
				if err := c.Person().Bucket(c.Buckets().Jobs).DeleteMailbox(c.t.Context(), doc.Apart.Mailbox); err != nil {
					c.t.Fatal(err)
				}
			}
		},
		"the right is taken": func(c *cloud) {
			all, err := localoci.Statements(c.Buckets())
			if err != nil {
				c.t.Fatal(err)
			}
			var rest []string
			for _, s := range all {
				if !strings.Contains(s.Statement, c.Buckets().Jobs) {
					rest = append(rest, s.Statement)
				}
			}
			if len(rest) == len(all) {
				c.t.Fatal("no statement is about the jobs bucket")
			}
			if err := c.Server().SetStatements(rest); err != nil {
				c.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			log := &testkit.Buffer{}
			c := start(t, func(o *local.Options) { o.Runner, o.Timeout = &local.Runner{Log: log}, 40*time.Second })
			c.put("sample-1.0.0.zip", sample(t, `echo one; echo "ROWS=7" >>$CEMLI_OUTPUT; echo x >$CEMLI_ARTIFACTS/a; sleep 8`))
			c.tells()
			ends(c)
			r := c.result(c.answer())
			if r.Status != evidence.StatusSuccess || r.Outputs["ROWS"] != "7" || r.Execution.Stdout != "one\n" ||
				!r.Steps[0].Truncated || len(r.Artifacts) != 1 || r.Artifacts[0].Withheld == "" {
				t.Errorf("status %s, %s, %+v, %+v; the function's log:\n%s\nthe runner's:\n%s", r.Status, r.Message, r.Steps,
					r.Artifacts, c.log, log)
			}
			c.complete(r)
		})
	}
}
