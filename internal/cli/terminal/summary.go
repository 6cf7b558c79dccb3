package terminal

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/evidence"
)

// summary is what a person wants to know of a run, in plain lines.
type summary struct {
	strings.Builder
	symbols
}

// summaryOf begins with how the run ended, why, and what follows from it.
func summaryOf(r evidence.Result, where string, s symbols) string {
	b := &summary{symbols: s}
	b.verdict(r)
	b.line("run", r.RunID)
	b.line("content", r.Package.DirHash)
	if r.Execution.Ran {
		b.line("sandbox", sandboxText(r.Sandbox))
	}
	b.line("time", fmt.Sprintf("%s, %s", r.Start.Format(time.RFC3339), r.End.Sub(r.Start).Round(time.Millisecond)))
	b.steps("steps", r.Steps)
	if r.Rollback != nil {
		b.steps("undo", r.Rollback.Steps)
	}
	b.artifacts(r.Artifacts)
	b.outputs(r.Outputs)
	if note := r.Execution.Note; note != r.Message && (len(r.Steps) == 0 || !r.Execution.Ran) {
		b.line("note", note)
	}
	b.line("evidence", where)
	return b.String()
}

// verdict is the status, what it is of, and the reason.
func (b *summary) verdict(r evidence.Result) {
	of := strings.TrimSpace(r.Package.Name + " " + r.Package.Version)
	if r.ParameterSet != "" {
		of += " set " + r.ParameterSet
	}
	of += ", " + r.Environment
	if r.Action != "apply" {
		of += ", " + strings.ReplaceAll(r.Action, "_", " ")
	}
	fmt.Fprintf(b, "\n%s %s  %s\n", b.of(string(r.Status)), r.Status, Visible(strings.TrimPrefix(of, ", ")))
	if r.Message != "" {
		fmt.Fprintf(b, "  %s\n", Visible(r.Message))
	}
}

func (b *summary) line(label, value string) {
	if value != "" {
		fmt.Fprintf(b, "%-9s %s\n", label, Visible(value))
	}
}

func (b *summary) steps(what string, list []evidence.Step) {
	for i, s := range list {
		status := string(s.Status)
		text := fmt.Sprintf("%s %-11s %s %s", b.of(status), strings.ReplaceAll(status, "_", " "), s.Phase, s.Name)
		b.line(label(i == 0, what), text)
	}
}

func (b *summary) artifacts(list []evidence.Artifact) {
	for i, a := range list {
		text := fmt.Sprintf("%s (%s)", a.Name, Count(int(a.Size), "byte"))
		if a.Withheld != "" {
			text = a.Name + " withheld: " + a.Withheld
		}
		b.line(label(i == 0, "artifacts"), text)
	}
}

func (b *summary) outputs(values map[string]string) {
	for i, key := range slices.Sorted(maps.Keys(values)) {
		value, _, more := strings.Cut(values[key], "\n")
		if more || len(value) > maxShown {
			value = strings.ToValidUTF8(value[:min(len(value), maxShown)], "") + " …"
		}
		b.line(label(i == 0, "outputs"), key+"="+value)
	}
}

// maxShown is how much of an output the summary shows.
const maxShown = 60

func label(first bool, text string) string {
	if first {
		return text
	}
	return ""
}

// sandboxText says how scripts were confined, and what that left open.
func sandboxText(s evidence.Sandbox) string {
	text := s.Level
	if !s.Network && s.Seccomp {
		text += ", no network"
	}
	if s.CredentialsReachable {
		text += "; scripts could reach the credentials of whoever ran them"
	}
	return text
}

// next returns the commands that go back to a run which did not succeed and whose evidence is in a folder.
func next(r evidence.Result, folder string) string {
	if !r.Execution.Ran || r.Action != "apply" || r.Status == evidence.StatusSuccess {
		return ""
	}
	ways := [][2]string{{"--rerun-of", "once more, from its first step"}}
	done := slices.ContainsFunc(r.Steps, func(s evidence.Step) bool { return s.Status == evidence.StepSuccess })
	undone := r.Status == evidence.StatusRolledBack || r.Status == evidence.StatusCancelled && r.Rollback != nil
	if done && !undone {
		ways = append(ways, [2]string{"--resume-from", "after the steps that succeeded"})
	}
	var b strings.Builder
	b.WriteString("\nNEXT\n")
	for _, way := range ways {
		fmt.Fprintf(&b, "  %s:\n    cemli run --results %s %s %s --reason TEXT\n", way[1], shellWord(folder), way[0],
			r.RunID)
	}
	return b.String()
}

// shellWord quotes a text for a shell if need be.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_./-", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !plain(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(Visible(text), "'", `'\''`) + "'"
}
