package store

import (
	"fmt"
	"unicode/utf8"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
)

// sentinels gives each sentinel its stable code.
var sentinels = []struct {
	err  error
	code string
}{
	{ErrNotFound, "store.not_found"},
	{ErrNoBucket, "store.bucket_not_found"},
	{ErrExists, "store.exists"},
	{ErrChanged, "store.changed"},
	{ErrDenied, "store.denied"},
	{ErrUnavailable, "store.unavailable"},
	{ErrRefused, "store.refused"},
	{ErrName, "store.name"},
	{ErrCorrupt, "store.corrupt"},
	{ErrRange, "store.range"},
}

// Error makes the error of one failed operation ("get", "put", …) on an object or, with an empty name, on the bucket.
// Kind is one of the sentinels; cause may be nil.
func Error(kind error, op, bucket, name string, cause error) error {
	for _, c := range sentinels {
		if c.err != kind {
			continue
		}
		where := bucket
		if name != "" {
			where += "/" + name
		}
		wrapped := kind
		if cause != nil {
			wrapped = fmt.Errorf("%w: %w", kind, cause)
		}
		return problem.New(problem.Problem{
			Code: c.code, Where: where, Message: fmt.Sprintf("cannot %s: %v", op, kind), Hint: codes.Of(c.code).Cure,
		}, wrapped)
	}
	panic("store: not a sentinel: " + kind.Error())
}

// Unread turns an error while reading an object into a store error, unless it is one.
func Unread(b Bucket, name string, err error) error {
	if problem.CodeOf(err) != "" {
		return err
	}
	return Error(ErrUnavailable, "read", b.Name(), name, err)
}

// CheckName returns an error if name cannot be an object's name in any store. It refuses names with empty, "." or
// ".." segments: clients and proxies normalise them, so that another object might be read than was asked for.
func CheckName(name string) error {
	switch {
	case name == "" || len(name) > 1024:
		return fmt.Errorf("%w: %d bytes", ErrName, len(name))
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: not UTF-8", ErrName)
	}
	start := 0
	for i := 0; i <= len(name); i++ {
		if i < len(name) && name[i] != '/' {
			if name[i] < 0x20 || name[i] == 0x7f {
				return fmt.Errorf("%w: control character at byte %d", ErrName, i)
			}
			continue
		}
		switch name[start:i] {
		case "", ".", "..":
			return fmt.Errorf("%w: segment %q", ErrName, name[start:i])
		}
		start = i + 1
	}
	return nil
}
