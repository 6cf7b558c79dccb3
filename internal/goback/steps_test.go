package goback_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/goback"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
	"cemli-executor/internal/workdir"
)

// job has the steps of the package, each with an undo script but the last.
func job() *steps.Job {
	step := func(name, undo string) steps.Step {
		return steps.Step{Name: name, Phase: "run", Run: "steps/" + name + ".sh", Undo: undo, Do: steps.Run}
	}
	return &steps.Job{Plan: []steps.Step{step("1", "rollback/1.sh"), step("2", "rollback/2.sh"), step("3", "")}}
}

// undoing is a job whose steps are not run.
func undoing() *steps.Job {
	j := job()
	for i := range j.Plan {
		j.Plan[i].Do = steps.Leave
	}
	return j
}

func doings(j *steps.Job) (list []steps.Do) {
	for _, s := range j.Plan {
		list = append(list, s.Do)
	}
	return list
}

// Going on leaves out what had succeeded, also in a run before that one, and what it gave counts again.
func TestLeaveOut(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := failed()
	r.Steps[0].Status, r.Steps[0].Outputs = evidence.StepSkipped, map[string]string{"OUT": "1"}
	w := d.way(r, resume())
	j := job()
	w.LeaveOut(j)
	if diff := cmp.Diff([]steps.Do{steps.Skip, steps.Run, steps.Run}, doings(j)); diff != "" {
		t.Error("steps (-want +got):\n" + diff)
	}
	if diff := cmp.Diff(map[string]string{"OUT": "1"}, j.Plan[0].Outputs); diff != "" {
		t.Error("what the first gave (-want +got):\n" + diff)
	}
}

// An undo is of the steps that had begun, without those whose undo has succeeded already: in the run itself, or in the
// last rollback of it.
func TestRollBack(t *testing.T) {
	t.Parallel()
	undone := func(name string, status evidence.StepStatus) evidence.Step {
		return evidence.Step{Name: name, Run: "rollback/" + name + ".sh", Status: status, Attempts: 1}
	}
	for name, c := range map[string]struct {
		itself, since []evidence.Step
		want          []steps.Do
	}{
		"nothing is undone": {nil, nil, []steps.Do{steps.Revert, steps.Revert, steps.Leave}},
		"one by itself": {
			[]evidence.Step{undone("2", evidence.StepSuccess)},
			nil,
			[]steps.Do{steps.Revert, steps.Undone, steps.Leave},
		},
		"one failed by itself": {
			[]evidence.Step{undone("2", evidence.StepFailed)}, nil, []steps.Do{steps.Revert, steps.Revert, steps.Leave},
		},
		"one each": {
			[]evidence.Step{undone("2", evidence.StepSuccess)},
			[]evidence.Step{undone("1", evidence.StepSkipped)},
			[]steps.Do{steps.Undone, steps.Undone, steps.Leave},
		},
	} {
		d := newDesk(t)
		r := failed()
		r.Outputs = map[string]string{"OUT": "1", "HIDDEN": "is ***"}
		r.Rollback = &evidence.Rollback{Steps: c.itself}
		var last []func(*claim.Entry)
		if c.since != nil {
			d.store(evidence.Result{RunID: "rollback-2", Rollback: &evidence.Rollback{Steps: c.since}})
			last = append(last, func(e *claim.Entry) { e.RolledBackBy = []string{"rollback-1", "rollback-2"} })
		}
		w := d.way(r, undo(), last...)
		j := undoing()
		d.ok(w.RollBack(t.Context(), j))
		if diff := cmp.Diff(c.want, doings(j)); diff != "" {
			t.Errorf("%s: steps (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(map[string]string{"OUT": "1"}, j.Outputs); diff != "" {
			t.Errorf("%s: what the run gave, without what was hidden (-want +got):\n%s", name, diff)
		}
	}
}

// What the last rollback undid has to be known; where its result is gone, all is undone again.
func TestRollBackAfterOneThatIsNotKnown(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	w := d.way(failed(), undo(), func(e *claim.Entry) { e.RolledBackBy = []string{"rollback-1"} })
	j := undoing()
	d.ok(w.RollBack(t.Context(), j))
	if diff := cmp.Diff([]steps.Do{steps.Revert, steps.Revert, steps.Leave}, doings(j)); diff != "" {
		t.Error("its result is gone: steps (-want +got):\n" + diff)
	}
	d.put(evidence.ResultObject("rollback-1"), "{")
	d.refused("its result is damaged", w.RollBack(t.Context(), undoing()), "state.result")
}

// folder is a run's folder.
func folder(t *testing.T) *workdir.Dir {
	t.Helper()
	dir, err := workdir.Make(filepath.Join(t.TempDir(), "work"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dir.Remove() })
	return dir
}

// artifact stores an artifact of a run.
func (d *desk) artifact(run, name, text string) evidence.Artifact {
	d.t.Helper()
	a := evidence.Artifact{Name: name, Object: "artifacts/" + name, Size: int64(len(text))}
	a.SHA256 = d.put(evidence.Dir(run)+a.Object, text)
	return a
}

// Artifacts of the run, and those that it had from runs before, lie where its scripts had left them.
func TestRestore(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := failed()
	own, older := d.artifact(runID, "in/dump.sql", "dump"), d.artifact("run-0", "list", "older")
	older.Run = "run-0"
	r.Artifacts = []evidence.Artifact{own, older, {Name: "large", Withheld: "it is too large"}}
	w := d.way(r, undo())
	dir := folder(t)
	restored, err := w.Restore(t.Context(), dir, 100)
	d.ok(err)
	own.Run = runID
	if diff := cmp.Diff([]evidence.Artifact{own, older}, restored); diff != "" {
		t.Error("restored (-want +got):\n" + diff)
	}
	got := map[string]string{}
	d.ok(fs.WalkDir(os.DirFS(dir.Path(workdir.Artifacts)), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			text, readErr := os.ReadFile(filepath.Join(dir.Path(workdir.Artifacts), name))
			got[name], err = string(text), readErr
		}
		return err
	}))
	if diff := cmp.Diff(map[string]string{"in/dump.sql": "dump", "list": "older"}, got); diff != "" {
		t.Error("files (-want +got):\n" + diff)
	}
	if text := w.Without(); !strings.HasSuffix(text, "had to do without: large") {
		t.Errorf("what was missing is told as %q", text)
	}
}

// An artifact that is not what the result says is not given to an undo.
func TestArtifactsThatAreOthers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*evidence.Artifact)
		limit  int64
	}{
		"another digest":   {func(a *evidence.Artifact) { a.SHA256 = strings.Repeat("0", 64) }, 100},
		"another size":     {func(a *evidence.Artifact) { a.Size++ }, 100},
		"too large":        {func(*evidence.Artifact) {}, 3},
		"gone":             {func(a *evidence.Artifact) { a.Object = "artifacts/gone" }, 100},
		"out of its place": {func(a *evidence.Artifact) { a.Name = "../../escaped" }, 100},
	} {
		d := newDesk(t)
		r := failed()
		a := d.artifact(runID, "dump", "dump")
		c.change(&a)
		r.Artifacts = []evidence.Artifact{a}
		dir := folder(t)
		restored, err := d.way(r, undo()).Restore(t.Context(), dir, c.limit)
		if d.refused(name, err, "request.gone"); restored != nil {
			t.Errorf("%s: restored %+v", name, restored)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(dir.Path("")), "escaped")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: a file beside the run's folder: %v", name, err)
		}
	}
}

// broken is a reader that fails after some bytes.
type broken struct{ io.Reader }

func (b broken) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p[:min(len(p), 2)])
	return n, errors.Join(err, io.ErrUnexpectedEOF)
}

// cut is a bucket whose answers break off, for artifacts.
type cut struct{ store.Bucket }

func (c cut) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	body, info, err := c.Bucket.Get(ctx, name, o)
	if err == nil && strings.Contains(name, "/artifacts/") {
		body = io.NopCloser(broken{body})
	}
	return body, info, err
}

// A bucket that fails now may have the artifact another time: that is no verdict on the artifact.
func TestArtifactsThatCannotBeReadNow(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(store.Bucket) store.Bucket{
		"no answer":            func(b store.Bucket) store.Bucket { return unavailable{b, "/artifacts/"} },
		"an answer breaks off": func(b store.Bucket) store.Bucket { return cut{b} },
	} {
		d := newDesk(t)
		r := failed()
		r.Artifacts = []evidence.Artifact{d.artifact(runID, "dump", "dump")}
		d.Results = fails(d.Results)
		restored, err := d.way(r, undo()).Restore(t.Context(), folder(t), 100)
		if !errors.Is(err, store.ErrUnavailable) || restored != nil {
			t.Errorf("%s: %v, restored %+v", name, err, restored)
		}
	}
}

// However many artifacts are missing, the message names some of them.
func TestWithoutManyArtifacts(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	r := failed()
	for i := range 12 {
		r.Artifacts = append(r.Artifacts, evidence.Artifact{Name: fmt.Sprint("a", i), Withheld: "there are too many"})
	}
	w := d.way(r, undo())
	if restored, err := w.Restore(t.Context(), folder(t), 100); err != nil || restored != nil {
		t.Fatalf("%+v, %v", restored, err)
	}
	if text := w.Without(); !strings.HasSuffix(text, "a8, a9 and 2 more") {
		t.Errorf("%q", text)
	}
	var none *goback.Way
	if text := none.Without(); text != "" {
		t.Errorf("without a way back: %q", text)
	}
}
