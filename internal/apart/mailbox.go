package apart

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"strconv"
	"time"

	"cemli-executor/internal/jobs"
	"cemli-executor/internal/store"
)

// Box is a mailbox that is being made.
type Box struct {
	desk *Desk
	made chan struct{}
	box  Mailbox
	err  error
}

// making bounds how long a mailbox is made.
const making = 30 * time.Second

// Prepare begins to make a mailbox that can be used until a time, beside other work. What has begun is not given up
// when the context ends: else nobody could end the mailbox.
func (d *Desk) Prepare(ctx context.Context, until time.Time) *Box {
	b := &Box{desk: d, made: make(chan struct{})}
	go func() {
		defer close(b.made)
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), making)
		defer cancel()
		b.box, b.err = d.NewMailbox(ctx, until)
	}()
	return b
}

// wait returns the mailbox once it was made.
func (b *Box) wait(ctx context.Context) (Mailbox, error) {
	select {
	case <-b.made:
		return b.box, b.err
	case <-ctx.Done():
		return Mailbox{}, store.Error(store.ErrUnavailable, "create mailbox", b.desk.Jobs.Name(), "", ctx.Err())
	}
}

// End ends the mailbox: its address is of no use from then on. What is in it stays. A failure is logged, as the mailbox
// ends by itself.
func (b *Box) End(ctx context.Context) {
	if b == nil {
		return
	}
	if box, err := b.wait(ctx); err == nil {
		b.desk.end(ctx, box.ID)
	}
}

// EndMailbox ends the mailbox of the job: the last one, if it was sent again.
func (p *Place) EndMailbox(ctx context.Context) {
	if p.box == nil { // another invocation has made it
		p.desk.end(ctx, p.record.Grant)
		return
	}
	p.box.End(ctx)
}

func (d *Desk) end(ctx context.Context, id string) {
	if err := d.EndMailbox(ctx, id); err != nil {
		d.Log.Warn("the pre-authenticated request of a job could not be deleted; it ends by itself", "mailbox", id,
			"error", err.Error())
	}
}

// put puts a document into the mailbox.
func (p *Place) put(ctx context.Context, name string, doc []byte, create bool) (store.Info, error) {
	return p.desk.Jobs.Put(ctx, p.record.Prefix+name, bytes.NewReader(doc), int64(len(doc)),
		store.PutOptions{IfNoneMatch: create, ContentType: "application/json"})
}

// get reads a document of the mailbox, at most so many bytes of it and one more. It returns nil if it is not there.
func (p *Place) get(ctx context.Context, name string, most int64) ([]byte, error) {
	body, _, err := p.desk.Jobs.Get(ctx, p.record.Prefix+name, store.GetOptions{})
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, most+1))
}

// begun reads whether the job was begun or withdrawn; nil: neither.
func (p *Place) begun(ctx context.Context) (*jobs.Begun, error) {
	doc, err := p.get(ctx, jobs.MailBegun, jobs.MaxMail)
	if err != nil || doc == nil {
		return nil, err
	}
	b, err := jobs.DecodeBegun(doc)
	return &b, err
}

// withdraw withdraws the job. It returns false if the job has begun.
func (p *Place) withdraw(ctx context.Context) (bool, error) {
	doc, err := jobs.Begun{
		Job: p.record.Job, By: jobs.ByExecutor, Nonce: randomID(), At: p.desk.Clock(), Withdrawn: true,
	}.Encode()
	if err != nil {
		return false, err
	}
	_, err = p.put(ctx, jobs.MailBegun, doc, true)
	if !errors.Is(err, store.ErrExists) {
		return err == nil, err
	}
	there, err := p.begun(ctx)
	if err != nil || there == nil {
		return false, err
	}
	// It may be this invocation's own, or that of another one of the same run.
	return there.By == jobs.ByExecutor && there.Withdrawn && there.Job == p.record.Job, nil
}

// stop tells the runner that the job is to be cancelled.
func (p *Place) stop(ctx context.Context) error {
	doc, err := jobs.Control{Cancel: true, Reason: "the run was cancelled"}.Encode()
	if err == nil {
		_, err = p.put(ctx, jobs.MailControl, doc, false)
	}
	p.told = err == nil
	return err
}

// storeTime is the time by the store's clock; zero: it does not say. What is written for that does not matter.
func storeTime(ctx context.Context, p *Place) (time.Time, error) {
	info, err := p.put(ctx, jobs.MailClock, []byte("{}\n"), false)
	return info.Created, err
}

// upload puts into the mailbox what does not fit into the call.
func (p *Place) upload(ctx context.Context, archive bool) error {
	if archive {
		zip := io.NewSectionReader(p.order.Package.Zip, 0, p.order.Package.Size)
		if err := p.store(ctx, jobs.MailPackage, zip, zip.Size()); err != nil {
			return err
		}
	}
	for _, r := range p.job.Restore {
		f, err := p.order.Restored(p.restore[r.Name])
		if err != nil {
			return err
		}
		err = p.store(ctx, jobs.MailRestored+strconv.Itoa(r.N), f, r.Size)
		_ = f.Close() // it was only read
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Place) store(ctx context.Context, name string, body io.ReadSeeker, size int64) error {
	_, err := p.desk.Jobs.Put(ctx, p.record.Prefix+name, body, size, store.PutOptions{})
	return err
}

// randomID is 32 random hexadecimal digits.
func randomID() string {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // it never fails
	return hex.EncodeToString(random)
}
