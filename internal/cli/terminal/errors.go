package terminal

import (
	"errors"
	"strings"

	"cemli-executor/internal/problem"
)

// ShowError says what happened, to what, and what to do next.
func (t *Terminal) ShowError(err error) {
	var e *problem.Error
	if !errors.As(err, &e) {
		t.Errorf("%s", err)
		if isCobraUsage(err) {
			t.Hintf("see cemli --help")
		}
		return
	}
	for _, p := range e.Problems {
		t.ShowProblem(p)
	}
	if e.Cause != nil {
		t.Notef("cause: %s", e.Cause)
	}
}

// cureHere returns what to do on this machine if the hint is for the operators of a function.
func (t *Terminal) cureHere(p problem.Problem) string {
	switch {
	case p.Code == "policy.unavailable" && strings.Contains(p.Message, "; this is "):
		policy, here, _ := strings.Cut(p.Message, "; this is ")
		return "say --env " + policy[strings.LastIndex(policy, " ")+1:] + ", or name the policy of " + here
	case p.Code == "trigger.parameter_missing":
		return "give it with --param " + about(p) + "=VALUE, by an --env that has it, or as default in the manifest"
	case p.Code == "manifest.environment":
		return p.Hint + "; choose with --env"
	case p.Code == "step.tool":
		return "install it here, and add it to the function's image"
	case p.Code == "secret.unavailable" && t.Local && strings.HasPrefix(about(p), "ocid1."):
		return "give it with --secret NAME=FILE, and name it so in the manifest"
	case p.Code == "secret.unavailable" && t.Local:
		return "give it with --secret " + about(p) + "=FILE, and its value in the file"
	case !t.Local && (strings.HasPrefix(p.Code, "request.") || strings.HasPrefix(p.Code, "rollback.")):
		return backHere(p)
	case p.Code == "archive.empty" && strings.HasPrefix(p.Message, "the folder "):
		return "cemli init NAME makes a folder with a package that already runs"
	}
	return p.Hint
}

// backHere returns the cure for going back in the words of cemli run, each call of which is a request of its own.
func backHere(p problem.Problem) string {
	if name, ok := strings.CutPrefix(about(p), "/parameters/"); ok && p.Code == "request.hidden" {
		return "give it with --param " + name + "=VALUE"
	}
	if p.Code == "request.differs" && about(p) == "/object" {
		return "leave PATH out, or name the package as that run had it"
	}
	hint, _, _ := strings.Cut(p.Hint, "; when you send this again")
	return flagsOf.Replace(hint)
}

// flagsOf turns the keys of a request into this command line's flags.
var flagsOf = strings.NewReplacer(
	"send a request without resume_from", "leave out --resume-from", "resume_from", "--resume-from",
	"send rerun_of", "use --rerun-of", "rerun_of", "--rerun-of", "send force", "use --force",
)

// about returns what a problem is about; a result that has only one problem says it in the message.
func about(p problem.Problem) string {
	if p.Where != "" {
		return p.Where
	}
	where, _, _ := strings.Cut(p.Message, ": ")
	return where
}

// ShowProblem says one thing that is wrong, with its code and what to do about it here.
func (t *Terminal) ShowProblem(p problem.Problem) {
	p.Hint = t.cureHere(p)
	text := p.Message
	if p.Where != "" {
		text = p.Where + ": " + text
	}
	if p.Code != "usage" {
		text += " (" + p.Code + ")"
	}
	t.Errorf("%s", text)
	if p.Hint != "" {
		t.Hintf("%s", p.Hint)
	}
}
