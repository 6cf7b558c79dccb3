package apart

import (
	"context"
	"crypto/sha256"
	"fmt"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
)

// refusal is why what came is no outcome, with the digest of it.
func refusal(doc []byte, why error) error {
	described := problem.Of(why, problem.Problem{Code: "runner.outcome", Message: why.Error()})
	first := described.Problems[0]
	first.Code = "runner.outcome"
	first.Message += fmt.Sprintf(" (what came has %d bytes and the SHA-256 %x)", len(doc), sha256.Sum256(doc))
	return problem.New(first, why)
}

// listen passes on how far the runner says that it is. An error is the journal's, and says that another invocation has
// taken the run over.
func (f *following) listen(ctx context.Context) error {
	doc, err := f.get(ctx, jobs.MailProgress, jobs.MaxOutcome)
	if err != nil || doc == nil {
		return f.attend(ctx)
	}
	said, err := jobs.DecodeProgress(doc)
	if err == nil {
		err = jobs.Follows(f.Place.job, said)
	}
	if err != nil || said.Seq <= f.said.Seq {
		return f.attend(ctx) // what was said before is the last that is valid
	}
	before := f.said
	f.said = said
	if f.journal.Tail != nil && !f.withhold {
		f.journal.Tail(f.order.Masker.String(said.Tail))
	}
	f.takeLogs(ctx, each(said.Steps), false)
	now, ok := current(f.job.Interrupted(said.Steps))
	if ok && now.Step.Name == said.Step {
		f.started(now.Step, now.Number)
	}
	if !ok || said.Step == before.Step && len(said.Steps) == len(before.Steps) {
		return f.attend(ctx)
	}
	return f.journal.Begins(ctx, now)
}

// attend tells the journal that this invocation stays with the job.
func (f *following) attend(ctx context.Context) error {
	if f.journal.Attends == nil {
		return nil
	}
	return f.journal.Attends(ctx)
}

// started tells the journal of a step that began, once.
func (f *following) started(s evidence.Step, number int) {
	key := s.Phase + " " + s.Name
	if f.journal.Started != nil && !f.begins[key] {
		f.begins[key] = true
		f.journal.Started(s, number)
	}
}
