package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/executor"
	"cemli-executor/internal/sandbox"
)

const (
	oneFunction   = "ocid1.fnfunc.oc1.phx.one"
	otherFunction = "ocid1.fnfunc.oc1.phx.other"
)

func TestRunners(t *testing.T) {
	t.Parallel()
	one := executor.Runner{Label: "default", Kind: "function", ID: oneFunction}
	erp := executor.Runner{Label: "erp", Kind: "function", ID: oneFunction}
	bank := executor.Runner{Label: "bank-2", Kind: "function", ID: otherFunction}
	for value, want := range map[string][]executor.Runner{
		"": nil, "here": nil,
		"function:" + oneFunction:                                           {one},
		"erp=function:" + oneFunction:                                       {erp},
		"erp=function:" + oneFunction + ",bank-2=function:" + otherFunction: {erp, bank},
	} {
		c, problems := ParseConfig(append(onOCI, "CEMLI_RUNNER="+value, "CEMLI_JOBS_BUCKET=j"))
		if diff := cmp.Diff(ApartConfig{Runners: want, Jobs: "j"}, c.Apart); diff != "" || problems != nil {
			t.Errorf("%s: %v (-want +got):\n%s", value, problems, diff)
		}
		// What has no identity beside it needs less of the kernel.
		level := sandbox.LevelIsolated
		if want != nil {
			level = sandbox.LevelBasic
		}
		if c.Sandbox != level {
			t.Errorf("%s: the least that may run is %s; want %s", value, c.Sandbox, level)
		}
	}
}

// Every mistake says what to do.
func TestRunnersThatAreNone(t *testing.T) {
	t.Parallel()
	const one, other = "function:" + oneFunction, "function:" + otherFunction
	for value, hint := range map[string]string{
		"there":                             "function:OCID",
		"host:a":                            "function:OCID",
		oneFunction:                         "function: before the OCID",
		oneFunction + ":a":                  "",
		"function":                          "copy the OCID",
		"function:":                         "copy the OCID",
		"function:ocid1.bucket.oc1.phx.a":   "copy the OCID",
		"erp=function:erp=" + oneFunction:   "copy the OCID",
		one + "/a":                          "copy the OCID",
		one + strings.Repeat("x", 300):      "copy the OCID",
		"here," + one:                       "stands alone",
		"here=" + one:                       "stands alone",
		"erp=here":                          "stands alone",
		one + ",":                           "comma",
		one + ", b=" + other:                "blanks",
		"ERP=" + one:                        "1 to 32",
		"=" + one:                           "1 to 32",
		strings.Repeat("e", 33) + "=" + one: "1 to 32",
		one + "," + other:                   "a label of its own",
		"a=" + one + ",a=" + other:          "a label of its own",
		"a=" + one + ",b=" + one:            "once",
		"function:ocid1.fnfunc.oc1.phx.me":  "a function of its own",
	} {
		_, problems := ParseConfig([]string{"CEMLI_RUNNER=" + value, "FN_FN_ID=ocid1.fnfunc.oc1.phx.me"})
		if len(problems) != 1 || problems[0].Code != "config.value" || problems[0].Where != "CEMLI_RUNNER" ||
			!strings.Contains(problems[0].Hint, hint) || problems[0].Hint == "" {
			t.Errorf("%q: %+v; want a hint with %q", value, problems, hint)
		}
	}
}

// Runners write to the bucket of jobs: it can be none that says what runs, or what ran.
func TestJobsHaveABucketOfTheirOwn(t *testing.T) {
	t.Parallel()
	for _, set := range []string{
		"CEMLI_JOBS_BUCKET=cemli-packages", "CEMLI_JOBS_BUCKET=cemli-results", "CEMLI_JOBS_BUCKET=cemli-state",
		"CEMLI_JOBS_BUCKET=a/b", "CEMLI_POLICY=cemli-jobs/policy.json",
	} {
		_, problems := ParseConfig(append(onOCI, set))
		key, _, _ := strings.Cut(set, "=")
		if len(problems) != 1 || problems[0].Code != "config.value" || problems[0].Where != key {
			t.Errorf("%s: %+v", set, problems)
		}
	}
	if c, problems := ParseConfig(onOCI); c.Apart.Jobs != "cemli-jobs" || problems != nil {
		t.Errorf("%+v, %v", c.Apart, problems)
	}
}
