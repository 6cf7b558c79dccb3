package jobs

import (
	"fmt"
	"regexp"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/redact"
)

// Bounds of whole documents. A function is called with at most 6 MB, and answers with as much.
const (
	MaxCall    = 6_000_000 // a job with the package's bytes
	MaxOutcome = 5_000_000
	MaxMail    = 128 << 10 // begun.json and control.json
	maxDepth   = 9         // of an answer: its outcome, the steps of an undo, their errors, these errors' problems
)

// Bounds of what scripts give to each other and to the result.
const (
	// MaxMasked bounds the bytes of all values that a run masks: values of the request and the manifest, secrets, and
	// what scripts add.
	MaxMasked = 64 << 10
	// MaxOutputs is how many outputs the steps of a run may have, and MaxOutputBytes their names and values together:
	// they are passed on in environments.
	MaxOutputs     = 100
	MaxOutputBytes = 256 << 10
	MaxOutput      = 64 << 10 // one value
	// MaxSummary bounds the Markdown that scripts may add to the result.
	MaxSummary = 64 << 10
	// MaxChanged is how many files that a step changed are named, and MaxChangedBytes how long all names of a run are.
	MaxChanged      = 1000
	MaxChangedBytes = 64 << 10
	// MaxTail is how much of a running step's output its progress has.
	MaxTail = 16 << 10
)

// Bounds that what is admitted never reaches, because others hold it to these: the manifest's contract, the rules for
// names in a package, what a function's CEMLI_LIMIT_ variables can be set to, and what a request may have.
const (
	maxSteps       = 10_000   // entries of a package, by default
	maxMembers     = 1000     // of a list or an object in a manifest
	maxName        = 255      // of a step, an environment or a tool: characters of a line in a manifest
	maxPath        = 1024     // in a package and of an object, bytes
	maxFolders     = 32       // in the path of a file that is kept
	maxValue       = 16_384   // of a parameter, an argument or a variable, characters
	maxSecret      = 32 << 10 // of all secrets of a package, bytes
	maxRetries     = 10
	maxAttempts    = 1000           // CEMLI_LIMIT_ATTEMPTS
	maxSize        = 50 << 30       // CEMLI_LIMIT_PACKAGE_BYTES, CEMLI_LIMIT_FILE_BYTES
	maxLog         = 1 << 30        // CEMLI_LIMIT_LOG_BYTES
	maxArtifacts   = 100_000        // CEMLI_LIMIT_ARTIFACTS
	maxArtifact    = 10 << 30       // CEMLI_LIMIT_ARTIFACT_BYTES
	maxRun         = 24 * time.Hour // CEMLI_LIMIT_RUN_TIME
	maxReason      = 10_000
	maxMask        = MaxMasked / redact.MinBytes
	maxUncollected = 4 // artifacts beyond the limit: for each of two folders that it is gone, or that there is more
)

// Bounds of what only a runner says.
const (
	// MaxWhole is the most of what has no limit of its own: a whole number that all readers of JSON agree on.
	MaxWhole = 1 << 52

	maxMS       = int64(maxRun / time.Millisecond)
	maxText     = 10_000  // of a message, a hint, a place or the path of a file that a script made, characters
	maxProblems = 101     // problem.Most, and the one for those that are not listed
	maxWords    = 50      // gaps: the table of the sandbox has a dozen
	maxAddress  = 2048    // of a mailbox, and of an image
	maxSeq      = 100_000 // documents of progress: one in 5 s for a day, and one for each step
)

// The forms of names. Those of a manifest are here again, because a runner does not know manifests.
var (
	idRule       = regexp.MustCompile(`^[0-9a-f]{32}$`)
	digestRule   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	dirHashRule  = regexp.MustCompile(`^h1:[A-Za-z0-9+/]{43}=$`)
	runRule      = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z-[a-z0-9][a-z0-9._-]*-[0-9a-f]{12}(-[0-9]+)?$`)
	fenceRule    = regexp.MustCompile(`^[0-9]{0,20}$`)
	nameRule     = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	wordRule     = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)
	argumentRule = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)
	variableRule = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	outputRule   = regexp.MustCompile(`^[A-Za-z0-9_*]{1,64}( \([0-9]{1,3}\))?$`) // masked, too
	codeRule     = regexp.MustCompile(`^[a-z]{1,20}\.[a-z0-9_]{1,60}$`)
	gapRule      = regexp.MustCompile(`^[a-z_]{1,40}$`)
	signalRule   = regexp.MustCompile(`^[A-Za-z0-9+ _-]{0,40}$`)
	timeRule     = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$`)
	addressRule  = regexp.MustCompile(`^https?://[!-~]+/$`)
)

// PhaseRollback is the phase of undo scripts; no plan lists them as steps.
const PhaseRollback = "rollback"

// LogName is the name of a step's log beside the result: by the place of the step in the plan or, of undo, after it.
func LogName(number int, phase, step string) string {
	if phase == PhaseRollback {
		step = "rollback-" + step
	}
	return fmt.Sprintf("steps/%02d-%s.log", number, evidence.Cut(step, 200))
}
