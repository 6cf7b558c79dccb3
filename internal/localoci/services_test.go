package localoci_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"
	"github.com/oracle/oci-go-sdk/v65/ons"
	"github.com/oracle/oci-go-sdk/v65/secrets"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/testkit"
)

func str(text string) *string { return common.String(text) }

// put stores an object with the SDK and returns its ETag.
func put(t *testing.T, c objectstorage.ObjectStorageClient, bucket, name, text string) string {
	t.Helper()
	r, err := c.PutObject(t.Context(), objectstorage.PutObjectRequest{NamespaceName: ns, BucketName: &bucket, ObjectName: &name, ContentLength: common.Int64(int64(len(text))), PutObjectBody: io.NopCloser(strings.NewReader(text))})
	if err != nil {
		t.Fatal(err)
	}
	return *r.ETag
}

// get reads an object with the SDK; "none" where there is none.
func get(t *testing.T, c objectstorage.ObjectStorageClient, bucket, name, version string) string {
	t.Helper()
	q := objectstorage.GetObjectRequest{NamespaceName: ns, BucketName: &bucket, ObjectName: &name}
	if version != "" {
		q.VersionId = &version
	}
	r, err := c.GetObject(t.Context(), q)
	if refusal(err) == "ObjectNotFound" {
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

func TestMultipartWithTheSDK(t *testing.T) {
	s, ctx := start(t), t.Context()
	c := client(t, s)
	made, err := c.CreateMultipartUpload(ctx, objectstorage.CreateMultipartUploadRequest{NamespaceName: ns, BucketName: packages, CreateMultipartUploadDetails: objectstorage.CreateMultipartUploadDetails{
		Object: str("big one.zip"), ContentType: str("application/zip"), Metadata: map[string]string{"opc-meta-cemli-reason": "large"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	part := func(number int, text string) objectstorage.CommitMultipartUploadPartDetails {
		t.Helper()
		r, err := c.UploadPart(ctx, objectstorage.UploadPartRequest{NamespaceName: ns, BucketName: packages, ObjectName: made.Object, UploadId: made.UploadId, UploadPartNum: &number, ContentLength: common.Int64(int64(len(text))), UploadPartBody: io.NopCloser(strings.NewReader(text))})
		if err != nil {
			t.Fatal(err)
		}
		return objectstorage.CommitMultipartUploadPartDetails{PartNum: &number, Etag: r.ETag}
	}
	second, old := part(2, "world"), part(1, "goodbye ")
	first, third := part(1, "hello "), part(3, "!")
	listed, err := c.ListMultipartUploadParts(ctx, objectstorage.ListMultipartUploadPartsRequest{NamespaceName: ns, BucketName: packages, ObjectName: made.Object, UploadId: made.UploadId})
	if err != nil || len(listed.Items) != 3 || *listed.Items[0].PartNumber != 1 || *listed.Items[0].Size != 6 {
		t.Errorf("parts %+v, %v", listed.Items, err)
	}
	uploads, err := c.ListMultipartUploads(ctx, objectstorage.ListMultipartUploadsRequest{NamespaceName: ns, BucketName: packages})
	if err != nil || len(uploads.Items) != 1 || *uploads.Items[0].Object != "big one.zip" {
		t.Errorf("uploads %+v, %v", uploads.Items, err)
	}
	commit := func(exclude []int, parts ...objectstorage.CommitMultipartUploadPartDetails) error {
		_, err := c.CommitMultipartUpload(ctx, objectstorage.CommitMultipartUploadRequest{NamespaceName: ns, BucketName: packages, ObjectName: made.Object, UploadId: made.UploadId, CommitMultipartUploadDetails: objectstorage.CommitMultipartUploadDetails{PartsToCommit: parts, PartsToExclude: exclude}})
		return err
	}
	for name, err := range map[string]error{
		"a part that was replaced": commit(nil, old, second, third), "a part left out": commit(nil, first, second), "a part twice": commit(nil, first, first, second, third),
	} {
		if refusal(err) != "InvalidUploadPart" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := commit([]int{3}, second, first); err != nil {
		t.Fatal(err)
	}
	if text := get(t, c, "packages", "big one.zip", ""); text != "hello world" {
		t.Errorf("the object is %q", text)
	}
	head, err := c.HeadObject(ctx, objectstorage.HeadObjectRequest{NamespaceName: ns, BucketName: packages, ObjectName: made.Object})
	if err != nil || head.OpcMultipartMd5 == nil || !strings.HasSuffix(*head.OpcMultipartMd5, "-2") || *head.ContentType != "application/zip" || head.OpcMeta["cemli-reason"] != "large" {
		t.Errorf("head %+v, %v", head, err)
	}
	if err := commit(nil, first); refusal(err) != "NoSuchUpload" {
		t.Errorf("a second commit: %v", err)
	}
}

func TestAbortedUploadsLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	defer s.Close()
	c := client(t, s)
	before := len(blobs(t, dir))
	made, err := c.CreateMultipartUpload(t.Context(), objectstorage.CreateMultipartUploadRequest{NamespaceName: ns, BucketName: packages, CreateMultipartUploadDetails: objectstorage.CreateMultipartUploadDetails{Object: str("x")}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UploadPart(t.Context(), objectstorage.UploadPartRequest{NamespaceName: ns, BucketName: packages, ObjectName: str("x"), UploadId: made.UploadId, UploadPartNum: common.Int(1), ContentLength: common.Int64(1), UploadPartBody: io.NopCloser(strings.NewReader("x"))}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteBucket(t.Context(), objectstorage.DeleteBucketRequest{NamespaceName: ns, BucketName: packages}); refusal(err) != "BucketNotEmpty" {
		t.Errorf("a bucket with an upload was deleted: %v", err)
	}
	if _, err := c.AbortMultipartUpload(t.Context(), objectstorage.AbortMultipartUploadRequest{NamespaceName: ns, BucketName: packages, ObjectName: str("x"), UploadId: made.UploadId}); err != nil {
		t.Fatal(err)
	}
	if after := len(blobs(t, dir)); after != before {
		t.Errorf("%d files; want %d", after, before)
	}
}

func TestCopyRenameAndBatchDeleteWithTheSDK(t *testing.T) {
	s, ctx := start(t), t.Context()
	c := client(t, s)
	etag := put(t, c, "packages", "a", "text")
	details := objectstorage.CopyObjectDetails{
		SourceObjectName: str("a"), DestinationBucket: str("state"), DestinationNamespace: ns, DestinationRegion: str(localoci.Region), DestinationObjectName: str("b/c"), SourceObjectIfMatchETag: &etag, DestinationObjectIfNoneMatchETag: str("*"),
	}
	copied, err := c.CopyObject(ctx, objectstorage.CopyObjectRequest{NamespaceName: ns, BucketName: packages, CopyObjectDetails: details})
	if err != nil {
		t.Fatal(err)
	}
	work, err := c.GetWorkRequest(ctx, objectstorage.GetWorkRequestRequest{WorkRequestId: copied.OpcWorkRequestId})
	if err != nil || work.Status != objectstorage.WorkRequestStatusCompleted || *work.PercentComplete != 100 {
		t.Errorf("work request %+v, %v", work.WorkRequest, err)
	}
	if text := get(t, c, "state", "b/c", ""); text != "text" {
		t.Errorf("the copy is %q", text)
	}
	if _, err := c.CopyObject(ctx, objectstorage.CopyObjectRequest{NamespaceName: ns, BucketName: packages, CopyObjectDetails: details}); refusal(err) != "IfNoneMatchFailed" {
		t.Errorf("a second copy: %v", err)
	}
	details.SourceObjectIfMatchETag, details.DestinationObjectIfNoneMatchETag = str("old"), nil
	if _, err := c.CopyObject(ctx, objectstorage.CopyObjectRequest{NamespaceName: ns, BucketName: packages, CopyObjectDetails: details}); refusal(err) != "IfMatchFailed" {
		t.Errorf("a copy of another version: %v", err)
	}
	rename := func(from, to string) error {
		_, err := c.RenameObject(ctx, objectstorage.RenameObjectRequest{NamespaceName: ns, BucketName: packages, RenameObjectDetails: objectstorage.RenameObjectDetails{SourceName: &from, NewName: &to}})
		return err
	}
	if err := rename("a", "d"); err != nil {
		t.Fatal(err)
	}
	if get(t, c, "packages", "a", "") != "none" || get(t, c, "packages", "d", "") != "text" {
		t.Error("the object has not its new name only")
	}
	if err := rename("a", "e"); refusal(err) != "ObjectNotFound" {
		t.Errorf("rename of nothing: %v", err)
	}
	put(t, c, "packages", "f", "1")
	deleted, err := c.BatchDeleteObjects(ctx, objectstorage.BatchDeleteObjectsRequest{NamespaceName: ns, BucketName: packages, BatchDeleteObjectsDetails: objectstorage.BatchDeleteObjectsDetails{
		Objects: []objectstorage.BatchDeleteObjectIdentifier{{ObjectName: str("d")}, {ObjectName: str("f"), IfMatch: str("other")}, {ObjectName: str("none")}},
	}})
	if err != nil || len(deleted.Deleted) != 1 || *deleted.Deleted[0].ObjectName != "d" || len(deleted.Failed) != 2 || get(t, c, "packages", "f", "") != "1" {
		t.Errorf("deleted %+v, %v", deleted.BatchDeleteObjectsResult, err)
	}
}

func TestVersionsWithTheSDK(t *testing.T) {
	s, ctx := start(t), t.Context()
	c := client(t, s)
	if _, err := c.UpdateBucket(ctx, objectstorage.UpdateBucketRequest{NamespaceName: ns, BucketName: packages, UpdateBucketDetails: objectstorage.UpdateBucketDetails{Versioning: objectstorage.UpdateBucketDetailsVersioningEnabled}}); err != nil {
		t.Fatal(err)
	}
	versions := func() (list []string, ids []string) {
		t.Helper()
		r, err := c.ListObjectVersions(ctx, objectstorage.ListObjectVersionsRequest{NamespaceName: ns, BucketName: packages, Prefix: str("v"), Fields: objectstorage.ListObjectVersionsFieldsSize})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range r.Items {
			size := int64(0)
			if v.Size != nil {
				size = *v.Size
			}
			list, ids = append(list, fmt.Sprintf("%s %d %v", *v.Name, size, *v.IsDeleteMarker)), append(ids, *v.VersionId)
		}
		return list, ids
	}
	put(t, c, "packages", "v", "1")
	put(t, c, "packages", "v", "22")
	put(t, c, "packages", "vv", "other")
	list, ids := versions()
	if diff := cmp.Diff([]string{"v 2 false", "v 1 false", "vv 5 false"}, list); diff != "" {
		t.Fatalf("versions (-want +got):\n%s", diff)
	}
	if get(t, c, "packages", "v", ids[1]) != "1" || get(t, c, "packages", "v", "no such") != "none" {
		t.Error("the first version cannot be read, or one that never was can")
	}
	remove := func(version *string) objectstorage.DeleteObjectResponse {
		t.Helper()
		r, err := c.DeleteObject(ctx, objectstorage.DeleteObjectRequest{NamespaceName: ns, BucketName: packages, ObjectName: str("v"), VersionId: version})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	marked := remove(nil)
	if marked.IsDeleteMarker == nil || !*marked.IsDeleteMarker || get(t, c, "packages", "v", "") != "none" || get(t, c, "packages", "v", ids[0]) != "22" {
		t.Errorf("after a delete: %+v", marked)
	}
	if list, _ := versions(); list[0] != "v 0 true" {
		t.Errorf("versions %v; want a marker first", list)
	}
	remove(marked.VersionId)
	if get(t, c, "packages", "v", "") != "22" {
		t.Error("without the marker the object is not back")
	}
	remove(&ids[0])
	if get(t, c, "packages", "v", "") != "1" {
		t.Error("without the newest version the one before is not the object")
	}
	remove(&ids[1])
	if list, _ := versions(); len(list) != 1 {
		t.Errorf("versions %v; want the other object's only", list)
	}
}

func TestRetentionWithTheSDK(t *testing.T) {
	s, ctx := start(t), t.Context()
	c := client(t, s)
	put(t, c, "results", "r", "1")
	days := objectstorage.Duration{TimeAmount: common.Int64(7), TimeUnit: objectstorage.DurationTimeUnitDays}
	rule, err := c.CreateRetentionRule(ctx, objectstorage.CreateRetentionRuleRequest{NamespaceName: ns, BucketName: str("results"), CreateRetentionRuleDetails: objectstorage.CreateRetentionRuleDetails{DisplayName: str("keep"), Duration: &days}})
	if err != nil {
		t.Fatal(err)
	}
	overwrite := func() error {
		_, err := c.PutObject(ctx, objectstorage.PutObjectRequest{NamespaceName: ns, BucketName: str("results"), ObjectName: str("r"), ContentLength: common.Int64(1), PutObjectBody: io.NopCloser(strings.NewReader("2"))})
		return err
	}
	remove := func() error {
		_, err := c.DeleteObject(ctx, objectstorage.DeleteObjectRequest{NamespaceName: ns, BucketName: str("results"), ObjectName: str("r")})
		return err
	}
	for name, err := range map[string]error{"overwrite": overwrite(), "delete": remove()} {
		if refusal(err) != "ObjectRetained" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if get(t, c, "results", "r", "") != "1" {
		t.Error("the object was changed")
	}
	put(t, c, "results", "new", "1")
	if _, err := c.UpdateBucket(ctx, objectstorage.UpdateBucketRequest{NamespaceName: ns, BucketName: str("results"), UpdateBucketDetails: objectstorage.UpdateBucketDetails{Versioning: objectstorage.UpdateBucketDetailsVersioningEnabled}}); refusal(err) != "InvalidBucketState" {
		t.Errorf("versioning beside retention: %v", err)
	}
	if _, err := c.CreateRetentionRule(ctx, objectstorage.CreateRetentionRuleRequest{NamespaceName: ns, BucketName: str("results"), CreateRetentionRuleDetails: objectstorage.CreateRetentionRuleDetails{Duration: &days, TimeRuleLocked: &common.SDKTime{Time: time.Now().Add(time.Hour)}}}); refusal(err) != "InvalidParameter" {
		t.Errorf("a lock within 14 days: %v", err)
	}
	listed, err := c.ListRetentionRules(ctx, objectstorage.ListRetentionRulesRequest{NamespaceName: ns, BucketName: str("results")})
	if err != nil || len(listed.Items) != 1 || *listed.Items[0].DisplayName != "keep" {
		t.Errorf("rules %+v, %v", listed.Items, err)
	}
	if _, err := c.DeleteRetentionRule(ctx, objectstorage.DeleteRetentionRuleRequest{NamespaceName: ns, BucketName: str("results"), RetentionRuleId: rule.Id}); err != nil {
		t.Fatal(err)
	}
	if err := overwrite(); err != nil {
		t.Errorf("without the rule: %v", err)
	}
}

func TestChecksumsWithTheSDK(t *testing.T) {
	s, ctx := start(t), t.Context()
	c := client(t, s)
	q := objectstorage.PutObjectRequest{NamespaceName: ns, BucketName: packages, ObjectName: str("sum"), ContentLength: common.Int64(9), OpcChecksumAlgorithm: objectstorage.PutObjectOpcChecksumAlgorithmCrc32c}
	q.PutObjectBody = io.NopCloser(strings.NewReader("123456789"))
	stored, err := c.PutObject(ctx, q)
	if err != nil || stored.OpcContentCrc32c == nil || *stored.OpcContentCrc32c != "4waSgw==" { // the check value of CRC-32C
		t.Fatalf("crc32c %v, %v", stored.OpcContentCrc32c, err)
	}
	if head, err := c.HeadObject(ctx, objectstorage.HeadObjectRequest{NamespaceName: ns, BucketName: packages, ObjectName: str("sum")}); err != nil || head.OpcContentCrc32c == nil {
		t.Errorf("head has no crc32c: %v", err)
	}
	q.OpcContentCrc32c, q.PutObjectBody = str("AAAAAA=="), io.NopCloser(strings.NewReader("123456789"))
	if _, err := c.PutObject(ctx, q); refusal(err) != "UnmatchedContentCRC32C" {
		t.Errorf("a wrong crc32c: %v", err)
	}
}

func TestSecretsWithTheSDK(t *testing.T) {
	s, ctx := start(t), t.Context()
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
		r, err := c.GetSecretBundle(ctx, secrets.GetSecretBundleRequest{SecretId: &made.ID, VersionNumber: number, Stage: stage})
		if err != nil {
			return refusal(err)
		}
		text, err := base64.StdEncoding.DecodeString(*r.SecretBundleContent.(secrets.Base64SecretBundleContentDetails).Content)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	got := []string{read(nil, ""), read(common.Int64(1), ""), read(nil, secrets.GetSecretBundleStagePrevious), read(nil, secrets.GetSecretBundleStageCurrent), read(common.Int64(3), "")}
	if diff := cmp.Diff([]string{"second", "first", "first", "second", "NotAuthorizedOrNotFound"}, got); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	named, err := c.GetSecretBundleByName(ctx, secrets.GetSecretBundleByNameRequest{SecretName: str("erp-db"), VaultId: str(localoci.VaultID)})
	if err != nil || *named.SecretId != made.ID || *named.VersionNumber != 2 {
		t.Errorf("by name: %+v, %v", named.SecretBundle, err)
	}
	if _, err := c.GetSecretBundleByName(ctx, secrets.GetSecretBundleByNameRequest{SecretName: str("none"), VaultId: str(localoci.VaultID)}); refusal(err) != "NotAuthorizedOrNotFound" {
		t.Errorf("an unknown name: %v", err)
	}
	listed, err := c.ListSecretBundleVersions(ctx, secrets.ListSecretBundleVersionsRequest{SecretId: &made.ID})
	if err != nil || len(listed.Items) != 2 || *listed.Items[0].VersionNumber != 2 {
		t.Errorf("versions %+v, %v", listed.Items, err)
	}
	for name, content := range map[string][]byte{"": []byte("x"), "a/b": []byte("x"), "empty": nil, "large": bytes.Repeat([]byte("x"), 26<<10)} {
		if _, err := s.PutSecret(name, content); err == nil {
			t.Errorf("the secret %q of %d bytes was taken", name, len(content))
		}
	}
}

func TestNotificationsWithTheSDK(t *testing.T) {
	s, ctx := start(t), t.Context()
	provider, err := common.ConfigurationProviderFromFile(s.Authority().ConfigFile(), "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := ons.NewNotificationDataPlaneClientWithConfigurationProvider(provider)
	if err != nil {
		t.Fatal(err)
	}
	c.Host = s.Endpoint()
	publish := func(topic, title, body string) error {
		_, err := c.PublishMessage(ctx, ons.PublishMessageRequest{TopicId: &topic, MessageDetails: ons.MessageDetails{Title: &title, Body: &body}})
		return err
	}
	if err := publish(localoci.TopicID, "a run failed", `{"a":1}`); err != nil {
		t.Fatal(err)
	}
	if err := publish("ocid1.onstopic.other", "t", "b"); refusal(err) != "NotAuthorizedOrNotFound" {
		t.Errorf("another topic: %v", err)
	}
	if err := publish(localoci.TopicID, "t", strings.Repeat("x", 65<<10)); refusal(err) != "PayloadTooLarge" {
		t.Errorf("a large message: %v", err)
	}
	list, err := s.Messages()
	if err != nil || len(list) != 1 || list[0].Title != "a run failed" || list[0].Body != `{"a":1}` {
		t.Errorf("messages %+v, %v", list, err)
	}
}

// Each statement of the function's policy is needed: without it the operation that it is
// for is denied as OCI denies it, and the log names the missing permission.
func TestEveryPolicyStatementIsNeeded(t *testing.T) {
	all, err := localoci.Statements(localoci.Buckets{Packages: "packages", Results: "results", State: "state", Policies: "policies"})
	if err != nil {
		t.Fatal(err)
	}
	operations := []struct {
		statement, missing string
		method, path, body string
	}{
		{"read_packages", "OBJECT_READ", "GET", "/n/localns/b/packages/o/there", ""},
		{"read_policies", "OBJECT_READ", "GET", "/n/localns/b/policies/o/there", ""},
		{"create_results", "OBJECT_CREATE", "PUT", "/n/localns/b/results/o/new", "x"},
		{"read_results", "OBJECT_READ", "HEAD", "/n/localns/b/results/o/there", ""},
		{"manage_state", "OBJECT_CREATE", "PUT", "/n/localns/b/state/o/there", "x"},
		{"read_secrets", "SECRET_BUNDLE_READ", "POST", "/20190301/secretbundles/actions/getByName?secretName=there&vaultId=" + localoci.VaultID, ""},
		{"publish", "ONS_TOPIC_PUBLISH", "POST", "/20181201/topics/" + localoci.TopicID + "/messages", `{"body":"x"}`},
		{"read_write_log", "LOG_CONTENT_READ", "POST", "/20190909/search", `{"timeStart":"2026-01-01T00:00:00Z","timeEnd":"2026-01-02T00:00:00Z","searchQuery":"search \"` + localoci.WriteLog + `\""}`},
		{"find_itself", "FN_FUNCTION_READ", "GET", "/20181201/functions/" + localoci.FunctionID, ""},
		{"invoke_itself", "FN_INVOCATION", "POST", "/20181201/functions/" + localoci.FunctionID + "/actions/invoke", "{}"},
	}
	if len(all) != len(operations) {
		t.Fatalf("%d statements, and operations for %d", len(all), len(operations))
	}
	for i := -1; i < len(all); i++ { // -1: none is missing
		var texts []string
		for j, s := range all {
			if j != i {
				texts = append(texts, s.Statement)
			}
		}
		log := &testkit.Buffer{}
		s, err := localoci.Open(localoci.Config{
			Dir: t.TempDir(), Buckets: localoci.Buckets{Packages: "packages", Results: "results", State: "state", Policies: "policies"}, Statements: texts,
			Invoke: func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil },
			Log:    slog.New(slog.NewJSONHandler(log, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(0); err != nil {
			t.Fatal(err)
		}
		person, function := personOf(t, s), functionOf(t, s, time.Now().Add(time.Hour))
		for _, bucket := range []string{"packages", "policies", "results", "state"} {
			person.send(t, "PUT", object(s, bucket, "there"), "x", nil)
		}
		if _, err := s.PutSecret("there", []byte("x")); err != nil {
			t.Fatal(err)
		}
		for _, o := range operations {
			resp, _ := function.send(t, o.method, s.Endpoint()+o.path, o.body, nil)
			denied := i >= 0 && o.statement == all[i].Name
			if denied != (resp.StatusCode == 404 || resp.StatusCode == 403) || !denied && resp.StatusCode >= 300 {
				t.Errorf("without %d: %s answers %d", i, o.statement, resp.StatusCode)
			}
			if denied && !strings.Contains(log.String(), `"missing":"`+o.missing+`"`) {
				t.Errorf("without %s the log does not name %s:\n%s", o.statement, o.missing, log)
			}
		}
		if i < 0 && strings.Contains(log.String(), "denied") {
			t.Errorf("with all statements something is denied:\n%s", log)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRuleChoosesEvents(t *testing.T) {
	e := &events{tries: map[string]int{}, arrived: make(chan map[string]any, 10)}
	s, err := localoci.Open(localoci.Config{
		Dir: t.TempDir(), Buckets: buckets, Invoke: e.invoke, Log: slog.New(slog.DiscardHandler),
		Rule: `{"eventType":["com.oraclecloud.objectstorage.deleteobject"],"data":{"resourceName":["in/*","*.zip"],"additionalDetails":{"bucketName":"packages"}}}`,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(0); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p := personOf(t, s)
	for _, name := range []string{"out/x", "in/x", "out/x.zip"} {
		p.send(t, "PUT", object(s, "packages", name), "1", nil)
		p.send(t, "DELETE", object(s, "packages", name), "", nil)
	}
	got := map[any]bool{}
	for range 2 {
		got[e.next(t)["data"].(map[string]any)["resourceName"]] = true
	}
	if !got["in/x"] || !got["out/x.zip"] {
		t.Errorf("events of %v", got)
	}
	if _, err := localoci.Open(localoci.Config{Dir: t.TempDir(), Buckets: buckets, Rule: "{", Log: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("a rule that is no JSON was taken")
	}
}

// A new version of a secret is an event, and the first is none: there was nothing to rotate.
func TestNewVersionsOfSecretsAreEvents(t *testing.T) {
	e := &events{tries: map[string]int{}, arrived: make(chan map[string]any, 10)}
	s, err := localoci.Open(localoci.Config{Dir: t.TempDir(), Buckets: buckets, Invoke: e.invoke, Log: slog.New(slog.DiscardHandler)})
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
	event := e.next(t)
	data, _ := event["data"].(map[string]any)
	if event["eventType"] != "com.oraclecloud.vaultsecret.createsecretversion" || event["cloudEventsVersion"] != "0.1" || event["eventID"] == "" || data["resourceName"] != "erp-db" || data["resourceId"] != made[2].ID {
		t.Errorf("event %v", event)
	}
}

// faults puts faults in force through the switch that people use.
func faults(t *testing.T, s *localoci.Server, doc string) int {
	t.Helper()
	status, _ := admin(t, s, http.MethodPut, "/local/faults", doc, nil)
	return status
}

func TestFaults(t *testing.T) {
	s := start(t)
	p := personOf(t, s)
	url := object(s, "packages", "x")
	send := func(method, body string) (int, any) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		p.sign(t, r, body)
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			return 0, nil
		}
		defer resp.Body.Close()
		var doc map[string]any
		_ = json.NewDecoder(resp.Body).Decode(&doc) // not all have one
		return resp.StatusCode, doc["code"]
	}
	for _, c := range []struct {
		fault string
		want  int
		code  any
	}{
		{`{"throttle":1}`, 429, "TooManyRequests"},
		{`{"unavailable":1}`, 503, "ServiceUnavailable"},
		{`{"drop":1}`, 0, nil},
		{`{"false_404":1}`, 404, "BucketNotFound"},
		{`{"clock_skew":"6m"}`, 401, "NotAuthenticated"},
		{`{"clock_skew":"-4m"}`, 200, nil},
		{`{"disk_full":true}`, 500, "InternalServerError"},
		{`{"latency":"1ms"}`, 200, nil},
		{`{}`, 200, nil},
	} {
		if status := faults(t, s, c.fault); status != 200 {
			t.Fatalf("%s: status %d", c.fault, status)
		}
		if status, code := send("PUT", "text"); status != c.want || code != c.code {
			t.Errorf("%s: %d %v; want %d %v", c.fault, status, code, c.want, c.code)
		}
	}
	// A lost answer: it was done all the same.
	faults(t, s, `{"lose_answer":1}`)
	if status, _ := send("DELETE", ""); status != 0 {
		t.Errorf("an answer came: %d", status)
	}
	faults(t, s, `{}`)
	if status, _ := send("GET", ""); status != 404 {
		t.Errorf("what was lost was not done: %d", status)
	}
	for _, bad := range []string{`{"throttle":2}`, `{"latency":"soon"}`, `{"latenzy":"1s"}`, `{"drop":-1}`, `[]`, ``, `{} {}`} {
		if status := faults(t, s, bad); status != 400 {
			t.Errorf("%q: status %d; want 400", bad, status)
		}
	}
}

func TestParseFault(t *testing.T) {
	var f localoci.Faults
	for _, text := range []string{"latency=200ms", "throttle=0.5", "disk_full", "event_duplicate=1"} {
		if err := localoci.ParseFault(text, &f); err != nil {
			t.Fatal(err)
		}
	}
	if want := (localoci.Faults{Latency: localoci.Duration(200 * time.Millisecond), Throttle: 0.5, DiskFull: true, EventDuplicate: 1}); f != want {
		t.Errorf("faults %+v; want %+v", f, want)
	}
	for _, text := range []string{"speed=1", "latency=1", "throttle=x", "throttle=7", ""} {
		if err := localoci.ParseFault(text, &f); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestEventFaults(t *testing.T) {
	e := &events{tries: map[string]int{}, arrived: make(chan map[string]any, 10)}
	s := open(t, t.TempDir(), e.invoke)
	defer s.Close()
	p := personOf(t, s)
	put := func(name string) { t.Helper(); p.send(t, "PUT", object(s, "packages", name), "1", nil) }
	if err := s.SetFaults(localoci.Faults{EventLose: 1}); err != nil {
		t.Fatal(err)
	}
	put("lost")
	for end := time.Now().Add(5 * time.Second); pending(t, s) > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if err := s.SetFaults(localoci.Faults{EventDuplicate: 1, EventReorder: localoci.Duration(5 * time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	put("twice")
	for range 2 {
		if name := e.next(t)["data"].(map[string]any)["resourceName"]; name != "twice" {
			t.Errorf("an event of %v", name)
		}
	}
}

// pending counts the events that wait to be delivered.
func pending(t *testing.T, s *localoci.Server) int {
	t.Helper()
	n, err := s.PendingEvents()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFullDiskLosesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	defer s.Close()
	p := personOf(t, s)
	p.send(t, "PUT", object(s, "packages", "x"), "old", nil)
	before := blobs(t, dir)
	if err := s.SetFaults(localoci.Faults{DiskFull: true}); err != nil {
		t.Fatal(err)
	}
	if resp, _ := p.send(t, "PUT", object(s, "packages", "x"), "new", nil); resp.StatusCode != 500 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if diff := cmp.Diff(before, blobs(t, dir)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "blobs", filepath.Base(before[0]))); err != nil || string(text) != "old" {
		t.Errorf("the object is %q, %v", text, err)
	}
}
