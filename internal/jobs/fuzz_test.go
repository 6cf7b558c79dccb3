package jobs

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cemli-executor/internal/problem"
)

// A document takes memory in proportion to its size, whatever it says.
const (
	memoryByte  = 80 // for each of its bytes, of all that was ever allocated
	memoryLeast = 4 << 20
)

// affordable calls f, and fails if that allocates more than a document of the size may cost.
func affordable(t *testing.T, size int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > uint64(memoryLeast+memoryByte*size) {
		t.Errorf("%d bytes took %d of memory", size, took)
	}
}

// withVersion is a document with something else where it has its version.
func withVersion(doc []byte, other string) []byte {
	return bytes.Replace(doc, []byte(`"v":1`), []byte(other), 1)
}

// What is decoded is what is encoded of it, decoded; a job of another version or size is none.
func FuzzDecodeJob(f *testing.F) {
	call, err := everyKey().Encode(archive)
	if err != nil {
		f.Fatal(err)
	}
	doc := jobDoc(f, everyKey())
	for _, seed := range [][]byte{
		call, doc, append(bytes.Clone(doc), '\n'), call[:len(call)/2], doc[:len(doc)-1], bytes.ToUpper(doc),
		withVersion(doc, `"v":2`), withVersion(doc, `"v":1,"v":1`), withVersion(doc, `"v":1,"w":1`),
		[]byte("{}"), []byte("\n"), nil,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, call []byte) {
		var j Job
		var zip []byte
		var err error
		affordable(t, len(call), func() { j, zip, err = DecodeJob(call) })
		if err != nil {
			if problem.CodeOf(err) != "runner.job" {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := j.Encode(zip)
		if len(again) > MaxCall || problem.CodeOf(err) == "runner.job" && len(call) > MaxCall/2 {
			return // it was written more briefly
		}
		second, same, err := DecodeJob(encoded(t, again, err))
		if diff := cmp.Diff(j, second); diff != "" || err != nil || !bytes.Equal(zip, same) {
			t.Errorf("%v (-first +second):\n%s", err, diff)
		}
	})
}

// What is decoded is what is encoded of it, decoded, and Check takes no exception to what is not there.
func FuzzDecodeOutcome(f *testing.F) {
	doc := outcomeDoc(f, endedBadly())
	for _, seed := range [][]byte{
		doc, outcomeDoc(f, withErrors()), doc[:len(doc)/2], bytes.ToUpper(doc), append(bytes.Clone(doc), doc...),
		withVersion(doc, `"v":2`), withVersion(doc, `"v":1,"v":1`), withVersion(doc, `"v":1,"w":1`),
		[]byte(`{"steps":[[[[[[[[[[]]]]]]]]]]}`), nil,
	} {
		f.Add(seed)
	}
	j := everyKey()
	f.Fuzz(func(t *testing.T, doc []byte) {
		var o Outcome
		var err error
		affordable(t, len(doc), func() {
			if o, err = DecodeOutcome(doc); err == nil {
				_ = Check(j, o)
			}
		})
		if err != nil {
			if problem.CodeOf(err) != "runner.outcome" {
				t.Errorf("%v", err)
			}
			return
		}
		if len(doc) > MaxOutcome/2 {
			return // it may be written more briefly
		}
		again, err := o.Encode()
		second, err := DecodeOutcome(encoded(t, again, err))
		if diff := cmp.Diff(o, second); diff != "" || err != nil {
			t.Errorf("%v (-first +second):\n%s", err, diff)
		}
	})
}

// The other documents of a mailbox are what is encoded of them, too.
func FuzzDecodeMail(f *testing.F) {
	for _, seed := range []string{
		`{"job":"` + someJob + `","by":"runner","nonce":"` + someJob + `","at":"2026-11-27T12:00:00.5Z",` +
			`"withdrawn":false}`,
		`{"job":"` + someJob + `","seq":1,"steps":[],"step":"a","elapsed":5000,"tail":"\u0000"}`,
		`{"cancel":true,"reason":"closed\n"}`, `{"cancel":1}`, `{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		same(t, doc, DecodeBegun, Begun.Encode)
		same(t, doc, DecodeProgress, Progress.Encode)
		same(t, doc, DecodeControl, Control.Encode)
	})
}

// same fails if what is decoded is not what is encoded of it, decoded.
func same[T any](t *testing.T, doc []byte, decode func([]byte) (T, error), encode func(T) ([]byte, error)) {
	t.Helper()
	v, err := decode(doc)
	if err != nil || len(doc) > MaxMail/2 {
		if err != nil && problem.CodeOf(err) != "runner.mailbox" {
			t.Errorf("%v", err)
		}
		return
	}
	again, err := encode(v)
	second, err := decode(encoded(t, again, err))
	if diff := cmp.Diff(v, second, cmpopts.EquateEmpty()); diff != "" || err != nil {
		t.Errorf("%v (-first +second):\n%s", err, diff)
	}
}

// The documents that cost most: as large as they may be, of nothing but members, elements, problems or folders.
func TestHostileDocumentsAreAffordable(t *testing.T) {
	fill := func(before, element, after string) []byte {
		n := (MaxOutcome - len(before) - len(after)) / len(element)
		return []byte(before + strings.Repeat(element, n) + after)
	}
	doc := string(outcomeDoc(t, endedBadly()))
	var names strings.Builder
	for i := 0; names.Len() < MaxOutcome-100; i++ {
		names.WriteString(`"` + strings.Repeat("x", i%7) + string(rune('0'+i%60)) + strings.Repeat("y", i%11) + `":0,`)
	}
	for name, doc := range map[string][]byte{
		"elements": fill(`{"steps":[`, "0,", `0]}`), "lists": fill(`{"steps":[`, "[],", `0]}`),
		"nested": fill("", "[", ""), "objects": fill(`{"artifacts":[`, "{},", `{}]}`),
		"members":   []byte("{" + names.String()),
		"texts":     fill(`{"steps":[{"changed_files":[`, `"",`, `""]}]}`),
		"records":   fill(strings.Replace(doc, `"refused":[]`, `"refused":[`, 1), `{"code":"a.b","message":""},`, "]"),
		"artifacts": fill(`{"artifacts":[`, `{"n":0,"name":"","size":0},`, `0]}`),
		"escapes":   fill(`{"summary":"`, `\u0041`, `"}`), "spaces": fill("", " ", doc[:10]),
		"longer": make([]byte, 50_000_000),
	} {
		affordable(t, min(len(doc), MaxOutcome), func() {
			if _, err := DecodeOutcome(doc); problem.CodeOf(err) != "runner.outcome" {
				t.Errorf("%s: %v", name, err)
			}
		})
		affordable(t, min(len(doc), MaxOutcome), func() {
			if _, _, err := DecodeJob(doc); problem.CodeOf(err) != "runner.job" {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// An answer is what is encoded of it, too.
func FuzzDecodeAnswer(f *testing.F) {
	outcome := string(outcomeDoc(f, withErrors()))
	for _, seed := range []string{
		`{"job":"` + someJob + `","says":"outcome","outcome":` + outcome + `}`,
		`{"job":"` + someJob + `","says":"outcome"}`, `{"job":"` + someJob + `","says":"stored"}`,
		`{"job":"` + someJob + `","says":"taken","outcome":{}}`, `{"job":"` + someJob + `","says":"refused"}`,
		`{"job":"` + someJob + `","says":"refused","refused":[{"code":"runner.job","message":"not begun"}]}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var a Answer
		var err error
		affordable(t, len(doc), func() { a, err = DecodeAnswer(doc) })
		if err != nil {
			if problem.CodeOf(err) != "runner.outcome" {
				t.Errorf("%v", err)
			}
			return
		}
		again, err := a.Encode()
		second, err := DecodeAnswer(encoded(t, again, err))
		if diff := cmp.Diff(a.Says, second.Says); diff != "" || err != nil || a.Job != second.Job {
			t.Errorf("%v (-first +second):\n%s", err, diff)
		}
	})
}
