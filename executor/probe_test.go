package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/executor"
	"cemli-executor/internal/claim"
	"cemli-executor/internal/jobs"
)

var (
	erp  = executor.Runner{Label: "erp", Kind: executor.KindFunction, ID: "ocid1.fnfunc.oc1.phx.a"}
	bank = executor.Runner{Label: "bank", Kind: executor.KindFunction, ID: "ocid1.fnfunc.oc1.phx.b"}
)

// well is what a runner answers to a probe where nothing is wrong.
func well() jobs.Probed {
	return jobs.Probed{
		Action: "probe", OK: true, Version: "1.0.0", Level: "basic", Gaps: []string{"init"},
		Credentials: jobs.CredentialsUngranted,
		Lines:       []jobs.ProbedLine{{What: "kernel", OK: true, Says: "6.12"}},
	}
}

// probed has runners that answer as is given, by label.
func (b *bench) probed(answers map[string]any) executor.Probe {
	b.t.Helper()
	return executor.New(b.config).Probe(b.t.Context(), executor.Probing{
		Ask: func(_ context.Context, r executor.Runner) ([]byte, error) {
			if err, ok := answers[r.Label].(error); ok {
				return nil, err
			}
			return json.Marshal(answers[r.Label])
		},
	})
}

// found is what results of a runner's jobs repeat.
func (b *bench) found(r executor.Runner) *claim.Runner {
	b.t.Helper()
	found, err := claim.RunnersOf(executor.New(b.config).Book).Of(b.t.Context(), r.Label, r.ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// Where scripts run apart, their sandbox is the runners' to look at, each of which has its lines.
func TestProbeOfRunners(t *testing.T) {
	b := newBench(t)
	b.config.Runners = []executor.Runner{erp, bank}
	p := b.probed(map[string]any{"erp": well(), "bank": well()})
	var whats []string
	for _, l := range p.Lines {
		whats = append(whats, l.What)
	}
	want := []string{
		"configuration", "kernel", "landlock", "memory", "processes", "tmp", "clock", "state", "results", "packages",
		"policy", "erp: probe", "erp: kernel", "bank: probe", "bank: kernel",
	}
	if diff := cmp.Diff(want, whats); diff != "" || !p.OK {
		t.Errorf("%+v (-want +got):\n%s", p, diff)
	}
	if f := b.found(erp); f == nil || f.Level != "basic" || f.Credentials != "ungranted" ||
		!slices.Equal(f.Gaps, []string{"init"}) || time.Since(f.Probed) > time.Minute {
		t.Errorf("%+v", f)
	}
	moved := erp
	moved.ID = "ocid1.fnfunc.oc1.phx.c"
	if f := b.found(moved); f != nil {
		t.Errorf("what another function found is told of this one: %+v", f)
	}
}

// What is wrong with a runner fails the probe, and its findings are told of it nonetheless, if they can be.
func TestProbeOfRunnersThatAreNotWell(t *testing.T) {
	change := func(to func(*jobs.Probed)) jobs.Probed {
		p := well()
		to(&p)
		return p
	}
	failing := func(p *jobs.Probed) {
		p.OK = false
		p.Lines = append(p.Lines, jobs.ProbedLine{What: "token", Says: "it can list buckets", Code: "runner.granted"})
	}
	for name, c := range map[string]struct {
		answer any
		policy string
		want   []string
		found  string // credentials; empty: nothing is stored
	}{
		"no answer":    {errors.New("gone"), `{"environment":"test"}`, []string{"erp: probe"}, ""},
		"another one":  {map[string]any{"status": "rejected"}, `{"environment":"test"}`, []string{"erp: probe"}, ""},
		"no level":     {change(func(p *jobs.Probed) { p.Level = "" }), `{"environment":"test"}`, []string{"erp: probe"}, ""},
		"a line fails": {change(failing), `{"environment":"test"}`, []string{"erp: token"}, "ungranted"},
		"its token is granted something": {change(func(p *jobs.Probed) {
			failing(p)
			p.Credentials = jobs.CredentialsGranted
		}), `{"environment":"test"}`, []string{"erp: probe", "erp: token"}, "granted"},
		"less than the policy demands": {
			well(), `{"environment":"test","sandbox":"isolated"}`, []string{"erp: probe"}, "ungranted",
		},
		"it says that it is well and is not": {change(func(p *jobs.Probed) {
			failing(p)
			p.OK = true
		}), `{"environment":"test"}`, []string{"erp: probe"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.config.Runners = []executor.Runner{erp}
			b.config.Policy = executor.InlinePolicy("p", []byte(c.policy))
			p := b.probed(map[string]any{"erp": c.answer})
			var got []string
			for _, l := range p.Lines {
				if !l.OK {
					got = append(got, l.What)
				}
				if !l.OK && (l.Code == "" || strings.HasSuffix(l.What, ": probe") && l.Cure == "") {
					t.Errorf("%+v has no code or cure", l)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" || p.OK {
				t.Errorf("OK %t, failing (-want +got):\n%s", p.OK, diff)
			}
			found := b.found(erp)
			if (found == nil) != (c.found == "") || found != nil && found.Credentials != c.found {
				t.Errorf("stored %+v; want credentials %q", found, c.found)
			}
		})
	}
}
