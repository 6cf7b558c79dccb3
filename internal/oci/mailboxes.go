package oci

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/store"
)

// MailboxGrant is a mailbox that was made. It can be printed: its address is told by Address alone.
type MailboxGrant struct {
	ID      string // by which DeleteMailbox ends it
	Prefix  string // of its objects' names in the bucket
	address func() string
}

// Address is what OpenMailbox takes. Whoever has it can read and write the mailbox.
func (g MailboxGrant) Address() string { return g.address() }

// CreateMailbox makes one pre-authenticated request to read and write, not to list, the objects of the bucket whose
// names begin with 32 random hexadecimal digits and a slash, until a time. It acts with this client's permissions at
// each use. An attempt that was repeated may have made another, whose address nobody knows and which ends at the same
// time.
func (b *Bucket) CreateMailbox(ctx context.Context, expires time.Time) (MailboxGrant, error) {
	random := make([]byte, 16)
	_, _ = rand.Read(random) // it never fails
	id := hex.EncodeToString(random)
	request := objectstorage.CreatePreauthenticatedRequestRequest{
		BucketName: &b.name,
		CreatePreauthenticatedRequestDetails: objectstorage.CreatePreauthenticatedRequestDetails{
			Name: common.String("mailbox-" + id), ObjectName: common.String(id + "/"),
			AccessType:          objectstorage.CreatePreauthenticatedRequestDetailsAccessTypeAnyobjectreadwrite,
			BucketListingAction: objectstorage.PreauthenticatedRequestBucketListingActionDeny,
			TimeExpires:         &common.SDKTime{Time: expires.UTC()},
		},
	}
	var made objectstorage.PreauthenticatedRequest
	var endpoint string
	_, err := b.run(ctx, "create mailbox", id, func(ctx context.Context, api *storageClient, ns *string) error {
		request.NamespaceName, endpoint = ns, api.Endpoint()
		answer, err := api.CreatePreauthenticatedRequest(ctx, request)
		made = answer.PreauthenticatedRequest
		return err
	})
	if err != nil {
		return MailboxGrant{}, b.fail("create mailbox", id, err)
	}
	address := endpoint + value(made.AccessUri) + id + "/"
	if _, ok := secretIn(address, b.client.options.Endpoint); !ok || made.Id == nil {
		cause := errors.New("the service's answer is not understood")
		return MailboxGrant{}, store.Error(store.ErrRefused, "create mailbox", b.name, id, cause)
	}
	return MailboxGrant{ID: *made.Id, Prefix: id + "/", address: func() string { return address }}, nil
}

// DeleteMailbox ends a mailbox: nobody can use its address from then on. What is in it stays. One that is gone already
// is no error.
func (b *Bucket) DeleteMailbox(ctx context.Context, id string) error {
	ns, err := b.client.Namespace(ctx)
	if err != nil {
		return err
	}
	request := objectstorage.DeletePreauthenticatedRequestRequest{NamespaceName: &ns, BucketName: &b.name, ParId: &id}
	seen, err := b.client.call(ctx, func(ctx context.Context, p *principal) error {
		_, err := p.storage.DeletePreauthenticatedRequest(ctx, request)
		return err
	})
	status, code := serviceAnswer(err)
	if status == http.StatusNotFound && (code == "PreauthenticatedRequestNotFound" || seen.uncertain) {
		return nil
	}
	if err != nil {
		return b.fail("delete mailbox", "", err)
	}
	return nil
}
