// Package logging is the Logging service of a local OCI, with one log, that of the writes to a bucket, and Logging
// Search in it. It keeps the newest entries. An entry that cannot be stored is lost, as may happen on OCI, which
// guarantees no delivery.
package logging

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/localoci/index"
	"cemli-executor/internal/localoci/tenancy"
)

// The ids of the log and of its group, which has no other log.
const (
	GroupID = "ocid1.loggroup.oc1.phx.cemlilocal"
	LogID   = "ocid1.log.oc1.phx.cemlilocal"
)

// maxKept is how many entries are kept; older ones are dropped.
const maxKept = 10_000

// maxEntry bounds an entry.
const maxEntry = 64 << 10

var table = []byte("writelog")

// Tables is the index's table for the log.
var Tables = [][]byte{table}

// Entry is a request that may have changed the bucket, with its answer.
type Entry struct {
	Write
	RequestID      string
	Principal      string // OCID
	PrincipalName  string
	Authentication string // user, resource, instance, service
	PAR            bool   // through a pre-authenticated request
}

// log is the log on disk.
type log struct {
	db       *bolt.DB
	bucketID string
	mu       sync.Mutex
	kept     int
}

// openLog opens the log in an index that has its table.
func openLog(db *bolt.DB, bucketID string) (*log, error) {
	l := &log{db: db, bucketID: bucketID}
	err := db.View(func(tx *bolt.Tx) error {
		l.kept = tx.Bucket(table).Stats().KeyN
		return nil
	})
	return l, err
}

// stored is an entry, and the time from which on it can be found.
type stored struct {
	Seen  time.Time       `json:"seen"`
	Entry json.RawMessage `json:"entry"`
}

// add stores an entry, which can be found from a time on.
func (l *log) add(e Entry, seen time.Time) error {
	entry, err := json.Marshal(l.document(e, seen))
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	if len(entry) > maxEntry {
		return fmt.Errorf("an entry of %d bytes", len(entry))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket(table)
		number, err := b.NextSequence()
		if err != nil {
			return err
		}
		if err := index.Put(tx, table, key(e.Start, number), stored{seen.UTC(), entry}); err != nil {
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

// document is an entry in the form in which a search answers it.
func (l *log) document(e Entry, ingested time.Time) map[string]any {
	const milliseconds = "2006-01-02T15:04:05.000Z"
	start := e.Start.UTC()
	details := map[string]any{}
	if e.Version != "" {
		details["versionId"] = e.Version
	}
	data := map[string]any{
		"additionalDetails": details, "apiType": "native", "authenticationType": e.Authentication,
		"bucketId": l.bucketID, "bucketName": e.Bucket, "clientIpAddress": e.Address,
		"compartmentId": tenancy.Compartment, "compartmentName": "local", "isPar": e.PAR,
		"message":   "Object Storage write",
		"namespace": tenancy.Namespace, "objectName": e.Object, "opcRequestId": e.RequestID, "principalId": e.Principal,
		"principalName": e.PrincipalName, "region": tenancy.Region, "requestAction": e.Action,
		"requestResourcePath": e.Path,
		"startTime":           start.Format(milliseconds), "endTime": e.End.UTC().Format(milliseconds),
		"statusCode": e.Status,
		"tenantId":   tenancy.ID, "tenantName": "local", "userAgent": e.UserAgent, "vcnId": "0",
	}
	if e.ETag != "" {
		data["eTag"] = e.ETag
	}
	if e.ErrorCode != "" {
		data["errorCode"] = e.ErrorCode
	}
	return map[string]any{
		"datetime": start.UnixMilli(),
		"logContent": map[string]any{
			"id": uuid.NewString(), "specversion": "1.0", "source": e.Bucket, "subject": "",
			"time": start.Format(milliseconds),
			"type": "com.oraclecloud.objectstorage." + e.Operation, "data": data,
			"oracle": map[string]any{
				"compartmentid": tenancy.Compartment, "ingestedtime": ingested.UTC().Format(milliseconds),
				"loggroupid": GroupID, "logid": LogID, "tenantid": tenancy.ID,
			},
		},
	}
}
