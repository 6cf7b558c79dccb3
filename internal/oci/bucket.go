package oci

import (
	"context"
	"crypto/md5" // #nosec G501 -- Content-MD5 is what the service checks uploads with
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/store"
)

// Bucket is one bucket of Object Storage; it implements store.Bucket.
type Bucket struct {
	client *Client
	name   string
}

var _ store.Bucket = (*Bucket)(nil)

// Bucket returns the bucket of that name in the tenancy's namespace. The first call shows whether it exists.
func (c *Client) Bucket(name string) *Bucket { return &Bucket{client: c, name: name} }

// Name returns the bucket's name.
func (b *Bucket) Name() string { return b.name }

// run checks the object's name, if the operation has one, finds the namespace, and sends the request.
func (b *Bucket) run(
	ctx context.Context, op, name string, send func(ctx context.Context, api *storageClient, ns *string) error,
) (tries, error) {
	if op != "list" {
		if err := store.CheckName(name); err != nil {
			return tries{}, store.Error(store.ErrName, op, b.name, "", err)
		}
	}
	ns, err := b.client.Namespace(ctx)
	if err != nil {
		return tries{}, err
	}
	return b.client.call(ctx, func(ctx context.Context, p *principal) error {
		return send(ctx, p.storage, &ns)
	})
}

// fail converts err into an error of the contract, unless it is one.
func (b *Bucket) fail(op, name string, err error) error {
	for _, known := range []error{
		store.ErrName, store.ErrUnavailable, store.ErrRefused, store.ErrNoBucket, store.ErrDenied,
	} {
		if errors.Is(err, known) {
			return err
		}
	}
	return asStoreError(op, b.name, name, err)
}

// Head describes the newest version of an object.
func (b *Bucket) Head(ctx context.Context, name string) (store.Info, error) {
	var answer objectstorage.HeadObjectResponse
	_, err := b.run(ctx, "head", name, func(ctx context.Context, api *storageClient, ns *string) (err error) {
		answer, err = api.HeadObject(ctx, objectstorage.HeadObjectRequest{
			NamespaceName: ns, BucketName: &b.name, ObjectName: &name,
		})
		return err
	})
	if status, _ := serviceAnswer(err); status == http.StatusNotFound {
		// An answer to HEAD has no body and so no code; a GET tells what is missing.
		body, info, err := b.Get(ctx, name, store.GetOptions{Length: 1})
		if err == nil {
			_ = body.Close() // only its description was wanted
		}
		return info, err
	}
	if err != nil {
		return store.Info{}, b.fail("head", name, err)
	}
	return store.Info{
		Name: name, Size: value(answer.ContentLength), ETag: value(answer.ETag),
		VersionID: value(answer.VersionId), MD5: md5Of(answer.ContentMd5, answer.OpcMultipartMd5),
		Created: timeOf(answer.LastModified), Metadata: answer.OpcMeta,
	}, nil
}

// Put writes an object, with the checksum that the service verifies.
func (b *Bucket) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, opts store.PutOptions,
) (store.Info, error) {
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return store.Info{}, fmt.Errorf("put %s: %w", name, err)
	}
	sum, err := checksum(body, size)
	if err != nil {
		return store.Info{}, fmt.Errorf("put %s: %w", name, err)
	}
	request := putRequest(b.name, name, size, sum, opts)
	var answer objectstorage.PutObjectResponse
	seen, err := b.run(ctx, "put", name, func(ctx context.Context, api *storageClient, ns *string) (err error) {
		if _, err := body.Seek(start, io.SeekStart); err != nil {
			return err
		}
		request.NamespaceName = ns
		request.PutObjectBody = io.NopCloser(io.LimitReader(body, size))
		answer, err = api.PutObject(ctx, request)
		return err
	})
	if err != nil {
		return b.settle(ctx, name, size, sum, opts, seen, err)
	}
	return store.Info{
		Name: name, Size: size, ETag: value(answer.ETag), VersionID: value(answer.VersionId),
		MD5: sum, Created: timeOf(answer.LastModified), Metadata: opts.Metadata,
	}, nil
}

func putRequest(bucket, name string, size int64, sum string, opts store.PutOptions) objectstorage.PutObjectRequest {
	request := objectstorage.PutObjectRequest{
		BucketName: &bucket, ObjectName: &name, ContentLength: &size, ContentMD5: &sum, OpcMeta: opts.Metadata,
	}
	if opts.ContentType != "" {
		request.ContentType = &opts.ContentType
	}
	if opts.IfNoneMatch {
		request.IfNoneMatch = common.String("*")
	}
	if opts.IfMatch != "" {
		request.IfMatch = &opts.IfMatch
	}
	return request
}

// settle decides what a failed write means. A repeated conditional write may be refused because its own first attempt
// succeeded; and a principal that may only create gets 403 or 404, not 412, if the name is taken. In both cases what
// is stored decides; if that cannot be read, the outcome is unknown.
func (b *Bucket) settle(
	ctx context.Context, name string, size int64, sum string, opts store.PutOptions, seen tries, err error,
) (store.Info, error) {
	status, _ := serviceAnswer(err)
	conditional := opts.IfNoneMatch || opts.IfMatch != ""
	if !conditional || passing(status) || !seen.uncertain && !meansTaken(status) {
		return store.Info{}, b.fail("put", name, err)
	}
	stored, headErr := b.Head(ctx, name)
	kind := kindOf(err)
	switch {
	case headErr == nil && seen.uncertain && stored.Size == size && stored.MD5 == sum:
		return stored, nil
	case seen.uncertain && headErr != nil && !errors.Is(headErr, store.ErrNotFound):
		kind = store.ErrUnavailable // whether it was written is unknown
	case opts.IfNoneMatch && meansTaken(status) && (headErr == nil || status == http.StatusPreconditionFailed):
		kind = store.ErrExists
	case opts.IfMatch != "" && meansTaken(status) && errors.Is(headErr, store.ErrNotFound):
		kind = store.ErrNotFound
	}
	return store.Info{}, store.Error(kind, "put", b.name, name, brief(err))
}

// meansTaken reports whether a conditional write may get this status because of what is stored.
func meansTaken(status int) bool {
	return status == http.StatusPreconditionFailed || status == http.StatusForbidden || status == http.StatusNotFound
}

// Delete removes the newest version of an object.
func (b *Bucket) Delete(ctx context.Context, name, ifMatch string) error {
	request := objectstorage.DeleteObjectRequest{BucketName: &b.name, ObjectName: &name}
	if ifMatch != "" {
		request.IfMatch = &ifMatch
	}
	seen, err := b.run(ctx, "delete", name, func(ctx context.Context, api *storageClient, ns *string) error {
		request.NamespaceName = ns
		_, err := api.DeleteObject(ctx, request)
		return err
	})
	if err == nil {
		return nil
	}
	failed := b.fail("delete", name, err)
	if seen.uncertain && errors.Is(failed, store.ErrNotFound) {
		return nil // the attempt without an answer succeeded
	}
	return failed
}

// List returns one page of names.
func (b *Bucket) List(ctx context.Context, opts store.ListOptions) (store.Page, error) {
	request := objectstorage.ListObjectsRequest{
		BucketName: &b.name, Prefix: optional(opts.Prefix), Start: optional(opts.Start), Limit: optional(opts.Limit),
		Fields: common.String("name,size,etag,timeCreated"),
	}
	var answer objectstorage.ListObjectsResponse
	_, err := b.run(ctx, "list", "", func(ctx context.Context, api *storageClient, ns *string) (err error) {
		request.NamespaceName = ns
		answer, err = api.ListObjects(ctx, request)
		return err
	})
	if err != nil {
		return store.Page{}, b.fail("list", "", err)
	}
	page := store.Page{Next: value(answer.NextStartWith)}
	for _, o := range answer.Objects {
		page.Objects = append(page.Objects, store.Info{
			Name: value(o.Name), Size: value(o.Size), ETag: value(o.Etag), Created: timeOf(o.TimeCreated),
		})
	}
	return page, nil
}

// checksum reads size bytes and returns their MD5 in base64.
func checksum(body io.Reader, size int64) (string, error) {
	sum := md5.New() // #nosec G401 -- see the import
	if _, err := io.CopyN(sum, body, size); err != nil {
		return "", fmt.Errorf("read body: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sum.Sum(nil)), nil
}
