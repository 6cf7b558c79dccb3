package jobs

import (
	"encoding/json"

	"cemli-executor/internal/document"
	"cemli-executor/internal/problem"
)

// What a runner answers to a call.
const (
	AnswersOutcome = "outcome" // the outcome is in the answer
	AnswersStored  = "stored"  // the outcome is in the mailbox alone
	AnswersTaken   = "taken"   // somebody else has decided whether the job begins; this call has done nothing
	AnswersRefused = "refused" // this runner cannot do the job; it has decided nothing, and done nothing
)

// Answer is what a runner answers to a call. It fits into what a function may answer, as an outcome does.
type Answer struct {
	Job     string            `json:"job"`
	Says    string            `json:"says"`
	Refused []problem.Problem `json:"refused,omitempty"` // why
	Outcome json.RawMessage   `json:"outcome,omitempty"` // an Outcome, as it is in the mailbox
}

// answer is the kind of an Answer.
var answer = kind{code: "runner.outcome", name: "answer of the runner", most: MaxCall, hint: outcome.hint}

// Encode is the document's bytes.
func (a Answer) Encode() ([]byte, error) { return encode(a, DecodeAnswer) }

// DecodeAnswer reads what a runner answers. The outcome in it has to be decoded for itself.
func DecodeAnswer(doc []byte) (a Answer, err error) {
	err = answer.read(doc, func(n document.Node) {
		n.Fields([]document.Field{
			document.Required("job", func(v document.Node) { a.Job = id(v) }),
			document.Required("says", func(v document.Node) {
				a.Says = v.Choice("", AnswersOutcome, AnswersStored, AnswersTaken, AnswersRefused)
			}),
			document.Optional("refused", func(v document.Node) { a.Refused = list(v, maxProblems, readProblem) }),
			document.Optional("outcome", func(v document.Node) { a.Outcome = json.RawMessage(v.Value()) }),
		})
		switch {
		case (a.Says == AnswersRefused) != (len(a.Refused) > 0):
			n.Bad("", "it says why it refuses if, and only if, it does", "")
		case (a.Says == AnswersOutcome) != (a.Outcome != nil):
			n.Bad("", "it has an outcome if, and only if, it says so", "")
		}
	})
	return a, err
}
