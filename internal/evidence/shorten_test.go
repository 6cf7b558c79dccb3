package evidence_test

import (
	"fmt"
	"strings"
	"testing"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// Whatever was found, the result is not larger than what is read back, and says what it left out.
func TestResultFitsWhateverWasFound(t *testing.T) {
	for name, size := range map[string]int{"many": 1000, "long": 500_000} {
		var found []problem.Problem
		for i := range 20_000_000 / size {
			found = append(found,
				problem.Problem{Code: "archive.crc", Where: strings.Repeat("w", size), Message: fmt.Sprint(i)})
		}
		r := evidence.Result{}
		r.Error = evidence.NewError(&problem.Error{Problems: found})
		r.Policy.Violations = found
		doc, err := r.EncodeShort()
		if err != nil || len(doc) > evidence.MaxDocument {
			t.Fatalf("%s: %d bytes, %v", name, len(doc), err)
		}
		got, err := evidence.Decode(doc)
		if err != nil {
			t.Fatal(err)
		}
		mark := fmt.Sprintf("%d more", len(found)-10)
		for _, list := range [][]problem.Problem{got.Error.Problems, got.Policy.Violations} {
			if len(list) != 11 || list[0].Message != "0" || list[10].Code != "request.more" ||
				!strings.Contains(list[10].Message, mark) {
				t.Errorf("%s: %d problems, the last %+v; want %s", name, len(list), list[len(list)-1], mark)
			}
		}
		if len(found[0].Where) != size {
			t.Error("the run's own list was changed")
		}
	}
}
