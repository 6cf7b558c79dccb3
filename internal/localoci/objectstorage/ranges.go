package objectstorage

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"cemli-executor/internal/localoci/answer"
)

// parseRange reads a Range header with a single range. A malformed one is ignored, as RFC 9110 says; one that begins
// after the end cannot be satisfied.
func parseRange(header string, size int64) (from, length int64, partial bool, err error) {
	whole := func() (int64, int64, bool, error) { return 0, size, false, nil }
	spec, ok := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	if !ok || !dash || strings.Contains(spec, ",") {
		return whole()
	}
	unsatisfiable := answer.New(http.StatusRequestedRangeNotSatisfiable, "InvalidRange",
		fmt.Sprintf("The range %s is not satisfiable; the object has %d bytes.", header, size))
	if first == "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < 0 {
			return whole()
		}
		if n == 0 || size == 0 {
			return 0, 0, false, unsatisfiable
		}
		n = min(n, size)
		return size - n, n, true, nil
	}
	from, err = strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 {
		return whole()
	}
	to := size - 1
	if last != "" {
		n, err := strconv.ParseInt(last, 10, 64)
		if err != nil || n < from {
			return whole()
		}
		to = min(to, n)
	}
	if from >= size {
		return 0, 0, false, unsatisfiable
	}
	return from, to - from + 1, true, nil
}
