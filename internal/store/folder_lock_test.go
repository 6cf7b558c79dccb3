package store

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// byHand opens a folder in which somebody has put a file, which has to be hashed; reading calls meanwhile first.
func byHand(t *testing.T, meanwhile func(f *Folder)) (f *Folder, path string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "hand.zip")
	if err := os.WriteFile(path, []byte("1"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	f.copy = func(dst io.Writer, src io.Reader) (int64, error) {
		meanwhile(f)
		return io.Copy(dst, src)
	}
	return f, path
}

// Others can write while a file is hashed or a body arrives.
func TestNobodyWaitsForContents(t *testing.T) {
	t.Parallel()
	for name, do := range map[string]func(context.Context, *Folder) error{
		"head": func(ctx context.Context, f *Folder) error {
			_, err := f.Head(ctx, "hand.zip")
			return err
		},
		"list": func(ctx context.Context, f *Folder) error {
			_, err := f.List(ctx, ListOptions{})
			return err
		},
		"put": func(ctx context.Context, f *Folder) error {
			_, err := f.Put(ctx, "hand.zip", strings.NewReader("2"), 1, PutOptions{IfNoneMatch: true})
			if errors.Is(err, ErrExists) {
				err = nil
			}
			return err
		},
		"delete": func(ctx context.Context, f *Folder) error { return f.Delete(ctx, "hand.zip", "") },
	} {
		t.Run(name, func(t *testing.T) {
			read := 0
			f, _ := byHand(t, func(f *Folder) {
				read++
				if len(f.turn) > 0 || f.lock.Locked() {
					t.Error("the lock is held while contents are read")
				}
			})
			if err := do(t.Context(), f); err != nil || read == 0 {
				t.Errorf("error %v; contents were read %d times", err, read)
			}
		})
	}
}

// A write depends on the object at that time, not on the one that was hashed before the lock was taken.
func TestAFileThatChangesWhileItIsHashed(t *testing.T) {
	t.Parallel()
	var path, changed string
	f, path := byHand(t, func(*Folder) {
		if changed == "" {
			return
		}
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Error(err)
		}
		changed = ""
	})
	first, err := f.Head(t.Context(), "hand.zip")
	if err != nil {
		t.Fatal(err)
	}
	changed = "22"
	if err := f.Delete(t.Context(), "hand.zip", first.ETag); !errors.Is(err, ErrChanged) {
		t.Errorf("a file was deleted that had changed: %v", err)
	}
	second, err := f.Head(t.Context(), "hand.zip")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Delete(t.Context(), "hand.zip", second.ETag); err != nil {
		t.Errorf("as it is now: %v", err)
	}
}

// A caller whose time has ended waits neither for contents nor for another writer.
func TestAFolderHonoursItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f, _ := byHand(t, func(*Folder) { cancel() })
	if _, err := f.Head(ctx, "hand.zip"); !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("hashed: %v", err)
	}

	ctx, cancel = context.WithCancel(t.Context())
	f.copy = io.Copy
	body := struct {
		io.Reader
		io.Seeker
	}{io.MultiReader(iotest.OneByteReader(strings.NewReader("te")), reading(cancel), strings.NewReader("xt")), nil}
	_, err := f.Put(ctx, "x", body, 4, PutOptions{})
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}

	f.turn <- struct{}{} // another writer, for ever
	defer func() { <-f.turn }()
	err = f.locked(ctx, func() error { return nil })
	if !errors.Is(err, ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for another writer: %v", err)
	}
}

// reading calls a function when it is read, and is at its end.
type reading func()

func (r reading) Read([]byte) (int, error) {
	r()
	return 0, io.EOF
}

// A listing that fails half way is an error, and not a short listing.
func TestAListingThatIsCancelled(t *testing.T) {
	t.Parallel()
	f, _ := byHand(t, func(*Folder) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if names, err := f.names(ctx, ListOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v; want that it was cancelled", names, err)
	}
}
