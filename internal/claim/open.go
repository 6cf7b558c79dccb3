package claim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cemli-executor/internal/store"
)

// Mark is a request that was accepted, for whoever has to go on with it.
type Mark struct {
	header
	Environment string          `json:"environment"`
	Name        string          `json:"name"`
	Request     json.RawMessage `json:"request"`
	Created     time.Time       `json:"created"`
}

// MarkName is the name of the mark for an attempt of a key; attempt 0 is a request that nobody has
// looked at yet.
func MarkName(key string, attempt int) string { return fmt.Sprintf("%s-%d", key, attempt) }

// KeyOf is the run key in a mark's name.
func KeyOf(mark string) string {
	key, _, _ := strings.Cut(mark, "-")
	return key
}

// AttemptOf is the attempt in a mark's name.
func AttemptOf(mark string) int {
	_, text, _ := strings.Cut(mark, "-")
	attempt, _ := strconv.Atoi(text) // another name is nobody's attempt
	return attempt
}

func markObject(environment, name string) string { return "open/" + environment + "/" + name + ".json" }

// PutMark notes that a request is accepted; made is false if that was noted before.
func PutMark(ctx context.Context, state store.Bucket, m Mark) (made bool, err error) {
	_, err = write(ctx, state, markObject(m.Environment, m.Name), "", &m)
	if errors.Is(err, store.ErrExists) {
		return false, nil
	}
	return err == nil, err
}

// ReadMark reads a mark; nil if there is none.
func ReadMark(ctx context.Context, state store.Bucket, environment, name string) (*Mark, error) {
	m := &Mark{}
	etag, err := load(ctx, state, markObject(environment, name), m)
	switch {
	case err != nil:
		return nil, err
	case etag == "":
		return nil, nil //nolint:nilnil // there is none
	case m.Environment != environment || m.Name != name:
		return nil, corrupt(state, markObject(environment, name), nil)
	}
	return m, nil
}

// DeleteMark notes that nothing is left to be done for a request.
func DeleteMark(ctx context.Context, state store.Bucket, environment, name string) error {
	return remove(ctx, state, markObject(environment, name), "")
}

// Marks lists marks in the order of their names, from start on; next is where the next page
// starts, empty at the end.
func Marks(ctx context.Context, state store.Bucket, environment, start string, limit int) (names []string, next string, err error) {
	return listed(ctx, state, "open/"+environment+"/", start, limit)
}
