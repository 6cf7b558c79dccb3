package executor_test

import (
	"fmt"
	"testing"
	"time"
)

// killing is the point at which an executor or a runner is killed.
type killing struct {
	at     int  // the number of the operation from the upload on; 0: nobody is
	runner bool // of runners; else of executors
	after  bool // when the operation has taken effect
}

// hits reports whether an operation is the point.
func (k *killing) hits(o *operation) bool {
	if k.at == 0 || (o.by.does != nil) != k.runner {
		return false
	}
	k.at--
	return k.at == 0
}

// oneRun is a history in which nothing happens but one upload, and nothing goes wrong but that somebody is killed.
func (w *world) oneRun(k killing) {
	p := w.makePackage(0)
	w.in(time.Minute, func() {
		w.calm, w.dies = true, k
		w.upload(p, p.name+".zip")
	})
	w.in(30*time.Minute, func() { w.settle(60) })
}

// Whatever the point at which the executor or the runner of a run is killed: the run ends, once, and as it should.
func TestKilledAtEveryPoint(t *testing.T) {
	killed, histories := 0, 0
	for _, who := range []struct {
		name   string
		runner bool
		points int
	}{{"executor", false, 70}, {"runner", true, 16}} {
		for at := range who.points {
			for _, after := range []bool{false, true} {
				k := killing{at: at + 1, runner: who.runner, after: after}
				t.Run(fmt.Sprintf("%s %d %v", who.name, k.at, after), func(t *testing.T) {
					w := simulate(t, uint64(at%7+1), scenario{apart: true, dies: k})
					killed, histories = killed+w.crashes, histories+1
					for _, v := range w.violations {
						t.Error(v)
					}
				})
			}
		}
	}
	if killed < histories/2 {
		t.Errorf("in %d histories somebody was killed %d times", histories, killed)
	}
}
