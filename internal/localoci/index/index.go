// Package index is the database of a local OCI: tables of JSON records, in one file. Whatever happens takes effect
// with one transaction, whichever services take part in it.
package index

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// ErrInUse says that another process has the database open.
var ErrInUse = errors.New("the index is locked")

// Open opens the database with the tables of all services, creates both the first time, and reads every record once,
// so that damage shows now.
func Open(path string, tables ...[][]byte) (db *bolt.DB, err error) {
	// bbolt panics if the file is damaged, and faults if it is shorter than it says.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("read index: %v", p)
		}
	}()
	db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, ErrInUse
	}
	if err != nil {
		return nil, fmt.Errorf("open index: %w", err)
	}
	if err := readAll(db, slices.Concat(tables...)); err != nil {
		return nil, errors.Join(fmt.Errorf("read index: %w", err), db.Close())
	}
	return db, nil
}

// readAll creates missing tables and reads every record.
func readAll(db *bolt.DB, tables [][]byte) error {
	err := db.Update(func(tx *bolt.Tx) error {
		for _, table := range tables {
			if _, err := tx.CreateBucketIfNotExists(table); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return db.View(func(tx *bolt.Tx) error {
		var failed error
		for _, table := range tables {
			failed = errors.Join(failed, tx.Bucket(table).ForEach(func(_, value []byte) error {
				var record json.RawMessage
				return json.Unmarshal(value, &record)
			}))
		}
		return failed
	})
}

// Put writes a record.
func Put(tx *bolt.Tx, table, key []byte, record any) error {
	value, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	return tx.Bucket(table).Put(key, value)
}

// View reads in a transaction of its own.
func View[T any](db *bolt.DB, read func(*bolt.Tx) (T, error)) (T, error) {
	var value T
	err := db.View(func(tx *bolt.Tx) (err error) {
		value, err = read(tx)
		return err
	})
	return value, err
}

// All reads every record of a table, in key order.
func All[T any](tx *bolt.Tx, table []byte) ([]T, error) {
	records := []T{}
	err := tx.Bucket(table).ForEach(func(_, value []byte) error {
		var record T
		err := json.Unmarshal(value, &record)
		records = append(records, record)
		return err
	})
	return records, err
}

// Numbered is the key of a record with a number: keys sort like the numbers.
func Numbered(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }
