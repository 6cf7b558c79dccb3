package evidence

import (
	"encoding/xml"
	"fmt"
	"time"
)

// The elements of a JUnit report, as far as the tools that read it agree.
type (
	junitReport struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Errors    int         `xml:"errors,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Time      string      `xml:"time,attr"`
		Timestamp string      `xml:"timestamp,attr"`
		Cases     []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		ClassName string        `xml:"classname,attr"`
		Time      string        `xml:"time,attr"`
		Failure   *junitFailure `xml:"failure"`
		Error     *junitFailure `xml:"error"`
		Skipped   *junitSkipped `xml:"skipped"`
		Stdout    string        `xml:"system-out,omitempty"`
		Stderr    string        `xml:"system-err,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
	junitSkipped struct {
		Message string `xml:"message,attr,omitempty"`
	}
)

// JUnit is the run as a JUnit report: a suite for each phase, and a case for each step. A failure other than a step's
// own is a case with an error.
func (r Result) JUnit() ([]byte, error) {
	report := junitReport{Name: r.Package.Name + " " + r.Package.Version, Time: seconds(r.End.Sub(r.Start))}
	for _, phase := range []string{"pre_check", "run", "post_check"} {
		report.add(r.suite(phase, r.Steps))
	}
	if r.Rollback != nil {
		report.add(r.suite("rollback", r.Rollback.Steps))
	}
	if report.Failures == 0 && r.Error != nil {
		report.add(junitSuite{
			Name: "executor", Timestamp: timestamp(r.Start), Tests: 1, Errors: 1, Time: report.Time,
			Cases: []junitCase{{
				Name: string(r.Status), ClassName: r.Package.Name, Time: report.Time,
				Error: &junitFailure{Message: r.Error.Message, Type: r.Error.Code},
			}},
		})
	}
	doc, err := xml.MarshalIndent(report, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode JUnit report: %w", err)
	}
	return append([]byte(xml.Header), append(doc, '\n')...), nil
}

func (j *junitReport) add(s junitSuite) {
	if len(s.Cases) == 0 {
		return
	}
	j.Suites = append(j.Suites, s)
	j.Tests, j.Failures, j.Errors, j.Skipped = j.Tests+s.Tests, j.Failures+s.Failures, j.Errors+s.Errors,
		j.Skipped+s.Skipped
}

// suite is the suite of one phase.
func (r Result) suite(phase string, steps []Step) junitSuite {
	s := junitSuite{Name: phase, Timestamp: timestamp(r.Start)}
	var took time.Duration
	for _, step := range steps {
		if step.Phase != phase {
			continue
		}
		took += time.Duration(step.DurationMS) * time.Millisecond
		c := junitCase{
			Name: step.Name, ClassName: r.Package.Name + "." + phase,
			Time:   seconds(time.Duration(step.DurationMS) * time.Millisecond),
			Stdout: step.StdoutTail, Stderr: step.StderrTail,
		}
		switch step.Status {
		case StepSuccess:
		case StepNotRun, StepSkipped:
			s.Skipped++
			c.Skipped = &junitSkipped{Message: map[StepStatus]string{
				StepNotRun: "not run", StepSkipped: "it had succeeded before",
			}[step.Status]}
		default:
			s.Failures++
			c.Failure = failureOf(step)
		}
		s.Tests++
		s.Cases = append(s.Cases, c)
	}
	s.Time = seconds(took)
	return s
}

// failureOf says why a step is not a success, in the words of its error.
func failureOf(s Step) *junitFailure {
	f := &junitFailure{Message: string(s.Status), Type: string(s.Status), Text: s.StderrTail}
	switch {
	case s.Error != nil:
		f.Message, f.Type = string(s.Status)+": "+s.Error.Message, s.Error.Code
	case s.Signal != "": // the result of an earlier version
		f.Message += ": ended by " + s.Signal
	case s.ReturnCode > 0:
		f.Message += fmt.Sprintf(": exited with %d", s.ReturnCode)
	}
	return f
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05") }
