package executor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// Probe is what this deployment can do, line by line.
type Probe struct {
	Action      Action      `json:"action"`
	OK          bool        `json:"ok"` // every line is OK
	Environment string      `json:"environment"`
	Version     string      `json:"version"`
	Lines       []ProbeLine `json:"lines"`
}

// Probing is what a probe has to know besides the executor's configuration.
type Probing struct {
	Problems    []problem.Problem // of the configuration; if there are any, no service is asked
	Credentials []string          // files that hold this program's identity
	Checks      []ProbeCheck
	Ask         AskRunner // nil if there are no runners
}

// probeTime bounds the checks of the services, which run at the same time.
const probeTime = 20 * time.Second

// Probe checks everything that a run needs, without running any package. It reads no secret, sends no message, and
// leaves one small object in the results bucket, the first time. What runners find of themselves is stored.
func (e *Executor) Probe(ctx context.Context, more Probing) Probe {
	p := Probe{Action: ActionProbe, Environment: e.Environment, Version: e.Identity.ExecutorVersion}
	p.Lines = configured(more.Problems)
	level := e.Sandbox
	var asked []ProbeLine
	if len(more.Problems) == 0 {
		asked = probing{e}.services(ctx, more, &level)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	p.Lines = append(append(p.Lines, probing{e}.machine(ctx, level, more.Credentials)...), asked...)
	p.OK = true
	for _, line := range p.Lines {
		p.OK = p.OK && line.OK
	}
	return p
}

// services asks the services and the runners, at the same time, each as long as it may take.
func (e probing) services(ctx context.Context, more Probing, level *sandbox.Level) []ProbeLine {
	var runners []answered
	var all sync.WaitGroup
	if more.Ask != nil {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, runnerTime)
			defer cancel()
			runners = e.runners(ctx, more.Ask)
		})
	}
	limited, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	lines := e.ask(limited, more.Checks, level)
	all.Wait()
	for _, a := range runners {
		lines = append(lines, e.apart(ctx, a, *level)...)
	}
	return lines
}

// ask checks the services, all at the same time. The policy may raise the level of the sandbox.
func (e probing) ask(ctx context.Context, more []ProbeCheck, level *sandbox.Level) []ProbeLine {
	checks := append([]ProbeCheck{
		{"clock", e.probeClock},
		{"state", e.probeState},
		{"results", e.probeResults},
		{"packages", e.probePackages},
		{"policy", func(ctx context.Context) (string, error) { return e.probePolicy(ctx, level) }},
	}, more...)
	lines := make([]ProbeLine, len(checks))
	var all sync.WaitGroup
	for i, c := range checks {
		all.Go(func() { lines[i] = c.line(ctx, e) })
	}
	all.Wait()
	return lines
}

// probeObject is the name that a probe uses in the buckets of results and state.
func (e probing) probeObject() string { return "probe/" + e.Environment + ".json" }

func (e probing) put(ctx context.Context, b store.Bucket, opts store.PutOptions) error {
	doc := []byte(`{"schema_version":1}` + "\n")
	opts.ContentType = "application/json"
	_, err := b.Put(ctx, e.probeObject(), bytes.NewReader(doc), int64(len(doc)), opts)
	return err
}

func (e probing) probeClock(ctx context.Context) (string, error) {
	return fmt.Sprintf("within %s of the store's", claim.MaxSkew), e.Book.CheckClock(ctx)
}

// probeState does everything with one object that runs do with records.
func (e probing) probeState(ctx context.Context) (string, error) {
	if err := e.put(ctx, e.State, store.PutOptions{}); err != nil {
		return "", err
	}
	body, info, err := e.State.Get(ctx, e.probeObject(), store.GetOptions{})
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, body)
	if err := errors.Join(err, body.Close()); err != nil {
		return "", store.Error(store.ErrUnavailable, "read", e.State.Name(), e.probeObject(), err)
	}
	if err := e.put(ctx, e.State, store.PutOptions{IfMatch: info.ETag}); err != nil &&
		!errors.Is(err, store.ErrChanged) {
		return "", err // another probe may have come between
	}
	if _, err := e.State.List(ctx, store.ListOptions{Prefix: "probe/", Limit: 1}); err != nil {
		return "", err
	}
	if err := e.State.Delete(ctx, e.probeObject(), ""); err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	return e.State.Name() + " can be written, read, listed and deleted from", nil
}

// creator is a bucket that can tell, without creating an object, whether one may be created.
type creator interface {
	MayCreate(ctx context.Context, name string) error
}

// probeResults creates an object once, and checks that the store refuses to create it again.
func (e probing) probeResults(ctx context.Context) (string, error) {
	err := e.put(ctx, e.Results, store.PutOptions{IfNoneMatch: true})
	if err == nil {
		err = e.put(ctx, e.Results, store.PutOptions{IfNoneMatch: true})
	}
	switch {
	case err == nil:
		return "", problem.New(problem.Problem{
			Code: "store.evidence", Where: e.Results.Name() + "/" + e.probeObject(),
			Message: "the store has overwritten what was to be created only",
			Hint:    "use Object Storage, which heeds If-None-Match",
		}, nil)
	case !errors.Is(err, store.ErrExists):
		return "", err
	}
	// The store refuses an existing name in the same way if the function may not create objects at all.
	if b, ok := e.Results.(creator); ok {
		if err := b.MayCreate(ctx, e.probeObject()+"-none"); err != nil {
			return "", err
		}
	}
	if _, err := e.Results.List(ctx, store.ListOptions{Prefix: "probe/", Limit: 1}); err != nil {
		return "", err
	}
	return e.Results.Name() + " takes new objects and overwrites none", nil
}

// probePackages reads an object that does not exist: only those who may read are told that.
func (e probing) probePackages(ctx context.Context) (string, error) {
	if _, err := e.Packages.List(ctx, store.ListOptions{Limit: 1}); err != nil {
		return "", err
	}
	if _, err := e.Packages.ListVersions(ctx, store.VersionOptions{Limit: 1}); err != nil {
		return "", err
	}
	body, _, err := e.Packages.Get(ctx, e.probeObject(), store.GetOptions{Length: 1})
	switch {
	case err == nil:
		_ = body.Close() // it may be read, which is all that is checked
	case !errors.Is(err, store.ErrNotFound):
		return "", err
	}
	return e.Packages.Name() + " can be listed and read", nil
}

func (e probing) probePolicy(ctx context.Context, level *sandbox.Level) (string, error) {
	if e.Policy == nil {
		return "none: every valid package may run", nil
	}
	doc, err := e.Policy.Read(ctx)
	if err != nil {
		return "", admission.UnreadPolicy(e.Policy.Source, err)
	}
	policy, err := manifest.ParsePolicy(doc, e.Environment)
	if err != nil {
		return "", err
	}
	if least := sandbox.Level(policy.Sandbox); least != "" && least.Reaches(*level) {
		*level = least
	}
	return e.Policy.Source + " is valid: sha256:" + fmt.Sprintf("%x", sha256.Sum256(doc)), nil
}
