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

// noSecret is the name of a secret that does not exist.
const noSecret = "cemli-executor-probe" // #nosec G101 -- a name

// AsksVault returns an error unless the vault's service can be reached and accepts the credentials. It asks for a
// secret that does not exist, so that none is read; therefore it cannot tell whether secrets may be read.
func (c *Client) AsksVault(ctx context.Context, vault string) error {
	_, err := c.bundle(ctx, noSecret, vault)
	if status, _ := serviceAnswer(err); err == nil || status == http.StatusNotFound {
		return nil
	}
	return secretError(noSecret, err)
}

// otherSum is the checksum of other bytes than those sent with it.
const otherSum = "1B2M2Y8AsgTpgAmY7PhCfg=="

// MayCreate returns an error unless objects may be created in the bucket, and creates none: the service checks the
// right to write first, and then refuses bytes that do not match their checksum.
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
