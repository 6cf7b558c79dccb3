package evidence

// Summary is the answer to an invocation: what a caller needs to know of a run, and
// where the rest is.
type Summary struct {
	Status    Status         `json:"status"`
	Message   string         `json:"message"`
	RunID     string         `json:"run_id"`
	Error     *Error         `json:"error,omitempty"`
	Package   Package        `json:"package"`
	Steps     []SummaryStep  `json:"steps"`
	Execution Execution      `json:"execution"`
	Result    ResultLocation `json:"result"`
}

// SummaryStep is a step in a Summary.
type SummaryStep struct {
	Name       string     `json:"name"`
	Phase      string     `json:"phase"`
	Status     StepStatus `json:"status"`
	ReturnCode int        `json:"returncode"`
}

// ResultLocation says where a result document lies.
type ResultLocation struct {
	Bucket string `json:"bucket"`
	Object string `json:"object"`
}

// maxSummarySteps and maxSummaryProblems keep a Summary under MaxAnswer, whatever ran.
const (
	maxSummarySteps    = 1000
	maxSummaryProblems = 100
)

// Summarize makes the answer for a result that lies in bucket.
func (r Result) Summarize(bucket string) Summary {
	s := Summary{
		Status: r.Status, Message: r.Message, RunID: r.RunID, Error: r.Error, Package: r.Package,
		Steps: []SummaryStep{}, Execution: r.Execution,
		Result: ResultLocation{Bucket: bucket, Object: ResultObject(r.RunID)},
	}
	for _, step := range r.Steps[:min(len(r.Steps), maxSummarySteps)] {
		s.Steps = append(s.Steps, SummaryStep{step.Name, step.Phase, step.Status, step.ReturnCode})
	}
	if s.Error != nil && len(s.Error.Problems) > maxSummaryProblems {
		short := *s.Error
		short.Problems = short.Problems[:maxSummaryProblems]
		s.Error = &short
	}
	return s
}

// Brief is the summary without what makes it long: output, steps, and all problems
// but the first.
func (s Summary) Brief() Summary {
	s.Execution.Stdout, s.Execution.Stderr, s.Steps = "", "", []SummaryStep{}
	if s.Error != nil {
		short := *s.Error
		short.Problems = nil
		s.Error = &short
	}
	return s
}
