package jobs

import (
	"encoding/json"
	"fmt"
	"slices"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// Probed is what a runner answers to a probe: what it found of itself, which is its word.
type Probed struct {
	Action  string `json:"action"` // probe
	OK      bool   `json:"ok"`     // every line is
	Version string `json:"version"`
	Image   string `json:"image,omitempty"`
	// Level and Gaps are those of the sandbox that its scripts are in.
	Level string   `json:"level"`
	Gaps  []string `json:"gaps"`
	// Credentials say what its token is granted: CredentialsNone, CredentialsUngranted or CredentialsGranted.
	Credentials string       `json:"credentials"`
	Lines       []ProbedLine `json:"lines"`
}

// ProbedLine is one line of it. If it is not OK, Code says what a job would fail with.
type ProbedLine struct {
	What string `json:"what"`
	OK   bool   `json:"ok"`
	Says string `json:"says"`
	Code string `json:"code,omitempty"`
	Cure string `json:"cure,omitempty"`
}

// What a runner found of its token.
const (
	CredentialsNone      = "none"      // there is none
	CredentialsUngranted = "ungranted" // each call that was tried with it was refused
	CredentialsGranted   = "granted"   // one was not
)

// Bounds of what a runner answers to a probe.
const (
	MaxProbed      = 256 << 10
	maxProbedLines = 100
	maxProbedText  = 2000
)

// DecodeProbed reads what a runner answers to a probe. Keys that are not known are left out, as a runner is deployed
// before its executor; texts that are too long are cut.
func DecodeProbed(doc []byte) (Probed, error) {
	var p Probed
	err := json.Unmarshal(doc, &p)
	failing := slices.ContainsFunc(p.Lines, func(l ProbedLine) bool { return !l.OK })
	granted := p.Credentials == CredentialsGranted
	wrong := ""
	switch {
	case err != nil || len(doc) > MaxProbed || p.Action != "probe":
		wrong = fmt.Sprintf("it is no answer to a probe (%d bytes)", len(doc))
	case !slices.Contains(Levels, p.Level):
		wrong = "it says no level of its sandbox"
	case len(p.Gaps) > maxWords || slices.ContainsFunc(p.Gaps, func(g string) bool { return !gapRule.MatchString(g) }):
		wrong = "its gaps are none"
	case !slices.Contains([]string{CredentialsNone, CredentialsUngranted, CredentialsGranted}, p.Credentials):
		wrong = "it does not say what its token is granted"
	case len(p.Lines) == 0 || len(p.Lines) > maxProbedLines:
		wrong = fmt.Sprintf("it has %d lines", len(p.Lines))
	case p.OK == failing || granted && !failing:
		wrong = "it contradicts itself"
	}
	if wrong != "" {
		return Probed{}, problem.New(problem.Problem{
			Code: "runner.probe", Message: "what the runner answers to a probe is not understood: " + wrong,
			Hint: codes.Of("runner.probe").Cure,
		}, err)
	}
	p.bound()
	return p, nil
}

// bound cuts what is too long, and replaces codes that nobody knows.
func (p *Probed) bound() {
	p.Version, p.Image = evidence.Cut(p.Version, 100), evidence.Cut(p.Image, maxAddress)
	for i := range p.Lines {
		l := &p.Lines[i]
		l.What, l.Says, l.Cure = evidence.Cut(l.What, 100), evidence.Cut(l.Says, maxProbedText),
			evidence.Cut(l.Cure, maxProbedText)
		if !l.OK && !codes.Known(l.Code) {
			l.Code = "runner.probe"
		}
	}
}
