package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// progress shows a run as it happens. It is fed with the executor's log, JSON lines,
// whether the executor runs in this process or in a function.
type progress struct {
	t       *terminal
	mu      sync.Mutex
	pending []byte
	last    []string     // lines of the step that runs
	failed  []failedStep // in the order in which they ended
}

// failedStep is a step that did not succeed, with the end of its output.
type failedStep struct {
	name string
	last []string
}

// shownAgain is how many lines of a failed step are shown again when all has ended.
const shownAgain = 40

// logLine is what progress reads of a line of the log.
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
func (p *progress) Write(data []byte) (int, error) {
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

func (p *progress) show(text []byte) {
	if p.t.format == "json" {
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
		t.raw(t.paint(bold, visible(title)))
	case "step started":
		p.last = nil
		t.raw(fmt.Sprintf("%s %s", t.paint(faint, l.Phase), visible(l.Step)))
	case "output":
		bar := t.paint(faint, "  |")
		if l.Stream == "stderr" {
			bar = t.paint(yellow, "  !")
		}
		for line := range strings.SplitSeq(l.Line, "\n") {
			t.raw(bar + " " + visible(line))
			p.last = append(p.last[max(0, len(p.last)-shownAgain+1):], line)
		}
	case "step finished":
		t.raw("  " + t.ending(l))
		p.ended(l)
	}
}

// ended remembers how the last attempt of a step ended.
func (p *progress) ended(l logLine) {
	name := l.Step
	if l.Phase == "rollback" {
		name = "undo of " + name
	}
	p.failed = slices.DeleteFunc(p.failed, func(s failedStep) bool { return s.name == name })
	if l.Status != "success" && l.Status != "skipped" {
		p.failed = append(p.failed, failedStep{name, p.last})
	}
}

// showFailed shows the end of what failed steps have printed, once more: it may be far above.
func (p *progress) showFailed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.failed {
		if len(s.last) == 0 {
			continue
		}
		p.t.raw(p.t.paint(faint, fmt.Sprintf("--- %s, last %s ---", visible(s.name), count(len(s.last), "line"))))
		for _, line := range s.last {
			p.t.raw(visible(line))
		}
		p.t.raw(p.t.paint(faint, "--- end ---"))
	}
	p.failed = nil
}

// raw prints a line whose variable parts are visible already.
func (t *terminal) raw(line string) { fmt.Fprintln(t.stderr, line) }

func (t *terminal) ending(l logLine) string {
	took := (time.Duration(l.Duration) * time.Millisecond).String()
	symbol := t.symbols.of(l.Status) + " "
	if l.Status == "success" {
		return t.paint(green, symbol+"ok") + " " + t.paint(faint, took)
	}
	how := fmt.Sprintf("exit code %d", l.Return)
	if l.Signal != "" {
		how = l.Signal
	}
	return t.paint(red, symbol+strings.ReplaceAll(l.Status, "_", " ")) + " " + how + " " + t.paint(faint, took)
}
