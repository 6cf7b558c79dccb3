package oci

import (
	"context"
	"net/http"

	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/store"
)

// maxSkipped bounds how many pages of one object's versions are passed over on the way to a
// position among them.
const maxSkipped = 20

// ListVersions returns one page of versions. The service's own page tokens are not handed
// out: how long they hold is not documented, and a position is kept for hours.
func (b *Bucket) ListVersions(ctx context.Context, opts store.VersionOptions) (store.VersionPage, error) {
	request := objectstorage.ListObjectVersionsRequest{
		BucketName: &b.name, Prefix: optional(opts.Prefix), Start: optional(opts.From.Name), Limit: optional(opts.Limit),
		// The SDK takes one field alone. Names, ids, times and marks are always there.
		Fields: objectstorage.ListObjectVersionsFieldsEtag,
	}
	from := opts.From
	if from.VersionID != "" {
		request.Limit = nil // what is passed over does not count
	}
	for pages := 1; ; pages++ {
		answer, err := b.versions(ctx, request)
		switch status, _ := serviceAnswer(err); {
		case status == http.StatusBadRequest, status == http.StatusConflict, status == http.StatusMethodNotAllowed:
			// What is answered for a bucket that never kept versions is not documented.
			return store.ListOnly(ctx, b, opts)
		case err != nil:
			return store.VersionPage{}, b.fail("list versions", "", err)
		}
		rest, found := beyond(answer.Items, from)
		if found {
			from = store.Position{}
		}
		switch {
		case len(rest) > 0 || answer.OpcNextPage == nil:
			return versionPage(rest, opts.Limit, answer.OpcNextPage != nil), nil
		case !found && pages >= maxSkipped: // the rest of the object is beyond the bound
			from = store.Position{}
			request.Start, request.StartAfter, request.Page = nil, &opts.From.Name, nil
		default:
			request.Page = answer.OpcNextPage
		}
	}
}

func (b *Bucket) versions(
	ctx context.Context, request objectstorage.ListObjectVersionsRequest,
) (answer objectstorage.ListObjectVersionsResponse, err error) {
	_, err = b.run(ctx, "list", "", func(ctx context.Context, api *storageClient, ns *string) (err error) {
		request.NamespaceName = ns
		answer, err = api.ListObjectVersions(ctx, request)
		return err
	})
	return answer, err
}

// beyond is what comes after a position; found is false where that lies on a later page. A
// version that is gone is after all that its object has.
func beyond(
	items []objectstorage.ObjectVersionSummary, from store.Position,
) (rest []objectstorage.ObjectVersionSummary, found bool) {
	if from.VersionID == "" {
		return items, true
	}
	for i, v := range items {
		switch {
		case value(v.Name) != from.Name:
			return items[i:], true
		case value(v.VersionId) == from.VersionID:
			return items[i+1:], true
		}
	}
	return nil, false
}

// versionPage makes a page of at most limit items; more says that others follow them.
func versionPage(items []objectstorage.ObjectVersionSummary, limit int, more bool) store.VersionPage {
	if limit > 0 && len(items) > limit {
		items, more = items[:limit], true
	}
	var page store.VersionPage
	for _, v := range items {
		page.Versions = append(page.Versions, store.Version{
			Info: store.Info{
				Name: value(v.Name), VersionID: value(v.VersionId), ETag: value(v.Etag), Size: value(v.Size),
				Created: timeOf(v.TimeModified),
			},
			Deleted: value(v.IsDeleteMarker),
		})
	}
	if more {
		last := page.Versions[len(page.Versions)-1]
		page.Next = store.Position{Name: last.Name, VersionID: last.VersionID}
	}
	return page
}

// optional leaves out what is empty.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
