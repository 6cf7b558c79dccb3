package local_test

import (
	"io"
	"strings"
	"testing"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/localoci"
)

// putAs uploads under any name that Object Storage takes.
func (c *cloud) putAs(name string) {
	c.t.Helper()
	provider, err := common.ConfigurationProviderFromFile(c.ConfigFile(), "")
	if err != nil {
		c.t.Fatal(err)
	}
	client, err := objectstorage.NewObjectStorageClientWithConfigurationProvider(provider)
	if err != nil {
		c.t.Fatal(err)
	}
	client.Host = c.Endpoint()
	if _, err := client.PutObject(c.t.Context(), objectstorage.PutObjectRequest{
		NamespaceName: common.String(localoci.Namespace), BucketName: common.String(c.Buckets().Packages),
		ObjectName:    &name,
		ContentLength: common.Int64(1), PutObjectBody: io.NopCloser(strings.NewReader("x")),
	}); err != nil {
		c.t.Fatal(err)
	}
}

// An upload whose name no package can have ends in a result and an announcement, by its own event and once.
func TestUploadsWithHostileNames(t *testing.T) {
	c := start(t, nil)
	names := []string{"/x.zip", "a//b.zip", "tab\t.zip", "a\u202epiz.zip"}
	for _, name := range names {
		c.putAs(name)
		r := c.result(c.answer())
		if r.Status != evidence.StatusRejected || r.Error.Code != "trigger.object" || r.SourceObject != name {
			t.Errorf("%q: status %s, %+v, object %q", name, r.Status, r.Error, r.SourceObject)
		}
	}
	messages, err := c.Server().Messages()
	if err != nil || len(messages) != len(names) {
		t.Fatalf("%d messages, error %v", len(messages), err)
	}
	for _, m := range messages {
		if strings.ContainsFunc(m.Title+m.Body, evidence.Deceptive) {
			t.Errorf("the announcement looks different from what it says: %q", m)
		}
	}
	if strings.ContainsRune(c.log.String(), '\u202e') {
		t.Error("so does the log")
	}
	if swept := string(invokeByHand(t, c, `{"action":"sweep"}`)); !strings.Contains(swept, `"runs":[]`) {
		t.Errorf("a sweep runs them again: %s", swept)
	}
}
