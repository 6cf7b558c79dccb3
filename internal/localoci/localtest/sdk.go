package localtest

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/localoci"
)

// Client is the SDK's client of a person with the configuration file.
func Client(t *testing.T, s *localoci.Server) objectstorage.ObjectStorageClient {
	t.Helper()
	provider, err := common.ConfigurationProviderFromFile(s.Authority().ConfigFile(), "")
	if err != nil {
		t.Fatal(err)
	}
	return ClientOf(t, s, provider)
}

// ClientOf is the SDK's client with other credentials.
func ClientOf(
	t *testing.T, s *localoci.Server, provider common.ConfigurationProvider,
) objectstorage.ObjectStorageClient {
	t.Helper()
	c, err := objectstorage.NewObjectStorageClientWithConfigurationProvider(provider)
	if err != nil {
		t.Fatal(err)
	}
	once := common.NoRetryPolicy()
	c.SetCustomClientConfiguration(common.CustomClientConfiguration{RetryPolicy: &once})
	c.Host = s.Endpoint() // last, because the configuration sets it again
	c.HTTPClient = &http.Client{}
	return c
}

// Refusal is the code of an SDK error.
func Refusal(err error) string {
	if err == nil {
		return "none"
	}
	failure, ok := common.IsServiceError(err)
	if !ok {
		return err.Error()
	}
	return failure.GetCode()
}

// NS and Packages are the namespace and the bucket of most requests.
var NS, Packages = common.String(localoci.Namespace), common.String("packages")

// Put stores an object with the SDK and returns its ETag.
func Put(t *testing.T, c objectstorage.ObjectStorageClient, bucket, name, text string) string {
	t.Helper()
	r, err := c.PutObject(t.Context(), objectstorage.PutObjectRequest{
		NamespaceName: NS, BucketName: &bucket, ObjectName: &name,
		ContentLength: common.Int64(int64(len(text))), PutObjectBody: io.NopCloser(strings.NewReader(text)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return *r.ETag
}

// Get reads an object with the SDK; "none" if it does not exist.
func Get(t *testing.T, c objectstorage.ObjectStorageClient, bucket, name, version string) string {
	t.Helper()
	q := objectstorage.GetObjectRequest{NamespaceName: NS, BucketName: &bucket, ObjectName: &name}
	if version != "" {
		q.VersionId = &version
	}
	r, err := c.GetObject(t.Context(), q)
	if Refusal(err) == "ObjectNotFound" {
		return "none"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer r.Content.Close()
	text, err := io.ReadAll(r.Content)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
