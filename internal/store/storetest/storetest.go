// Package storetest is the suite that every implementation of store.Bucket passes: the
// promises of package store, one test each.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// Run runs the suite. Make returns an empty bucket of its own for each test.
func Run(t *testing.T, make func(t *testing.T) store.Bucket) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Bucket)
	}{
		{"round trip", roundTrip},
		{"metadata", metadata},
		{"names", names},
		{"bad names", badNames},
		{"missing objects", missing},
		{"ranges", ranges},
		{"empty object", emptyObject},
		{"empty buffer", emptyBuffer},
		{"overwrite changes the ETag", overwrite},
		{"create only", createOnly},
		{"create only, many at once", createOnlyRace},
		{"compare and swap", compareAndSwap},
		{"compare and swap, many at once", counter},
		{"read one version", readVersion},
		{"an ETag names one content, also while others write", stableETags},
		{"delete", deletes},
		{"list", lists},
		{"list versions", listsVersions},
		{"large object", large},
		{"body from its position", position},
		{"body too short", shortBody},
		{"cancelled", cancelled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, make(t)) })
	}
}

func put(t *testing.T, b store.Bucket, name, text string, opts store.PutOptions) store.Info {
	t.Helper()
	info, err := b.Put(t.Context(), name, strings.NewReader(text), int64(len(text)), opts)
	if err != nil {
		t.Fatalf("put %s: %v", name, err)
	}
	return info
}

func get(t *testing.T, b store.Bucket, name string, opts store.GetOptions) (string, store.Info) {
	t.Helper()
	body, info, err := b.Get(t.Context(), name, opts)
	if err != nil {
		t.Fatalf("get %s: %v", name, err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatalf("read %s: %v", name, err)
	}
	return string(text), info
}

// wants checks that err is of a kind, with the kind's code.
func wants(t *testing.T, what string, err, kind error) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("%s: error %v; want %v", what, err, kind)
	} else if problem.Family(problem.CodeOf(err)) != "store" {
		t.Errorf("%s: error without a store code: %v", what, err)
	}
}

func roundTrip(t *testing.T, b store.Bucket) {
	before := time.Now().Add(-time.Minute)
	made := put(t, b, "a/b.txt", "hello", store.PutOptions{ContentType: "text/plain"})
	text, info := get(t, b, "a/b.txt", store.GetOptions{})
	if text != "hello" || info.Size != 5 || info.Name != "a/b.txt" {
		t.Errorf("got %q, %+v", text, info)
	}
	head, err := b.Head(t.Context(), "a/b.txt")
	if err != nil {
		t.Fatal(err)
	}
	if head.ETag == "" || head.ETag != made.ETag || head.ETag != info.ETag || strings.Contains(head.ETag, `"`) {
		t.Errorf("ETags of put %q, get %q, head %q", made.ETag, info.ETag, head.ETag)
	}
	if want := "XUFAKrxLKna5cZ2REBfFkg=="; head.MD5 != want || made.MD5 != want || info.MD5 != want {
		t.Errorf("MD5 of put %q, get %q, head %q; want %q", made.MD5, info.MD5, head.MD5, want)
	}
	if head.Size != 5 || head.Created.Before(before) || head.Created.After(time.Now().Add(time.Minute)) {
		t.Errorf("head %+v", head)
	}
}

func metadata(t *testing.T, b store.Bucket) {
	want := map[string]string{"cemli-action": "check", "cemli-reason": "with spaces, = and ;"}
	put(t, b, "m", "x", store.PutOptions{Metadata: want})
	head, err := b.Head(t.Context(), "m")
	if err != nil {
		t.Fatal(err)
	}
	_, info := get(t, b, "m", store.GetOptions{})
	for _, got := range []map[string]string{head.Metadata, info.Metadata} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error("metadata (-want +got):\n" + diff)
		}
	}
	put(t, b, "m", "x", store.PutOptions{})
	if head, err = b.Head(t.Context(), "m"); err != nil || len(head.Metadata) != 0 {
		t.Errorf("metadata %v survived an overwrite without (error %v)", head.Metadata, err)
	}
}

// oddNames are names that encodings along the way like to change.
var oddNames = []string{
	"with space", "plus+sign", "percent%2Fescape", "hash#1", "question?x=1", "ümläut/日本.zip", "amp&er=sand",
	"quo'te\"s",
	"deep/" + strings.Repeat("d/", 20) + "leaf", "dot.", ".hidden", "a/..b/c", strings.Repeat("n", 200), "semi;colon",
	"tilde~", "colon:x",
}

func names(t *testing.T, b store.Bucket) {
	for _, name := range oddNames {
		put(t, b, name, "contents of "+name, store.PutOptions{})
	}
	for _, name := range oddNames {
		if text, info := get(t, b, name, store.GetOptions{}); text != "contents of "+name || info.Name != name {
			t.Errorf("%q: got %q of %q", name, text, info.Name)
		}
	}
	page, err := b.List(t.Context(), store.ListOptions{})
	if err != nil || len(page.Objects) != len(oddNames) {
		t.Errorf("list has %d names, error %v; want %d", len(page.Objects), err, len(oddNames))
	}
}

func badNames(t *testing.T, b store.Bucket) {
	for _, name := range []string{
		"", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/./b", "a\x00b", "a\nb", "\xff",
		strings.Repeat("x", 1025),
	} {
		_, err := b.Put(t.Context(), name, strings.NewReader("x"), 1, store.PutOptions{})
		wants(t, fmt.Sprintf("put %.20q", name), err, store.ErrName)
		_, _, err = b.Get(t.Context(), name, store.GetOptions{})
		wants(t, fmt.Sprintf("get %.20q", name), err, store.ErrName)
		_, err = b.Head(t.Context(), name)
		wants(t, fmt.Sprintf("head %.20q", name), err, store.ErrName)
		wants(t, fmt.Sprintf("delete %.20q", name), b.Delete(t.Context(), name, ""), store.ErrName)
	}
}

func missing(t *testing.T, b store.Bucket) {
	_, _, err := b.Get(t.Context(), "none", store.GetOptions{})
	wants(t, "get", err, store.ErrNotFound)
	_, err = b.Head(t.Context(), "none")
	wants(t, "head", err, store.ErrNotFound)
	wants(t, "delete", b.Delete(t.Context(), "none", ""), store.ErrNotFound)
	put(t, b, "a", "x", store.PutOptions{})
	_, err = b.Head(t.Context(), "a/below")
	wants(t, "head below an object", err, store.ErrNotFound)
	_, _, err = b.Get(t.Context(), "a", store.GetOptions{VersionID: "00000000-0000-0000-0000-000000000000"})
	wants(t, "get of an unknown version", err, store.ErrNotFound)
}

func ranges(t *testing.T, b store.Bucket) {
	made := put(t, b, "r", "0123456789", store.PutOptions{})
	for _, c := range []struct {
		offset, length int64
		want           string
	}{{0, 0, "0123456789"}, {3, 0, "3456789"}, {3, 4, "3456"}, {9, 1, "9"}, {8, 100, "89"}, {0, 1, "0"}} {
		text, info := get(t, b, "r", store.GetOptions{Offset: c.offset, Length: c.length})
		if text != c.want || info.Size != 10 || info.ETag != made.ETag {
			t.Errorf("offset %d, length %d: %q of %+v; want %q of 10", c.offset, c.length, text, info, c.want)
		}
	}
	for _, offset := range []int64{10, 11} {
		_, _, err := b.Get(t.Context(), "r", store.GetOptions{Offset: offset})
		wants(t, fmt.Sprintf("offset %d", offset), err, store.ErrRange)
	}
}

func emptyObject(t *testing.T, b store.Bucket) {
	put(t, b, "e", "", store.PutOptions{})
	if text, info := get(t, b, "e", store.GetOptions{}); text != "" || info.Size != 0 {
		t.Errorf("got %q, %+v", text, info)
	}
	if text, info := get(t, b, "e", store.GetOptions{Length: 5}); text != "" || info.Size != 0 {
		t.Errorf("a range of it: %q, %+v", text, info)
	}
}

// A read into an empty buffer reads nothing, as io.Reader says, and what follows loses nothing by it.
func emptyBuffer(t *testing.T, b store.Bucket) {
	put(t, b, "x", "text", store.PutOptions{})
	body, _, err := b.Get(t.Context(), "x", store.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if n, err := body.Read(nil); n != 0 || err != nil {
		t.Errorf("into an empty buffer: %d bytes, %v; want none and no error", n, err)
	}
	if text, err := io.ReadAll(body); err != nil || string(text) != "text" {
		t.Errorf("afterwards: %q, %v", text, err)
	}
}

func overwrite(t *testing.T, b store.Bucket) {
	first := put(t, b, "o", "same", store.PutOptions{})
	second := put(t, b, "o", "same", store.PutOptions{})
	if first.ETag == second.ETag {
		t.Error("two writes of the same bytes have one ETag")
	}
	if text, info := get(t, b, "o", store.GetOptions{}); text != "same" || info.ETag != second.ETag {
		t.Errorf("got %q with %q", text, info.ETag)
	}
}

func createOnly(t *testing.T, b store.Bucket) {
	put(t, b, "c", "first", store.PutOptions{IfNoneMatch: true})
	_, err := b.Put(t.Context(), "c", strings.NewReader("second"), 6, store.PutOptions{IfNoneMatch: true})
	wants(t, "second create", err, store.ErrExists)
	if text, _ := get(t, b, "c", store.GetOptions{}); text != "first" {
		t.Errorf("the object is now %q", text)
	}
}

func createOnlyRace(t *testing.T, b store.Bucket) {
	var won atomic.Int64
	var winner atomic.Value
	each(8, func(i int) {
		text := strconv.Itoa(i)
		_, err := b.Put(t.Context(), "race", strings.NewReader(text), int64(len(text)),
			store.PutOptions{IfNoneMatch: true})
		if err == nil {
			won.Add(1)
			winner.Store(text)
		} else if !errors.Is(err, store.ErrExists) {
			t.Errorf("loser %d: %v", i, err)
		}
	})
	if won.Load() != 1 {
		t.Fatalf("%d creates succeeded; want 1", won.Load())
	}
	if text, _ := get(t, b, "race", store.GetOptions{}); text != winner.Load() {
		t.Errorf("the object is %q; the winner wrote %q", text, winner.Load())
	}
}

func each(n int, f func(int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func compareAndSwap(t *testing.T, b store.Bucket) {
	first := put(t, b, "s", "1", store.PutOptions{})
	second := put(t, b, "s", "2", store.PutOptions{IfMatch: first.ETag})
	_, err := b.Put(t.Context(), "s", strings.NewReader("x"), 1, store.PutOptions{IfMatch: first.ETag})
	wants(t, "swap of an old version", err, store.ErrChanged)
	put(t, b, "s", "3", store.PutOptions{IfMatch: second.ETag})
	_, err = b.Put(t.Context(), "gone", strings.NewReader("x"), 1, store.PutOptions{IfMatch: first.ETag})
	if !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrChanged) {
		t.Errorf("swap of nothing: %v", err)
	}
	if _, err := b.Head(t.Context(), "gone"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a refused swap left an object: %v", err)
	}
}

func counter(t *testing.T, b store.Bucket) {
	put(t, b, "n", "0", store.PutOptions{})
	const workers, rounds = 4, 5
	each(workers, func(int) {
		for done := 0; done < rounds; {
			body, info, err := b.Get(t.Context(), "n", store.GetOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			text, err := io.ReadAll(body)
			_ = body.Close()
			if err != nil {
				t.Error(err)
				return
			}
			n, _ := strconv.Atoi(string(text))
			next := strconv.Itoa(n + 1)
			_, err = b.Put(t.Context(), "n", strings.NewReader(next), int64(len(next)),
				store.PutOptions{IfMatch: info.ETag})
			switch {
			case err == nil:
				done++
			case !errors.Is(err, store.ErrChanged):
				t.Error(err)
				return
			}
		}
	})
	if text, _ := get(t, b, "n", store.GetOptions{}); text != strconv.Itoa(workers*rounds) {
		t.Errorf("counted to %s; want %d", text, workers*rounds)
	}
}

func readVersion(t *testing.T, b store.Bucket) {
	first := put(t, b, "v", "1", store.PutOptions{})
	if text, _ := get(t, b, "v", store.GetOptions{IfMatch: first.ETag}); text != "1" {
		t.Errorf("got %q", text)
	}
	put(t, b, "v", "2", store.PutOptions{})
	_, _, err := b.Get(t.Context(), "v", store.GetOptions{IfMatch: first.ETag})
	wants(t, "get of an old version", err, store.ErrChanged)
	_, _, err = b.Get(t.Context(), "v", store.GetOptions{IfMatch: first.ETag, Offset: 0, Length: 1})
	wants(t, "get of a range of an old version", err, store.ErrChanged)
}

// stableETags reads while others write: each ETag that was read is one that a writer was
// given, and came with that writer's text.
func stableETags(t *testing.T, b store.Bucket) {
	var mu sync.Mutex
	given, seen := map[string]string{}, map[string]string{}
	keep := func(m map[string]string, etag, text string) {
		mu.Lock()
		defer mu.Unlock()
		if other, ok := m[etag]; ok && other != text {
			t.Errorf("ETag %s names %q and %q", etag, other, text)
		}
		m[etag] = text
	}
	keep(given, put(t, b, "v", "0", store.PutOptions{}).ETag, "0")
	each(4, func(worker int) {
		for round := range 30 {
			if worker > 1 {
				text, info := get(t, b, "v", store.GetOptions{})
				keep(seen, info.ETag, text)
				continue
			}
			text := strconv.Itoa(worker*1000 + round)
			keep(given, put(t, b, "v", text, store.PutOptions{}).ETag, text)
		}
	})
	for etag, text := range seen {
		if given[etag] != text {
			t.Errorf("read %q under ETag %s, which was given to %q", text, etag, given[etag])
		}
	}
}

func deletes(t *testing.T, b store.Bucket) {
	first := put(t, b, "d/x", "1", store.PutOptions{})
	put(t, b, "d/x", "2", store.PutOptions{})
	wants(t, "delete of an old version", b.Delete(t.Context(), "d/x", first.ETag), store.ErrChanged)
	if err := b.Delete(t.Context(), "d/x", ""); err != nil {
		t.Fatal(err)
	}
	_, err := b.Head(t.Context(), "d/x")
	wants(t, "head after delete", err, store.ErrNotFound)
	again := put(t, b, "d/x", "3", store.PutOptions{IfNoneMatch: true})
	if err := b.Delete(t.Context(), "d/x", again.ETag); err != nil {
		t.Error(err)
	}
}

func lists(t *testing.T, b store.Bucket) {
	all := []string{"a", "a-b", "a/1", "a/2", "a/b/3", "aa", "b/1", "c"}
	for _, name := range all {
		put(t, b, name+"x", name, store.PutOptions{})
	}
	for _, c := range []struct {
		opts store.ListOptions
		want []string
	}{
		{store.ListOptions{}, []string{"a-bx", "a/1x", "a/2x", "a/b/3x", "aax", "ax", "b/1x", "cx"}},
		{store.ListOptions{Prefix: "a/"}, []string{"a/1x", "a/2x", "a/b/3x"}},
		{store.ListOptions{Prefix: "a"}, []string{"a-bx", "a/1x", "a/2x", "a/b/3x", "aax", "ax"}},
		{store.ListOptions{Prefix: "none/"}, nil},
		{store.ListOptions{Start: "aax"}, []string{"aax", "ax", "b/1x", "cx"}},
		{store.ListOptions{Prefix: "a/", Start: "a/2x"}, []string{"a/2x", "a/b/3x"}},
	} {
		for _, limit := range []int{0, 1, 3} {
			opts := c.opts
			opts.Limit = limit
			if diff := cmp.Diff(c.want, listAll(t, b, opts)); diff != "" {
				t.Errorf("%+v (-want +got):\n%s", opts, diff)
			}
		}
	}
	page, err := b.List(t.Context(), store.ListOptions{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	head, err := b.Head(t.Context(), page.Objects[0].Name)
	if err != nil {
		t.Fatal(err)
	}
	if got := page.Objects[0]; got.ETag != head.ETag || got.Size != head.Size || got.Created.IsZero() {
		t.Errorf("listed %+v; head says %+v", got, head)
	}
}

func listAll(t *testing.T, b store.Bucket, opts store.ListOptions) []string {
	t.Helper()
	var got []string
	for {
		page, err := b.List(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if opts.Limit > 0 && len(page.Objects) > opts.Limit {
			t.Fatalf("a page of %d objects; the limit was %d", len(page.Objects), opts.Limit)
		}
		for _, o := range page.Objects {
			got = append(got, o.Name)
		}
		if page.Next == "" {
			return got
		}
		opts.Start = page.Next
	}
}

func large(t *testing.T, b store.Bucket) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<20) // 16 MB
	copy(data[5<<20:], "a mark")
	if _, err := b.Put(t.Context(), "large", bytes.NewReader(data), int64(len(data)), store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	body, info, err := b.Get(t.Context(), "large", store.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	sum := sha256.New()
	if n, err := io.Copy(sum, body); err != nil || n != info.Size {
		t.Fatalf("read %d of %d: %v", n, info.Size, err)
	}
	if want := sha256.Sum256(data); !bytes.Equal(sum.Sum(nil), want[:]) {
		t.Error("the bytes have changed")
	}
	if text, _ := get(t, b, "large", store.GetOptions{Offset: 5 << 20, Length: 6}); text != "a mark" {
		t.Errorf("range is %q", text)
	}
}

func position(t *testing.T, b store.Bucket) {
	body := strings.NewReader("skipped|stored|left")
	if _, err := body.Seek(8, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Put(t.Context(), "p", body, 6, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if text, _ := get(t, b, "p", store.GetOptions{}); text != "stored" {
		t.Errorf("stored %q", text)
	}
}

func shortBody(t *testing.T, b store.Bucket) {
	if _, err := b.Put(t.Context(), "short", strings.NewReader("abc"), 10, store.PutOptions{}); err == nil {
		t.Error("a body of 3 bytes was stored as 10")
	}
	_, err := b.Head(t.Context(), "short")
	wants(t, "head after a failed put", err, store.ErrNotFound)
}

func cancelled(t *testing.T, b store.Bucket) {
	put(t, b, "x", "x", store.PutOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := b.Get(ctx, "x", store.GetOptions{})
	wants(t, "get", err, store.ErrUnavailable)
	_, err = b.Put(ctx, "y", strings.NewReader("y"), 1, store.PutOptions{})
	wants(t, "put", err, store.ErrUnavailable)
	_, err = b.List(ctx, store.ListOptions{})
	wants(t, "list", err, store.ErrUnavailable)
}
