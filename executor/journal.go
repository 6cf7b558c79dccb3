package executor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"cemli-executor/internal/download"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/results"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// journal is what the run does while its steps run: it notes in the claim that a step begins, stores logs
// as steps end, and says both in the function's log.
func (r *run) journal(ctx context.Context) steps.Journal {
	j := steps.Journal{
		Begins: r.stepBegins,
		Ended:  func(s evidence.Step, log steps.Log) { r.stepEnded(ctx, s, log) },
		Tolerated: func(step string, failure error) {
			r.log.Warn("the step failed, and may", "step", step, "code", problem.CodeOf(failure))
		},
	}
	if r.exec.Output == OutputAll {
		j.Lines = r.lines
	}
	return j
}

// lines passes the lines of a step's stream on to the function's log.
func (r *report) lines(step string, stream evidence.Stream) func([]string) {
	log := r.log.With("step", step, "stream", stream)
	return func(lines []string) {
		pass := func() {
			for _, line := range lines {
				log.LogAttrs(context.Background(), slog.LevelInfo, "output", slog.String("line", line))
			}
		}
		if r.exec.LogWriter == nil {
			pass()
			return
		}
		r.exec.LogWriter.Together(pass)
	}
}

func (r *run) stepBegins(ctx context.Context, b steps.Beginning) error {
	if err := r.progress(ctx, b); err != nil {
		return err
	}
	r.log.Info("step started", "step", b.Step.Name, "phase", b.Step.Phase, "number", b.Number)
	return nil
}

func (r *run) stepEnded(ctx context.Context, s evidence.Step, log steps.Log) {
	if log.Err != nil {
		r.log.Error("cannot write the whole log", "step", s.Name, "error", log.Err.Error())
	}
	if r.exec.Output == OutputTail {
		r.logTail(s.Name, evidence.Stdout, s.StdoutTail)
		r.logTail(s.Name, evidence.Stderr, s.StderrTail)
	}
	r.log.Info("step finished", "step", s.Name, "phase", s.Phase, "status", s.Status,
		"returncode", s.ReturnCode, "signal", s.Signal, "duration_ms", s.DurationMS, "truncated", s.Truncated)
	r.keepLog(ctx, log, s.Name)
}

func (r *report) logTail(step string, stream evidence.Stream, text string) {
	if text != "" {
		r.log.Info("output", "step", step, "stream", stream, "line", text)
	}
}

// keepLog stores a step's log and its times at once, so that they survive the function.
func (r *report) keepLog(ctx context.Context, log steps.Log, step string) {
	size, err := log.File.Seek(0, io.SeekEnd)
	if err != nil {
		r.log.Error("cannot read the log", "step", step, "error", err.Error())
	}
	r.keepBeside(ctx, step, r.document(log.Name, "text/plain; charset=utf-8", log.File, size))
	times, err := log.Times.Encode()
	if err != nil {
		r.log.Error("cannot encode the times of a log", "log", log.Name, "error", err.Error())
		return
	}
	name := strings.TrimSuffix(log.Name, ".log") + ".times.json"
	r.keepBeside(ctx, step, r.document(name, "application/json", bytes.NewReader(times), int64(len(times))))
}

func (r *report) keepBeside(ctx context.Context, step string, d results.Document) {
	r.stored.Beside(ctx, d, func(err error) {
		r.log.Warn("log not stored yet", "step", step, "object", d.Object, "error", err.Error())
	})
}

// document is a document of the run's evidence.
func (r *report) document(name, contentType string, body io.ReadSeeker, size int64) results.Document {
	return results.Document{Object: evidence.Dir(r.result.RunID) + name, Type: contentType, Body: body, Size: size}
}

// part bounds one request: it may take a part of the time that is left.
func (r *asked) part(ctx context.Context) (context.Context, context.CancelFunc) {
	end := r.hard
	if deadline, ok := ctx.Deadline(); ok {
		end = deadline
	}
	left := r.exec.Reserve
	if !end.IsZero() {
		left = time.Until(end)
	}
	return context.WithTimeout(ctx, max(left/4, 2*time.Second))
}

// Copies of what is applied and of the policies that admitted it, in the results bucket, by their
// SHA-256: going back must not depend on what uploaders leave in the packages bucket.

// copies are the copies that a run makes beside its other work.
type copies struct {
	group errgroup.Group
	zip   bool // one of the package is among them
}

// keepPackage begins to keep the package, where it is going to be applied and may be kept: a sensitive
// default must not come to lie where authors read.
func (r *found) keepPackage(ctx context.Context, zip *download.Object, m *manifest.Manifest) {
	if !r.exec.KeepPackages || r.result.Action != string(ActionApply) || len(m.SensitiveValues()) > 0 {
		return
	}
	r.copies.zip = true
	copied := results.Document{
		Object: results.KeptPackage(zip.SHA256()), Type: "application/zip", Size: zip.Size(), SHA256: zip.SHA256(),
		Body: io.NewSectionReader(zip, 0, zip.Size()),
	}
	r.copies.group.Go(func() error {
		if err := r.stored.Create(ctx, copied); err != nil {
			return err
		}
		if zip.Size() > 4<<20 {
			debug.FreeOSMemory() // what the download held; the scripts need it
		}
		return nil
	})
}

// keepPolicy begins to keep the policy, if there is one, whatever it decides.
func (r *found) keepPolicy(ctx context.Context) {
	doc := r.policy
	if doc == nil || !r.exec.KeepPackages {
		return
	}
	policy := results.Document{
		Object: results.KeptPolicy(fmt.Sprintf("%x", sha256.Sum256(doc))), Type: "application/json", Size: int64(len(doc)), SHA256: fmt.Sprintf("%x", sha256.Sum256(doc)),
		Body: bytes.NewReader(doc),
	}
	r.copies.group.Go(func() error { return r.stored.Create(ctx, policy) })
}

// collect keeps what the scripts left to be kept: the summary, and files as artifacts.
func (r *found) collect(ctx context.Context) error {
	if !r.outcome.Began {
		return nil
	}
	here := r.here()
	r.result.Summary = here.Summary()
	end, _ := ctx.Deadline() // forEvidence has set it; the result itself needs time, too
	until := time.Now().Add(time.Until(end) * 2 / 3)
	keep := func(f io.ReadSeeker, a evidence.Artifact) (evidence.Artifact, error) {
		return r.keepArtifact(ctx, f, a)
	}
	var err error
	r.result.Artifacts, err = here.Collect(ctx, r.job, until, keep)
	return err
}

// keepArtifact stores one file, or says why it is not stored. An error means that the store failed.
func (r *found) keepArtifact(ctx context.Context, f io.ReadSeeker, a evidence.Artifact) (evidence.Artifact, error) {
	a.Object = "artifacts/" + a.Name
	if err := store.CheckName(evidence.Dir(r.result.RunID) + a.Object); err != nil {
		return evidence.Artifact{Withheld: "its name cannot be an object's: " + err.Error()}, nil
	}
	d := r.document(a.Object, contentType(a.Name), f, a.Size)
	d.SHA256 = a.SHA256
	switch err := r.stored.Insist(ctx, d); {
	case errors.Is(err, store.ErrName):
		return evidence.Artifact{Withheld: "its name cannot be an object's"}, nil
	case errors.Is(err, store.ErrExists):
		return evidence.Artifact{Withheld: "another object has its name"}, nil
	default:
		return a, err
	}
}

// texts are the extensions of files that a browser may show: as text, whatever is in them.
var texts = strings.Fields(".conf .csv .diff .err .json .log .lst .md .out .patch .sql .tsv .txt .yaml .yml")

// contentType is what an artifact is stored as: never something that runs when somebody opens it.
func contentType(name string) string {
	if slices.Contains(texts, strings.ToLower(path.Ext(name))) {
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// create creates one document of the evidence.
func (r *report) create(ctx context.Context, name string, doc []byte, contentType string) error {
	return r.stored.Insist(ctx, r.document(name, contentType, bytes.NewReader(doc), int64(len(doc))))
}
