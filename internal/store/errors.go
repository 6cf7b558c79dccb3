package store

import (
	"fmt"
	"unicode/utf8"

	"cemli-executor/internal/problem"
)

// codes gives each sentinel its stable code and what to do about it.
var codes = []struct {
	err        error
	code, hint string
}{
	{ErrNotFound, "store.not_found", "check the object's name and that it has not been deleted"},
	{ErrNoBucket, "store.bucket_not_found", "check the bucket's name, region and compartment, and the policy that lets the caller see it"},
	{ErrExists, "store.exists", "the object is create-only and was left as it is"},
	{ErrChanged, "store.changed", "read the object again and decide anew"},
	{ErrDenied, "store.denied", "check the IAM policy of the caller for this bucket; changes to it take minutes to apply"},
	{ErrUnavailable, "store.unavailable", "try again; if it persists, check the service's status and the network route to it"},
	{ErrRefused, "store.refused", "see the cause in the function's log; repeating the call as it is does not help"},
	{ErrName, "store.name", "use a relative name of 1 to 1,024 bytes without empty, . or .. segments"},
	{ErrCorrupt, "store.corrupt", "upload the object again"},
	{ErrRange, "store.range", "read from an offset within the object"},
}

// Error makes the error for one failed operation ("get", "put", …) on an object or,
// with an empty name, on the bucket. Kind is one of the sentinels; cause may be nil.
func Error(kind error, op, bucket, name string, cause error) error {
	for _, c := range codes {
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
			Code: c.code, Where: where, Message: fmt.Sprintf("cannot %s: %v", op, kind), Hint: c.hint,
		}, wrapped)
	}
	panic("store: not a sentinel: " + kind.Error())
}

// CheckName reports why name cannot be an object's in any store, or nil. Names with
// empty, "." or ".." segments are refused: clients and proxies normalise them, so
// that what is read need not be what was asked for.
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
