package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
)

// tenant is a tenancy whose store can be kept, with calls of the function one after the other.
type tenant struct {
	dying sync.WaitGroup // calls that have died, and do not know it
	*keptStore
	t         *testing.T
	dir       string
	calls     int
	failing   string // the execution that fails
	slow      string // the package whose scripts take long
	executed  []execution
	announced map[string]int // by run id
	handed    []string       // marks for which another call of the function was asked
}

// execution is a script that was executed.
type execution struct {
	what  string // package, country and script
	runID string
	found string // what an earlier script had saved
	env   map[string]string
}

func newTenant(t *testing.T, dir string, s *keptStore) *tenant {
	return &tenant{keptStore: s, t: t, dir: dir, announced: map[string]int{}}
}

// keptCall is a call of the function; what is set makes it go wrong.
type keptCall struct {
	tenant    *tenant
	limit     time.Duration
	dieBefore string // an operation of the store, by its beginning
	skip      int    // this many of them are done
	dieIn     string // an execution
	fail      string // an operation of the store that fails, by its beginning
	silent    bool   // nobody can be told of a run
	alone     bool   // there are no other calls
	policy    *executor.Policy
	dead      bool
	death     chan struct{} // closed when it dies; nil: nobody waits for that
}

// dies ends the call if it is to end: nothing of it reaches anybody from now on.
func (c *keptCall) dies(now bool) {
	if now && !c.dead {
		c.dead = true
		if c.death != nil {
			close(c.death)
		}
	}
}

// reaches reports whether an operation reaches the store.
func (c *keptCall) reaches(operation string) bool {
	if c.dieBefore != "" && strings.HasPrefix(operation, c.dieBefore) {
		c.skip--
		c.dies(c.skip < 0)
	}
	return !c.dead && (c.fail == "" || !strings.HasPrefix(operation, c.fail))
}

func (c *keptCall) executor() *executor.Executor {
	c.tenant.calls++
	bucket := func(name string) store.Bucket { return keptBucket{name, c} }
	config := executor.Config{
		Packages: bucket("packages"), Results: bucket("results"), State: bucket("state"),
		Namespace: func(context.Context) (string, error) { return "ns", nil }, Environment: "prod",
		WorkDir: filepath.Join(c.tenant.dir, fmt.Sprint(c.tenant.calls)), KeepPackages: true, Reserve: 15 * time.Second,
		Limits:  executor.DefaultLimits(),
		Sandbox: sandbox.LevelNone, Output: executor.OutputNone, Log: slog.New(slog.DiscardHandler),
		Children: executor.Children{Spawn: c.spawn}, Announce: c.announce, Policy: c.policy,
	}
	if !c.alone {
		config.Invoke = func(_ context.Context, mark string) error {
			c.tenant.handed = append(c.tenant.handed, mark)
			return nil
		}
	}
	return executor.New(config)
}

func (c *keptCall) announce(_ context.Context, r evidence.Result) error {
	if c.dead || c.silent {
		return errors.New("no answer")
	}
	c.tenant.announced[r.RunID]++
	return nil
}

// context ends when the platform would kill the call.
func (c *keptCall) context() (context.Context, context.CancelFunc) {
	if c.limit == 0 {
		c.limit = 5 * time.Minute
	}
	return context.WithTimeout(c.tenant.t.Context(), c.limit)
}

func (c *keptCall) run(request executor.Request) ([]evidence.Result, error) {
	ctx, cancel := c.context()
	defer cancel()
	return c.executor().Run(ctx, request)
}

func (c *keptCall) sweep() error {
	ctx, cancel := c.context()
	defer cancel()
	_, err := c.executor().Sweep(ctx, "")
	return err
}

// spawn is a script: it leaves an artifact and an output.
func (c *keptCall) spawn(_ context.Context, command sandbox.Command) (sandbox.Outcome, error) {
	env := map[string]string{}
	for _, entry := range command.Env {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
	}
	t := c.tenant
	done := execution{what: env["CEMLI_PACKAGE"] + " " + command.ScriptPath, runID: env["CEMLI_RUN_ID"], env: env}
	if country := env["CEMLI_PARAM_COUNTRY"]; country != "" {
		done.what = env["CEMLI_PACKAGE"] + " " + country + " " + command.ScriptPath
	}
	o := sandbox.Outcome{Start: time.Now()}
	c.dies(done.what == c.dieIn)
	if c.dead {
		return o, errors.New("this call is dead")
	}
	var err error
	if done.found, err = leave(env); err != nil {
		t.t.Error(err)
	}
	t.executed = append(t.executed, done)
	_, _ = fmt.Fprintln(command.Stdout, done.what)
	time.Sleep(2 * time.Second)
	if t.slow != "" && env["CEMLI_PACKAGE"] == t.slow {
		time.Sleep(2 * time.Minute)
	}
	if done.what == t.failing {
		o.ExitCode = 1
	}
	o.Took = time.Since(o.Start)
	return o, nil
}

// leave leaves what each script does, and finds what one before had saved: an undo needs it.
func leave(env map[string]string) (found string, err error) {
	saved := filepath.Join(env["CEMLI_ARTIFACTS"], "saved.txt")
	before, _ := os.ReadFile(saved) // the first one finds nothing
	return string(before), errors.Join(
		os.WriteFile(saved, []byte("what "+env["CEMLI_RUN_ID"]+" replaced\n"), 0o600),
		os.WriteFile(env["CEMLI_OUTPUT"], []byte("BY="+env["CEMLI_RUN_ID"]+"\n"), 0o600),
	)
}

// upload stores a package, of which nobody is told yet.
func (t *tenant) upload(object string, zip []byte, metadata map[string]string) {
	t.put("packages", object, zip, metadata)
	time.Sleep(time.Second)
}

// event is the event of an upload.
func (t *tenant) event(object string) executor.Request {
	o := t.Buckets["packages"][object]
	raw, err := json.Marshal(map[string]string{"eventID": "event of " + o.ETag})
	if err != nil {
		t.t.Fatal(err)
	}
	return executor.Request{
		Bucket: "packages", Object: object, ETag: o.ETag, VersionID: o.VersionID,
		Trigger: executor.Trigger{
			Kind: executor.TriggerEvent, EventID: "event of " + o.ETag,
			EventType: "com.oraclecloud.objectstorage.createobject", EventTime: o.Created, Raw: raw,
		},
	}
}

// results reads all results, by run id.
func (t *tenant) results() map[string]evidence.Result {
	found := map[string]evidence.Result{}
	for name, o := range t.Buckets["results"] {
		if !strings.HasPrefix(name, "runs/") || !strings.HasSuffix(name, "/result.json") {
			continue
		}
		r, err := evidence.Decode(o.body)
		if err != nil || evidence.ResultObject(r.RunID) != name {
			t.t.Errorf("the result %s cannot be read: %v", name, err)
		}
		found[r.RunID] = r
	}
	return found
}

// first is the first run of an object, and of a set of it.
func (t *tenant) first(object, set string) evidence.Result {
	t.t.Helper()
	var first evidence.Result
	for _, r := range t.results() {
		if r.SourceObject == object && r.ParameterSet == set && (first.RunID == "" || r.RunID < first.RunID) {
			first = r
		}
	}
	if first.RunID == "" {
		t.t.Fatalf("%s, set %q, has no result", object, set)
	}
	return first
}
