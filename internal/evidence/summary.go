package evidence

// Summary is the answer to an invocation: what a caller must know of a run, and where the rest is.
type Summary struct {
	Status  Status `json:"status"`
	Message string `json:"message"`
	Action  string `json:"action"`
	RunID   string `json:"run_id"`
	// RequestKey is 12 hexadecimal digits that the runs of one request share.
	RequestKey    string `json:"request_key,omitempty"`
	PreviousRunID string `json:"previous_run_id,omitempty"`
	ParameterSet  string `json:"parameter_set,omitempty"`
	// Duplicate says that an earlier request was the same, and this is its run.
	Duplicate bool          `json:"duplicate,omitempty"`
	Error     *Error        `json:"error,omitempty"`
	Package   Package       `json:"package"`
	Steps     []SummaryStep `json:"steps"`
	// Rollback is what was undone; absent if nothing had to be.
	Rollback  *SummaryRollback `json:"rollback,omitempty"`
	Execution Execution        `json:"execution"`
	Result    ResultLocation   `json:"result"`
}

// SummaryStep is a step in a Summary.
type SummaryStep struct {
	Name       string     `json:"name"`
	Phase      string     `json:"phase"`
	Status     StepStatus `json:"status"`
	ReturnCode int        `json:"returncode"`
}

// SummaryRollback is an undo in a Summary.
type SummaryRollback struct {
	Status      StepStatus    `json:"status"`
	Steps       []SummaryStep `json:"steps"`
	WithoutUndo []string      `json:"without_undo,omitempty"`
	NeedNone    []string      `json:"need_none,omitempty"`
	// Request is the request that performs the rest of the undo; absent if nothing is left.
	Request *UndoRequest `json:"request,omitempty"`
}

// ResultLocation says where a result document is stored.
type ResultLocation struct {
	Bucket string `json:"bucket"`
	Object string `json:"object"`
}

// maxSummarySteps and maxSummaryProblems keep every Summary under MaxAnswer.
const (
	maxSummarySteps    = 1000
	maxSummaryProblems = 100
)

// Summarize makes the answer for a result that is stored in bucket.
func (r Result) Summarize(bucket string) Summary {
	s := Summary{
		Status: r.Status, Message: r.Message, Action: r.Action, RunID: r.RunID, RequestKey: r.RequestKey,
		PreviousRunID: r.PreviousRunID,
		ParameterSet:  r.ParameterSet, Duplicate: r.Duplicate, Error: r.Error, Package: r.Package,
		Steps: summarizeSteps(r.Steps), Execution: r.Execution,
		Result: ResultLocation{Bucket: bucket, Object: ResultObject(r.RunID)},
	}
	if u := r.Rollback; u != nil {
		s.Rollback = &SummaryRollback{u.Status, summarizeSteps(u.Steps), u.WithoutUndo, u.NeedNone, u.Request}
	}
	if s.Error != nil && len(s.Error.Problems) > maxSummaryProblems {
		short := *s.Error
		short.Problems = short.Problems[:maxSummaryProblems]
		s.Error = &short
	}
	return s
}

func summarizeSteps(steps []Step) []SummaryStep {
	list := []SummaryStep{}
	for _, step := range steps[:min(len(steps), maxSummarySteps)] {
		list = append(list, SummaryStep{step.Name, step.Phase, step.Status, step.ReturnCode})
	}
	return list
}

// Brief is the summary without what makes it long: output, steps, and all problems but the first.
func (s Summary) Brief() Summary {
	s.Execution.Stdout, s.Execution.Stderr, s.Steps = "", "", []SummaryStep{}
	if s.Rollback != nil {
		short := *s.Rollback
		short.Steps, short.WithoutUndo, short.NeedNone = []SummaryStep{}, nil, nil
		s.Rollback = &short
	}
	if s.Error != nil {
		short := *s.Error
		short.Problems = nil
		s.Error = &short
	}
	return s
}
