// Package pipeline makes one run: fetch, open, accept, extract, enter, admit, apply, commit.
//
// It takes one request to one result. It reads exactly one version of the package's object, refuses it whole if
// anything is wrong with it, runs the plan's scripts one after the other in a directory of their own, and stores the
// evidence, create-only, with result.json last. It leaves nothing behind in its work folder, however the run ends.
package pipeline

import (
	"context"
	"log/slog"
	"time"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/apart"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/logwriter"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/secrets"
	"cemli-executor/internal/store"
	"cemli-executor/internal/timing"
	"cemli-executor/internal/uploader"
)

// Config is what an Executor works with. All fields without a default are required.
type Config struct {
	Packages store.Bucket // the only bucket that packages are read from
	Results  store.Bucket // the bucket for evidence, create-only
	State    store.Bucket // what runs have to know of each other
	// KeepPackages keeps copies of applied packages and of policies in Results, so that going back does not depend on
	// what is left in Packages.
	KeepPackages bool
	// Policy is the environment's admission policy; nil: every valid package may run.
	Policy *admission.Policy
	// Namespace returns the Object Storage namespace of the buckets; "" for folders.
	Namespace func(context.Context) (string, error)

	Environment string // where the change is made: dev, test, prod, local …
	// WorkDir is a folder that only this executor uses; each run creates it if need be and empties it first.
	WorkDir string
	Reserve time.Duration // kept from the invocation's time for the evidence
	Limits  admission.Limits
	Sandbox sandbox.Level // the lowest level at which scripts may run
	// Output says which part of the scripts' output goes to Log.
	Output   OutputMode
	Identity evidence.Identity
	Log      *slog.Logger
	// Announce announces a run after its result is stored; nil: runs are not announced.
	Announce func(context.Context, evidence.Result) error
	// WriteLog reads OCI's log of writes to Packages, to find out who uploaded what; nil: that is not looked up.
	WriteLog uploader.WriteLog
	// Secrets reads the vault; nil: there is none.
	Secrets secrets.Source
	// SecretVersion reads a version of a secret again, by its OCID; nil: there is no vault.
	SecretVersion secrets.Version
	// LogWriter is what Log writes to, if that can hold records back; nil: it cannot.
	LogWriter *logwriter.Writer
	// Invoke asks for another, longer invocation to serve an accepted request; nil: there is none, so that what does
	// not fit into the rest of this invocation waits for the next sweep, and what fits into none is refused.
	Invoke func(ctx context.Context, pending string) error
	// Clock is this machine's clock; nil: time.Now.
	Clock func() time.Time
	Children
}

// Children says where scripts run, and how processes are started.
type Children struct {
	// Runners are where steps run apart from this program, the default first; none: they run here.
	Runners []admission.Runner
	// Apart sends the scripts to runners; nil: they run here.
	Apart *apart.Desk
	// Scripts are limits of the platform that the scripts have to share; zero: none.
	Scripts sandbox.Limits
	// Keeper makes the scripts' parent a process of its own, which ends them when this program is killed.
	Keeper bool
	// Spawn runs one command until ctx ends; nil: sandbox.Run.
	Spawn func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error)
	// Enter is called before the first script of a run, and what it returns after the last; nil: nothing is.
	Enter func() (leave func())
	// Doubt returns why nothing more may be run by this program, as scripts have left something; nil: it may be.
	Doubt func() error
}

// enter prepares for the first script of a run.
func (c Children) enter() (leave func()) {
	if c.Enter == nil {
		return func() {}
	}
	return c.Enter()
}

// Doubtful returns why no run may begin.
func (c Children) Doubtful() error {
	if c.Doubt == nil {
		return nil
	}
	return c.Doubt()
}

// OutputMode says which part of the scripts' output is logged.
type OutputMode string

// The output modes.
const (
	OutputAll  OutputMode = "all"  // every line, as it comes
	OutputTail OutputMode = "tail" // the end of each stream, when the step has ended
	OutputNone OutputMode = "none"
)

// Engine makes runs in one environment, with its buckets and its configuration.
type Engine struct {
	Config
	Now      func() time.Time  // by this machine's clock, in UTC, for times that are stored
	Book     claim.Book        // the state bucket
	Follower followup.Follower // does what follows results
	Time     timing.Budget     // that of invocations
}

// Accept stores the request as a pending one, under a name. made is false if it was stored before.
func (e *Engine) Accept(ctx context.Context, name string, request intake.Request) (made bool, err error) {
	doc, err := request.Encode()
	if err != nil {
		return false, err
	}
	return e.Book.Accept(ctx, name, doc)
}
