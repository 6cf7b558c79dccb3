package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/store"
)

// RunVersions runs the suite of buckets that keep versions, in addition to Run. Make returns a new empty bucket for
// each test.
func RunVersions(t *testing.T, make func(t *testing.T) store.Bucket) {
	for _, c := range []struct {
		name string
		test func(*testing.T, store.Bucket)
	}{
		{"what was overwritten", overwritten},
		{"what was deleted", deleted},
		{"pages of versions", pagesOfVersions},
		{"a position whose version is gone", goneVersion},
		{"times", times},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, make(t)) })
	}
}

// listsVersions holds for every bucket: its objects are among its versions.
func listsVersions(t *testing.T, b store.Bucket) {
	want := map[string]string{}
	for _, name := range []string{"v/a", "v/a b", "v/a-b", "v/c", "other"} {
		put(t, b, name, "1", store.PutOptions{})
		want[name] = put(t, b, name, "2", store.PutOptions{}).ETag
	}
	put(t, b, "v/gone", "1", store.PutOptions{})
	if err := b.Delete(t.Context(), "v/gone", ""); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{0, 1, 2} {
		found := map[string]string{}
		for _, v := range allVersions(t, b, store.VersionOptions{Limit: limit}) {
			if !v.Deleted && found[v.Name] == "" && v.Name != "v/gone" {
				found[v.Name] = v.ETag // the newest comes first
			}
			if !v.Deleted && v.Created.IsZero() {
				t.Errorf("%s says not when it was written", v.Name)
			}
		}
		if diff := cmp.Diff(want, found); diff != "" {
			t.Errorf("by %d (-want +got):\n%s", limit, diff)
		}
	}
	var names []string
	for _, v := range allVersions(t, b, store.VersionOptions{Prefix: "v/", From: store.Position{Name: "v/a b"}}) {
		names = append(names, v.Name)
	}
	if got := slices.Compact(names); len(got) < 3 || !slices.Equal(got[:3], []string{"v/a b", "v/a-b", "v/c"}) {
		t.Errorf("from a name on: %q", got)
	}
	head, err := store.Describe(t.Context(), b, "v/c", "")
	if err != nil || head.ETag != want["v/c"] {
		t.Errorf("described as %+v, %v", head, err)
	}
}

// allVersions lists page after page.
func allVersions(t *testing.T, b store.Bucket, opts store.VersionOptions) []store.Version {
	t.Helper()
	var all []store.Version
	for range 100 {
		page, err := b.ListVersions(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if opts.Limit > 0 && len(page.Versions) > opts.Limit {
			t.Fatalf("a page of %d versions; the limit was %d", len(page.Versions), opts.Limit)
		}
		all = append(all, page.Versions...)
		if page.Next == (store.Position{}) {
			return all
		}
		opts.From = page.Next
	}
	t.Fatal("the list does not end")
	return nil
}

func overwritten(t *testing.T, b store.Bucket) {
	var made []store.Info
	for i := range 3 {
		made = append(made,
			put(t, b, "o", fmt.Sprint(i), store.PutOptions{Metadata: map[string]string{"number": fmt.Sprint(i)}}))
	}
	listed := allVersions(t, b, store.VersionOptions{})
	if len(listed) != 3 {
		t.Fatalf("%d versions: %+v", len(listed), listed)
	}
	for i, info := range made {
		v := listed[2-i]
		if v.VersionID != info.VersionID || v.ETag != info.ETag || v.Deleted || v.Name != "o" {
			t.Errorf("version %d is listed as %+v; put answered %+v", i, v, info)
		}
		text, got := get(t, b, "o", store.GetOptions{VersionID: v.VersionID, IfMatch: v.ETag})
		if text != fmt.Sprint(i) || got.ETag != v.ETag || got.VersionID != v.VersionID {
			t.Errorf("version %d has %q, %+v", i, text, got)
		}
		described, err := store.Describe(t.Context(), b, "o", v.VersionID)
		if err != nil || described.Metadata["number"] != fmt.Sprint(i) || described.Size != 1 ||
			described.ETag != v.ETag {
			t.Errorf("version %d is described as %+v, %v", i, described, err)
		}
	}
	_, _, err := b.Get(t.Context(), "o", store.GetOptions{VersionID: made[0].VersionID, IfMatch: made[1].ETag})
	wants(t, "another version's ETag", err, store.ErrChanged)
	if head, err := b.Head(t.Context(), "o"); err != nil || head.VersionID != made[2].VersionID {
		t.Errorf("the newest is %+v, %v", head, err)
	}
}

func deleted(t *testing.T, b store.Bucket) {
	first := put(t, b, "d", "1", store.PutOptions{})
	if err := b.Delete(t.Context(), "d", first.ETag); err != nil {
		t.Fatal(err)
	}
	_, err := b.Head(t.Context(), "d")
	wants(t, "head", err, store.ErrNotFound)
	_, _, err = b.Get(t.Context(), "d", store.GetOptions{})
	wants(t, "get", err, store.ErrNotFound)
	wants(t, "delete again", b.Delete(t.Context(), "d", ""), store.ErrNotFound)
	if text, _ := get(t, b, "d", store.GetOptions{VersionID: first.VersionID}); text != "1" {
		t.Errorf("the version is %q", text)
	}
	if page, err := b.List(t.Context(), store.ListOptions{}); err != nil || len(page.Objects) > 0 {
		t.Errorf("objects %+v, %v", page.Objects, err)
	}
	listed := allVersions(t, b, store.VersionOptions{})
	if len(listed) != 2 || !listed[0].Deleted || listed[1].Deleted || listed[1].VersionID != first.VersionID {
		t.Fatalf("versions %+v", listed)
	}
	_, _, err = b.Get(t.Context(), "d", store.GetOptions{VersionID: listed[0].VersionID})
	wants(t, "get of the mark", err, store.ErrNotFound)
	again := put(t, b, "d", "2", store.PutOptions{IfNoneMatch: true})
	listed = allVersions(t, b, store.VersionOptions{})
	if len(listed) != 3 || listed[0].VersionID != again.VersionID || !listed[1].Deleted {
		t.Errorf("versions %+v", listed)
	}
}

// pagesOfVersions begins anew behind every version.
func pagesOfVersions(t *testing.T, b store.Bucket) {
	for _, name := range []string{"a", "b", "a", "a b", "a", "b", "c"} {
		put(t, b, name, "x", store.PutOptions{})
	}
	all := allVersions(t, b, store.VersionOptions{})
	if len(all) != 7 {
		t.Fatalf("%d versions: %+v", len(all), all)
	}
	for _, limit := range []int{1, 2, 3, 7} {
		if diff := cmp.Diff(all, allVersions(t, b, store.VersionOptions{Limit: limit})); diff != "" {
			t.Errorf("by %d (-want +got):\n%s", limit, diff)
		}
	}
	for i, v := range all {
		rest := allVersions(t, b,
			store.VersionOptions{Limit: 2, From: store.Position{Name: v.Name, VersionID: v.VersionID}})
		if diff := cmp.Diff(all[i+1:], append([]store.Version{}, rest...)); diff != "" {
			t.Errorf("behind version %d (-want +got):\n%s", i, diff)
		}
	}
	before := allVersions(t, b, store.VersionOptions{From: store.Position{Name: "b"}})
	if diff := cmp.Diff(all[4:], before); diff != "" {
		t.Errorf("from b on (-want +got):\n%s", diff)
	}
}

// goneVersion goes on with the next object.
func goneVersion(t *testing.T, b store.Bucket) {
	put(t, b, "a", "1", store.PutOptions{})
	put(t, b, "a", "2", store.PutOptions{})
	last := put(t, b, "b", "1", store.PutOptions{})
	for _, from := range []string{"a", "a "} {
		got := allVersions(t, b,
			store.VersionOptions{From: store.Position{Name: from, VersionID: "00000000-0000-0000-0000-000000000000"}})
		if len(got) != 1 || got[0].VersionID != last.VersionID {
			t.Errorf("after a version of %q that is gone: %+v", from, got)
		}
	}
	if got := allVersions(t, b,
		store.VersionOptions{From: store.Position{
			Name: "b", VersionID: "00000000-0000-0000-0000-000000000000",
		}}); len(got) != 0 {
		t.Errorf("after one that was the last: %+v", got)
	}
}

// times tells apart what was written in one second.
func times(t *testing.T, b store.Bucket) {
	var infos []store.Info
	for range 2 {
		infos = append(infos, put(t, b, "t", "x", store.PutOptions{}))
	}
	listed := allVersions(t, b, store.VersionOptions{})
	page, err := b.List(t.Context(), store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if listed[0].Created.Before(listed[1].Created) || !page.Objects[0].Created.Equal(listed[0].Created) {
		t.Errorf("written at %s and %s; the list of objects says %s", listed[1].Created, listed[0].Created,
			page.Objects[0].Created)
	}
	for i, v := range listed {
		if off := v.Created.Sub(infos[1-i].Created); off < 0 || off >= 1e9 {
			t.Errorf("listed %s; the answer to put said %s", v.Created, infos[1-i].Created)
		}
	}
}
