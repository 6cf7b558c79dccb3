package executor_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/executor"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// What JSON does not have for white space is none in a manifest: the package is refused with a result, and
// nothing runs.
func TestAManifestThatOnlyOneReaderTakes(t *testing.T) {
	for _, after := range []string{"\f", "\v", "\x00", "\u00a0", "\u0085", "\u3000"} {
		b := newBench(t)
		marker := testkit.TempDir(t) + "/ran"
		r := b.ran(files{"manifest.json": manifestJSON + after, "steps/run.sh": "echo >" + marker})
		if _, err := os.Stat(marker); err == nil || r.Status != evidence.StatusRejected || code(r) != "manifest.json" {
			t.Errorf("%q: status %s, %+v; the script ran: %v", after, r.Status, r.Error, err == nil)
		}
		if swept := b.sweep(); len(swept.Runs) != 0 || len(b.stateNames("open/")) != 0 {
			t.Errorf("%q: something was left: %+v", after, swept)
		}
	}
}

// deepManifest is one that indenting makes 30 times as long.
func deepManifest() string {
	return strings.TrimSuffix(manifestJSON, "}") + `,"x-deep":` + strings.Repeat("[", 30) +
		strings.Repeat("1,", 400_000) + "1" + strings.Repeat("]", 30) + "}"
}

// The largest manifest leaves a result that can be read back.
func TestADeepManifestLeavesAResult(t *testing.T) {
	b := newBench(t)
	r := b.ran(files{"manifest.json": deepManifest(), "steps/run.sh": "exit 1"})
	if size := len(b.object(evidence.ResultObject(r.RunID))); r.Status != evidence.StatusFailed || size > 8<<20 ||
		len(r.Manifest) == 0 {
		t.Fatalf("status %s, %d bytes", r.Status, size)
	}
	q := executor.Request{
		Bucket: "packages", Back: executor.Back{ResumeFrom: r.RunID}, Reason: "once more",
		Trigger: executor.Trigger{Kind: executor.TriggerRequest},
	}
	if again := b.again(q); again.Status != evidence.StatusFailed || !again.Execution.Ran {
		t.Errorf("going on from it: %s, %s", again.Status, again.Message)
	}
}

// A result that would be too large to be read back is refused before anything runs.
func TestAResultThatCannotBeStored(t *testing.T) {
	b := newBench(t)
	marker := testkit.TempDir(t) + "/ran"
	many := map[string]json.RawMessage{}
	value, err := json.Marshal(strings.Repeat("\u0085", 8000))
	if err != nil {
		t.Fatal(err)
	}
	var members []string
	for _, name := range parameterNames(250) {
		many[name] = value
		members = append(members, `"`+name+`":{"type":"string"}`)
	}
	info := b.upload("many-1.0.0.zip", pack(t, files{
		"manifest.json": `{"name":"many","version":"1.0.0","type":"extension","parameters":{` +
			strings.Join(members, ",") + `}}`, "steps/run.sh": "echo >" + marker,
	}), store.PutOptions{})
	q := request(info.Name, info.ETag)
	q.Parameters = many
	r := b.again(q)
	if _, err := os.Stat(marker); err == nil || r.Status != evidence.StatusRejected || code(r) != "manifest.evidence" {
		t.Fatalf("status %s, %+v; the script ran: %v", r.Status, r.Error, err == nil)
	}
	if stored := b.stored(r.RunID); stored.Status != evidence.StatusRejected || r.Error.Hint == "" ||
		len(b.stateNames("open/")) != 0 {
		t.Errorf("stored %s, open %v", stored.Status, b.stateNames("open/"))
	}
}

func parameterNames(n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprint("P", i))
	}
	return list
}

// listed fails unless a result lists exactly what is in its folder besides itself, and what was kept, each
// as it is.
func (b *bench) listed(r evidence.Result) {
	b.t.Helper()
	want := map[string]evidence.Object{}
	for _, prefix := range []string{evidence.Dir(r.RunID), "packages/", "policies/"} {
		page, err := b.results.List(b.t.Context(), store.ListOptions{Prefix: prefix})
		if err != nil {
			b.t.Fatal(err)
		}
		for _, o := range page.Objects {
			digest := sha256.Sum256([]byte(b.object(o.Name)))
			want[o.Name] = evidence.Object{Object: o.Name, Size: o.Size, SHA256: hex.EncodeToString(digest[:])}
		}
	}
	delete(want, evidence.ResultObject(r.RunID))
	got := map[string]evidence.Object{}
	for _, o := range r.Evidence {
		got[o.Object] = o
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got) != len(r.Evidence) {
		b.t.Errorf("%d objects are listed (-stored +listed):\n%s", len(r.Evidence), diff)
	}
}

// A result lists all that was stored before it.
func TestAResultListsItsEvidence(t *testing.T) {
	b := newBench(t)
	b.config.Policy = executor.InlinePolicy("inline", []byte(`{"environment":"test"}`))
	r := b.ran(files{"steps/1.sh": "echo 1; echo kept >$CEMLI_ARTIFACTS/a.txt", "steps/2.sh": "echo 2 >&2"})
	if r.Status != evidence.StatusSuccess || len(r.Evidence) < 6 { // two logs, artifact, report, package, policy
		t.Errorf("status %s, %+v", r.Status, r.Evidence)
	}
	b.listed(r)
	// What is kept already is listed again, and what is stored whose answer is lost is, too.
	lost := map[string]bool{}
	b.config.Results = forgetful{b.results, &sync.Mutex{}, lost}
	again := b.again(executor.Request{
		Bucket: "packages", Back: executor.Back{RerunOf: r.RunID}, Reason: "once more",
		Trigger: executor.Trigger{Kind: executor.TriggerRequest},
	})
	if len(lost) < 4 {
		t.Errorf("answers that were lost: %v", lost)
	}
	b.listed(b.stored(again.RunID))
}

// forgetful loses the first answer to each put.
type forgetful struct {
	store.Bucket
	mu   *sync.Mutex
	lost map[string]bool
}

func (l forgetful) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, o store.PutOptions,
) (store.Info, error) {
	info, err := l.Bucket.Put(ctx, name, body, size, o)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && !l.lost[name] {
		l.lost[name] = true
		err = store.Error(store.ErrUnavailable, "put", "results", name, errors.New("the answer is lost"))
	}
	return info, err
}

// An interrupted result lists what is there of the run.
func TestAnInterruptedResultListsWhatIsThere(t *testing.T) {
	here(t, "a run goes on when its executor is stopped")
	b := newBench(t)
	b.record()
	first := b.ran(files{"steps/1.sh": "echo 1", "steps/2.sh": "echo 2"})
	kept := b.object(evidence.Dir(first.RunID) + "steps/01-1.log")
	b.leave(first, claim.Running)
	for name, text := range map[string]string{"steps/01-1.log": kept, "steps/02-2.log": "2", "artifacts/x": "x"} {
		if _, err := b.results.Put(t.Context(), evidence.Dir(first.RunID)+name, strings.NewReader(text),
			int64(len(text)), store.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	b.sweep()
	r := b.stored(first.RunID)
	if r.Status != evidence.StatusInterrupted || !json.Valid(r.Manifest) ||
		!strings.Contains(string(r.Manifest), "sample") {
		t.Errorf("status %s, manifest %s", r.Status, r.Manifest)
	}
	b.listed(r)
}
