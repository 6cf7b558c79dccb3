package runner

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"sync"
	"time"

	"cemli-executor/internal/jobs"
	"cemli-executor/internal/steps"
)

// logs stores the logs of steps as these end, beside the steps after them. What could not be stored is tried again at
// the end.
type logs struct {
	work   *work
	queue  chan stepLog
	writer sync.WaitGroup
	once   sync.Once
	failed []stepLog
	later  time.Time // none is tried before, as one could not be stored
}

// stepLog is the log of a step that has ended.
type stepLog struct {
	number int
	file   io.ReadSeeker
	times  []byte // when its lines came; nil: that is not told
}

const (
	// waiting is how many logs wait to be stored before a step has to: each is an open file.
	waiting = 16
	// mostFailed is how many logs are kept that could not be stored.
	mostFailed = 64
	// logPatience bounds one try to store a log while steps run.
	logPatience = 30 * time.Second
)

func newLogs(w *work) *logs {
	l := &logs{work: w, queue: make(chan stepLog, waiting)}
	l.writer.Go(func() {
		for log := range l.queue {
			l.keep(log)
		}
	})
	return l
}

// add takes the log of a step.
func (l *logs) add(number int, log steps.Log) {
	times, err := log.Times.Encode()
	if err != nil {
		l.work.log.Error("cannot encode the times of a log", "number", number, "error", err.Error())
	}
	l.queue <- stepLog{number, log.File, times}
}

// lost stores an empty log for a step whose own is lost.
func (l *logs) lost(number int) { l.queue <- stepLog{number: number, file: bytes.NewReader(nil)} }

// keep stores a log, or keeps it for later.
func (l *logs) keep(log stepLog) {
	ctx, cancel := l.work.until(forOutcome)
	defer cancel()
	ctx, cancelTry := context.WithTimeout(ctx, logPatience)
	defer cancelTry()
	waits := time.Now().Before(l.later) // else steps would wait, one for each log
	if !waits {
		if err := l.put(ctx, log); err != nil {
			l.work.log.Warn("log not stored yet", "number", log.number, "error", err.Error())
			waits, l.later = true, time.Now().Add(logPatience)
		}
	}
	if waits && len(l.failed) < mostFailed {
		l.failed = append(l.failed, log)
		return
	}
	log.close()
}

// put stores a log, after the times of its lines: whoever finds the log finds them.
func (l *logs) put(ctx context.Context, log stepLog) error {
	name := jobs.MailLogs + strconv.Itoa(log.number)
	size, err := log.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if _, err = log.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if log.times != nil {
		times := bytes.NewReader(log.times)
		if _, err := l.work.put(ctx, name+jobs.MailTimes, times, times.Size(), false); err != nil {
			return err
		}
	}
	_, err = l.work.put(ctx, name, log.file, size, false)
	return err
}

func (s stepLog) close() {
	if f, ok := s.file.(io.Closer); ok {
		_ = f.Close() // it is in memory, and was read
	}
}

// rest stores what is not stored yet, as far as there is time. No log is added after it.
func (l *logs) rest() {
	l.once.Do(func() {
		close(l.queue)
		l.writer.Wait()
		ctx, cancel := l.work.until(forOutcome)
		defer cancel()
		dead := false
		for _, log := range l.failed {
			if !dead {
				err := l.put(ctx, log)
				if dead = err != nil; dead {
					l.work.log.Error("log not stored", "number", log.number, "error", err.Error())
				}
			}
			log.close()
		}
	})
}
