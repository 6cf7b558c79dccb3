package vault_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/secrets"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
)

func TestSecretsWithTheSDK(t *testing.T) {
	t.Parallel()
	s, ctx := localtest.Start(t), t.Context()
	provider, err := common.ConfigurationProviderFromFile(s.Authority().ConfigFile(), "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := secrets.NewSecretsClientWithConfigurationProvider(provider)
	if err != nil {
		t.Fatal(err)
	}
	c.Host = s.Endpoint()
	if _, err := s.PutSecret("erp-db", []byte("first")); err != nil {
		t.Fatal(err)
	}
	made, err := s.PutSecret("erp-db", []byte("second"))
	if err != nil || made.Version != 2 {
		t.Fatalf("%+v, %v", made, err)
	}
	read := func(number *int64, stage secrets.GetSecretBundleStageEnum) string {
		t.Helper()
		r, err := c.GetSecretBundle(ctx,
			secrets.GetSecretBundleRequest{SecretId: &made.ID, VersionNumber: number, Stage: stage})
		if err != nil {
			return localtest.Refusal(err)
		}
		text, err := base64.StdEncoding.DecodeString(
			*r.SecretBundleContent.(secrets.Base64SecretBundleContentDetails).Content)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	got := []string{
		read(nil, ""), read(common.Int64(1), ""), read(nil, secrets.GetSecretBundleStagePrevious),
		read(nil, secrets.GetSecretBundleStageCurrent), read(common.Int64(3), ""),
	}
	if diff := cmp.Diff([]string{"second", "first", "first", "second", "NotAuthorizedOrNotFound"}, got); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	named, err := c.GetSecretBundleByName(ctx,
		secrets.GetSecretBundleByNameRequest{
			SecretName: common.String("erp-db"), VaultId: common.String(localoci.VaultID),
		})
	if err != nil || *named.SecretId != made.ID || *named.VersionNumber != 2 {
		t.Errorf("by name: %+v, %v", named.SecretBundle, err)
	}
	if _, err := c.GetSecretBundleByName(ctx,
		secrets.GetSecretBundleByNameRequest{
			SecretName: common.String("none"), VaultId: common.String(localoci.VaultID),
		}); localtest.Refusal(err) != "NotAuthorizedOrNotFound" {
		t.Errorf("an unknown name: %v", err)
	}
	listed, err := c.ListSecretBundleVersions(ctx, secrets.ListSecretBundleVersionsRequest{SecretId: &made.ID})
	if err != nil || len(listed.Items) != 2 || *listed.Items[0].VersionNumber != 2 {
		t.Errorf("versions %+v, %v", listed.Items, err)
	}
	for name, content := range map[string][]byte{
		"": []byte("x"), "a/b": []byte("x"), "empty": nil, "large": bytes.Repeat([]byte("x"), 26<<10),
	} {
		if _, err := s.PutSecret(name, content); err == nil {
			t.Errorf("the secret %q of %d bytes was taken", name, len(content))
		}
	}
}

// A new version of a secret makes an event, and the first one does not: nothing was rotated.
func TestNewVersionsOfSecretsAreEvents(t *testing.T) {
	t.Parallel()
	e := &localtest.Events{Tries: map[string]int{}, Arrived: make(chan map[string]any, 10)}
	s, err := localoci.Open(localoci.Config{
		Dir: t.TempDir(), Buckets: localtest.Buckets, Invoke: e.Invoke, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var made [3]localoci.SecretVersion
	for i, secret := range []string{"erp-db first", "bank only", "erp-db second"} {
		name, content, _ := strings.Cut(secret, " ")
		if made[i], err = s.PutSecret(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if !s.HasSecret("erp-db", []byte("second")) || s.HasSecret("erp-db", []byte("first")) || s.HasSecret("none", nil) {
		t.Error("which version is current")
	}
	if n, err := s.PendingEvents(); err != nil || n != 1 {
		t.Errorf("%d events, %v", n, err)
	}
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	event := e.Next(t)
	data, _ := event["data"].(map[string]any)
	if event["eventType"] != "com.oraclecloud.vaultsecret.createsecretversion" ||
		event["cloudEventsVersion"] != "0.1" || event["eventID"] == "" || data["resourceName"] != "erp-db" ||
		data["resourceId"] != made[2].ID {
		t.Errorf("event %v", event)
	}
}
