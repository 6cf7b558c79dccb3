package executor_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/jobs"
	"cemli-executor/internal/store"
)

// simObject is one object of the simulated store, or an earlier version of one.
type simObject struct {
	body     []byte
	etag     string
	version  string // "" where the bucket keeps none
	deleted  bool   // it says that the object was deleted
	created  time.Time
	metadata map[string]string
}

// simBucket is a bucket as one invocation sees it: every call is a point where the scheduler
// decides what happens next, and what goes wrong.
type simBucket struct {
	name string
	by   *invocation
}

func (b simBucket) Name() string { return b.name }

// call has the scheduler carry out one operation.
func call[T any](
	ctx context.Context, b simBucket, op, name string, effect func(objects map[string]*simObject) (T, error),
) (T, error) {
	var value T
	err := b.by.schedule(ctx, op, b.name+"/"+name, func() (err error) {
		value, err = effect(b.by.world.buckets[b.name])
		return err
	})
	if err != nil {
		var none T // it may be carried out yet, though nobody waits for it any more
		return none, err
	}
	return value, nil
}

func (b simBucket) fail(kind error, op, name string) error {
	return store.Error(kind, op, b.name, name, nil)
}

func (b simBucket) Get(ctx context.Context, name string, opts store.GetOptions) (io.ReadCloser, store.Info, error) {
	o, err := call(ctx, b, "get", name, func(objects map[string]*simObject) (*simObject, error) {
		o := objects[name]
		if opts.VersionID != "" {
			o = b.by.world.version(b.name, name, opts.VersionID)
		}
		switch {
		case o == nil:
			return nil, b.fail(store.ErrNotFound, "get", name)
		case opts.IfMatch != "" && opts.IfMatch != o.etag:
			return nil, b.fail(store.ErrChanged, "get", name)
		}
		return o, nil
	})
	if err != nil {
		return nil, store.Info{}, err
	}
	body := o.body[opts.Offset:]
	if opts.Length > 0 {
		body = body[:min(int64(len(body)), opts.Length)]
	}
	return io.NopCloser(bytes.NewReader(body)), b.info(name, o), nil
}

// info describes an object as its headers do, which have seconds.
func (b simBucket) info(name string, o *simObject) store.Info {
	info := b.listed(name, o)
	info.Created, info.Metadata = info.Created.Truncate(time.Second), o.metadata
	if b.by.world.off["clock"] && b.name == "state" {
		info.Created = time.Time{}
	}
	if b.by.world.off["kill_at"] && strings.HasSuffix(name, "/"+jobs.MailClock) {
		info.Created = info.Created.Add(20 * time.Minute)
	}
	return info
}

// listed describes a version as a listing does.
func (b simBucket) listed(name string, o *simObject) store.Info {
	return store.Info{Name: name, Size: int64(len(o.body)), ETag: o.etag, VersionID: o.version, Created: o.created}
}

func (b simBucket) Head(ctx context.Context, name string) (store.Info, error) {
	return call(ctx, b, "head", name, func(objects map[string]*simObject) (store.Info, error) {
		if o := objects[name]; o != nil {
			return b.info(name, o), nil
		}
		return store.Info{}, b.fail(store.ErrNotFound, "head", name)
	})
}

func (b simBucket) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, opts store.PutOptions,
) (store.Info, error) {
	doc, err := io.ReadAll(io.LimitReader(body, size))
	if err != nil {
		return store.Info{}, err
	}
	w := b.by.world
	if w.off["todo"] && strings.HasPrefix(name, "todo/") || w.off["marks"] && strings.HasPrefix(name, "open/") ||
		w.off["record"] && strings.HasPrefix(name, "packages/") {
		return store.Info{Name: name, ETag: "nowhere"}, nil
	}
	return call(ctx, b, "put", name, func(objects map[string]*simObject) (store.Info, error) {
		o := objects[name]
		switch {
		case w.off["conditions"] && b.name == "state", w.off["once"] && b.name == "results":
		case opts.IfNoneMatch && o != nil:
			return store.Info{}, b.fail(store.ErrExists, "put", name)
		case opts.IfMatch != "" && o == nil:
			return store.Info{}, b.fail(store.ErrNotFound, "put", name)
		case opts.IfMatch != "" && opts.IfMatch != o.etag:
			return store.Info{}, b.fail(store.ErrChanged, "put", name)
		}
		w.written(b.by, b.name, name, o, doc)
		fresh := w.put(b.name, name, doc, opts.Metadata)
		return b.info(name, fresh), nil
	})
}

func (b simBucket) Delete(ctx context.Context, name, ifMatch string) error {
	_, err := call(ctx, b, "delete", name, func(objects map[string]*simObject) (struct{}, error) {
		o := objects[name]
		switch {
		case o == nil:
			return struct{}{}, b.fail(store.ErrNotFound, "delete", name)
		case ifMatch != "" && ifMatch != o.etag:
			return struct{}{}, b.fail(store.ErrChanged, "delete", name)
		}
		if !b.by.world.off["deletes"] || !strings.HasPrefix(name, "open/") {
			b.by.world.remove(b.name, name)
		}
		return struct{}{}, nil
	})
	return err
}

func (b simBucket) List(ctx context.Context, opts store.ListOptions) (store.Page, error) {
	return call(ctx, b, "list", opts.Prefix, func(objects map[string]*simObject) (store.Page, error) {
		var page store.Page
		limit := opts.Limit
		if limit == 0 {
			limit = 1000
		}
		for _, name := range slices.Sorted(maps.Keys(objects)) {
			if !strings.HasPrefix(name, opts.Prefix) || name < opts.Start {
				continue
			}
			if len(page.Objects) == limit {
				page.Next = name
				break
			}
			page.Objects = append(page.Objects, b.listed(name, objects[name]))
		}
		return page, nil
	})
}

func (b simBucket) ListVersions(ctx context.Context, opts store.VersionOptions) (store.VersionPage, error) {
	w := b.by.world
	if !w.keeps(b.name) {
		return store.ListOnly(ctx, b, opts)
	}
	return call(ctx, b, "list", "versions", func(map[string]*simObject) (store.VersionPage, error) {
		var page store.VersionPage
		passed := opts.From.VersionID == ""
		for _, name := range slices.Sorted(maps.Keys(w.kept)) {
			if name < opts.From.Name || !strings.HasPrefix(name, opts.Prefix) {
				continue
			}
			for _, o := range w.kept[name] {
				switch {
				case !passed && name == opts.From.Name:
					passed = o.version == opts.From.VersionID
					continue
				case opts.Limit > 0 && len(page.Versions) == opts.Limit:
					last := page.Versions[len(page.Versions)-1]
					page.Next = store.Position{Name: last.Name, VersionID: last.VersionID}
					return page, nil
				}
				page.Versions = append(page.Versions, store.Version{Info: b.listed(name, o), Deleted: o.deleted})
			}
			passed = true
		}
		return page, nil
	})
}

// keeps reports whether a bucket keeps versions.
func (w *world) keeps(bucket string) bool { return w.versioned && bucket == "packages" }

// version is a version of an object that is kept; nil if there is none.
func (w *world) version(bucket, name, version string) *simObject {
	for _, o := range w.kept[name] {
		if w.keeps(bucket) && o.version == version && !o.deleted {
			return o
		}
	}
	return nil
}

// put stores an object without asking anybody.
func (w *world) put(bucket, name string, body []byte, metadata map[string]string) *simObject {
	w.writes++
	o := &simObject{
		body: body, etag: fmt.Sprintf("etag-%d", w.writes), created: time.Now().Truncate(time.Millisecond),
		metadata: metadata,
	}
	w.buckets[bucket][name] = o
	w.keep(bucket, name, o)
	return o
}

// remove deletes an object without asking anybody.
func (w *world) remove(bucket, name string) {
	w.writes++
	delete(w.buckets[bucket], name)
	w.keep(bucket, name, &simObject{deleted: true, created: time.Now().Truncate(time.Millisecond)})
}

// keep makes something the newest version of an object, where versions are kept.
func (w *world) keep(bucket, name string, o *simObject) {
	if w.keeps(bucket) {
		o.version = fmt.Sprintf("version-%d", w.writes)
		w.kept[name] = slices.Insert(w.kept[name], 0, o)
	}
}
