package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// tryFor is how long the mailbox of a TryMailbox can be used at most.
const tryFor = 5 * time.Minute

// TryMailbox makes a mailbox in the bucket, does with it what executor and runner do with that of a job, ends it, and
// finds out that it can be used no more. It leaves two small objects. A success where there must be none is
// store.mailbox.
func (b *Bucket) TryMailbox(ctx context.Context) error {
	g, err := b.CreateMailbox(ctx, time.Now().Add(tryFor))
	if err != nil {
		return err
	}
	err = b.try(ctx, g)
	if ended := b.DeleteMailbox(ctx, g.ID); ended != nil || err != nil {
		return errors.Join(err, ended)
	}
	return b.ended(ctx, g)
}

// try does what is done with a job's mailbox.
func (b *Bucket) try(ctx context.Context, g MailboxGrant) error {
	m, err := OpenMailbox(g.Address(), b.client.options)
	if err != nil {
		return err
	}
	const decides, changes = "begun.json", "control.json"
	if err := m.write(ctx, decides, "1", true); err != nil {
		return err
	}
	switch err := m.write(ctx, decides, "2", true); {
	case err == nil:
		return b.unfit("what was to be created only has overwritten what was there")
	case !errors.Is(err, store.ErrExists):
		return err
	}
	if err := errors.Join(m.write(ctx, changes, "1", false), m.write(ctx, changes, "2", false)); err != nil {
		return err
	}
	for name, want := range map[string]string{decides: "1", changes: "2"} {
		if got, err := m.read(ctx, name); err != nil {
			return err
		} else if got != want {
			return b.unfit(fmt.Sprintf("%s is not what was written last", name))
		}
	}
	return nil
}

// ended waits for the end of a mailbox that was deleted.
func (b *Bucket) ended(ctx context.Context, g MailboxGrant) error {
	m, err := OpenMailbox(g.Address(), b.client.options)
	if err != nil {
		return err
	}
	for try := range maxTries {
		_, read := m.read(ctx, "begun.json")
		written := m.write(ctx, "control.json", "3", false)
		if errors.Is(read, store.ErrDenied) && errors.Is(written, store.ErrDenied) {
			return nil
		}
		for _, err := range []error{read, written} {
			if err != nil && !errors.Is(err, store.ErrDenied) {
				return err
			}
		}
		if err := pause(ctx, b.client.options.Backoff<<try); err != nil {
			return err
		}
	}
	return b.unfit("an address that was ended still works")
}

func (b *Bucket) unfit(message string) error {
	return problem.New(problem.Problem{
		Code: "store.mailbox", Where: b.name, Message: message, Hint: codes.Of("store.mailbox").Cure,
	}, nil)
}

func (m *Mailbox) write(ctx context.Context, name, text string, ifNoneMatch bool) error {
	_, err := m.Put(ctx, name, bytes.NewReader([]byte(text)), int64(len(text)), ifNoneMatch)
	return err
}

func (m *Mailbox) read(ctx context.Context, name string) (string, error) {
	body, _, err := m.Get(ctx, name, 0, 0)
	if err != nil {
		return "", err
	}
	defer body.Close()
	text, err := io.ReadAll(io.LimitReader(body, 100))
	return string(text), err
}
