// Package pipeline is one run: fetch, open, accept, extract, enter, admit, apply, commit.
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
	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/followup"
	"cemli-executor/internal/logwriter"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/secrets"
	"cemli-executor/internal/store"
	"cemli-executor/internal/uploader"
)

// Config is what an Executor works with. All fields without a default are required.
type Config struct {
	Packages store.Bucket // the only bucket that packages are read from
	Results  store.Bucket // the bucket for evidence, create-only
	State    store.Bucket // what runs have to know of each other
	// KeepPackages keeps a copy of what is applied, and of the policies, in Results: going back does
	// not depend on what is left in Packages then.
	KeepPackages bool
	// Policy is the environment's admission policy; nil: every valid package may run.
	Policy *admission.Policy
	// Namespace returns the Object Storage namespace of the buckets; "" for folders.
	Namespace func(context.Context) (string, error)

	Environment string // where the change is made: dev, test, prod, local …
	// WorkDir is a folder that this executor alone uses; it is created if need be and
	// emptied at the start of each run.
	WorkDir string
	Reserve time.Duration // kept from the invocation's time for the evidence
	Limits  admission.Limits
	Sandbox sandbox.Level // the least that may run
	// Scripts are limits of the platform that the scripts have to share; zero: none.
	Scripts sandbox.Limits
	// Output says what of the scripts' output goes to Log.
	Output   OutputMode
	Identity evidence.Identity
	Log      *slog.Logger
	// Announce tells of a run after its result is stored; nil: nobody is told.
	Announce func(context.Context, evidence.Result) error
	// WriteLog reads OCI's log of writes to Packages, for who uploaded what; nil: nobody is looked for.
	WriteLog uploader.WriteLog
	// Secrets reads the vault; nil: there is none.
	Secrets secrets.Source
	// LogWriter is what Log writes to, if that can hold records back; nil: it cannot.
	LogWriter *logwriter.Writer
	// Invoke asks for another, longer invocation that goes on with an accepted request; nil: there
	// is none: what does not fit the rest of this one is left to the next sweep, and what fits none is refused.
	Invoke func(ctx context.Context, pending string) error
	// Clock is this machine's clock; nil: time.Now.
	Clock func() time.Time
	Children
}

// Children is how processes are started.
type Children struct {
	// Keeper: a process of its own is the scripts' parent, which ends them when this program is killed.
	Keeper bool
	// Spawn runs one command until ctx ends; nil: sandbox.Run.
	Spawn func(ctx context.Context, c sandbox.Command) (sandbox.Outcome, error)
}

// OutputMode says what of the scripts' output is logged.
type OutputMode string

// The output modes.
const (
	OutputAll  OutputMode = "all"  // every line, as it comes
	OutputTail OutputMode = "tail" // the end of each stream, when the step has ended
	OutputNone OutputMode = "none"
)

// Engine makes runs in one environment. It has the environment's buckets, what is configured for it, and what its runs
// know of each other.
type Engine struct {
	Config
	Now      func() time.Time  // by this machine's clock, in UTC, for what others read
	Book     claim.Book        // the state bucket
	Follower followup.Follower // does what follows results
}

// New makes an Engine.
func New(config Config) *Engine {
	e := &Engine{Config: config}
	e.Now = func() time.Time {
		if config.Clock != nil {
			return config.Clock().UTC()
		}
		return time.Now().UTC()
	}
	e.Book = claim.Book{State: config.State, Environment: config.Environment, Clock: e.Now, Log: config.Log}
	e.Follower = followup.Follower{
		Book: e.Book, Results: config.Results, Announce: config.Announce, Requesters: config.WriteLog != nil,
		Attempts: config.Limits.Attempts, Now: e.Now, Log: config.Log,
	}
	return e
}
