package oci

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/oracle/oci-go-sdk/v65/common"

	"cemli-executor/internal/store"
)

// noSecret is the name of a secret that nobody has.
const noSecret = "cemli-executor-probe" // #nosec G101 -- a name

// AsksVault reports whether the vault's service can be reached and takes the credentials. What it
// asks for is not there, so that no secret is read; whether one may be read it so cannot tell.
func (c *Client) AsksVault(ctx context.Context, vault string) error {
	_, err := c.bundle(ctx, noSecret, vault)
	if status, _ := serviceAnswer(err); err == nil || status == http.StatusNotFound {
		return nil
	}
	return secretError(noSecret, err)
}

// otherSum is the checksum of other bytes than are sent with it.
const otherSum = "1B2M2Y8AsgTpgAmY7PhCfg=="

// MayCreate reports whether objects may be created in the bucket, without creating one: the service looks at
// the right to write first, and then refuses bytes that are not those of their checksum.
func (b *Bucket) MayCreate(ctx context.Context, name string) error {
	request := putRequest(b.name, name, 1, otherSum, store.PutOptions{IfNoneMatch: true})
	_, err := b.run(ctx, "put", name, func(ctx context.Context, api *storageClient, ns *string) error {
		request.NamespaceName, request.PutObjectBody = ns, io.NopCloser(bytes.NewReader([]byte("x")))
		_, err := api.PutObject(ctx, request)
		return err
	})
	var answer common.ServiceError
	if err == nil || errors.As(err, &answer) && answer.GetHTTPStatusCode() == http.StatusBadRequest {
		return nil
	}
	return b.fail("put", name, err)
}
