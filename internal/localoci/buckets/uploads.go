package buckets

import (
	"bytes"
	"crypto/md5" // #nosec G501 -- the MD5 of multipart uploads is part of the interface
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/index"
)

// Upload is the record of a multipart upload in progress. Its parts have records of their own.
type Upload struct {
	ID          string            `json:"id"`
	Object      string            `json:"object"`
	Created     time.Time         `json:"created"`
	IfNoneMatch bool              `json:"ifNoneMatch,omitempty"`
	IfMatch     string            `json:"ifMatch,omitempty"`
	Headers     map[string]string `json:"headers,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
}

// Part is the record of one part.
type Part struct {
	Blob   string `json:"blob"`
	Number int    `json:"number"`
	Size   int64  `json:"size"`
	MD5    string `json:"md5"`
	ETag   string `json:"etag"`
}

// Uploads are the multipart uploads in progress.
type Uploads struct{ store *Store }

// Uploads returns the store's uploads.
func (s *Store) Uploads() Uploads { return Uploads{s} }

// UploadID identifies an upload and its object.
type UploadID struct{ Bucket, Object, ID string }

func (u UploadID) key() []byte { return inBucket(u.Bucket, u.ID) }

func (u UploadID) partKey(number int) []byte {
	return binary.BigEndian.AppendUint32(append([]byte(u.ID), 0), uint32(number)) // #nosec G115 -- 1 to 10,000
}

// read reads the upload's record.
func (u UploadID) read(tx *bolt.Tx) (Upload, error) {
	missing := answer.New(http.StatusNotFound, "NoSuchUpload", "The multipart upload was not found.")
	var upload Upload
	if _, err := readBucket(tx, u.Bucket); err != nil {
		return upload, err
	}
	value := tx.Bucket(tableUploads).Get(u.key())
	if value == nil {
		return upload, missing
	}
	if err := json.Unmarshal(value, &upload); err != nil {
		return upload, err
	}
	if upload.Object != u.Object {
		return upload, missing
	}
	return upload, nil
}

// parts reads the parts that have arrived, in order.
func (u UploadID) parts(tx *bolt.Tx) ([]Part, error) {
	list := []Part{}
	prefix := append([]byte(u.ID), 0)
	cursor := tx.Bucket(tableParts).Cursor()
	for key, value := cursor.Seek(prefix); bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
		var p Part
		if err := json.Unmarshal(value, &p); err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// drop removes the records of an upload and its parts; the caller removes their files.
func (u UploadID) drop(tx *bolt.Tx) ([]Part, error) {
	parts, err := u.parts(tx)
	if err != nil {
		return nil, err
	}
	for _, p := range parts {
		if err := tx.Bucket(tableParts).Delete(u.partKey(p.Number)); err != nil {
			return nil, err
		}
	}
	return parts, tx.Bucket(tableUploads).Delete(u.key())
}

// Begin starts an upload, unless its conditions already fail now.
func (u Uploads) Begin(bucket string, upload Upload) error {
	return u.store.db.Update(func(tx *bolt.Tx) error {
		c := Change{
			Bucket: bucket, Name: upload.Object, IfNoneMatch: upload.IfNoneMatch, IfMatch: upload.IfMatch,
			now: upload.Created,
		}
		if _, err := c.check(tx); err != nil {
			return err
		}
		return index.Put(tx, tableUploads, inBucket(bucket, upload.ID), upload)
	})
}

// Get returns an upload and its parts so far, in order.
func (u Uploads) Get(id UploadID) (upload Upload, parts []Part, err error) {
	err = u.store.db.View(func(tx *bolt.Tx) (err error) {
		if upload, err = id.read(tx); err != nil {
			return err
		}
		parts, err = id.parts(tx)
		return err
	})
	return upload, parts, err
}

// Has returns an error unless the upload exists.
func (u Uploads) Has(id UploadID) error {
	return u.store.db.View(func(tx *bolt.Tx) error {
		_, err := id.read(tx)
		return err
	})
}

// List returns the first uploads of a bucket that are in progress, at most limit.
func (u Uploads) List(bucket string, limit int) ([]Upload, error) {
	return index.View(u.store.db, func(tx *bolt.Tx) ([]Upload, error) {
		if _, err := readBucket(tx, bucket); err != nil {
			return nil, err
		}
		list := []Upload{}
		prefix := inBucket(bucket, "")
		cursor := tx.Bucket(tableUploads).Cursor()
		key, value := cursor.Seek(prefix)
		for ; bytes.HasPrefix(key, prefix) && len(list) < limit; key, value = cursor.Next() {
			var upload Upload
			if err := json.Unmarshal(value, &upload); err != nil {
				return nil, err
			}
			list = append(list, upload)
		}
		return list, nil
	})
}

// PutPart adds a written file to an upload as a part, and replaces a part of the same number.
func (u Uploads) PutPart(id UploadID, p Part) error {
	var old Part
	err := u.store.db.Update(func(tx *bolt.Tx) error {
		if _, err := id.read(tx); err != nil {
			return err
		}
		if value := tx.Bucket(tableParts).Get(id.partKey(p.Number)); value != nil {
			if err := json.Unmarshal(value, &old); err != nil {
				return err
			}
		}
		return index.Put(tx, tableParts, id.partKey(p.Number), p)
	})
	if err != nil {
		return err // the next start removes the file
	}
	u.store.Discard(old.Blob)
	return nil
}

// Abort removes an upload and its parts.
func (u Uploads) Abort(id UploadID) error {
	var parts []Part
	err := u.store.db.Update(func(tx *bolt.Tx) (err error) {
		if _, err := id.read(tx); err != nil {
			return err
		}
		parts, err = id.drop(tx)
		return err
	})
	if err != nil {
		return err
	}
	u.discard(parts)
	return nil
}

func (u Uploads) discard(parts []Part) {
	for _, p := range parts {
		u.store.Discard(p.Blob)
	}
}

// Commit makes an object of some parts of an upload, in one transaction, and removes the upload.
func (u Uploads) Commit(id UploadID, c Change, upload Upload, chosen []Part) (Object, error) {
	o, err := u.join(chosen)
	if err != nil {
		return o, err
	}
	o.Headers, o.Metadata = upload.Headers, upload.Metadata
	var old Object
	var parts []Part
	err = u.store.db.Update(func(tx *bolt.Tx) (err error) {
		if _, err = id.read(tx); err != nil {
			return err
		}
		if old, err = u.store.put(tx, c, &o); err != nil {
			return err
		}
		parts, err = id.drop(tx)
		return err
	})
	if err != nil {
		u.store.Discard(o.Blob)
		return o, err
	}
	u.discard(parts)
	u.store.replaced(old)
	return o, nil
}

// join copies the parts into one file. Its MD5 is that of the parts' MD5s, followed by their number.
func (u Uploads) join(parts []Part) (Object, error) {
	sum := md5.New() // #nosec G401 -- see the import
	var files []io.Reader
	for _, p := range parts {
		raw, err := base64.StdEncoding.DecodeString(p.MD5)
		if err != nil {
			return Object{}, err
		}
		_, _ = sum.Write(raw) // hashes do not fail
		files = append(files, &lazyFile{path: u.store.path(p.Blob)})
	}
	blob, size, err := u.store.Write(io.MultiReader(files...))
	digest := fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(sum.Sum(nil)), len(parts))
	return Object{Blob: blob, Size: size, MD5: digest}, err
}

// lazyFile is opened when it is first read, and closed at its end: an upload can have more parts than a process may
// have open files.
type lazyFile struct {
	path string
	file *os.File
}

func (f *lazyFile) Read(p []byte) (int, error) {
	if f.file == nil {
		file, err := os.Open(f.path)
		if err != nil {
			return 0, err
		}
		f.file = file
	}
	n, err := f.file.Read(p)
	if err != nil {
		_ = f.file.Close()
	}
	return n, err
}
