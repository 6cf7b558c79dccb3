package runner

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/steps"
)

// leavings stores what the scripts left.
func (w *work) leavings(here steps.Here, job steps.Job) steps.Left {
	ctx, cancel := w.until(forOutcome)
	defer cancel()
	until := time.Now().Add(time.Until(w.kill) / 2)
	k := keeper{work: w}
	found, err := here.Collect(ctx, job, until, func(f io.ReadSeeker, a evidence.Artifact) (evidence.Artifact, error) {
		return k.keep(ctx, f, a), nil
	})
	if err != nil {
		w.log.Error("not all artifacts could be read", "error", err.Error())
	}
	return steps.Left{Summary: here.Summary(), Artifacts: found}
}

// keeper numbers artifacts. When one could not be stored, none is tried any more: each would take as long.
type keeper struct {
	work   *work
	stored int
	dead   bool
}

// keep stores an artifact, or says why not.
func (k *keeper) keep(ctx context.Context, f io.ReadSeeker, a evidence.Artifact) evidence.Artifact {
	object := jobs.MailArtifacts + strconv.Itoa(k.stored+1)
	_, err := f.Seek(0, io.SeekStart)
	if err == nil && !k.dead {
		_, err = k.work.put(ctx, object, f, a.Size, false)
		k.dead = err != nil
	}
	if err != nil {
		k.work.log.Error("artifact not stored", "number", k.stored+1, "error", err.Error())
	}
	if err != nil || k.dead {
		return evidence.Artifact{Name: a.Name, Withheld: "it could not be stored in the job's mailbox"}
	}
	k.stored++
	a.Object = object
	return a
}

// tell stores the outcome, and answers with it.
func (w *work) tell(o jobs.Outcome) ([]byte, error) {
	doc, err := w.encode(o)
	if err != nil {
		w.log.Error("the outcome cannot be told", "error", w.masker.String(err.Error()))
		return nil, err
	}
	ctx, cancel := w.until(forAnswer)
	defer cancel()
	stored := true
	if _, err := w.put(ctx, jobs.MailOutcome, bytes.NewReader(doc), int64(len(doc)), true); err != nil {
		stored = false
		w.log.Error("the outcome could not be stored, and is only answered", "error", err.Error())
	}
	w.log.Info("job finished", "began", o.Began, "ended", o.Ended, "stored", stored)
	answer, err := jobs.Answer{Job: w.job.Job, Says: jobs.AnswersOutcome, Outcome: doc}.Encode()
	if err != nil && stored {
		return jobs.Answer{Job: w.job.Job, Says: jobs.AnswersStored}.Encode()
	}
	return answer, err
}

// encode encodes the outcome, with less in it where all would be too much.
func (w *work) encode(o jobs.Outcome) ([]byte, error) {
	doc, err := o.Encode()
	if err == nil {
		return doc, nil
	}
	w.log.Warn("the outcome is told in brief", "error", w.masker.String(err.Error()))
	o = o.Brief()
	if doc, err = o.Encode(); err == nil {
		return doc, nil
	}
	o.Artifacts = nil
	return o.Encode()
}

// put writes to the mailbox. A panic there is an error: it may be beside the job, where it would end this program.
func (w *work) put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, ifNoneMatch bool,
) (at time.Time, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return w.box.Put(ctx, name, body, size, ifNoneMatch)
}
