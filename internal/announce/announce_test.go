package announce_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	cloudevents "github.com/cloudevents/sdk-go/v2"

	"cemli-executor/internal/announce"
	"cemli-executor/internal/evidence"
)

var failed = evidence.Result{
	RunID: "20260102T030405Z-ledger-0123456789ab", Status: evidence.StatusTimedOut,
	Message: "steps/2.sh: was stopped\nafter 5s", Action: "apply", Environment: "prod",
	Error:   &evidence.Error{Code: "step.timeout", Message: "m", Hint: "h"},
	Package: evidence.Package{Name: "ledger", Version: "1.2.0"}, Start: time.Unix(1, 0).UTC(),
	End: time.Unix(2, 0).UTC(),
}

func TestMessage(t *testing.T) {
	t.Parallel()
	title, body, err := announce.Message(failed, "results")
	if err != nil {
		t.Fatal(err)
	}
	if title != "[prod] ledger 1.2.0: timed out - steps/2.sh: was stopped after 5s" {
		t.Errorf("title %q", title)
	}
	event := cloudevents.NewEvent()
	if err := json.Unmarshal([]byte(body), &event); err != nil || event.Validate() != nil {
		t.Fatalf("no CloudEvent: %v %v\n%s", err, event.Validate(), body)
	}
	var data announce.Data
	if err := event.DataAs(&data); err != nil {
		t.Fatal(err)
	}
	if event.Type() != "dev.cemli.run.finished" || event.ID() != failed.RunID || event.Subject() != "ledger 1.2.0" ||
		data.Code != "step.timeout" ||
		data.Result.Object != "runs/20260102T030405Z-ledger-0123456789ab/result.json" ||
		data.Result.Bucket != "results" {
		t.Errorf("event %s", body)
	}
}

func TestMessagesStaySmall(t *testing.T) {
	t.Parallel()
	r := failed
	r.Message, r.Reason = strings.Repeat("é", 1<<20), strings.Repeat("x", 1<<20)
	title, body, err := announce.Message(r, "results")
	if err != nil || len([]rune(title)) > 100 || len(title)+len(body) >= 64<<10 {
		t.Errorf("title %d, body %d bytes, error %v", len(title), len(body), err)
	}
}

func TestWhatIsAFailure(t *testing.T) {
	t.Parallel()
	for status, want := range map[evidence.Status]bool{
		evidence.StatusSuccess: false, evidence.StatusSkipped: false, evidence.StatusFailed: true,
		evidence.StatusRolledBack: true, evidence.StatusRejected: true, evidence.StatusError: true,
	} {
		if got := announce.Failure(evidence.Result{Status: status}); got != want {
			t.Errorf("%s: %t", status, got)
		}
	}
}

// An object that was refused for its name is announced by a name that looks like what it is.
func TestNamesAreVisible(t *testing.T) {
	t.Parallel()
	r := failed
	r.Package, r.SourceObject, r.Message = evidence.Package{}, "a\u202egpj\t.zip", "refused \u202e"
	title, body, err := announce.Message(r, "results")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(title, `"a\u202egpj\t.zip"`) || strings.ContainsFunc(body, evidence.Deceptive) {
		t.Errorf("title %q, body %q", title, body)
	}
}

// Whatever a result says, it can be announced.
func TestWhateverAResultSays(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "\xff\xfe", "\x00\x1b[31m", "\u202egpj.zip", strings.Repeat("\u0085", 60_000),
		strings.Repeat("\x00", 60_000), strings.Repeat("<&>]]>", 9000),
	} {
		r := evidence.Result{
			RunID: "20260102T030405Z-x-0123456789ab", SourceObject: text[:min(len(text), 1024)], Message: text,
			Reason: text, Reference: text,
			Environment: "prod", Error: &evidence.Error{Code: "x.y", Message: text, Hint: text},
		}
		_, body, err := announce.Message(r, "results")
		if err != nil || len(body) > 64<<10 {
			t.Errorf("%.20q: %d bytes, %v", text, len(body), err)
		}
	}
}
