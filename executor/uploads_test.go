package executor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// keeper is a bucket as Object Storage has them: it keeps versions, and tells the millisecond in
// lists alone.
type keeper struct {
	store.Bucket
	now  func() time.Time
	kept map[string][]keptVersion // the newest first
	ids  int
}

type keptVersion struct {
	store.Version
	body []byte
}

// keeps makes the packages bucket one that keeps versions.
func (b *bench) keeps() *keeper {
	k := &keeper{Bucket: b.packages, now: time.Now, kept: map[string][]keptVersion{}}
	b.packages, b.config.Packages = k, k
	return k
}

func (k *keeper) add(v keptVersion) {
	k.ids++
	v.VersionID, v.Created = fmt.Sprint("version-", k.ids), k.now().UTC().Truncate(time.Millisecond)
	k.kept[v.Name] = slices.Insert(k.kept[v.Name], 0, v)
}

func (k *keeper) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, opts store.PutOptions,
) (store.Info, error) {
	text, err := io.ReadAll(body)
	if err != nil {
		return store.Info{}, err
	}
	info, err := k.Bucket.Put(ctx, name, bytes.NewReader(text), size, opts)
	if err == nil {
		k.add(keptVersion{store.Version{Info: info}, text})
	}
	return k.described(info), err
}

func (k *keeper) Delete(ctx context.Context, name, ifMatch string) error {
	err := k.Bucket.Delete(ctx, name, ifMatch)
	if err == nil {
		k.add(keptVersion{Version: store.Version{Info: store.Info{Name: name}, Deleted: true}})
	}
	return err
}

// described is the newest version as its headers describe it.
func (k *keeper) described(info store.Info) store.Info {
	if versions := k.kept[info.Name]; len(versions) > 0 {
		info.VersionID, info.Created = versions[0].VersionID, versions[0].Created.Truncate(time.Second)
	}
	return info
}

func (k *keeper) Head(ctx context.Context, name string) (store.Info, error) {
	info, err := k.Bucket.Head(ctx, name)
	return k.described(info), err
}

func (k *keeper) Get(ctx context.Context, name string, opts store.GetOptions) (io.ReadCloser, store.Info, error) {
	if opts.VersionID == "" {
		body, info, err := k.Bucket.Get(ctx, name, opts)
		return body, k.described(info), err
	}
	for _, v := range k.kept[name] {
		if v.VersionID == opts.VersionID && !v.Deleted {
			v.Created = v.Created.Truncate(time.Second)
			return io.NopCloser(bytes.NewReader(v.body[opts.Offset:])), v.Info, nil
		}
	}
	return nil, store.Info{}, store.Error(store.ErrNotFound, "get", k.Name(), name, nil)
}

func (k *keeper) ListVersions(_ context.Context, opts store.VersionOptions) (store.VersionPage, error) {
	var page store.VersionPage
	passed := opts.From.VersionID == ""
	for _, name := range slices.Sorted(maps.Keys(k.kept)) {
		for _, v := range k.kept[name] {
			switch {
			case name < opts.From.Name:
			case !passed:
				passed = v.VersionID == opts.From.VersionID
			case len(page.Versions) == opts.Limit:
				last := page.Versions[len(page.Versions)-1]
				page.Next = store.Position{Name: last.Name, VersionID: last.VersionID}
				return page, nil
			default:
				page.Versions = append(page.Versions, v.Version)
			}
		}
	}
	return page, nil
}

func (b *bench) remove(name string) {
	b.t.Helper()
	if err := b.packages.Delete(b.t.Context(), name, ""); err != nil {
		b.t.Fatal(err)
	}
}

// outcomes are the results that a sweep made, by ETag: the error's code, else the status.
func (b *bench) outcomes(swept executor.Swept) map[string]string {
	b.t.Helper()
	found := map[string]string{}
	for _, run := range swept.Runs {
		r := b.stored(run.RunID)
		found[r.Package.ETag] = string(r.Status)
		if r.Error != nil {
			found[r.Package.ETag] = r.Error.Code
		}
		if r.Trigger.Kind != "sweep" {
			b.t.Errorf("%s: trigger %+v", r.RunID, r.Trigger)
		}
	}
	return found
}

// Of uploads whose events were lost those that were replaced since have a result, too, and are not run.
func TestASweepFindsWhatWasReplaced(t *testing.T) {
	b := newBench(t)
	b.keeps()
	b.sweep()
	script := func(text string) []byte { return pack(t, files{"steps/run.sh": "echo " + text}) }
	first := b.upload("sample-1.0.0.zip", script("first"), store.PutOptions{})
	second := b.upload("sample-1.0.0.zip", script("second"), store.PutOptions{
		Metadata: map[string]string{"cemli-action": "check"},
	})
	third := b.upload("sample-1.0.0.zip", script("third"), store.PutOptions{})
	b.upload("notes.txt", []byte("x"), store.PutOptions{})
	b.remove("notes.txt")
	swept := b.sweep()
	if swept.Uploads != 3 || len(swept.Runs) != 3 || swept.Status != evidence.StatusSuccess || swept.More {
		t.Fatalf("%+v", swept)
	}
	got := b.outcomes(swept)
	if got[first.ETag] != "trigger.stale" || got[second.ETag] != "trigger.stale" || got[third.ETag] != "success" {
		t.Errorf("first, second and third ended %s, %s, %s", got[first.ETag], got[second.ETag], got[third.ETag])
	}
	for _, run := range swept.Runs {
		if r := b.stored(run.RunID); r.Package.ETag == second.ETag && r.Action != "check" ||
			r.Execution.Ran != (r.Package.ETag == third.ETag) {
			t.Errorf("%s: action %s, executed %v", r.RunID, r.Action, r.Execution.Ran)
		}
	}
	if swept := b.sweep(); len(swept.Runs) != 0 || b.resultsStored() != 3 {
		t.Errorf("once more: %+v", swept)
	}
	// An event that comes after all is a duplicate.
	q := request("sample-1.0.0.zip", first.ETag)
	q.Trigger.Kind, q.VersionID = executor.TriggerEvent, first.VersionID
	if r := b.again(q); code(r) == "" && r.Status != evidence.StatusRejected || b.resultsStored() != 3 {
		t.Errorf("the event, late: %s, %s; %d results", r.Status, r.Message, b.resultsStored())
	}
}

// What was deleted before anybody ran it has a result, and the mark of the deletion is no upload.
func TestASweepFindsWhatWasDeleted(t *testing.T) {
	b := newBench(t)
	b.keeps()
	b.sweep()
	info := b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	b.remove("sample-1.0.0.zip")
	swept := b.sweep()
	if swept.Uploads != 1 || len(swept.Runs) != 1 {
		t.Fatalf("%+v", swept)
	}
	if r := b.stored(swept.Runs[0].RunID); r.Package.ETag != info.ETag || r.Execution.Ran || r.Error == nil {
		t.Errorf("%s, %+v, executed %v", r.Status, r.Error, r.Execution.Ran)
	}
	if swept := b.sweep(); len(swept.Runs) != 0 || b.resultsStored() != 1 {
		t.Errorf("once more: %+v", swept)
	}
}

// nameless lists versions by ids that it does not answer to, as a bucket without versions may.
type nameless struct{ *keeper }

func (n nameless) Get(ctx context.Context, name string, opts store.GetOptions) (io.ReadCloser, store.Info, error) {
	if opts.VersionID != "" {
		return nil, store.Info{}, store.Error(store.ErrNotFound, "get", n.Name(), name, nil)
	}
	return n.keeper.Get(ctx, name, opts)
}

func TestASweepOfABucketThatAnswersToNoVersion(t *testing.T) {
	b := newBench(t)
	b.config.Packages = nameless{b.keeps()}
	b.sweep()
	zip := pack(t, files{"steps/run.sh": "echo ran"})
	b.upload("sample-1.0.0.zip", zip, store.PutOptions{})
	newest := b.upload("sample-1.0.0.zip", zip, store.PutOptions{})
	b.upload("gone-1.0.0.zip", zip, store.PutOptions{})
	b.remove("gone-1.0.0.zip")
	if got := b.outcomes(b.sweep()); len(got) != 1 || got[newest.ETag] != "success" {
		t.Errorf("%v", got)
	}
}

// Versions from before the watch, and from before the window, are not looked after.
func TestASweepLooksAtNoOldVersions(t *testing.T) {
	b := newBench(t)
	k := b.keeps()
	zip := pack(t, files{"steps/run.sh": "echo ran"})
	now := time.Now()
	b.putState("watch.json", `{"schema_version":1,"since":"`+now.Add(-20*24*time.Hour).UTC().Format(time.RFC3339)+`"}`)
	for _, age := range []time.Duration{21 * 24 * time.Hour, 15 * 24 * time.Hour} {
		k.now = func() time.Time { return now.Add(-age) }
		b.upload("sample-1.0.0.zip", zip, store.PutOptions{})
	}
	if swept := b.sweep(); swept.Uploads != 0 || b.resultsStored() != 0 {
		t.Errorf("old versions: %+v", swept)
	}
	k.now = func() time.Time { return now.Add(-13 * 24 * time.Hour) }
	b.upload("sample-1.0.0.zip", zip, store.PutOptions{})
	if swept := b.sweep(); swept.Uploads != 1 || len(swept.Runs) != 1 {
		t.Errorf("one in the window: %+v", swept)
	}
}

// A sweep looks at so many versions, also of one object, and the next at the next.
func TestASweepGoesOnAmongVersions(t *testing.T) {
	b := newBench(t)
	k := b.keeps()
	b.sweep()
	for range 1500 {
		k.add(keptVersion{Version: store.Version{Info: store.Info{Name: "many.txt", ETag: "e"}}})
	}
	b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo ran"}), store.PutOptions{})
	if swept := b.sweep(); !swept.More || len(swept.Runs) != 0 ||
		!strings.Contains(b.stateText("sweep/test.json"), `"uploads":"many.txt","version":"version-`) {
		t.Errorf("the first page: %+v, %s", swept, b.stateText("sweep/test.json"))
	}
	if swept := b.sweep(); swept.More || len(swept.Runs) != 1 {
		t.Errorf("the second page: %+v", swept)
	}
}

// A sweep that has no time left goes on behind the version that it looked at last.
func TestASweepThatIsFullGoesOnAmongVersions(t *testing.T) {
	b := newBench(t)
	b.keeps()
	b.sweep()
	for range 2 {
		b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "echo never"}), store.PutOptions{})
	}
	b.upload("sample-1.0.0.zip", pack(t, files{"steps/run.sh": "sleep 2"}), store.PutOptions{})
	swept, err := executor.New(b.config).Sweep(within(t, 9*time.Second), "")
	if err != nil || !swept.More || len(swept.Runs) != 1 || swept.Runs[0].Status != evidence.StatusSuccess {
		t.Fatalf("%+v, %v", swept, err)
	}
	if swept := b.sweep(); swept.More || swept.Uploads != 2 || len(swept.Runs) != 2 {
		t.Errorf("the second sweep: %+v", swept)
	}
}

// Where the sweep of an earlier version ended is where this one begins.
func TestACursorOfAnEarlierVersion(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		b := newBench(t)
		if keeps {
			b.keeps()
		}
		b.sweep()
		zip := pack(t, files{"steps/run.sh": "echo ran"})
		b.upload("a-1.0.0.zip", zip, store.PutOptions{})
		later := b.upload("b-1.0.0.zip", zip, store.PutOptions{})
		b.putState("sweep/test.json",
			`{"schema_version":1,"writer":"w","environment":"test","open":"","uploads":"b-1.0.0.zip"}`)
		swept := b.sweep()
		if got := b.outcomes(swept); len(got) != 1 || got[later.ETag] != "success" || swept.More {
			t.Errorf("versions %v: %+v", keeps, swept)
		}
		if swept := b.sweep(); len(swept.Runs) != 1 {
			t.Errorf("versions %v, from the beginning again: %+v", keeps, swept)
		}
	}
}

// In a second, runs of a group are in the order of their uploads where events or listings tell it, and
// else, of one package, in that of versions; an event is believed within the second that the store says.
func TestTheOrderWithinASecond(t *testing.T) {
	type upload struct {
		version   string
		at, event int // milliseconds in the second
	}
	const none = -1 // no event comes, and a sweep finds it
	for name, c := range map[string]struct {
		uploads []upload
		want    string
	}{
		"events without milliseconds": {
			[]upload{{"1.9.0", 100, 0}, {"1.10.0", 300, 0}, {"1.11.0-rc.1", 200, 0}}, "1.9.0 1.10.0 1.11.0-rc.1",
		},
		"events with them": {
			[]upload{{"1.9.0", 300, 300}, {"1.10.0", 100, 100}, {"1.8.0", 200, 200}}, "1.10.0 1.8.0 1.9.0",
		},
		"events from elsewhen": {
			[]upload{
				{"1.9.0", 300, 86_400_000}, {"1.10.0", 100, -86_400_000}, {"1.8.0", 200, 500},
			}, "1.10.0 1.8.0 1.9.0",
		},
		"no events": {
			[]upload{{"1.9.0", 300, none}, {"1.10.0", 100, none}, {"1.8.0", 200, none}}, "1.10.0 1.8.0 1.9.0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			k := b.keeps()
			b.sweep()
			release := b.busy("first", `,"concurrency":{"group":"ver"}`)
			second := time.Now().Truncate(time.Second)
			ms := func(n int) time.Time { return second.Add(time.Duration(n) * time.Millisecond) }
			for _, u := range c.uploads {
				k.now = func() time.Time { return ms(u.at) }
				object := "ver-" + u.version + ".zip"
				info := b.upload(object, pack(t, files{
					"manifest.json": `{"name":"ver","version":"` + u.version + `","type":"extension"}`,
					"steps/run.sh":  "true",
				}), store.PutOptions{})
				if u.event == none {
					continue
				}
				q := request(object, info.ETag)
				q.Trigger, q.VersionID = executor.Trigger{
					Kind: executor.TriggerEvent, EventTime: ms(u.event),
				}, info.VersionID
				if r := b.again(q); r.Status != evidence.StatusInProgress {
					t.Fatalf("%s did not wait: %s, %s", object, r.Status, r.Message)
				}
			}
			b.sweep()
			release()
			if got := b.began("ver"); got != c.want {
				t.Errorf("began as %s; want %s", got, c.want)
			}
		})
	}
}

// began lists the versions of a package in the order in which their runs began.
func (b *bench) began(name string) string {
	b.t.Helper()
	page, err := b.results.List(b.t.Context(), store.ListOptions{Prefix: "runs/"})
	if err != nil {
		b.t.Fatal(err)
	}
	var results []evidence.Result
	for _, o := range page.Objects {
		var r evidence.Result
		if strings.HasSuffix(o.Name, "/result.json") && json.Unmarshal([]byte(b.object(o.Name)), &r) == nil &&
			r.Package.Name == name && len(r.Steps) > 0 {
			results = append(results, r)
		}
	}
	slices.SortFunc(results, func(a, b evidence.Result) int { return a.Steps[0].Start.Compare(*b.Steps[0].Start) })
	var versions []string
	for _, r := range results {
		versions = append(versions, r.Package.Version)
	}
	return strings.Join(versions, " ")
}
