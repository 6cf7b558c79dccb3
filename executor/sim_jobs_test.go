package executor_test

import (
	"bytes"
	"strings"
	"time"

	"cemli-executor/internal/claim"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
)

// mailed looks at what is put into a mailbox.
func (w *world) mailed(i *invocation, object string, before *simObject, doc []byte) {
	if box := w.box(object); box != nil && i.does == nil {
		box.users[i] = true
	}
	switch {
	case strings.HasSuffix(object, "/"+jobs.MailBegun):
		b, err := jobs.DecodeBegun(doc)
		if err != nil {
			w.violated("%s cannot be read: %v", object, err)
			return
		}
		if j := w.job(b.Job); b.Withdrawn {
			w.post.withdrawn++
			j.withdrawn = true
		} else if j.by == nil {
			j.by = i
		}
	case strings.HasSuffix(object, "/"+jobs.MailOutcome) && before == nil:
		i.does.stored = time.Now()
	}
}

// forged is what comes into a mailbox: another outcome than the runner's, where its word is no safeguard.
func (w *world) forged(name string, doc []byte) []byte {
	if name != jobs.MailOutcome || !w.off["word"] {
		return doc
	}
	o, err := jobs.DecodeOutcome(doc)
	if err != nil || o.Rollback != nil || len(o.Steps) == 0 {
		return doc
	}
	for n := range o.Steps {
		if s := &o.Steps[n]; s.Status == evidence.StepFailed {
			s.Status, s.Error, s.ReturnCode = evidence.StepSuccess, nil, 0
		}
	}
	if forged, err := o.Encode(); err == nil {
		return forged
	}
	return doc
}

// says notes what a runner says has come of its job.
func (w *world) says(i *invocation, doc []byte) {
	o, err := jobs.DecodeOutcome(doc)
	if err != nil {
		w.violated("a runner says what is no outcome: %v", err)
		return
	}
	i.does.said = &o
}

// answeredJob looks at what a runner answers.
func (w *world) answeredJob(i *invocation, doc []byte) {
	a, err := jobs.DecodeAnswer(doc)
	if err == nil && a.Says == jobs.AnswersTaken && i.does.by == i {
		w.violated("the runner of the job %s says that it is not its runner", i.does.id)
	}
}

// stepOfJob holds a step that begins to what decides whether its job does.
func (w *world) stepOfJob(i *invocation, env map[string]string) {
	j := i.does
	if j == nil {
		w.violated("an executor runs steps of %s itself", env["CEMLI_RUN_ID"])
		return
	}
	if j.withdrawn {
		w.violated("a step of %s began after its job was withdrawn", j.runID)
	}
	if j.by != i {
		w.violated("a step of %s began in another runner than the one that began the job", j.runID)
	}
}

// freed holds a group that another run may enter to the job of the one that leaves it.
func (w *world) freed(name string, then, now claim.Group) {
	if then.Holder == nil || now.Holder != nil && now.Holder.RunID == then.Holder.RunID {
		return
	}
	w.mayBegin(name, then.Holder.RunID)
}

// mayBegin wants nothing of a run's jobs to run any more.
func (w *world) mayBegin(group, before string) {
	for _, j := range w.post.jobs {
		if j.runID == before && j.by != nil && j.said == nil && time.Now().Before(j.killAt) {
			w.violated("the group %s was free %s before the end of the job of %s, which has no outcome", group,
				time.Until(j.killAt), before)
		}
	}
}

// succeeded reports whether a runner has said that its job succeeded.
func (j *simJob) succeeded() bool {
	if j == nil || j.said == nil || j.said.Ended != jobs.Complete || len(j.said.Refused) > 0 {
		return false
	}
	for _, s := range j.said.Steps {
		if s.Error != nil {
			return false
		}
	}
	return j.said.Rollback == nil || j.said.Rollback.Status == evidence.StepSuccess
}

// takenFrom holds a result that is about to be stored to what the runner has said.
func (w *world) takenFrom(i *invocation, doc []byte) {
	r, err := evidence.Decode(doc)
	if err != nil || r.Apart == nil {
		return
	}
	j := w.post.jobs[r.Apart.Job]
	switch {
	case j == nil:
		w.violated("the result of %s is of a job that nobody sent", r.RunID)
	case r.Status == evidence.StatusSuccess && !j.succeeded():
		w.violated("the result of %s says success, and its runner does not", r.RunID)
	case r.Status == evidence.StatusInterrupted && !j.stored.IsZero() && time.Since(j.stored) > 15*time.Second &&
		time.Since(i.blind) > 15*time.Second:
		w.violated("run %s is interrupted, and its runner had stored an outcome %s before", r.RunID,
			time.Since(j.stored))
	}
}

// judgeApart looks at the end of the history at what was sent.
func (w *world) judgeApart(found map[string]evidence.Result) {
	for _, b := range w.post.boxes {
		left := b.unheard
		for i := range b.users {
			left = left || i.dead || i.undead
		}
		switch {
		case !b.ended && !left:
			w.violated("the mailbox %s was not ended", b.id)
		case b.until.Sub(b.made) > detachedTime+2*time.Minute+time.Hour: // some clocks are wrong
			w.violated("the mailbox %s can be used until %s", b.id, b.until)
		}
	}
	for id, r := range found {
		if w.began[id] && r.Apart == nil {
			w.violated("the result of %s does not say which runner ran its steps", id)
		}
	}
	for name, o := range w.buckets["state"] {
		if strings.HasPrefix(name, "claims/") && bytes.Contains(o.body, []byte(simAddress)) {
			w.violated("%s has the address of a mailbox", name)
		}
	}
}

// odd reports whether the runner of a run may have taken it for later than it was, or was called late.
func (w *world) odd(r evidence.Result) bool {
	for _, j := range w.post.jobs {
		if j.runID == r.RunID && j.odd {
			return true
		}
	}
	return false
}
