package localoci_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/common/auth"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
	"cemli-executor/internal/problem"
)

// A function that another host runs has the same permissions as the local one, for a limited time.
func TestCredentialsForAnotherHost(t *testing.T) {
	s := localtest.Start(t)
	env, err := localoci.FetchCredentials(t.Context(), localtest.StateOf(s), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if env["CEMLI_ENDPOINT"] != s.Endpoint() || env["CEMLI_PACKAGES_BUCKET"] != "packages" ||
		env["OCI_RESOURCE_PRINCIPAL_VERSION"] != "2.2" {
		t.Errorf("environment %v", env)
	}
	// The fn CLI takes a value that begins with a hyphen for an option.
	for name, value := range env {
		if value == "" || strings.HasPrefix(value, "-") {
			t.Errorf("%s is %.20q", name, value)
		}
		t.Setenv(name, value)
	}
	provider, err := auth.ResourcePrincipalConfigurationProvider()
	if err != nil {
		t.Fatal(err)
	}
	c := localtest.ClientOf(t, s, provider)
	list := func(bucket string) error {
		_, err := c.ListObjects(t.Context(),
			objectstorage.ListObjectsRequest{NamespaceName: localtest.NS, BucketName: &bucket})
		return err
	}
	if err := list("packages"); err != nil {
		t.Errorf("the credentials do not work: %v", err)
	}
	if _, err := c.DeleteBucket(t.Context(),
		objectstorage.DeleteBucketRequest{
			NamespaceName: localtest.NS, BucketName: common.String("packages"),
		}); localtest.Refusal(err) != "BucketNotFound" {
		t.Errorf("they may do more than the function: %v", err)
	}
	_, err = localoci.FetchCredentials(t.Context(), t.TempDir(), time.Hour)
	if problem.CodeOf(err) != "config.local_down" {
		t.Errorf("a folder of no local OCI: %v", err)
	}
	if _, err := localoci.FetchCredentials(t.Context(), localtest.StateOf(s), 0); problem.CodeOf(err) != "usage" {
		t.Errorf("credentials for no time: %v", err)
	}
	if status, doc := localtest.Admin(t, s, "POST", "/local/credentials", `{"valid":"1000h"}`, nil); status != 400 {
		t.Errorf("credentials for ever: %d %v", status, doc)
	}
}

// A local OCI that was killed leaves its files; its port is closed, or belongs to another program.
func TestCredentialsOfADeadLocalOCI(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := localtest.Open(t, dir,
		func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil })
	token, endpoint := localtest.TokenOf(t, s), s.Endpoint()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	other := localtest.Start(t)
	for name, at := range map[string]string{
		"nobody": endpoint, "another": other.Endpoint(), "elsewhere": "http://192.0.2.1:80",
	} {
		for file, text := range map[string]string{"admin-token": token, "endpoint": at} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, err := localoci.FetchCredentials(t.Context(), dir, time.Hour)
		if problem.CodeOf(err) != "config.local_down" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
