package terminal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Progress shows a run as it happens. The executor's log, JSON lines, is written to it, whether the executor runs in
// this process or in a function.
type Progress struct {
	t       *Terminal
	mu      sync.Mutex
	pending []byte
	last    []string     // lines of the step that runs
	failed  []failedStep // in the order in which they ended
}

// NewProgress shows runs on a terminal, and nothing if the output is for machines.
func NewProgress(t *Terminal) *Progress { return &Progress{t: t} }

// failedStep is a step that did not succeed, with the end of its output.
type failedStep struct {
	name string
	last []string
}

// shownAgain is how many lines of a failed step are shown again at the end.
const shownAgain = 40

// logLine is what Progress reads of a line of the log.
type logLine struct {
	Msg      string `json:"msg"`
	Level    string `json:"level"`
	Package  string `json:"package"`
	Version  string `json:"version"`
	Set      string `json:"parameter_set"`
	Action   string `json:"action"`
	Step     string `json:"step"`
	Phase    string `json:"phase"`
	Stream   string `json:"stream"`
	Line     string `json:"line"`
	Status   string `json:"status"`
	Code     string `json:"code"`
	Error    string `json:"error"`
	Return   int    `json:"returncode"`
	Signal   string `json:"signal"`
	Duration int64  `json:"duration_ms"`
}

// Write takes any part of the log; it never fails.
func (p *Progress) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pending = append(p.pending, data...)
	for {
		end := bytes.IndexByte(p.pending, '\n')
		if end < 0 {
			return len(data), nil
		}
		p.show(p.pending[:end])
		p.pending = p.pending[end+1:]
	}
}

func (p *Progress) show(text []byte) {
	if p.t.JSON() {
		return
	}
	var l logLine
	if json.Unmarshal(text, &l) != nil {
		return // not a line of the executor's log, such as the platform's framing
	}
	t := p.t
	switch l.Msg {
	case "run started":
		title := strings.TrimSpace(l.Package + " " + l.Version + " " + l.Set)
		if l.Action != "apply" {
			title += " (" + strings.ReplaceAll(l.Action, "_", " ") + ")"
		}
		t.Line(t.Paint(Bold, Visible(title)))
	case "step started":
		p.last = nil
		t.Line(fmt.Sprintf("%s %s", t.Paint(Faint, l.Phase), Visible(l.Step)))
	case "output":
		bar := t.Paint(Faint, "  |")
		if l.Stream == "stderr" {
			bar = t.Paint(Yellow, "  !")
		}
		for line := range strings.SplitSeq(l.Line, "\n") {
			t.Line(bar + " " + Visible(line))
			p.last = append(p.last[max(0, len(p.last)-shownAgain+1):], line)
		}
	case "step finished":
		t.Line("  " + t.ending(l))
		p.ended(l)
	}
}

// ended remembers how the last attempt of a step ended.
func (p *Progress) ended(l logLine) {
	name := l.Step
	if l.Phase == "rollback" {
		name = "undo of " + name
	}
	p.failed = slices.DeleteFunc(p.failed, func(s failedStep) bool { return s.name == name })
	if l.Status != "success" && l.Status != "skipped" {
		p.failed = append(p.failed, failedStep{name, p.last})
	}
}

// ShowFailed shows the end of what failed steps have printed, once more: it may be far above.
func (p *Progress) ShowFailed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.failed {
		if len(s.last) == 0 {
			continue
		}
		p.t.Line(p.t.Paint(Faint, fmt.Sprintf("--- %s, last %s ---", Visible(s.name), Count(len(s.last), "line"))))
		for _, line := range s.last {
			p.t.Line(Visible(line))
		}
		p.t.Line(p.t.Paint(Faint, "--- end ---"))
	}
	p.failed = nil
}

func (t *Terminal) ending(l logLine) string {
	took := (time.Duration(l.Duration) * time.Millisecond).String()
	symbol := t.symbols.of(l.Status) + " "
	if l.Status == "success" {
		return t.Paint(Green, symbol+"ok") + " " + t.Paint(Faint, took)
	}
	how := fmt.Sprintf("exit code %d", l.Return)
	if l.Signal != "" {
		how = l.Signal
	}
	return t.Paint(Red, symbol+strings.ReplaceAll(l.Status, "_", " ")) + " " + how + " " + t.Paint(Faint, took)
}
