package executor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"cemli-executor/internal/store"
)

// keptObject is an object of a tenancy that can be written to a file and read back, byte for byte.
type keptObject struct {
	ETag      string            `json:"etag"`
	VersionID string            `json:"version_id,omitempty"`
	Created   time.Time         `json:"created"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	// The body, in the most readable of these forms.
	JSON     json.RawMessage `json:"json,omitempty"`     // it has no white space
	Indented json.RawMessage `json:"indented,omitempty"` // it is indented, as results are
	Text     []string        `json:"text,omitempty"`     // its lines
	Bytes    []byte          `json:"base64,omitempty"`

	body []byte
}

// pack chooses the form of the body.
func (o *keptObject) pack() {
	var compact bytes.Buffer
	switch {
	case json.Compact(&compact, o.body) == nil && bytes.Equal(compact.Bytes(), o.body):
		o.JSON = o.body
	case compact.Len() > 0 && bytes.Equal(indented(compact.Bytes()), o.body):
		o.Indented = compact.Bytes()
	case bytes.HasPrefix(o.body, []byte("PK")):
		o.Bytes = o.body
	default:
		o.Text = strings.Split(string(o.body), "\n")
	}
}

// unpack is what pack was given.
func (o *keptObject) unpack() error {
	var compact bytes.Buffer
	switch {
	case o.JSON != nil:
		err := json.Compact(&compact, o.JSON)
		o.body = compact.Bytes()
		return err
	case o.Indented != nil:
		err := json.Compact(&compact, o.Indented)
		o.body = indented(compact.Bytes())
		return err
	case o.Text != nil:
		o.body = []byte(strings.Join(o.Text, "\n"))
	default:
		o.body = o.Bytes
	}
	return nil
}

func indented(doc []byte) []byte {
	var out bytes.Buffer
	_ = json.Indent(&out, doc, "", "  ") // it is JSON
	return append(out.Bytes(), '\n')
}

// keptStore is all buckets of a tenancy, at a moment.
type keptStore struct {
	Time    time.Time                         `json:"time"`
	Writes  int                               `json:"writes"` // the number in the newest ETag
	Buckets map[string]map[string]*keptObject `json:"buckets"`

	mu sync.Mutex
}

func newKeptStore() *keptStore {
	return &keptStore{Buckets: map[string]map[string]*keptObject{"packages": {}, "results": {}, "state": {}}}
}

func (s *keptStore) objects() []*keptObject {
	var list []*keptObject
	for _, bucket := range s.Buckets {
		list = slices.AppendSeq(list, maps.Values(bucket))
	}
	return list
}

// save writes the store to a file, which must not exist: what a version wrote is never written anew.
func (s *keptStore) save(file string) error {
	for _, o := range s.objects() {
		o.pack()
	}
	s.Time = time.Now().UTC()
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	return errors.Join(enc.Encode(s), f.Close())
}

func loadKeptStore(file string) (*keptStore, error) {
	doc, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s := newKeptStore()
	if err := json.Unmarshal(doc, s); err != nil {
		return nil, err
	}
	for _, o := range s.objects() {
		if err := o.unpack(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// put stores an object, whoever asks. Packages are kept in versions, of which the newest can be had.
func (s *keptStore) put(bucket, name string, body []byte, metadata map[string]string) *keptObject {
	s.Writes++
	o := &keptObject{ETag: fmt.Sprintf("etag-%d", s.Writes), Created: time.Now().UTC(), Metadata: metadata, body: body}
	if bucket == "packages" {
		o.VersionID = fmt.Sprintf("version-%d", s.Writes)
	}
	s.Buckets[bucket][name] = o
	return o
}

// keptBucket is a bucket as one call of the function sees it.
type keptBucket struct {
	name string
	by   *keptCall
}

func (b keptBucket) Name() string { return b.name }

// do has an operation done, unless the call is dead, or dies instead.
func (b keptBucket) do(op, name string, effect func(objects map[string]*keptObject) error) error {
	s := b.by.tenant.keptStore
	s.mu.Lock()
	defer s.mu.Unlock()
	if !b.by.reaches(op + " " + b.name + "/" + name) {
		return store.Error(store.ErrUnavailable, op, b.name, name, errors.New("no answer"))
	}
	if err := effect(s.Buckets[b.name]); err != nil {
		return store.Error(err, op, b.name, name, nil)
	}
	return nil
}

func (o *keptObject) info(name string) store.Info {
	return store.Info{
		Name: name, Size: int64(len(o.body)), ETag: o.ETag, VersionID: o.VersionID, Created: o.Created,
		Metadata: o.Metadata,
	}
}

func (b keptBucket) Get(
	_ context.Context, name string, opts store.GetOptions,
) (body io.ReadCloser, info store.Info, err error) {
	err = b.do("get", name, func(objects map[string]*keptObject) error {
		o := objects[name]
		switch {
		case o == nil || opts.VersionID != "" && opts.VersionID != o.VersionID:
			return store.ErrNotFound
		case opts.IfMatch != "" && opts.IfMatch != o.ETag:
			return store.ErrChanged
		case opts.Offset > 0 && opts.Offset >= int64(len(o.body)):
			return store.ErrRange
		}
		part := o.body[opts.Offset:]
		if opts.Length > 0 {
			part = part[:min(int64(len(part)), opts.Length)]
		}
		body, info = io.NopCloser(bytes.NewReader(part)), o.info(name)
		return nil
	})
	return body, info, err
}

func (b keptBucket) Head(_ context.Context, name string) (info store.Info, err error) {
	err = b.do("head", name, func(objects map[string]*keptObject) error {
		if objects[name] == nil {
			return store.ErrNotFound
		}
		info = objects[name].info(name)
		return nil
	})
	return info, err
}

func (b keptBucket) Put(
	_ context.Context, name string, body io.ReadSeeker, size int64, opts store.PutOptions,
) (info store.Info, err error) {
	doc, err := io.ReadAll(io.LimitReader(body, size))
	if err != nil {
		return store.Info{}, err
	}
	err = b.do("put", name, func(objects map[string]*keptObject) error {
		o := objects[name]
		switch {
		case opts.IfNoneMatch && o != nil:
			return store.ErrExists
		case opts.IfMatch != "" && o == nil:
			return store.ErrNotFound
		case opts.IfMatch != "" && opts.IfMatch != o.ETag:
			return store.ErrChanged
		}
		info = b.by.tenant.put(b.name, name, doc, opts.Metadata).info(name)
		return nil
	})
	return info, err
}

func (b keptBucket) Delete(_ context.Context, name, ifMatch string) error {
	return b.do("delete", name, func(objects map[string]*keptObject) error {
		o := objects[name]
		switch {
		case o == nil:
			return store.ErrNotFound
		case ifMatch != "" && ifMatch != o.ETag:
			return store.ErrChanged
		}
		delete(objects, name)
		return nil
	})
}

func (b keptBucket) List(_ context.Context, opts store.ListOptions) (page store.Page, err error) {
	limit := opts.Limit
	if limit == 0 {
		limit = 1000
	}
	err = b.do("list", opts.Prefix, func(objects map[string]*keptObject) error {
		for _, name := range slices.Sorted(maps.Keys(objects)) {
			if !strings.HasPrefix(name, opts.Prefix) || name < opts.Start {
				continue
			}
			if len(page.Objects) == limit {
				page.Next = name
				break
			}
			page.Objects = append(page.Objects, objects[name].info(name))
		}
		return nil
	})
	return page, err
}

func (b keptBucket) ListVersions(ctx context.Context, opts store.VersionOptions) (store.VersionPage, error) {
	return store.ListOnly(ctx, b, opts)
}
