package apart

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
)

// object is an object of the mailbox as it is shown: one version of it, masked. It can be read again and again.
type object struct {
	ctx    context.Context
	bucket store.Bucket
	name   string
	etag   string
	masker *redact.Masker // nil: nothing in it is masked
	size   int64          // as shown
	sha256 string         // likewise
	text   []byte         // all of it, as shown, if that is little; nil: it is read from the mailbox again
	body   io.ReadCloser  // nil: not open
	at     int64          // where the next byte is read
}

// errLarge says that an object has more bytes than it may have.
var errLarge = errors.New("it has more bytes than the runner said, or than are kept")

// open finds an object of at most so many bytes, and reads it once, for its digest as the runner stored it.
func (p *Place) open(ctx context.Context, name string, most int64) (o *object, stored string, err error) {
	body, info, err := p.bucket.Get(ctx, p.prefix+name, store.GetOptions{})
	if err != nil {
		return nil, "", err
	}
	defer body.Close()
	if info.Size > most {
		return nil, "", errLarge
	}
	raw, shown := sha256.New(), sha256.New()
	var size counter
	var start beginning
	masked := p.order.Masker.Writer(io.MultiWriter(shown, &size, &start))
	if _, err := io.Copy(io.MultiWriter(raw, masked), body); err != nil {
		return nil, "", err
	}
	if err := masked.Close(); err != nil {
		return nil, "", err
	}
	o = &object{
		ctx: context.WithoutCancel(ctx), bucket: p.bucket, name: p.prefix + name, etag: info.ETag,
		size: int64(size), sha256: hex.EncodeToString(shown.Sum(nil)), masker: p.order.Masker,
	}
	if stored = hex.EncodeToString(raw.Sum(nil)); stored == o.sha256 {
		o.masker = nil
	}
	if o.size == int64(len(start)) {
		o.text = start
	}
	return o, stored, nil
}

// little is the size up to which an object is kept in memory: most logs are read, digested and sent without asking for
// them again, and a thousand of them take 4 MB.
const little = 4 << 10

// beginning keeps the first bytes that are written to it.
type beginning []byte

func (b *beginning) Write(p []byte) (int, error) {
	*b = append(*b, p[:min(len(p), little-len(*b))]...)
	return len(p), nil
}

// counter counts bytes.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// Read reads on.
func (o *object) Read(p []byte) (int, error) {
	if o.at >= o.size {
		return 0, io.EOF
	}
	if o.text != nil {
		n := copy(p, o.text[o.at:])
		o.at += int64(n)
		return n, nil
	}
	if o.body == nil {
		if err := o.reopen(); err != nil {
			return 0, err
		}
	}
	n, err := o.body.Read(p)
	o.at += int64(n)
	if errors.Is(err, io.EOF) && o.at < o.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// reopen opens the same version where it is to be read on.
func (o *object) reopen() error {
	options := store.GetOptions{IfMatch: o.etag}
	if o.masker == nil {
		options.Offset = o.at
	}
	body, _, err := o.bucket.Get(o.ctx, o.name, options)
	if err != nil {
		return err
	}
	if o.body = body; o.masker == nil {
		return nil
	}
	r, w := io.Pipe()
	go func() {
		masked := o.masker.Writer(w)
		_, err := io.Copy(masked, body)
		if err == nil {
			err = masked.Close()
		}
		_ = body.Close() // it was only read
		_ = w.CloseWithError(err)
	}()
	o.body = r
	_, err = io.CopyN(io.Discard, r, o.at)
	return err
}

// Seek moves to another place, from the start or the end.
func (o *object) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekEnd:
		offset += o.size
	case io.SeekCurrent:
		offset += o.at
	}
	if offset < 0 || offset > o.size {
		return 0, fmt.Errorf("seek to %d of %d", offset, o.size)
	}
	if offset != o.at {
		_ = o.Close()
		o.at = offset
	}
	return offset, nil
}

// Close ends the reading; it may begin again.
func (o *object) Close() error {
	if o.body == nil {
		return nil
	}
	err := o.body.Close()
	o.body = nil
	return err
}

// side is how many logs are read side by side.
const side = 8

// shown is a log as it was passed on.
type shown struct {
	sha256    string
	truncated bool
}

// takeLogs passes to the journal the records that have a log, with their logs, unless it has been told of them. The
// records say of their logs what is true of those that were passed on.
//
// While the job runs, a log that cannot be read is left for later; at the end its place is empty.
func (f *following) takeLogs(ctx context.Context, records []*evidence.Step, last bool) {
	type taken struct {
		record *evidence.Step
		log    steps.Log
	}
	var all []*taken
	var reading sync.WaitGroup
	free := make(chan struct{}, side)
	for _, s := range records {
		n := logNumber(*s)
		if n == 0 {
			continue
		}
		if was, ok := f.logs[n]; ok {
			s.LogSHA256, s.Truncated = was.sha256, s.Truncated || was.truncated
			continue
		}
		f.logs[n] = shown{}
		t := &taken{record: s}
		all = append(all, t)
		reading.Go(func() {
			free <- struct{}{}
			t.log = f.log(ctx, n, s, last)
			<-free
		})
	}
	reading.Wait()
	for _, t := range all {
		n := logNumber(*t.record)
		if t.log.Err != nil && !last {
			delete(f.logs, n)
			continue
		}
		f.logs[n] = shown{t.record.LogSHA256, t.record.Truncated}
		f.started(*t.record, n)
		f.lines(*t.record, t.log)
		f.journal.Ended(*t.record, t.log)
	}
}

// each are the records of lists, to be changed in place.
func each(lists ...[]evidence.Step) []*evidence.Step {
	var all []*evidence.Step
	for _, list := range lists {
		for i := range list {
			all = append(all, &list[i])
		}
	}
	return all
}

// logNumber is the number in the name of a record's log; 0: it has none.
func logNumber(s evidence.Step) int {
	_, name, _ := strings.Cut(s.Log, "/")
	digits, _, _ := strings.Cut(name, "-")
	n, err := strconv.Atoi(digits)
	if err != nil || s.Attempts == 0 || n < 1 || s.Log != jobs.LogName(n, s.Phase, s.Name) {
		return 0
	}
	return n
}

// beyond is what a log may have beside the output: notes of attempts, and of what was left out.
const beyond = 1 << 20

// log is a step's log. If it is not what the record says, its place is empty, which the record says too where it is for
// good, and the error says why.
func (f *following) log(ctx context.Context, n int, record *evidence.Step, last bool) steps.Log {
	name := jobs.MailLogs + strconv.Itoa(n)
	var o *object
	var stored string
	err := errWithheld
	if !f.withhold {
		o, stored, err = f.open(ctx, name, f.Place.job.Limits.LogBytes+beyond)
	}
	if err == nil && stored != record.LogSHA256 {
		err = errors.New("it is not the one of which the runner gave the digest")
	}
	if err != nil {
		if last {
			record.Truncated, record.LogSHA256 = true, nothing
		}
		return steps.Log{
			Name: record.Log, File: bytes.NewReader(nil), Err: fmt.Errorf("the log of the runner: %w", err),
		}
	}
	record.LogSHA256 = o.sha256
	log := steps.Log{Name: record.Log, File: o}
	if doc, err := f.get(ctx, name+jobs.MailTimes, maxTimes); err == nil && doc != nil && len(doc) <= maxTimes {
		log.Times, _ = evidence.DecodeTimes(doc) // they are of use only if they can be read
	}
	return log
}

// nothing is the SHA-256 of a log in which there is nothing.
const nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// errWithheld is why nothing is shown of what a job left.
var errWithheld = errors.New("it is withheld, as a secret that may be in it could not be read again")

// hidden is an outcome without anything that scripts printed or gave.
func (p *Place) hidden(o steps.Outcome) steps.Outcome {
	if !p.withhold {
		return o
	}
	o.Outputs = nil
	for _, list := range [][]evidence.Step{o.Steps, undone(o)} {
		for i := range list {
			list[i].StdoutTail, list[i].StderrTail, list[i].Outputs = "", "", nil
		}
	}
	return o
}

// maxTimes bounds the document that says when the lines of a log came.
const maxTimes = 1 << 20

// lines passes on the lines of a log.
func (f *following) lines(record evidence.Step, log steps.Log) {
	if f.journal.Lines == nil {
		return
	}
	tell := f.journal.Lines(record.Name, evidence.Stdout)
	if err := steps.EachLine(log.File, tell); err != nil {
		f.desk.Log.Warn("the log of a step could not be passed on", "step", record.Name, "error", err.Error())
	}
	_, _ = log.File.Seek(0, io.SeekStart)
}

// Collect passes to keep the artifacts that the runner stored, and lists them, and those that it did not. None is
// begun after the time until. The error is keep's.
func (p *Place) Collect(
	ctx context.Context, _ steps.Job, until time.Time, keep steps.Keep,
) ([]evidence.Artifact, error) {
	if p.outcome == nil {
		return nil, nil
	}
	var all []evidence.Artifact
	for _, a := range p.outcome.Artifacts {
		kept, err := p.artifact(ctx, a, until, keep)
		if err != nil {
			return all, err
		}
		all = append(all, kept)
	}
	return all, nil
}

// artifact keeps one artifact, or says why it is not kept.
func (p *Place) artifact(
	ctx context.Context, a jobs.Artifact, until time.Time, keep steps.Keep,
) (evidence.Artifact, error) {
	name := p.order.Masker.String(a.Name)
	withheld := func(why string) (evidence.Artifact, error) {
		return evidence.Artifact{Name: name, Withheld: p.order.Masker.String(why)}, nil
	}
	before, restored := p.restore[a.Name]
	switch {
	case a.Withheld != "":
		return withheld(a.Withheld)
	case p.withhold:
		return withheld(errWithheld.Error())
	case a.N == 0 && restored && before.SHA256 == a.SHA256:
		return before, nil // the earlier run's evidence has it
	case a.N == 0:
		return withheld("the runner did not store it")
	case time.Now().After(until):
		return withheld("no time was left; this one and all after it are not kept")
	}
	o, stored, err := p.open(ctx, jobs.MailArtifacts+strconv.Itoa(a.N), a.Size)
	switch {
	case err != nil:
		return withheld("it could not be read: " + err.Error())
	case stored != a.SHA256:
		return withheld("it is not the one of which the runner gave the digest")
	case o.masker != nil:
		return withheld("it has a secret in it")
	}
	defer o.Close()
	kept, err := keep(o, evidence.Artifact{Name: name, Size: a.Size, SHA256: a.SHA256})
	if kept.Withheld != "" {
		return withheld(kept.Withheld)
	}
	return kept, err
}
