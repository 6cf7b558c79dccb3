package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cemli-executor/executor"
)

// ApartConfig says where steps run apart from the executor.
type ApartConfig struct {
	Runners []executor.Runner // the first is the default; none: steps run here
	Jobs    string            // the bucket of mailboxes
	// IsRunner says that this function is a runner itself.
	IsRunner bool
}

// runHere is the value of CEMLI_RUNNER with which steps run in the executor.
const runHere = "here"

// theOnlyLabel is that of a runner without one.
const theOnlyLabel = "default"

var labelForm = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)

// apart reads where steps run. The executor is no runner: packages would have what it is granted.
func (e *env) apart() ApartConfig {
	const key = "CEMLI_RUNNER"
	c := ApartConfig{Jobs: e.text("CEMLI_JOBS_BUCKET", "cemli-jobs")}
	text := e.text(key, runHere)
	if text == runHere {
		return c
	}
	for entry := range strings.SplitSeq(text, ",") {
		r, hint := readRunner(entry)
		switch message := fmt.Sprintf("%.100q is no runner", entry); {
		case hint != "":
			e.wrong(key, message, hint)
		case r.ID == e.values["FN_FN_ID"]:
			e.wrong(key, "it names the executor itself, which takes no jobs and is granted what packages must not have",
				"name a function of its own, whose CEMLI_ROLE is runner")
		case slices.ContainsFunc(c.Runners, func(other executor.Runner) bool { return other.Label == r.Label }):
			e.wrong(key, fmt.Sprintf("two runners have the label %s", r.Label),
				"give each a label of its own: LABEL=function:OCID")
		case slices.ContainsFunc(c.Runners, func(other executor.Runner) bool { return other.ID == r.ID }):
			e.wrong(key, fmt.Sprintf("the label %s is one more for the same function", r.Label),
				"name each function once: packages of two labels must not meet")
		default:
			c.Runners = append(c.Runners, r)
		}
	}
	return c
}

// readRunner reads [LABEL=]function:OCID. If it is something else, the hint says how to write it.
func readRunner(entry string) (r executor.Runner, hint string) {
	label, place, named := strings.Cut(entry, "=")
	if !named {
		label, place = theOnlyLabel, entry
	}
	kind, id, _ := strings.Cut(place, ":")
	switch {
	case entry == "":
		hint = "there is a comma too many"
	case entry != strings.TrimSpace(entry) || strings.ContainsAny(entry, " \t\n"):
		hint = "write it without blanks"
	case place == runHere || label == runHere:
		hint = "here stands alone, and is no label: steps run here, or with runners"
	case !labelForm.MatchString(label):
		hint = "a label is 1 to 32 of a-z, 0-9 and the hyphen, as in erp=function:OCID"
	case onFunctions(kind):
		hint = "write function: before the OCID"
	case kind != executor.KindFunction:
		hint = "this version has runners of one kind: write function:OCID, or here"
	case !onFunctions(id) || len(id) > 255 || strings.ContainsAny(id, "/=:\"\\"):
		hint = "copy the OCID from the function's page: it begins with ocid1.fnfunc."
	}
	return executor.Runner{Label: label, Kind: kind, ID: id}, hint
}
