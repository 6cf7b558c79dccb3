package oci

import (
	"context"
	"net/http"

	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/store"
)

// maxSkipped bounds how many pages of one object's versions are skipped to find a position among them.
const maxSkipped = 20

// ListVersions returns one page of versions. It does not use the service's page tokens as positions: positions are
// kept for hours, and how long tokens are valid is not documented.
func (b *Bucket) ListVersions(ctx context.Context, opts store.VersionOptions) (store.VersionPage, error) {
	request := objectstorage.ListObjectVersionsRequest{
		BucketName: &b.name, Prefix: optional(opts.Prefix), Start: optional(opts.From.Name),
		Limit: optional(opts.Limit),
		// The SDK accepts one field only. Names, ids, times and deletion marks are always included.
		Fields: objectstorage.ListObjectVersionsFieldsEtag,
	}
	from := opts.From
	if from.VersionID != "" {
		request.Limit = nil // what is skipped does not count
	}
	for pages := 1; ; pages++ {
		answer, err := b.versions(ctx, request)
		switch status, _ := serviceAnswer(err); {
		case status == http.StatusBadRequest, status == http.StatusConflict, status == http.StatusMethodNotAllowed:
			// What OCI answers for a bucket that never kept versions is not documented.
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

// beyond returns the items after a position; found is false if the position is on a later page. The position of a
// version that no longer exists counts as after all versions of its object.
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

// versionPage makes a page of at most limit items; more says that other pages follow.
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

// optional is nil for an empty value.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
