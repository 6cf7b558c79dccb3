package intake

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
	"cemli-executor/manifest"
)

// CheckName refuses an object whose name cannot be that of a package.
func CheckName(object string) error {
	err := CheckObject(object)
	if err == nil {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "trigger.object", Where: fmt.Sprintf("%.200q", object),
		Message: "it cannot be the name of a package: " + err.Error(),
		Hint:    "rename the object and upload it again",
	}, nil)
}

// CheckObject says why an object cannot be run, by its name alone: its name would look different in evidence from what
// it is.
func CheckObject(name string) error {
	if err := store.CheckName(name); err != nil {
		return err
	}
	if strings.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
	}) {
		return errors.New("control or bidirectional-control character")
	}
	return nil
}

// Consistent refuses requests whose parts contradict each other.
func (q Request) Consistent() error {
	var problems []problem.Problem
	note := func(wrong bool, where, message, hint string) {
		if wrong {
			problems = append(problems, problem.Problem{
				Code: "trigger.value", Where: where, Message: message, Hint: hint,
			})
		}
	}
	note(q.Action == ActionRollback && q.RollbackOf == "", "/rollback_of", "a rollback needs the run that it undoes",
		"name its run id")
	given := 0
	for _, id := range []string{q.ResumeFrom, q.RollbackOf, q.RerunOf} {
		if id != "" {
			given++
		}
	}
	note(given > 1, "/resume_from", "a run goes back to an earlier one in one way only",
		"leave out all but one of resume_from, rollback_of and rerun_of")
	note(q.OncePer > 0 && given > 0, "/once_per", "a run that goes back to an earlier one is no regular one",
		"leave out once_per")
	note(q.RerunOf != "" && !manifest.Visible(q.Reason), "/reason", "doing the same again needs a reason",
		"say why, in a sentence")
	note(q.ResumeFrom != "" && q.Action != "" && q.Action != ActionApply, "/resume_from",
		"only apply goes on from an earlier run", "leave out the action")
	note(q.RollbackOf != "" && (q.Action == ActionDryRun || q.Action == ActionCheck), "/rollback_of",
		"nothing is undone by "+string(q.Action), "ask for rollback, or for apply")
	note(q.RollbackOf != "" && !manifest.Visible(q.Reason), "/reason", "going back needs a reason",
		"say why, in a sentence")
	note(q.Force && !manifest.Visible(q.Reason), "/reason", "force needs a reason", "say why, in a sentence")
	return problem.Join(problems)
}

// For refuses a request that is not of the bucket with this name, or not of the namespace that is here, which it fills
// in, and a request that this version cannot serve.
func (q *Request) For(ctx context.Context, bucket string, here func(context.Context) (string, error)) error {
	if q.Bucket != bucket {
		return wrongBucket(q.Bucket, bucket)
	}
	namespace, err := here(ctx)
	if err != nil {
		return err
	}
	if q.Namespace != "" && q.Namespace != namespace {
		return wrongBucket(q.Namespace+"/"+q.Bucket, namespace+"/"+bucket)
	}
	q.Namespace = namespace
	if q.Object == "" && q.PreviousRun() != "" {
		return q.Consistent() // the object is taken from that run
	}
	if err := CheckName(q.Object); err != nil {
		return err
	}
	return q.Consistent()
}

func wrongBucket(got, want string) error {
	return problem.New(problem.Problem{
		Code: "trigger.bucket", Where: got, Message: "packages are taken only from " + want,
		Hint: "upload the package there, or set CEMLI_PACKAGES_BUCKET",
	}, nil)
}
