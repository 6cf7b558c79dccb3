package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/store"
)

// Get opens an object, or a range of it. If the connection breaks or stalls, the reader asks for the rest of the same
// version.
func (b *Bucket) Get(ctx context.Context, name string, opts store.GetOptions) (io.ReadCloser, store.Info, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	answer, err := b.open(ctx, name, opts)
	if err != nil {
		cancel(nil)
		return nil, store.Info{}, err
	}
	length := value(answer.ContentLength)
	info := store.Info{
		Name: name, Size: length, ETag: value(answer.ETag), VersionID: value(answer.VersionId),
		MD5: md5Of(answer.ContentMd5, answer.OpcMultipartMd5), Created: timeOf(answer.LastModified),
		Metadata: answer.OpcMeta,
	}
	if total, ok := rangeTotal(answer.ContentRange); ok {
		info.Size = total
	}
	return &download{
		ctx: ctx, cancel: cancel, options: b.client.options, bucket: b.name, name: name,
		next: opts.Offset, left: length, body: answer.Content,
		again: func(from, length int64) (io.ReadCloser, int64, error) {
			answer, err := b.open(ctx, name, store.GetOptions{
				IfMatch: info.ETag, VersionID: opts.VersionID, Offset: from, Length: length,
			})
			return answer.Content, value(answer.ContentLength), err
		},
	}, info, nil
}

// open sends one GetObject, repeated as every call is.
func (b *Bucket) open(
	ctx context.Context, name string, opts store.GetOptions,
) (objectstorage.GetObjectResponse, error) {
	request := objectstorage.GetObjectRequest{BucketName: &b.name, ObjectName: &name}
	if opts.IfMatch != "" {
		request.IfMatch = &opts.IfMatch
	}
	if opts.VersionID != "" {
		request.VersionId = &opts.VersionID
	}
	if opts.Offset > 0 || opts.Length > 0 {
		request.Range = common.String(rangeHeader(opts.Offset, opts.Length))
	}
	var answer objectstorage.GetObjectResponse
	send := func(ctx context.Context, api *storageClient, ns *string) (err error) {
		request.NamespaceName = ns
		answer, err = api.GetObject(ctx, request)
		return err
	}
	_, err := b.run(ctx, "get", name, send)
	if status, _ := serviceAnswer(err); status == http.StatusRequestedRangeNotSatisfiable && opts.Offset == 0 {
		// No range of an empty object can be satisfied, not even its beginning.
		request.Range = nil
		_, err = b.run(ctx, "get", name, send)
	}
	if err != nil {
		return answer, b.fail("get", name, err)
	}
	return answer, nil
}

func rangeHeader(offset, length int64) string {
	if length == 0 {
		return fmt.Sprintf("bytes=%d-", offset)
	}
	return fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)
}

// rangeTotal reads the whole object's size from "bytes 0-99/1234".
func rangeTotal(header *string) (int64, bool) {
	if header == nil {
		return 0, false
	}
	_, total, _ := strings.Cut(*header, "/")
	n, err := strconv.ParseInt(total, 10, 64)
	return n, err == nil
}

// download is the body of a Get.
type download struct {
	ctx     context.Context
	cancel  context.CancelCauseFunc
	options Options
	bucket  string
	name    string
	// again opens a part of the same version, and says how long it is.
	again func(from, length int64) (io.ReadCloser, int64, error)

	body   io.ReadCloser
	next   int64 // offset of the next byte in the object
	left   int64 // bytes still to come
	broken int   // how often the connection has failed since the last byte
}

var errStalled = errors.New("no data arrived in time")

// Read reads what arrives, and reopens the object after a failure.
func (d *download) Read(p []byte) (int, error) {
	if d.left == 0 {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > d.left {
		p = p[:d.left]
	}
	for {
		n, err := d.readOnce(p)
		d.next, d.left = d.next+int64(n), d.left-int64(n)
		if n > 0 {
			d.broken = 0
			return n, nil // the next read shows an error that came with data
		}
		if err == nil {
			continue
		}
		if err := d.reopen(err); err != nil {
			return 0, err
		}
	}
}

// readOnce limits how long a read waits for data. After that it closes the connection, which is the only way to end a
// blocked read.
func (d *download) readOnce(p []byte) (int, error) {
	body := d.body
	watch := time.AfterFunc(part(d.ctx, d.options.Stall), func() { _ = body.Close() })
	n, err := body.Read(p)
	if !watch.Stop() && n == 0 {
		return 0, errStalled
	}
	return n, err
}

// reopen asks for the rest of the same version after cause.
func (d *download) reopen(cause error) error {
	if errors.Is(cause, io.EOF) {
		cause = io.ErrUnexpectedEOF
	}
	_ = d.body.Close() // already broken
	d.broken++
	if d.ctx.Err() != nil || d.broken >= maxTries {
		return store.Error(store.ErrUnavailable, "read", d.bucket, d.name, cause)
	}
	if err := pause(d.ctx, d.options.Backoff<<(d.broken-1)); err != nil {
		return store.Error(store.ErrUnavailable, "read", d.bucket, d.name, err)
	}
	body, got, err := d.again(d.next, d.left)
	if err != nil {
		return err
	}
	if got != d.left {
		_ = body.Close() // it is not the rest
		cause := fmt.Errorf("%d bytes left, %d offered", d.left, got)
		return store.Error(store.ErrCorrupt, "read", d.bucket, d.name, cause)
	}
	d.body = body
	return nil
}

// Close ends the download.
func (d *download) Close() error {
	d.cancel(nil)
	return d.body.Close()
}

// value dereferences p; nil gives the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func timeOf(t *common.SDKTime) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// md5Of returns the MD5 of the whole object; that of a multipart upload is not the MD5 of its bytes.
func md5Of(whole, parts *string) string {
	if parts != nil {
		return ""
	}
	return value(whole)
}
