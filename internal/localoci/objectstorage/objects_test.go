package objectstorage_test

import (
	"bytes"
	"crypto/md5" //nolint:gosec // Content-MD5 is part of the interface
	"crypto/sha256"
	"encoding/base64"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
)

func TestRanges(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	p := localtest.PersonOf(t, s)
	p.Send(t, "PUT", localtest.Object(s, "packages", "ten"), "0123456789", nil)
	p.Send(t, "PUT", localtest.Object(s, "packages", "none"), "", nil)
	for _, c := range []struct {
		name, wanted  string
		status        int
		text, content string
	}{
		{"ten", "bytes=0-3", 206, "0123", "bytes 0-3/10"},
		{"ten", "bytes=7-", 206, "789", "bytes 7-9/10"},
		{"ten", "bytes=7-99", 206, "789", "bytes 7-9/10"},
		{"ten", "bytes=-3", 206, "789", "bytes 7-9/10"},
		{"ten", "bytes=-99", 206, "0123456789", "bytes 0-9/10"},
		{"ten", "bytes=9223372036854775807-", 416, "", ""},
		{"ten", "bytes=10-", 416, "", ""},
		{"ten", "bytes=-0", 416, "", ""},
		{"none", "bytes=0-", 416, "", ""},
		{"ten", "bytes=5-2", 200, "0123456789", ""},
		{"ten", "bytes=0-1,3-4", 200, "0123456789", ""},
		{"ten", "lines=0-1", 200, "0123456789", ""},
		{"ten", "bytes=x-y", 200, "0123456789", ""},
		{"ten", "bytes=99999999999999999999-", 200, "0123456789", ""},
	} {
		resp, text := p.Read(t, "GET", localtest.Object(s, "packages", c.name), http.Header{"Range": {c.wanted}})
		if resp.StatusCode != c.status || resp.Header.Get("Content-Range") != c.content ||
			c.status < 300 && text != c.text {
			t.Errorf("%s of %s: status %d, %q, %q; want %d, %q, %q", c.wanted, c.name, resp.StatusCode, text,
				resp.Header.Get("Content-Range"), c.status, c.text, c.content)
		}
	}
	resp, _ := p.Read(t, "HEAD", localtest.Object(s, "packages", "ten"), http.Header{"Range": {"bytes=0-3"}})
	if resp.StatusCode != 200 || resp.ContentLength != 10 {
		t.Errorf("HEAD: status %d, length %d; a range is of GET alone", resp.StatusCode, resp.ContentLength)
	}
}

func TestNotModified(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	p := localtest.PersonOf(t, s)
	put, _ := p.Send(t, "PUT", localtest.Object(s, "packages", "a"), "x", nil)
	resp, text := p.Read(t, "GET", localtest.Object(s, "packages", "a"),
		http.Header{"If-None-Match": {put.Header.Get("Etag")}})
	if resp.StatusCode != 304 || text != "" {
		t.Errorf("status %d, %q; want 304 without a body", resp.StatusCode, text)
	}
}

func TestPutsThatAreRefusedWriteNothing(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	p := localtest.PersonOf(t, s)
	p.Headers = []string{"date", "(request-target)", "host"}
	for _, c := range []struct {
		name  string
		spoil func(*http.Request)
		code  string
	}{
		{"no length", func(r *http.Request) { r.ContentLength = -1 }, "MissingContentLength"},
		{
			"large metadata", func(r *http.Request) { r.Header.Set("Opc-Meta-A", strings.Repeat("x", 4001)) },
			"MetadataTooLarge",
		},
		{"metadata twice", func(r *http.Request) { r.Header["Opc-Meta-A"] = []string{"1", "2"} }, "InvalidParameter"},
		{"metadata without a name", func(r *http.Request) { r.Header.Set("Opc-Meta-", "1") }, "InvalidParameter"},
	} {
		resp, doc := p.Send(t, "PUT", localtest.Object(s, "packages", "x"), "text", c.spoil)
		if resp.StatusCode < 400 || doc["code"] != c.code {
			t.Errorf("%s: status %d %v; want %s", c.name, resp.StatusCode, doc, c.code)
		}
	}
	if resp, _ := p.Send(t, "GET", localtest.Object(s, "packages", "x"), "", nil); resp.StatusCode != 404 {
		t.Errorf("the object is there: status %d", resp.StatusCode)
	}
}

func TestAnObjectKeepsWhatItWasPutWith(t *testing.T) {
	t.Parallel()
	s, ctx := localtest.Start(t), t.Context()
	c := localtest.Client(t, s)
	text := []byte("the bytes")
	m, h := md5.Sum(text), sha256.Sum256(text) //nolint:gosec // see the import
	sum, digest := base64.StdEncoding.EncodeToString(m[:]), base64.StdEncoding.EncodeToString(h[:])
	begun := time.Now().Add(-2 * time.Second)
	put, err := c.PutObject(ctx, objectstorage.PutObjectRequest{
		NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: common.String("dir/ä b.zip"),
		PutObjectBody: io.NopCloser(bytes.NewReader(text)),
		ContentLength: common.Int64(int64(len(text))), ContentMD5: &sum, OpcContentSha256: &digest,
		IfNoneMatch: common.String("*"),
		ContentType: common.String("application/zip"), ContentEncoding: common.String("br"),
		ContentLanguage:    common.String("de"),
		ContentDisposition: common.String("attachment"), CacheControl: common.String("no-store"),
		OpcMeta: map[string]string{"cemli-action": "dry_run", "Reason": "because"},
	})
	if err != nil || *put.OpcContentMd5 != sum || put.LastModified.Before(begun) || *put.VersionId == "" {
		t.Fatalf("put %+v, %v", put, err)
	}
	got, err := c.GetObject(ctx,
		objectstorage.GetObjectRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: common.String("dir/ä b.zip"),
			VersionId: put.VersionId, IfMatch: put.ETag,
		})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Content.Close()
	read, err := io.ReadAll(got.Content)
	have := []string{
		string(read), *got.ETag, *got.ContentMd5, *got.ContentType, *got.ContentEncoding, *got.ContentLanguage,
		*got.ContentDisposition, *got.CacheControl,
	}
	want := []string{string(text), *put.ETag, sum, "application/zip", "br", "de", "attachment", "no-store"}
	if diff := cmp.Diff(want, have); err != nil || diff != "" {
		t.Errorf("%v, got (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(map[string]string{"cemli-action": "dry_run", "reason": "because"}, got.OpcMeta); diff != "" {
		t.Error("metadata (-want +got):\n" + diff)
	}
	head, err := c.HeadObject(ctx,
		objectstorage.HeadObjectRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: common.String("dir/ä b.zip"),
		})
	if err != nil || *head.ContentLength != int64(len(text)) || *head.ETag != *put.ETag ||
		head.OpcMeta["reason"] != "because" {
		t.Errorf("head %+v, %v", head, err)
	}
	list, err := c.ListObjects(ctx,
		objectstorage.ListObjectsRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, Prefix: common.String("dir/"),
			Fields: common.String("name,size,etag,md5,timeCreated"),
		})
	if err != nil || len(list.Objects) != 1 || *list.Objects[0].Size != int64(len(text)) ||
		*list.Objects[0].Etag != *put.ETag || *list.Objects[0].Md5 != sum || list.Objects[0].TimeCreated.Before(begun) {
		t.Errorf("list %+v, %v", list.Objects, err)
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	s, ctx := localtest.Start(t), t.Context()
	c := localtest.Client(t, s)
	put := func(name string, change func(*objectstorage.PutObjectRequest)) (string, error) {
		q := objectstorage.PutObjectRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: &name,
			PutObjectBody: io.NopCloser(strings.NewReader("x")), ContentLength: common.Int64(1),
		}
		change(&q)
		answer, err := c.PutObject(ctx, q)
		if err != nil {
			return "", err
		}
		return *answer.ETag, nil
	}
	get := func(change func(*objectstorage.GetObjectRequest)) error {
		q := objectstorage.GetObjectRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: common.String("a"),
		}
		change(&q)
		answer, err := c.GetObject(ctx, q)
		if err == nil {
			_ = answer.Content.Close()
		}
		return err
	}
	first, err := put("a", func(q *objectstorage.PutObjectRequest) { q.IfNoneMatch = common.String("*") })
	if err != nil {
		t.Fatal(err)
	}
	second, err := put("a", func(q *objectstorage.PutObjectRequest) { q.IfMatch = &first })
	if err != nil || second == first {
		t.Fatalf("ETag %s after %s, %v", second, first, err)
	}
	drop := func(match *string, name string) error {
		_, err := c.DeleteObject(ctx,
			objectstorage.DeleteObjectRequest{
				NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: &name, IfMatch: match,
			})
		return err
	}
	only := func(_ string, err error) error { return err }
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{
			"create again",
			only(put("a", func(q *objectstorage.PutObjectRequest) { q.IfNoneMatch = common.String("*") })),
			"IfNoneMatchFailed",
		},
		{
			"create unless it is this one",
			only(put("b", func(q *objectstorage.PutObjectRequest) { q.IfNoneMatch = &first })), "InvalidParameter",
		},
		{
			"replace an older one", only(put("a", func(q *objectstorage.PutObjectRequest) { q.IfMatch = &first })),
			"IfMatchFailed",
		},
		{
			"replace nothing", only(put("b", func(q *objectstorage.PutObjectRequest) { q.IfMatch = &first })),
			"ObjectNotFound",
		},
		{
			"replace whatever is there",
			only(put("b", func(q *objectstorage.PutObjectRequest) { q.IfMatch = common.String("*") })),
			"ObjectNotFound",
		},
		{
			"no such bucket",
			only(put("b", func(q *objectstorage.PutObjectRequest) { q.BucketName = common.String("none") })),
			"BucketNotFound",
		},
		{
			"wrong MD5",
			only(put("b",
				func(q *objectstorage.PutObjectRequest) { q.ContentMD5 = common.String("AAAAAAAAAAAAAAAAAAAAAA==") })),
			"UnmatchedContentMD5",
		},
		{"read an older one", get(func(q *objectstorage.GetObjectRequest) { q.IfMatch = &first }), "IfMatchFailed"},
		{
			"read an older version", get(func(q *objectstorage.GetObjectRequest) { q.VersionId = &first }),
			"ObjectNotFound",
		},
		{
			"read past the end", get(func(q *objectstorage.GetObjectRequest) { q.Range = common.String("bytes=1-") }),
			"InvalidRange",
		},
		{
			"read what is not there",
			get(func(q *objectstorage.GetObjectRequest) { q.ObjectName = common.String("b") }), "ObjectNotFound",
		},
		{"delete an older one", drop(&first, "a"), "IfMatchFailed"},
		{"delete nothing", drop(nil, "b"), "ObjectNotFound"},
		{"read this one", get(func(q *objectstorage.GetObjectRequest) { q.IfMatch = &second }), "none"},
		{"delete this one", drop(&second, "a"), "none"},
	} {
		if got := localtest.Refusal(c.err); got != c.want {
			t.Errorf("%s: %s; want %s", c.name, got, c.want)
		}
	}
}

// Objects are streamed in both directions: memory does not grow with their size.
func TestALargeObjectIsStreamed(t *testing.T) {
	s, ctx := localtest.Start(t), t.Context()
	c := localtest.Client(t, s)
	const size = 256 << 20
	path := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := c.PutObject(ctx,
		objectstorage.PutObjectRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: common.String("large"),
			PutObjectBody: f, ContentLength: common.Int64(size),
		}); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetObject(ctx,
		objectstorage.GetObjectRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: common.String("large"),
		})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Content.Close()
	if n, err := io.Copy(io.Discard, got.Content); err != nil || n != size {
		t.Errorf("%d bytes, %v; want %d", n, err, size)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > size/8 {
		t.Errorf("%d MB were allocated for an object of %d MB", used>>20, size>>20)
	}
}

func TestChecksumsWithTheSDK(t *testing.T) {
	t.Parallel()
	s, ctx := localtest.Start(t), t.Context()
	c := localtest.Client(t, s)
	q := objectstorage.PutObjectRequest{
		NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: common.String("sum"),
		ContentLength: common.Int64(9), OpcChecksumAlgorithm: objectstorage.PutObjectOpcChecksumAlgorithmCrc32c,
	}
	q.PutObjectBody = io.NopCloser(strings.NewReader("123456789"))
	stored, err := c.PutObject(ctx, q)
	// the check value of CRC-32C
	if err != nil || stored.OpcContentCrc32c == nil || *stored.OpcContentCrc32c != "4waSgw==" {
		t.Fatalf("crc32c %v, %v", stored.OpcContentCrc32c, err)
	}
	if head, err := c.HeadObject(ctx,
		objectstorage.HeadObjectRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: common.String("sum"),
		}); err != nil || head.OpcContentCrc32c == nil {
		t.Errorf("head has no crc32c: %v", err)
	}
	q.OpcContentCrc32c, q.PutObjectBody = common.String("AAAAAA=="), io.NopCloser(strings.NewReader("123456789"))
	if _, err := c.PutObject(ctx, q); localtest.Refusal(err) != "UnmatchedContentCRC32C" {
		t.Errorf("a wrong crc32c: %v", err)
	}
}

func TestFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := localtest.Open(t, dir, nil)
	defer s.Close()
	p := localtest.PersonOf(t, s)
	p.Send(t, "PUT", localtest.Object(s, "packages", "x"), "old", nil)
	before := localtest.Blobs(t, dir)
	if err := s.SetFaults(localoci.Faults{DiskFull: true}); err != nil {
		t.Fatal(err)
	}
	if resp, _ := p.Send(t, "PUT", localtest.Object(s, "packages", "x"), "new", nil); resp.StatusCode != 500 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if diff := cmp.Diff(before, localtest.Blobs(t, dir)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	text, err := os.ReadFile(filepath.Join(dir, "blobs", filepath.Base(before[0])))
	if err != nil || string(text) != "old" {
		t.Errorf("the object is %q, %v", text, err)
	}
}
