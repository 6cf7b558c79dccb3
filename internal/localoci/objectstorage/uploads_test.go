package objectstorage_test

import (
	"io"
	"strings"
	"testing"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
)

func TestMultipartWithTheSDK(t *testing.T) {
	t.Parallel()
	s, ctx := localtest.Start(t), t.Context()
	c := localtest.Client(t, s)
	made, err := c.CreateMultipartUpload(ctx,
		objectstorage.CreateMultipartUploadRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages,
			CreateMultipartUploadDetails: objectstorage.CreateMultipartUploadDetails{
				Object: common.String("big one.zip"), ContentType: common.String("application/zip"),
				Metadata: map[string]string{"opc-meta-cemli-reason": "large"},
			},
		})
	if err != nil {
		t.Fatal(err)
	}
	part := func(number int, text string) objectstorage.CommitMultipartUploadPartDetails {
		t.Helper()
		r, err := c.UploadPart(ctx,
			objectstorage.UploadPartRequest{
				NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: made.Object,
				UploadId: made.UploadId, UploadPartNum: &number, ContentLength: common.Int64(int64(len(text))),
				UploadPartBody: io.NopCloser(strings.NewReader(text)),
			})
		if err != nil {
			t.Fatal(err)
		}
		return objectstorage.CommitMultipartUploadPartDetails{PartNum: &number, Etag: r.ETag}
	}
	second, old := part(2, "world"), part(1, "goodbye ")
	first, third := part(1, "hello "), part(3, "!")
	listed, err := c.ListMultipartUploadParts(ctx,
		objectstorage.ListMultipartUploadPartsRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: made.Object,
			UploadId: made.UploadId,
		})
	if err != nil || len(listed.Items) != 3 || *listed.Items[0].PartNumber != 1 || *listed.Items[0].Size != 6 {
		t.Errorf("parts %+v, %v", listed.Items, err)
	}
	uploads, err := c.ListMultipartUploads(ctx,
		objectstorage.ListMultipartUploadsRequest{NamespaceName: localtest.NS, BucketName: localtest.Packages})
	if err != nil || len(uploads.Items) != 1 || *uploads.Items[0].Object != "big one.zip" {
		t.Errorf("uploads %+v, %v", uploads.Items, err)
	}
	commit := func(exclude []int, parts ...objectstorage.CommitMultipartUploadPartDetails) error {
		_, err := c.CommitMultipartUpload(ctx,
			objectstorage.CommitMultipartUploadRequest{
				NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: made.Object,
				UploadId: made.UploadId,
				CommitMultipartUploadDetails: objectstorage.CommitMultipartUploadDetails{
					PartsToCommit: parts, PartsToExclude: exclude,
				},
			})
		return err
	}
	for name, err := range map[string]error{
		"a part that was replaced": commit(nil, old, second, third), "a part left out": commit(nil, first, second),
		"a part twice": commit(nil, first, first, second, third),
	} {
		if localtest.Refusal(err) != "InvalidUploadPart" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := commit([]int{3}, second, first); err != nil {
		t.Fatal(err)
	}
	if text := localtest.Get(t, c, "packages", "big one.zip", ""); text != "hello world" {
		t.Errorf("the object is %q", text)
	}
	head, err := c.HeadObject(ctx,
		objectstorage.HeadObjectRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: made.Object,
		})
	if err != nil || head.OpcMultipartMd5 == nil || !strings.HasSuffix(*head.OpcMultipartMd5, "-2") ||
		*head.ContentType != "application/zip" || head.OpcMeta["cemli-reason"] != "large" {
		t.Errorf("head %+v, %v", head, err)
	}
	if err := commit(nil, first); localtest.Refusal(err) != "NoSuchUpload" {
		t.Errorf("a second commit: %v", err)
	}
}

func TestAbortedUploadsLeaveNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := localtest.Open(t, dir, nil)
	defer s.Close()
	c := localtest.Client(t, s)
	before := len(localtest.Blobs(t, dir))
	made, err := c.CreateMultipartUpload(t.Context(),
		objectstorage.CreateMultipartUploadRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages,
			CreateMultipartUploadDetails: objectstorage.CreateMultipartUploadDetails{Object: common.String("x")},
		})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.UploadPart(t.Context(),
		objectstorage.UploadPartRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: common.String("x"),
			UploadId: made.UploadId, UploadPartNum: common.Int(1), ContentLength: common.Int64(1),
			UploadPartBody: io.NopCloser(strings.NewReader("x")),
		}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteBucket(t.Context(),
		objectstorage.DeleteBucketRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages,
		}); localtest.Refusal(err) != "BucketNotEmpty" {
		t.Errorf("a bucket with an upload was deleted: %v", err)
	}
	if _, err := c.AbortMultipartUpload(t.Context(),
		objectstorage.AbortMultipartUploadRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, ObjectName: common.String("x"),
			UploadId: made.UploadId,
		}); err != nil {
		t.Fatal(err)
	}
	if after := len(localtest.Blobs(t, dir)); after != before {
		t.Errorf("%d files; want %d", after, before)
	}
}

func TestCopyRenameAndBatchDeleteWithTheSDK(t *testing.T) {
	t.Parallel()
	s, ctx := localtest.Start(t), t.Context()
	c := localtest.Client(t, s)
	etag := localtest.Put(t, c, "packages", "a", "text")
	details := objectstorage.CopyObjectDetails{
		SourceObjectName: common.String("a"), DestinationBucket: common.String("state"),
		DestinationNamespace: localtest.NS, DestinationRegion: common.String(localoci.Region),
		DestinationObjectName: common.String("b/c"), SourceObjectIfMatchETag: &etag,
		DestinationObjectIfNoneMatchETag: common.String("*"),
	}
	copied, err := c.CopyObject(ctx,
		objectstorage.CopyObjectRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, CopyObjectDetails: details,
		})
	if err != nil {
		t.Fatal(err)
	}
	work, err := c.GetWorkRequest(ctx, objectstorage.GetWorkRequestRequest{WorkRequestId: copied.OpcWorkRequestId})
	if err != nil || work.Status != objectstorage.WorkRequestStatusCompleted || *work.PercentComplete != 100 {
		t.Errorf("work request %+v, %v", work.WorkRequest, err)
	}
	if text := localtest.Get(t, c, "state", "b/c", ""); text != "text" {
		t.Errorf("the copy is %q", text)
	}
	if _, err := c.CopyObject(ctx,
		objectstorage.CopyObjectRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, CopyObjectDetails: details,
		}); localtest.Refusal(err) != "IfNoneMatchFailed" {
		t.Errorf("a second copy: %v", err)
	}
	details.SourceObjectIfMatchETag, details.DestinationObjectIfNoneMatchETag = common.String("old"), nil
	if _, err := c.CopyObject(ctx,
		objectstorage.CopyObjectRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages, CopyObjectDetails: details,
		}); localtest.Refusal(err) != "IfMatchFailed" {
		t.Errorf("a copy of another version: %v", err)
	}
	rename := func(from, to string) error {
		_, err := c.RenameObject(ctx,
			objectstorage.RenameObjectRequest{
				NamespaceName: localtest.NS, BucketName: localtest.Packages,
				RenameObjectDetails: objectstorage.RenameObjectDetails{SourceName: &from, NewName: &to},
			})
		return err
	}
	if err := rename("a", "d"); err != nil {
		t.Fatal(err)
	}
	if localtest.Get(t, c, "packages", "a", "") != "none" || localtest.Get(t, c, "packages", "d", "") != "text" {
		t.Error("the object has not its new name only")
	}
	if err := rename("a", "e"); localtest.Refusal(err) != "ObjectNotFound" {
		t.Errorf("rename of nothing: %v", err)
	}
	localtest.Put(t, c, "packages", "f", "1")
	deleted, err := c.BatchDeleteObjects(ctx,
		objectstorage.BatchDeleteObjectsRequest{
			NamespaceName: localtest.NS, BucketName: localtest.Packages,
			BatchDeleteObjectsDetails: objectstorage.BatchDeleteObjectsDetails{
				Objects: []objectstorage.BatchDeleteObjectIdentifier{
					{ObjectName: common.String("d")},
					{ObjectName: common.String("f"), IfMatch: common.String("other")},
					{ObjectName: common.String("none")},
				},
			},
		})
	if err != nil || len(deleted.Deleted) != 1 || *deleted.Deleted[0].ObjectName != "d" || len(deleted.Failed) != 2 ||
		localtest.Get(t, c, "packages", "f", "") != "1" {
		t.Errorf("deleted %+v, %v", deleted.BatchDeleteObjectsResult, err)
	}
}
