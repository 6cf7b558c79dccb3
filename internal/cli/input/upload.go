package input

import (
	"context"
	"fmt"
	"io"

	"cemli-executor/internal/store"
)

// Upload puts the package at path, a folder or a zip, into a bucket, with metadata of the object.
// written is what the command writes, which is no part of a folder.
func Upload(
	ctx context.Context, to store.Bucket, path string, metadata map[string]string, written ...string,
) (store.Info, error) {
	zip, name, err := OpenPackage(path, written...)
	if err != nil {
		return store.Info{}, err
	}
	defer zip.Close()
	size, err := zip.Seek(0, io.SeekEnd)
	if err != nil {
		return store.Info{}, fmt.Errorf("read %s: %w", path, err)
	}
	if _, err := zip.Seek(0, io.SeekStart); err != nil {
		return store.Info{}, fmt.Errorf("read %s: %w", path, err)
	}
	return to.Put(ctx, name, zip, size, store.PutOptions{ContentType: "application/zip", Metadata: metadata})
}
