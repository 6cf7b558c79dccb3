package store_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cemli-executor/internal/store"
	"cemli-executor/internal/store/storetest"
)

func folder(t *testing.T, dir string) *store.Folder {
	t.Helper()
	b, err := store.OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFolder(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) store.Bucket { return folder(t, t.TempDir()) })
}

func TestOpenFolderNeedsAFolder(t *testing.T) {
	t.Parallel()
	if _, err := store.OpenFolder(filepath.Join(t.TempDir(), "none")); !errors.Is(err, store.ErrNoBucket) {
		t.Errorf("error %v", err)
	}
}

func TestObjectsArePlainFilesThatSurvive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	made, err := folder(t, dir).Put(t.Context(), "runs/1/result.json", strings.NewReader("{}"), 2,
		store.PutOptions{Metadata: map[string]string{"a": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "runs", "1", "result.json")); err != nil || string(text) != "{}" {
		t.Errorf("the file has %q, %v", text, err)
	}
	again, err := folder(t, dir).Head(t.Context(), "runs/1/result.json")
	if err != nil || again.ETag != made.ETag || again.Metadata["a"] != "b" {
		t.Errorf("after a restart: %+v, %v", again, err)
	}
}

// A file that people put into the folder, or change there, is an object with a new ETag, so that no condition on an
// older version holds.
func TestFilesPutByHandAreObjects(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := folder(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "hand.zip"), []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := b.Head(t.Context(), "hand.zip")
	if err != nil || first.ETag == "" || first.MD5 == "" {
		t.Fatalf("%+v, %v", first, err)
	}
	stored, err := b.Put(t.Context(), "hand.zip", strings.NewReader("2"), 1, store.PutOptions{IfMatch: first.ETag})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hand.zip"), []byte("3"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = b.Put(t.Context(), "hand.zip", strings.NewReader("4"), 1, store.PutOptions{IfMatch: stored.ETag})
	if !errors.Is(err, store.ErrChanged) {
		t.Errorf("a file edited by hand was overwritten: %v", err)
	}
}

// A crash can come after the file is in place and before its description is written.
func TestCrashBetweenFileAndDescription(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := folder(t, dir)
	old, err := b.Put(t.Context(), "x", strings.NewReader("old"), 3, store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	descriptions, err := filepath.Glob(filepath.Join(dir, ".cemli-store", "objects", "*.json"))
	if err != nil || len(descriptions) != 1 {
		t.Fatalf("descriptions %v, %v", descriptions, err)
	}
	description := descriptions[0]
	saved, err := os.ReadFile(description)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "x", strings.NewReader("new"), 3, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(description, saved, 0o600); err != nil {
		t.Fatal(err)
	}
	body, info, err := b.Get(t.Context(), "x", store.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if text, _ := io.ReadAll(body); string(text) != "new" || info.ETag == old.ETag {
		t.Errorf("got %q under ETag %q; the old one was %q", text, info.ETag, old.ETag)
	}
}

func TestLinksAreNotFollowedOut(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Skip("no links here: " + err.Error())
	}
	if _, _, err := folder(t, dir).Get(t.Context(), "link", store.GetOptions{}); err == nil {
		t.Error("a link out of the folder was read")
	}
}

func TestReservedAndUnrepresentableNames(t *testing.T) {
	t.Parallel()
	b := folder(t, t.TempDir())
	if _, err := b.Put(t.Context(), "a", strings.NewReader("x"), 1, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".cemli-store/lock", "a/b", strings.Repeat("x", 256), `back\slash`} {
		_, err := b.Put(t.Context(), name, strings.NewReader("x"), 1, store.PutOptions{})
		if !errors.Is(err, store.ErrName) {
			t.Errorf("put %.30q: %v; want store.ErrName", name, err)
		}
	}
}

// A file whose name no object can have is not an object, and does not affect others.
func TestFilesThatCannotBeObjectsAreNotListed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"a", "with\nnewline", "\xff", `back\slash`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Skip("no such names here: " + err.Error())
		}
	}
	page, err := folder(t, dir).List(t.Context(), store.ListOptions{})
	if err != nil || len(page.Objects) != 1 || page.Objects[0].Name != "a" {
		t.Errorf("%+v, %v; want the object a", page, err)
	}
}

// Names that look like those of descriptions are ordinary names.
func TestNamesLikeDescriptions(t *testing.T) {
	t.Parallel()
	b := folder(t, t.TempDir())
	for _, name := range []string{"a", "a.json/a", "b.json", "b/c", strings.Repeat("x", 255)} {
		made, err := b.Put(t.Context(), name, strings.NewReader("x"), 1, store.PutOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := b.Head(t.Context(), name); err != nil || again.ETag != made.ETag {
			t.Errorf("%.20s: %+v, %v; want ETag %s", name, again, err, made.ETag)
		}
	}
}
