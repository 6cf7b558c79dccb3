// Package apart has the steps of a run done by a runner: it sends the job, stays with it, and takes what comes of it.
//
// A runner is a function that runs what a package brought, so nothing of what it says is taken on trust. What it may
// say is bounded by the plan (see package jobs), every object is read as one version with a digest, and everything is
// masked again. What is left is the runner's word.
//
// Whoever creates begun.json in the job's mailbox decides whether the job begins: the runner before its first script,
// or the executor to withdraw the job. So a call that is lost, late or doubled starts nothing twice; and where a call
// failed and the job could not be withdrawn, it has begun, and is waited for. From then on only the job's outcome, or
// the moment at which nothing of it runs any more, ends the waiting. Any invocation can go on with it: what it needs is
// in a claim.Apart.
package apart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
)

// Desk is where jobs are sent from.
type Desk struct {
	Jobs store.Bucket // the mailboxes
	// NewMailbox makes a mailbox that can be used until a time, and EndMailbox ends it.
	NewMailbox func(ctx context.Context, until time.Time) (Mailbox, error)
	EndMailbox func(ctx context.Context, id string) error
	// Call calls a runner, and returns its answer; CallDetached only has it called, and nil is not there.
	Call         func(ctx context.Context, runner string, call []byte) (answer []byte, err error)
	CallDetached func(ctx context.Context, runner string, call []byte) error
	Clock        func() time.Time // in UTC
	Log          *slog.Logger
}

// Mailbox is a mailbox that was made. Whoever has its address can read and write it.
type Mailbox struct {
	ID, Prefix string
	Address    func() string // a function, which nothing prints
}

// Runner is a function that does jobs.
type Runner struct{ Label, Kind, ID string }

// Package is the package whose scripts a job runs.
type Package struct {
	SHA256, DirHash string
	Size            int64
	Zip             io.ReaderAt
}

// Order is what a Place needs of a run besides the job.
type Order struct {
	Runner  Runner
	Package Package
	Attempt int
	// Restored opens an artifact of an earlier run that the job needs.
	Restored func(a evidence.Artifact) (io.ReadSeekCloser, error)
	// Mask is what is masked, and Masker masks it; values that are too short are left out.
	Mask   []string
	Masker *redact.Masker
	// AcceptInit says that secrets are sent although other processes of the scripts' user are within their reach.
	AcceptInit bool
}

// ErrWithdrawn is the failure of a job that was withdrawn: nothing of it was started, and nothing will be.
var ErrWithdrawn = errors.New("the job was withdrawn")

// ErrLeft says that the job goes on, and this invocation cannot stay with it.
var ErrLeft = errors.New("the job goes on")

// Place is a runner as the place where one job is done.
type Place struct {
	desk    *Desk
	order   Order
	box     *Box
	record  claim.Apart
	job     jobs.Job // what was sent, or of an adopted job what is left of it
	said    jobs.Progress
	sent    bool // a runner may have been called
	stopped bool // it is to be cancelled
	told    bool // the runner was told so
	logs    map[int]bool
	outcome *jobs.Outcome
	// withhold says that nothing that scripts printed, gave or left may be shown.
	withhold bool
	restore  map[string]evidence.Artifact
	Begun    time.Time // by the runner's clock; zero: it is not known
	Ended    time.Time // when its outcome was taken
}

// At is the runner of an order as a place for one job, with a mailbox that was begun before.
func (d *Desk) At(o Order, box *Box) *Place {
	return &Place{desk: d, order: o, box: box, logs: map[int]bool{}, restore: map[string]evidence.Artifact{}}
}

// Adopt is the place of a job that another invocation has sent, and the job, without its values.
// If withhold is set it is not
// known any more what has to be masked: then nothing of what the scripts printed, gave or left is shown.
func (d *Desk) Adopt(record claim.Apart, masker *redact.Masker, withhold bool) (*Place, steps.Job, error) {
	p := d.At(Order{
		Runner: Runner{Kind: record.Kind, ID: record.ID, Label: record.Label}, Masker: masker,
	}, nil)
	p.record, p.withhold = record, withhold
	var restored []evidence.Artifact
	err := json.Unmarshal(record.Plan, &p.job)
	if err == nil && record.Restored != nil {
		err = json.Unmarshal(record.Restored, &restored)
	}
	if err != nil {
		return nil, steps.Job{}, fmt.Errorf("the plan of the job %s cannot be read: %w", record.Job, err)
	}
	job := steps.FromDocument(p.job)
	job.Restored = restored
	p.restoring(restored)
	return p, job, nil
}

func (p *Place) restoring(all []evidence.Artifact) {
	for _, a := range all {
		p.restore[a.Name] = a
	}
}

// Record is what another invocation needs to go on with the job, once Run has begun it.
func (p *Place) Record() *claim.Apart {
	record := p.record
	return &record
}

// Runner is the runner.
func (p *Place) Runner() Runner { return p.order.Runner }

// Describe describes for a result where the steps ran; nil if nothing was sent.
func (p *Place) Describe() *evidence.Apart {
	r := p.record
	if r.Job == "" {
		return nil // no script had to run
	}
	a := &evidence.Apart{Kind: r.Kind, ID: r.ID, Label: r.Label, Job: r.Job, Asked: r.Asked, Word: evidence.ApartWord}
	if !p.Begun.IsZero() {
		begun := p.Begun.UTC()
		a.Begun = &begun
	}
	if o := p.outcome; o != nil {
		ended := p.Ended.UTC()
		a.Ended, a.Level, a.Gaps, a.Version, a.Image = &ended, o.Sandbox.Level, o.Sandbox.Gaps, o.Runner.Version,
			p.order.Masker.String(o.Runner.Image)
	}
	return a
}

// Summary is the Markdown that the scripts wrote, masked.
func (p *Place) Summary() string {
	if p.outcome == nil || p.withhold {
		return ""
	}
	return p.order.Masker.String(p.outcome.Summary)
}
