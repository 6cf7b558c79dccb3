// Package evidence defines what a run leaves behind: the result document, its summary, and the logs of its steps. It
// encodes and decodes; the executor decides where the objects go.
//
// In the results bucket a run has the folder Dir(runID); result.json in it is
// written last and is the run's commit point. Everything is written once. Times are
// RFC 3339 in UTC, digests lower-case hexadecimal SHA-256, durations milliseconds.
// No document holds a secret, a token or the function's environment.
package evidence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
)

// SchemaVersion is the version of the result document that this package writes.
const SchemaVersion = 1

// Limits of what a result quotes.
const (
	// TailBytes is how much of the end of each output stream a result keeps.
	TailBytes = 20_000
	// MaxTrigger is the size up to which a trigger is quoted.
	MaxTrigger = 64 << 10
	// MaxAnswer bounds the encoded Summary.
	MaxAnswer = 1 << 20
)

// Status is how a run ended.
type Status string

// The outcomes of a run.
const (
	StatusSuccess     Status = "success"     // every step succeeded
	StatusFailed      Status = "failed"      // a step failed
	StatusTimedOut    Status = "timed_out"   // the time limit ended before the steps did
	StatusInterrupted Status = "interrupted" // the executor was stopped
	StatusRolledBack  Status = "rolled_back" // a step failed and everything was undone
	StatusCancelled   Status = "cancelled"   // somebody cancelled the run; what had begun was undone where that is due
	StatusSkipped     Status = "skipped"     // the same package had succeeded before; nothing ran
	StatusRejected    Status = "rejected"    // the package was refused; nothing ran
	StatusError       Status = "error"       // the executor could not do its work

	// StatusInProgress occurs only in answers: another run of the same request has not ended.
	StatusInProgress Status = "in_progress"
)

// Result is result.json.
type Result struct {
	SchemaVersion int    `json:"schema_version"`
	RunID         string `json:"run_id"`
	// RequestKey is 12 hexadecimal digits that the runs of one request share: one for each set.
	RequestKey string `json:"request_key,omitempty"`
	Status     Status `json:"status"`
	// Duplicate says, in an answer, that an earlier request was the same, and this is its run. Stored results never
	// have it.
	Duplicate bool `json:"duplicate,omitempty"`
	// Message is one sentence for a person.
	Message string `json:"message"`
	// Error says why the status is not success, with a stable code.
	Error *Error `json:"error,omitempty"`

	Action      string `json:"action"`
	Environment string `json:"environment"`
	Attempt     int    `json:"attempt"`
	// Late says that a later upload's run in the same concurrency group had started before.
	Late          bool      `json:"late"`
	PreviousRunID string    `json:"previous_run_id,omitempty"`
	Start         time.Time `json:"start"`
	End           time.Time `json:"end"`
	Reason        string    `json:"reason,omitempty"`
	Reference     string    `json:"reference,omitempty"`

	SourceBucket string `json:"source_bucket"`
	SourceObject string `json:"source_object"`
	// Package identifies the bytes that ran; digests are absent if the package could not be read to its end.
	Package Package `json:"package"`
	// Manifest is the package's own, as admitted; absent if it was not admitted.
	Manifest json.RawMessage `json:"manifest,omitempty"`

	// Parameters are the values that scripts saw; sensitive ones are "***".
	Parameters   map[string]any `json:"parameters"`
	ParameterSet string         `json:"parameter_set,omitempty"`

	Policy      Policy      `json:"policy"`
	RequestedBy []Requester `json:"requested_by"`
	Identity    Identity    `json:"identity"`
	Trigger     Trigger     `json:"trigger"`
	Sandbox     Sandbox     `json:"sandbox"`
	// Apart says where the steps ran, if that is not where the executor does.
	Apart *Apart `json:"apart,omitempty"`

	// Outputs are the steps' outputs, by name; if several steps give one, the last counts.
	Outputs map[string]string `json:"outputs"`
	// Secrets are the Vault secrets that scripts saw, without their values.
	Secrets []Secret `json:"secrets"`

	// Rollback is the undo after a failure; absent if there was none.
	Rollback *Rollback `json:"rollback,omitempty"`
	// Cancelled says who cancelled the run, and why; absent if nobody did, or the run ended first.
	Cancelled *Cancellation `json:"cancelled,omitempty"`

	// Execution summarises all steps in the form of the first version of this document.
	Execution Execution  `json:"execution"`
	Steps     []Step     `json:"steps"`
	Artifacts []Artifact `json:"artifacts"`
	// Evidence lists every object that was stored before this document.
	Evidence []Object `json:"evidence"`
	// Summary is the Markdown that the scripts wrote.
	Summary string `json:"summary,omitempty"`
	// Timings are milliseconds by stage: fetch, open, extract, admit, execute.
	Timings map[string]int64 `json:"timings"`
}

// Error says, for programs and for people, why a run did not succeed.
type Error struct {
	Code string `json:"code"`
	// Was is the code that the version before this one used, if that was another.
	Was     string `json:"was,omitempty"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
	// Problems lists everything that was found, if that is more than one problem.
	Problems []problem.Problem `json:"problems,omitempty"`
}

// NewError describes e without its cause, which only the log gets.
func NewError(e *problem.Error) *Error {
	described := &Error{Code: e.Code(), Was: codes.Was(e.Code()), Message: e.Message(), Hint: e.Problems[0].Hint}
	if len(e.Problems) > 1 {
		described.Problems = e.Problems
	}
	return described
}

// Cancellation is a request to cancel a run.
type Cancellation struct {
	Reason      string      `json:"reason"`
	Reference   string      `json:"reference,omitempty"`
	RequestedBy []Requester `json:"requested_by,omitempty"`
}

// Package identifies a package's bytes.
type Package struct {
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	Type    string `json:"type,omitempty"`
	Size    int64  `json:"size,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	// DirHash is the "h1:" hash of golang.org/x/mod/sumdb/dirhash over the contents.
	DirHash   string `json:"dirhash,omitempty"`
	ETag      string `json:"etag,omitempty"`
	VersionID string `json:"version_id,omitempty"`
	Entries   int    `json:"entries,omitempty"`
}

// Policy is the admission policy that was applied; Source is "none" if there is none.
type Policy struct {
	Source string `json:"source"`
	// Digest is "sha256:" and the document's digest.
	Digest string `json:"digest,omitempty"`
	// Violations are all the ways in which the package violates the policy.
	Violations []problem.Problem `json:"violations"`
}

// Requester is someone who is said to have asked for the run. Type is what kind they are, such as user or resource;
// empty if unknown.
type Requester struct {
	Subject  string `json:"subject"`
	Type     string `json:"type,omitempty"`
	Source   string `json:"source"`
	Verified bool   `json:"verified"`
}

// Identity is the executor's own. The ids come from its resource principal and the platform's environment, and are
// not verified here.
type Identity struct {
	FunctionID      string `json:"function_id,omitempty"`
	FunctionName    string `json:"function_name,omitempty"`
	AppID           string `json:"app_id,omitempty"`
	TenancyID       string `json:"tenancy_id,omitempty"`
	CompartmentID   string `json:"compartment_id,omitempty"`
	CallID          string `json:"call_id,omitempty"`
	ExecutorVersion string `json:"executor_version"`
	Image           string `json:"image,omitempty"`
}

// Trigger is how the run was asked for.
type Trigger struct {
	Kind      string          `json:"kind"`
	EventID   string          `json:"event_id,omitempty"`
	EventType string          `json:"event_type,omitempty"`
	EventTime *time.Time      `json:"event_time,omitempty"`
	Raw       json.RawMessage `json:"raw,omitempty"`
}

// Sandbox is the confinement that was in force.
type Sandbox struct {
	Level string `json:"level"` // none, basic, isolated or full
	// CredentialsReachable says that a script could have used the function's own identity.
	CredentialsReachable bool `json:"credentials_reachable"`
	// Credentials are those that a script could have used: none, executor, or those of a runner that were found to be
	// ungranted or granted something when it was last probed; absent if it was never probed.
	Credentials string `json:"credentials,omitempty"`
	// Probed is when a runner was last probed.
	Probed          *time.Time `json:"probed,omitempty"`
	Network         bool       `json:"network"`           // sockets other than AF_UNIX were allowed
	NoNewPrivileges bool       `json:"no_new_privileges"` // setuid programs gave nothing
	Seccomp         bool       `json:"seccomp"`           // system calls were filtered
	Landlock        int        `json:"landlock"`          // ABI of the file system's confinement; 0: there was none
	// NoLandlock is why there was none although it was wanted: not_built, not_enabled, forbidden, unknown.
	NoLandlock string `json:"no_landlock,omitempty"`
	User       int    `json:"user,omitempty"` // id of the user set aside for scripts, if the executor is root
	// Limits of the scripts; absent if there were none.
	Limits *SandboxLimits `json:"limits,omitempty"`
	// Gaps are the words for what this kernel or place leaves open at the level; absent if none is known.
	Gaps []string `json:"gaps,omitempty"`
}

// SandboxLimits bound what scripts could take; 0 means no limit of this kind.
type SandboxLimits struct {
	Processes int   `json:"processes"`  // and threads, of a step together
	OpenFiles int   `json:"open_files"` // of a process
	FileBytes int64 `json:"file_bytes"` // of a file
	DataBytes int64 `json:"data_bytes"` // of a process's own memory
}

// Execution summarises the steps: whether any ran, the return code of the last one that did, and the ends of all
// their output.
type Execution struct {
	Ran        bool   `json:"ran"`
	ReturnCode int    `json:"returncode"`
	Stdout     string `json:"stdout"`
	Stderr     string `json:"stderr"`
	Note       string `json:"note,omitempty"`
}

// StepStatus is how one step ended.
type StepStatus string

// The outcomes of a step.
const (
	StepSuccess     StepStatus = "success"
	StepFailed      StepStatus = "failed"
	StepTimedOut    StepStatus = "timed_out"
	StepInterrupted StepStatus = "interrupted"
	StepCancelled   StepStatus = "cancelled" // it was stopped because the run was cancelled
	StepNotRun      StepStatus = "not_run"
	StepSkipped     StepStatus = "skipped" // it had succeeded in the run that this one resumes
)

// Secret is a secret that scripts saw as the variable Env.
type Secret struct {
	Env      string `json:"env"`
	SecretID string `json:"secret_id"`
	Version  string `json:"version"`
}

// Step is one script and how it ended.
type Step struct {
	Name       string     `json:"name"`
	Phase      string     `json:"phase"`
	Run        string     `json:"run"`
	SHA256     string     `json:"sha256"`
	Status     StepStatus `json:"status"`
	ReturnCode int        `json:"returncode"` // -1 if a signal ended it
	Signal     string     `json:"signal,omitempty"`
	Start      *time.Time `json:"start,omitempty"`
	End        *time.Time `json:"end,omitempty"`
	DurationMS int64      `json:"duration_ms"`
	CPUMS      int64      `json:"cpu_ms"`
	MaxRSS     int64      `json:"max_rss_bytes"`
	Attempts   int        `json:"attempts"`
	// Log is the object with the step's whole output, beside result.json.
	Log        string `json:"log,omitempty"`
	LogSHA256  string `json:"log_sha256,omitempty"`
	OutputSize int64  `json:"output_bytes"` // written by the script, including what is beyond the log's limit
	Truncated  bool   `json:"truncated"`
	StdoutTail string `json:"stdout_tail"`
	StderrTail string `json:"stderr_tail"`
	// Outputs are the step's outputs.
	Outputs map[string]string `json:"outputs,omitempty"`
	// Error says why the step is not a success; absent if it is one or was not run.
	Error *Error `json:"error,omitempty"`
	// ChangedFiles names files in the package's folder that the step created, changed or removed.
	ChangedFiles []string `json:"changed_files,omitempty"`
	// MoreChanged is how many more there are, at least.
	MoreChanged int `json:"changed_files_more,omitempty"`
}

// Rollback is the undo after a failure, in the order of execution: the steps that had begun and have an undo script,
// the last one first.
type Rollback struct {
	Status StepStatus `json:"status"` // success if every undo succeeded
	Error  *Error     `json:"error,omitempty"`
	Steps  []Step     `json:"steps"`
	// WithoutUndo names the steps that had begun and have no undo script, NeedNone those that need none, according to
	// the manifest.
	WithoutUndo []string `json:"without_undo,omitempty"`
	NeedNone    []string `json:"need_none,omitempty"`
	// Request is the request that performs the rest of the undo; absent if nothing is left.
	Request *UndoRequest `json:"request,omitempty"`
}

// UndoRequest is a request by hand that undoes a run.
type UndoRequest struct {
	Action       string `json:"action"`
	Object       string `json:"object"`
	VersionID    string `json:"version_id,omitempty"`
	ParameterSet string `json:"parameter_set,omitempty"`
	RollbackOf   string `json:"rollback_of"`
	Reason       string `json:"reason"`
}

// Artifact is one file that a script left as an artifact.
type Artifact struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
	Object string `json:"object,omitempty"`
	// Run is the earlier run whose evidence has the object, if this run only used the file.
	Run string `json:"run,omitempty"`
	// Withheld says why the file was not kept; empty if it was.
	Withheld string `json:"withheld,omitempty"`
}

// Object is an object of the results bucket.
type Object struct {
	Object string `json:"object"` // its full name
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// List adds an object to the evidence, once.
func (r *Result) List(o Object) {
	if !slices.ContainsFunc(r.Evidence, func(known Object) bool { return known.Object == o.Object }) {
		r.Evidence = append(r.Evidence, o)
	}
}

// Dir is the folder of a run in the results bucket, with a trailing slash.
func Dir(runID string) string { return "runs/" + runID + "/" }

// ResultObject is the name of a run's result in the results bucket.
func ResultObject(runID string) string { return Dir(runID) + "result.json" }

// Encode is the document's bytes: the same for equal results, indented for people unless it is very large, and
// without characters that make it look different from what it says.
func (r Result) Encode() ([]byte, error) {
	r.SchemaVersion = SchemaVersion
	// Readers get empty lists, never null.
	r.RequestedBy = append([]Requester{}, r.RequestedBy...)
	r.Steps = append([]Step{}, r.Steps...)
	r.Artifacts = append([]Artifact{}, r.Artifacts...)
	r.Policy.Violations = append([]problem.Problem{}, r.Policy.Violations...)
	r.Secrets = append([]Secret{}, r.Secrets...)
	r.Evidence = append([]Object{}, r.Evidence...)
	if r.Parameters == nil {
		r.Parameters = map[string]any{}
	}
	if r.Outputs == nil {
		r.Outputs = map[string]string{}
	}
	return encode(r)
}

// maxIndented bounds documents that are indented: white space may take many times the size of the rest.
const maxIndented = 4 << 20

func encode(v any) ([]byte, error) {
	var compact, indented bytes.Buffer
	enc := json.NewEncoder(&compact)
	enc.SetEscapeHTML(false) // people read it; it is not embedded in pages
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	if indentedSize(compact.Bytes()) > maxIndented {
		return Plain(compact.Bytes()), nil
	}
	if err := json.Indent(&indented, compact.Bytes(), "", indent); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return Plain(indented.Bytes()), nil
}

const indent = "  "

// indentedSize is the approximate size of a compact document after indenting, and never less.
func indentedSize(doc []byte) int {
	size, depth, quoted := len(doc), 0, false
	for i := 0; i < len(doc); i++ {
		switch c := doc[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ':':
			size++
		case c == '{', c == '[':
			depth++
			size += 1 + depth*len(indent)
		case c == ',':
			size += 1 + depth*len(indent)
		case c == '}', c == ']':
			depth--
			size += 1 + depth*len(indent)
		}
	}
	return size
}

// Decode reads a result document of a version that this package knows.
func Decode(doc []byte) (Result, error) {
	var r Result
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber() // a run that goes back takes parameters from here, to the last digit
	if err := dec.Decode(&r); err != nil {
		return Result{}, fmt.Errorf("decode result: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Result{}, errors.New("decode result: there is something after it")
	}
	if r.SchemaVersion != SchemaVersion {
		return Result{}, fmt.Errorf("decode result: schema_version %d is not %d", r.SchemaVersion, SchemaVersion)
	}
	return r, nil
}
