package main

import (
	"context"
	"time"

	"cemli-executor/internal/apart"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/oci"
)

// desk is where jobs are sent to runners from; nil: scripts run here.
func (h *handler) desk() *apart.Desk {
	if len(h.config.Apart.Runners) == 0 {
		return nil
	}
	bucket := h.client.Bucket(h.config.Apart.Jobs)
	d := &apart.Desk{
		Jobs: bucket, EndMailbox: bucket.DeleteMailbox,
		NewMailbox: func(ctx context.Context, until time.Time) (apart.Mailbox, error) {
			made, err := bucket.CreateMailbox(ctx, until)
			return apart.Mailbox{ID: made.ID, Prefix: made.Prefix, Address: made.Address}, err
		},
		Call: func(ctx context.Context, runner string, call []byte) ([]byte, error) {
			return h.client.Invoke(ctx, runner, call, jobs.MaxCall)
		},
		Clock: func() time.Time { return time.Now().UTC() },
		Log:   h.log,
	}
	if onFunctions(h.config.Identity.FunctionID) { // a Fn server has no detached invocations
		d.CallDetached = h.client.InvokeRunnerDetached
	}
	return d
}

// secretAgain reads a version of a secret that scripts saw.
func (h *handler) secretAgain(ctx context.Context, id, version string) ([]byte, error) {
	return h.client.SecretOf(ctx, oci.SecretVersion{ID: id, Version: version})
}
