package objectstorage_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
)

func TestBucketsWithTheSDK(t *testing.T) {
	t.Parallel()
	s, ctx := localtest.Start(t), t.Context()
	c := localtest.Client(t, s)
	name, err := c.GetNamespace(ctx, objectstorage.GetNamespaceRequest{OpcClientRequestId: common.String("mine")})
	if err != nil || *name.Value != localoci.Namespace ||
		name.RawResponse.Header.Get("Opc-Client-Request-Id") != "mine" ||
		name.RawResponse.Header.Get("Opc-Request-Id") == "" {
		t.Fatalf("namespace %+v, %v", name, err)
	}
	made, err := c.CreateBucket(ctx,
		objectstorage.CreateBucketRequest{
			NamespaceName: localtest.NS,
			CreateBucketDetails: objectstorage.CreateBucketDetails{
				Name: common.String("new"), CompartmentId: common.String(localoci.Compartment),
			},
		})
	if err != nil || *made.ObjectEventsEnabled || *made.ETag == "" ||
		made.PublicAccessType != objectstorage.BucketPublicAccessTypeNopublicaccess {
		t.Fatalf("made %+v, %v", made.Bucket, err)
	}
	update := objectstorage.UpdateBucketRequest{
		NamespaceName: localtest.NS, BucketName: made.Name, IfMatch: made.ETag,
		UpdateBucketDetails: objectstorage.UpdateBucketDetails{ObjectEventsEnabled: common.Bool(true)},
	}
	if _, err := c.UpdateBucket(ctx, update); err != nil {
		t.Fatal(err)
	}
	if _, err := c.UpdateBucket(ctx, update); localtest.Refusal(err) != "IfMatchFailed" {
		t.Errorf("a second update of the same version: %v", err)
	}
	got, err := c.GetBucket(ctx, objectstorage.GetBucketRequest{NamespaceName: localtest.NS, BucketName: made.Name})
	if err != nil || !*got.ObjectEventsEnabled || *got.Id != *made.Id || *got.ETag == *made.ETag {
		t.Errorf("got %+v, %v", got.Bucket, err)
	}
	head, err := c.HeadBucket(ctx, objectstorage.HeadBucketRequest{NamespaceName: localtest.NS, BucketName: made.Name})
	if err != nil || *head.ETag != *got.ETag {
		t.Errorf("head %+v, %v", head, err)
	}
	list, err := c.ListBuckets(ctx,
		objectstorage.ListBucketsRequest{
			NamespaceName: localtest.NS, CompartmentId: common.String(localoci.Compartment),
		})
	var names []string
	for _, b := range list.Items {
		names = append(names, *b.Name)
	}
	if diff := cmp.Diff([]string{"new", "packages", "results", "state"}, names); err != nil || diff != "" {
		t.Errorf("%v, buckets (-want +got):\n%s", err, diff)
	}
	if _, err := c.DeleteBucket(ctx,
		objectstorage.DeleteBucketRequest{
			NamespaceName: localtest.NS, BucketName: made.Name, IfMatch: made.ETag,
		}); localtest.Refusal(err) != "IfMatchFailed" {
		t.Errorf("delete of an older version: %v", err)
	}
	_, err = c.DeleteBucket(ctx, objectstorage.DeleteBucketRequest{NamespaceName: localtest.NS, BucketName: made.Name})
	if err != nil {
		t.Error(err)
	}
}

func TestRetentionWithTheSDK(t *testing.T) {
	t.Parallel()
	s, ctx := localtest.Start(t), t.Context()
	c := localtest.Client(t, s)
	localtest.Put(t, c, "results", "r", "1")
	days := objectstorage.Duration{TimeAmount: common.Int64(7), TimeUnit: objectstorage.DurationTimeUnitDays}
	rule, err := c.CreateRetentionRule(ctx,
		objectstorage.CreateRetentionRuleRequest{
			NamespaceName: localtest.NS, BucketName: common.String("results"),
			CreateRetentionRuleDetails: objectstorage.CreateRetentionRuleDetails{
				DisplayName: common.String("keep"), Duration: &days,
			},
		})
	if err != nil {
		t.Fatal(err)
	}
	overwrite := func() error {
		_, err := c.PutObject(ctx,
			objectstorage.PutObjectRequest{
				NamespaceName: localtest.NS, BucketName: common.String("results"), ObjectName: common.String("r"),
				ContentLength: common.Int64(1), PutObjectBody: io.NopCloser(strings.NewReader("2")),
			})
		return err
	}
	remove := func() error {
		_, err := c.DeleteObject(ctx,
			objectstorage.DeleteObjectRequest{
				NamespaceName: localtest.NS, BucketName: common.String("results"), ObjectName: common.String("r"),
			})
		return err
	}
	for name, err := range map[string]error{"overwrite": overwrite(), "delete": remove()} {
		if localtest.Refusal(err) != "ObjectRetained" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if localtest.Get(t, c, "results", "r", "") != "1" {
		t.Error("the object was changed")
	}
	localtest.Put(t, c, "results", "new", "1")
	if _, err := c.UpdateBucket(ctx,
		objectstorage.UpdateBucketRequest{
			NamespaceName: localtest.NS, BucketName: common.String("results"),
			UpdateBucketDetails: objectstorage.UpdateBucketDetails{
				Versioning: objectstorage.UpdateBucketDetailsVersioningEnabled,
			},
		}); localtest.Refusal(err) != "InvalidBucketState" {
		t.Errorf("versioning beside retention: %v", err)
	}
	if _, err := c.CreateRetentionRule(ctx,
		objectstorage.CreateRetentionRuleRequest{
			NamespaceName: localtest.NS, BucketName: common.String("results"),
			CreateRetentionRuleDetails: objectstorage.CreateRetentionRuleDetails{
				Duration: &days, TimeRuleLocked: &common.SDKTime{Time: time.Now().Add(time.Hour)},
			},
		}); localtest.Refusal(err) != "InvalidParameter" {
		t.Errorf("a lock within 14 days: %v", err)
	}
	listed, err := c.ListRetentionRules(ctx,
		objectstorage.ListRetentionRulesRequest{NamespaceName: localtest.NS, BucketName: common.String("results")})
	if err != nil || len(listed.Items) != 1 || *listed.Items[0].DisplayName != "keep" {
		t.Errorf("rules %+v, %v", listed.Items, err)
	}
	if _, err := c.DeleteRetentionRule(ctx,
		objectstorage.DeleteRetentionRuleRequest{
			NamespaceName: localtest.NS, BucketName: common.String("results"), RetentionRuleId: rule.Id,
		}); err != nil {
		t.Fatal(err)
	}
	if err := overwrite(); err != nil {
		t.Errorf("without the rule: %v", err)
	}
}

func TestBuckets(t *testing.T) {
	t.Parallel()
	s := localtest.Start(t)
	p := localtest.PersonOf(t, s)
	base := s.Endpoint() + "/n/localns/b"
	for _, c := range []struct {
		method, url, body string
		status            int
		code              string
	}{
		{"POST", base, `{"name":"new","compartmentId":"c"}`, 200, ""},
		{"POST", base, `{"name":"new","compartmentId":"c"}`, 409, "BucketAlreadyExists"},
		{"POST", base, `{"name":"bad name","compartmentId":"c"}`, 400, "InvalidBucketName"},
		{"POST", base, `{`, 400, "InvalidJson"},
		{"GET", base + "/new", "", 200, ""},
		{"GET", base + "/none", "", 404, "BucketNotFound"},
		{"GET", s.Endpoint() + "/n/other/b/new", "", 404, "NamespaceNotFound"},
		{"POST", base + "/new", `{"objectEventsEnabled":true}`, 200, ""},
		{"PUT", base + "/new/o/x", "x", 200, ""},
		{"DELETE", base + "/new", "", 409, "BucketNotEmpty"},
		{"DELETE", base + "/new/o/x", "", 204, ""},
		{"DELETE", base + "/new/o/x", "", 404, "ObjectNotFound"},
		{"DELETE", base + "/new", "", 204, ""},
		{"PATCH", base + "/packages", "{}", 404, "NotAuthorizedOrNotFound"},
		{"GET", s.Endpoint() + "/other", "", 404, "NotAuthorizedOrNotFound"},
	} {
		resp, doc := p.Send(t, c.method, c.url, c.body, nil)
		if code, _ := doc["code"].(string); resp.StatusCode != c.status || code != c.code {
			t.Errorf("%s %s: status %d %v; want %d %s", c.method, c.url, resp.StatusCode, doc, c.status, c.code)
		}
	}
}
