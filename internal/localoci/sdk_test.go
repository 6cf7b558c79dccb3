package localoci_test

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
	"github.com/oracle/oci-go-sdk/v65/common/auth"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/localoci"
)

// client is the SDK's own, as a person who has the configuration file.
func client(t *testing.T, s *localoci.Server) objectstorage.ObjectStorageClient {
	t.Helper()
	provider, err := common.ConfigurationProviderFromFile(s.Authority().ConfigFile(), "")
	if err != nil {
		t.Fatal(err)
	}
	return clientOf(t, s, provider)
}

func clientOf(t *testing.T, s *localoci.Server, provider common.ConfigurationProvider) objectstorage.ObjectStorageClient {
	t.Helper()
	c, err := objectstorage.NewObjectStorageClientWithConfigurationProvider(provider)
	if err != nil {
		t.Fatal(err)
	}
	once := common.NoRetryPolicy()
	c.SetCustomClientConfiguration(common.CustomClientConfiguration{RetryPolicy: &once})
	c.Host = s.Endpoint() // last: the configuration sets it anew
	c.HTTPClient = &http.Client{}
	return c
}

// refusal gives status and code of an SDK error.
func refusal(err error) string {
	if err == nil {
		return "none"
	}
	failure, ok := common.IsServiceError(err)
	if !ok {
		return err.Error()
	}
	return failure.GetCode()
}

var ns, packages = common.String(localoci.Namespace), common.String("packages")

func TestBucketsWithTheSDK(t *testing.T) {
	s, ctx := start(t), t.Context()
	c := client(t, s)
	name, err := c.GetNamespace(ctx, objectstorage.GetNamespaceRequest{OpcClientRequestId: common.String("mine")})
	if err != nil || *name.Value != localoci.Namespace || name.RawResponse.Header.Get("Opc-Client-Request-Id") != "mine" || name.RawResponse.Header.Get("Opc-Request-Id") == "" {
		t.Fatalf("namespace %+v, %v", name, err)
	}
	made, err := c.CreateBucket(ctx, objectstorage.CreateBucketRequest{NamespaceName: ns, CreateBucketDetails: objectstorage.CreateBucketDetails{
		Name: common.String("new"), CompartmentId: common.String(localoci.Compartment),
	}})
	if err != nil || *made.ObjectEventsEnabled || *made.ETag == "" || made.PublicAccessType != objectstorage.BucketPublicAccessTypeNopublicaccess {
		t.Fatalf("made %+v, %v", made.Bucket, err)
	}
	update := objectstorage.UpdateBucketRequest{NamespaceName: ns, BucketName: made.Name, IfMatch: made.ETag, UpdateBucketDetails: objectstorage.UpdateBucketDetails{ObjectEventsEnabled: common.Bool(true)}}
	if _, err := c.UpdateBucket(ctx, update); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateBucket(ctx, update); refusal(err) != "IfMatchFailed" {
		t.Errorf("a second update of the same version: %v", err)
	}
	got, err := c.GetBucket(ctx, objectstorage.GetBucketRequest{NamespaceName: ns, BucketName: made.Name})
	if err != nil || !*got.ObjectEventsEnabled || *got.Id != *made.Id || *got.ETag == *made.ETag {
		t.Errorf("got %+v, %v", got.Bucket, err)
	}
	head, err := c.HeadBucket(ctx, objectstorage.HeadBucketRequest{NamespaceName: ns, BucketName: made.Name})
	if err != nil || *head.ETag != *got.ETag {
		t.Errorf("head %+v, %v", head, err)
	}
	list, err := c.ListBuckets(ctx, objectstorage.ListBucketsRequest{NamespaceName: ns, CompartmentId: common.String(localoci.Compartment)})
	var names []string
	for _, b := range list.Items {
		names = append(names, *b.Name)
	}
	if diff := cmp.Diff([]string{"new", "packages", "results", "state"}, names); err != nil || diff != "" {
		t.Errorf("%v, buckets (-want +got):\n%s", err, diff)
	}
	if _, err := c.DeleteBucket(ctx, objectstorage.DeleteBucketRequest{NamespaceName: ns, BucketName: made.Name, IfMatch: made.ETag}); refusal(err) != "IfMatchFailed" {
		t.Errorf("delete of an older version: %v", err)
	}
	if _, err := c.DeleteBucket(ctx, objectstorage.DeleteBucketRequest{NamespaceName: ns, BucketName: made.Name}); err != nil {
		t.Error(err)
	}
}

func TestAnObjectKeepsWhatItWasPutWith(t *testing.T) {
	s, ctx := start(t), t.Context()
	c := client(t, s)
	text := []byte("the bytes")
	m, h := md5.Sum(text), sha256.Sum256(text) //nolint:gosec // see the import
	sum, digest := base64.StdEncoding.EncodeToString(m[:]), base64.StdEncoding.EncodeToString(h[:])
	begun := time.Now().Add(-2 * time.Second)
	put, err := c.PutObject(ctx, objectstorage.PutObjectRequest{
		NamespaceName: ns, BucketName: packages, ObjectName: common.String("dir/ä b.zip"), PutObjectBody: io.NopCloser(bytes.NewReader(text)),
		ContentLength: common.Int64(int64(len(text))), ContentMD5: &sum, OpcContentSha256: &digest, IfNoneMatch: common.String("*"),
		ContentType: common.String("application/zip"), ContentEncoding: common.String("br"), ContentLanguage: common.String("de"),
		ContentDisposition: common.String("attachment"), CacheControl: common.String("no-store"),
		OpcMeta: map[string]string{"cemli-action": "dry_run", "Reason": "because"},
	})
	if err != nil || *put.OpcContentMd5 != sum || put.LastModified.Before(begun) || *put.VersionId == "" {
		t.Fatalf("put %+v, %v", put, err)
	}
	got, err := c.GetObject(ctx, objectstorage.GetObjectRequest{NamespaceName: ns, BucketName: packages, ObjectName: common.String("dir/ä b.zip"), VersionId: put.VersionId, IfMatch: put.ETag})
	if err != nil {
		t.Fatal(err)
	}
	defer got.Content.Close()
	read, err := io.ReadAll(got.Content)
	have := []string{string(read), *got.ETag, *got.ContentMd5, *got.ContentType, *got.ContentEncoding, *got.ContentLanguage, *got.ContentDisposition, *got.CacheControl}
	want := []string{string(text), *put.ETag, sum, "application/zip", "br", "de", "attachment", "no-store"}
	if diff := cmp.Diff(want, have); err != nil || diff != "" {
		t.Errorf("%v, got (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff(map[string]string{"cemli-action": "dry_run", "reason": "because"}, got.OpcMeta); diff != "" {
		t.Error("metadata (-want +got):\n" + diff)
	}
	head, err := c.HeadObject(ctx, objectstorage.HeadObjectRequest{NamespaceName: ns, BucketName: packages, ObjectName: common.String("dir/ä b.zip")})
	if err != nil || *head.ContentLength != int64(len(text)) || *head.ETag != *put.ETag || head.OpcMeta["reason"] != "because" {
		t.Errorf("head %+v, %v", head, err)
	}
	list, err := c.ListObjects(ctx, objectstorage.ListObjectsRequest{NamespaceName: ns, BucketName: packages, Prefix: common.String("dir/"), Fields: common.String("name,size,etag,md5,timeCreated")})
	if err != nil || len(list.Objects) != 1 || *list.Objects[0].Size != int64(len(text)) || *list.Objects[0].Etag != *put.ETag || *list.Objects[0].Md5 != sum || list.Objects[0].TimeCreated.Before(begun) {
		t.Errorf("list %+v, %v", list.Objects, err)
	}
}

func TestConditions(t *testing.T) {
	s, ctx := start(t), t.Context()
	c := client(t, s)
	put := func(name string, change func(*objectstorage.PutObjectRequest)) (string, error) {
		q := objectstorage.PutObjectRequest{NamespaceName: ns, BucketName: packages, ObjectName: &name, PutObjectBody: io.NopCloser(strings.NewReader("x")), ContentLength: common.Int64(1)}
		change(&q)
		answer, err := c.PutObject(ctx, q)
		if err != nil {
			return "", err
		}
		return *answer.ETag, nil
	}
	get := func(change func(*objectstorage.GetObjectRequest)) error {
		q := objectstorage.GetObjectRequest{NamespaceName: ns, BucketName: packages, ObjectName: common.String("a")}
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
		_, err := c.DeleteObject(ctx, objectstorage.DeleteObjectRequest{NamespaceName: ns, BucketName: packages, ObjectName: &name, IfMatch: match})
		return err
	}
	only := func(_ string, err error) error { return err }
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"create again", only(put("a", func(q *objectstorage.PutObjectRequest) { q.IfNoneMatch = common.String("*") })), "IfNoneMatchFailed"},
		{"create unless it is this one", only(put("b", func(q *objectstorage.PutObjectRequest) { q.IfNoneMatch = &first })), "InvalidParameter"},
		{"replace an older one", only(put("a", func(q *objectstorage.PutObjectRequest) { q.IfMatch = &first })), "IfMatchFailed"},
		{"replace nothing", only(put("b", func(q *objectstorage.PutObjectRequest) { q.IfMatch = &first })), "ObjectNotFound"},
		{"replace whatever is there", only(put("b", func(q *objectstorage.PutObjectRequest) { q.IfMatch = common.String("*") })), "ObjectNotFound"},
		{"no such bucket", only(put("b", func(q *objectstorage.PutObjectRequest) { q.BucketName = common.String("none") })), "BucketNotFound"},
		{"wrong MD5", only(put("b", func(q *objectstorage.PutObjectRequest) { q.ContentMD5 = common.String("AAAAAAAAAAAAAAAAAAAAAA==") })), "UnmatchedContentMD5"},
		{"read an older one", get(func(q *objectstorage.GetObjectRequest) { q.IfMatch = &first }), "IfMatchFailed"},
		{"read an older version", get(func(q *objectstorage.GetObjectRequest) { q.VersionId = &first }), "ObjectNotFound"},
		{"read past the end", get(func(q *objectstorage.GetObjectRequest) { q.Range = common.String("bytes=1-") }), "InvalidRange"},
		{"read what is not there", get(func(q *objectstorage.GetObjectRequest) { q.ObjectName = common.String("b") }), "ObjectNotFound"},
		{"delete an older one", drop(&first, "a"), "IfMatchFailed"},
		{"delete nothing", drop(nil, "b"), "ObjectNotFound"},
		{"read this one", get(func(q *objectstorage.GetObjectRequest) { q.IfMatch = &second }), "none"},
		{"delete this one", drop(&second, "a"), "none"},
	} {
		if got := refusal(c.err); got != c.want {
			t.Errorf("%s: %s; want %s", c.name, got, c.want)
		}
	}
}

func TestTheFunctionsPrincipalWithTheSDK(t *testing.T) {
	s, ctx := start(t), t.Context()
	session, err := s.Authority().NewSession(time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2")
	t.Setenv("OCI_RESOURCE_PRINCIPAL_REGION", localoci.Region)
	t.Setenv("OCI_RESOURCE_PRINCIPAL_RPST", session.Token)
	t.Setenv("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM", string(session.PrivateKey))
	provider, err := auth.ResourcePrincipalConfigurationProvider()
	if err != nil {
		t.Fatal(err)
	}
	for claim, want := range map[string]string{"res_type": "fnfunc", "res_id": localoci.FunctionID, "sub": localoci.FunctionID, "res_tenant": localoci.Tenancy, "res_compartment": localoci.Compartment} {
		if got, err := provider.GetClaim(claim); got != want {
			t.Errorf("claim %s is %v, %v; want %s", claim, got, err, want)
		}
	}
	c := clientOf(t, s, provider)
	put := func(bucket string) error {
		_, err := c.PutObject(ctx, objectstorage.PutObjectRequest{NamespaceName: ns, BucketName: &bucket, ObjectName: common.String("x"), PutObjectBody: io.NopCloser(strings.NewReader("x")), ContentLength: common.Int64(1)})
		return err
	}
	_, seen := c.HeadBucket(ctx, objectstorage.HeadBucketRequest{NamespaceName: ns, BucketName: packages})
	_, described := c.GetBucket(ctx, objectstorage.GetBucketRequest{NamespaceName: ns, BucketName: packages})
	_, listed := c.ListObjects(ctx, objectstorage.ListObjectsRequest{NamespaceName: ns, BucketName: packages})
	for _, c := range []struct {
		name, got, want string
	}{
		{"create a result", refusal(put("results")), "none"},
		{"overwrite a result", refusal(put("results")), "BucketNotFound"},
		{"write a package", refusal(put("packages")), "BucketNotFound"},
		{"list packages", refusal(listed), "none"},
		{"describe the bucket", refusal(described), "BucketNotFound"},
		{"see whether the bucket exists", refusal(seen), "BadErrorResponse"}, // HEAD has no body to name the code
	} {
		if c.got != c.want {
			t.Errorf("%s: %s; want %s", c.name, c.got, c.want)
		}
	}
}

// An object is streamed both ways: memory does not grow with its size.
func TestALargeObjectIsStreamed(t *testing.T) {
	s, ctx := start(t), t.Context()
	c := client(t, s)
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
	if _, err := c.PutObject(ctx, objectstorage.PutObjectRequest{NamespaceName: ns, BucketName: packages, ObjectName: common.String("large"), PutObjectBody: f, ContentLength: common.Int64(size)}); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetObject(ctx, objectstorage.GetObjectRequest{NamespaceName: ns, BucketName: packages, ObjectName: common.String("large")})
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
