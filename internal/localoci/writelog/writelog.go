// Package writelog is the log of writes to a bucket of a local OCI, and the search in it, as OCI's Logging has
// them. It keeps the newest entries, in a table of the index. An entry that cannot be kept is lost, as those of
// OCI may be: it is delivered as well as that can be done.
package writelog

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"
)

// The ids of the one log and of its group, which has no other.
const (
	GroupID = "ocid1.loggroup.oc1.phx.cemlilocal"
	LogID   = "ocid1.log.oc1.phx.cemlilocal"
)

// maxKept is how many entries are kept; the oldest are forgotten.
const maxKept = 10_000

// maxEntry bounds an entry.
const maxEntry = 64 << 10

var table = []byte("writelog")

// Place is what all entries of a log have in common.
type Place struct{ Region, Compartment, Tenancy, Namespace, Bucket, BucketID string }

// Write is a request that may have changed the bucket, as it was answered.
type Write struct {
	Start, End     time.Time
	RequestID      string
	Action, Path   string // of HTTP
	Operation      string // such as PutObject
	Object         string
	Status         int
	ErrorCode      string
	ETag, Version  string
	Principal      string // OCID
	PrincipalName  string
	Authentication string // user, resource, instance, service
	PAR            bool   // through a pre-authenticated request
	Address        string
	UserAgent      string
}

// Log is the log.
type Log struct {
	db    *bolt.DB
	place Place
	mu    sync.Mutex
	kept  int
}

// Open opens the log in a database, making it at the first time.
func Open(db *bolt.DB, place Place) (*Log, error) {
	l := &Log{db: db, place: place}
	err := db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(table)
		if err == nil {
			l.kept = b.Stats().KeyN
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open the write log: %w", err)
	}
	return l, nil
}

// stored is an entry and from when on it can be found.
type stored struct {
	Seen  time.Time       `json:"seen"`
	Entry json.RawMessage `json:"entry"`
}

// Add notes a write, to be found from a time on.
func (l *Log) Add(w Write, seen time.Time) error {
	entry, err := json.Marshal(l.entry(w, seen))
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if len(entry) > maxEntry {
		return fmt.Errorf("an entry of %d bytes", len(entry))
	}
	value, err := json.Marshal(stored{seen.UTC(), entry})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(table)
		number, err := b.NextSequence()
		if err != nil {
			return err
		}
		if err := b.Put(key(w.Start, number), value); err != nil {
			return err
		}
		if l.kept++; l.kept <= maxKept {
			return nil
		}
		l.kept--
		oldest, _ := b.Cursor().First()
		return b.Delete(oldest)
	})
}

// key orders entries by time.
func key(at time.Time, number uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, uint64(max(at.UnixMilli(), 0))), number)
}

// entry is an entry as a search answers it.
func (l *Log) entry(w Write, ingested time.Time) map[string]any {
	const milliseconds = "2006-01-02T15:04:05.000Z"
	p, start := l.place, w.Start.UTC()
	details := map[string]any{}
	if w.Version != "" {
		details["versionId"] = w.Version
	}
	data := map[string]any{
		"additionalDetails": details, "apiType": "native", "authenticationType": w.Authentication,
		"bucketId": p.BucketID, "bucketName": p.Bucket, "clientIpAddress": w.Address,
		"compartmentId": p.Compartment, "compartmentName": "local", "isPar": w.PAR, "message": "Object Storage write",
		"namespace": p.Namespace, "objectName": w.Object, "opcRequestId": w.RequestID, "principalId": w.Principal,
		"principalName": w.PrincipalName, "region": p.Region, "requestAction": w.Action, "requestResourcePath": w.Path,
		"startTime": start.Format(milliseconds), "endTime": w.End.UTC().Format(milliseconds), "statusCode": w.Status,
		"tenantId": p.Tenancy, "tenantName": "local", "userAgent": w.UserAgent, "vcnId": "0",
	}
	if w.ETag != "" {
		data["eTag"] = w.ETag
	}
	if w.ErrorCode != "" {
		data["errorCode"] = w.ErrorCode
	}
	return map[string]any{
		"datetime": start.UnixMilli(),
		"logContent": map[string]any{
			"id": uuid.NewString(), "specversion": "1.0", "source": p.Bucket, "subject": "", "time": start.Format(milliseconds),
			"type": "com.oraclecloud.objectstorage." + w.Operation, "data": data,
			"oracle": map[string]any{
				"compartmentid": p.Compartment, "ingestedtime": ingested.UTC().Format(milliseconds),
				"loggroupid": GroupID, "logid": LogID, "tenantid": p.Tenancy,
			},
		},
	}
}
