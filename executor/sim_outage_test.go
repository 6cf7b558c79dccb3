package executor_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// outage is a time in which a bucket answers nobody.
type outage struct {
	bucket      string
	from, until time.Time
	hangs       bool // requests get no answer at all, until their sender gives up
}

// hanging is how long a request hangs, also where the outage is over before.
const hanging = 20 * time.Second

// longestOutage is longer than any invocation that an event begins, and shorter than what people sleep through.
const longestOutage = 5 * time.Minute

// breaks reports whether an outage begins with a request. Those that follow a step have much to lose.
func (w *world) breaks(o *operation) bool {
	odds := 1000
	if o.by.fresh > 0 {
		o.by.fresh--
		odds = 60
	}
	return w.random.IntN(odds) == 0 && w.out(o) == nil
}

// fresh is how many requests after a step's end are likely to fall into an outage.
const fresh = 5

// breakdown begins an outage: of the bucket of a request, or of all of them, which need not be back at once.
func (w *world) breakdown(o *operation) {
	bucket, _, _ := strings.Cut(o.what, "/")
	buckets := []string{bucket}
	if w.random.IntN(3) == 0 {
		buckets = []string{"packages", "results", "state"}
		if w.apart {
			buckets = append(buckets, "jobs")
		}
	}
	length := w.outageLength()
	for _, bucket := range buckets {
		w.outages = append(w.outages, outage{bucket, time.Now(), time.Now().Add(length), w.random.IntN(3) == 0})
		if w.random.IntN(2) == 0 {
			length = w.outageLength()
		}
	}
}

// outageLength is any, from a second on; short ones are as likely as long ones.
func (w *world) outageLength() time.Duration {
	return time.Duration(float64(time.Second) * math.Pow(longestOutage.Seconds(), w.random.Float64()))
}

// out is the outage that a request falls into; nil: none.
func (w *world) out(o *operation) *outage {
	bucket, _, _ := strings.Cut(o.what, "/")
	for n := range w.outages {
		if x := &w.outages[n]; x.bucket == bucket && time.Now().Before(x.until) {
			return x
		}
	}
	return nil
}

// failsIn is what becomes of a request during an outage, some time after it was sent: the client tries again,
// or waits.
func (w *world) failsIn(x *outage, o *operation) error {
	o.after = time.Duration(w.random.IntN(5000)) * time.Millisecond
	if x.hangs {
		o.after = hanging
	}
	if w.random.IntN(20) == 0 {
		_ = o.effect() // it was carried out, and nobody says so
	}
	return store.Error(store.ErrUnavailable, o.op, "sim", o.what, errors.New("outage"))
}

// deed is one script of a run, as the target has seen it.
type deed struct {
	by      *invocation
	ended   time.Time // zero: it has not
	code    int
	stopped bool // by the executor
}

// does notes that a script begins, or is about to and is refused.
func (w *world) does(i *invocation, env map[string]string) {
	w.deeds[env["CEMLI_RUN_ID"]+" "+env["script"]] = &deed{by: i}
}

// did notes how a script has ended.
func (w *world) did(env map[string]string, code int, stopped bool) {
	d := w.deeds[env["CEMLI_RUN_ID"]+" "+env["script"]]
	d.by.fresh = fresh
	d.ended, d.code, d.stopped = time.Now(), code, stopped
}

// judgeSteps holds what a result says of each step to what has happened to it.
func (w *world) judgeSteps(r evidence.Result) {
	steps := r.Steps
	if r.Rollback != nil {
		steps = slices.Concat(steps, r.Rollback.Steps)
	}
	for _, s := range steps {
		d := w.deeds[r.RunID+" "+s.Run]
		var wrong string
		switch s.Status {
		case evidence.StepNotRun, evidence.StepSkipped:
			if d != nil {
				wrong = "it began"
			}
		case evidence.StepInterrupted:
			if d != nil && !d.ended.IsZero() && w.couldTell(r, d) {
				wrong = "it had ended, and there was time to say so"
			}
		default:
			wrong = d.differs(s)
		}
		if wrong != "" {
			w.violated("run %s (%s) says of the step %s: %s, exit code %d; %s", r.RunID, r.Status, s.Run, s.Status,
				s.ReturnCode, wrong)
		}
	}
}

// differs says how a step that has ended differs from what is said of it; "" if it does not.
func (d *deed) differs(s evidence.Step) string {
	switch {
	case d == nil:
		return "it never began"
	case d.ended.IsZero():
		return "it never ended"
	case d.stopped != (s.Status == evidence.StepTimedOut || s.Status == evidence.StepCancelled):
		return "whether it was stopped is another matter"
	case s.ReturnCode != d.code, !d.stopped && (s.Status == evidence.StepSuccess) != (d.code == 0):
		return "it ended otherwise"
	}
	return ""
}

// tellTime is long enough to write into the state bucket that a step has ended, while single requests fail.
const tellTime = 20 * time.Second

// couldTell reports whether the invocation that ran a step lived long enough after its end to say so, with a
// state bucket that answers and a lease that has not ended.
func (w *world) couldTell(r evidence.Result, d *deed) bool {
	end := d.by.hard
	for _, limit := range []time.Time{d.by.died, w.leases[r.RunID]} {
		if !limit.IsZero() && limit.Before(end) {
			end = limit
		}
	}
	if d.by.undead || w.apart { // there takenFrom looks at that
		return false
	}
	calm := d.ended
	for _, x := range w.outages { // in the order of their beginnings
		if x.bucket != "state" || x.until.Before(calm) {
			continue
		}
		if x.from.Sub(calm) >= tellTime {
			break
		}
		if calm = x.until; x.hangs {
			calm = calm.Add(hanging)
		}
	}
	return end.Sub(calm) >= tellTime
}
