package executor

import (
	"context"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
)

// ProbeLine is the outcome of one check. If it is not OK, Code is the code with which a run would fail, and Cure is
// what to do.
type ProbeLine struct {
	What string `json:"what"`
	OK   bool   `json:"ok"`
	Says string `json:"says"`
	Code string `json:"code,omitempty"`
	Cure string `json:"cure,omitempty"`
}

// ProbeCheck is a check that the program around the executor adds; says is for a person.
type ProbeCheck struct {
	What string
	Try  func(ctx context.Context) (says string, err error)
}

// configured are the lines about the configuration.
func configured(problems []problem.Problem) []ProbeLine {
	if len(problems) == 0 {
		return []ProbeLine{{What: "configuration", OK: true, Says: "every variable is as it may be"}}
	}
	var lines []ProbeLine
	for _, wrong := range problems {
		lines = append(lines, ProbeLine{
			What: "configuration", Says: problem.New(wrong, nil).Message(), Code: wrong.Code, Cure: wrong.Hint,
		})
	}
	return lines
}

// probing is a probe under way.
type probing struct{ *Executor }

// line makes the check.
func (c ProbeCheck) line(ctx context.Context, e probing) ProbeLine {
	says, err := c.Try(ctx)
	if err == nil {
		return ProbeLine{What: c.What, OK: true, Says: says}
	}
	e.Log.Warn("probe", "what", c.What, "code", problem.CodeOf(err), "error", err.Error())
	p := problem.Of(err, problem.Problem{
		Code: codes.Internal, Message: "it could not be looked at", Hint: "see the function's log",
	})
	return ProbeLine{What: c.What, Says: p.Message(), Code: p.Code(), Cure: p.Problems[0].Hint}
}
