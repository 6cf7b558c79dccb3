package manifest_test

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// listOf joins n members.
func listOf(n int, member func(i int) string) string {
	members := make([]string, n)
	for i := range members {
		members[i] = member(i)
	}
	return strings.Join(members, ",")
}

// within fails the test where something allocates more than so many megabytes, or takes more of the processor than
// anybody would wait for, whatever else the machine does.
func within(t *testing.T, name string, megabytes uint64, do func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := processorTime(t)
	do()
	took := processorTime(t) - start
	runtime.ReadMemStats(&after)
	if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > megabytes || took > slowdown*10*time.Second {
		t.Errorf("%s: %d MB in %s; want at most %d MB", name, used, took, megabytes)
	} else {
		t.Logf("%s: %d MB in %s", name, used, took)
	}
}

// processorTime is what this process has taken of it.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// Braces multiply: what a pattern stands for is counted before anything is compared with it.
func TestPatternsOfFilesAreBounded(t *testing.T) {
	for name, c := range map[string]struct{ globs, want string }{
		"many braces":       {`"` + strings.Repeat("{a,a}", 40) + `c"`, "manifest.glob /outputs/0"},
		"seven braces":      {`"` + strings.Repeat("{a,b}", 7) + `"`, "manifest.glob /outputs/0"},
		"six braces":        {`"` + strings.Repeat("{a,b}", 6) + `"`, ""},
		"nested":            {`"{a,{b,c},{d,{e,f}}}{a,b}{a,b}{a,b}{a,b}"`, "manifest.glob /outputs/0"},
		"nested, that fits": {`"{a,{b,c},{d,{e,f}}}{a,b}{a,b}{a,b}"`, ""},
		"in a class":        {`"` + strings.Repeat("[{,}]", 40) + `"`, ""},
		"one with 65":       {`"{` + strings.Repeat("a,", 64) + `b}"`, "manifest.glob /outputs/0"},
		"one with 64":       {`"{` + strings.Repeat("a,", 63) + `b}"`, ""},
		"too many together": {
			listOf(16, func(int) string { return `"{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}"` }), "manifest.glob /outputs/15",
		},
		"1,000 without any": {listOf(1000, func(i int) string { return fmt.Sprintf(`"a%d/**/*.csv"`, i) }), ""},
		"commas outside":    {`"` + strings.Repeat("a,", 100) + `"`, ""},
		"a brace is open":   {`"` + strings.Repeat("{a,", 10) + `"`, "manifest.glob /outputs/0"},
	} {
		_, err := manifest.Parse([]byte(with(`"outputs":[` + c.globs + `]`)))
		if got := strings.Join(found(err), " "); got != c.want {
			t.Errorf("%s: %q; want %q", name, got, c.want)
		}
	}
}

// The slowest patterns that are allowed do not hold up the end of a run.
func TestPatternsOfFilesAreFast(t *testing.T) {
	for _, glob := range []string{
		strings.Repeat("{a,a}", 6) + "c", strings.Repeat("*a", 100) + "b", strings.Repeat("**/a/", 40) + "b",
		"**/" + strings.Repeat("{*,a*}", 6) + strings.Repeat("*a", 50) + "b",
	} {
		m := parse(t, with(`"outputs":[`+listOf(15, func(int) string { return `"` + glob + `"` })+`]`))
		within(t, glob, 64, func() {
			for _, name := range []string{
				strings.Repeat("a", 250), strings.Repeat("a/", 31) + "c",
				strings.Repeat(strings.Repeat("a", 120)+"/", 31) + "c",
			} {
				manifest.Keeps(m.Outputs, name)
			}
		})
	}
}

// Repeats multiply: the size of an expression is known before it is compiled.
func TestExpressionsAreBounded(t *testing.T) {
	huge := strings.Repeat("a?", 480)
	parameters := func(n int, pattern, more string) string {
		return `"parameters":{` + listOf(n, func(i int) string {
			return fmt.Sprintf(`"P%d":{"type":"string","pattern":"%s"%s}`, i, pattern, more)
		}) + `}`
	}
	for name, c := range map[string]struct{ members, want string }{
		"one":      {parameters(1, `(?:`+huge+`){1000}`, ""), "manifest.pattern /parameters/P0/pattern"},
		"hundreds": {parameters(900, `(?:`+huge+`){1000}`, ""), "manifest.pattern /parameters/P0/pattern"},
		"nested": {
			parameters(1, `(?:(?:[a-z]{10}b?){10}){10}(?:`+huge+`){10}`, ""), "manifest.pattern /parameters/P0/pattern",
		},
		"at least": {parameters(1, `(?:`+huge+`){1000,}`, ""), "manifest.pattern /parameters/P0/pattern"},
		"classes":  {parameters(500, strings.Repeat(`\\pL`, 340), ""), "manifest.pattern /parameters/P0/pattern"},
		"broken": {
			parameters(500, strings.Repeat(`\\pL`, 330)+"(", ""), "manifest.pattern /parameters/P0/pattern",
		},
		"together": {parameters(50, `(?:`+huge+`){5}`, ""), "manifest.pattern /parameters/P"},
		"slow values": {
			parameters(30, `(?:x?`+strings.Repeat("[a-y]?", 100)+`){9}z`,
				`,"enum":[`+listOf(2, func(i int) string {
					return fmt.Sprintf(`"%d%sz"`, i, strings.Repeat("ab", 4000))
				})+`]`), "manifest.",
		},
		"ordinary ones": {parameters(400, `^[A-Za-z][A-Za-z0-9_.-]{0,62}$`, `,"default":"abc"`), ""},
		"of letters":    {parameters(100, `^[\\p{L}\\p{N} .-]+$`, `,"default":"abc"`), ""},
	} {
		within(t, name, 100, func() {
			_, err := manifest.Parse([]byte(with(c.members)))
			if got := append(found(err), "")[0]; !strings.HasPrefix(got, c.want) || (got == "") != (c.want == "") {
				t.Errorf("%s: %q; want %q", name, got, c.want)
			}
		})
	}
}

// What a request gives is compared with patterns for a bounded time, too.
func TestValuesOfRequestsAreComparedInTime(t *testing.T) {
	pattern := `(?:` + strings.Repeat("[a-y]?", 100) + `){15}z`
	m := parse(t, with(`"parameters":{`+listOf(20, func(i int) string {
		return fmt.Sprintf(`"P%d":{"type":"string","pattern":"%s"}`, i, pattern)
	})+`}`))
	given := values(t, `{`+listOf(20, func(i int) string {
		return fmt.Sprintf(`"P%d":"%s"`, i, strings.Repeat("a", 16_000))
	})+`}`)
	within(t, "request", 64, func() {
		if _, err := m.Resolve(manifest.Inputs{Parameters: given}); problem.CodeOf(err) != "trigger.parameter" {
			t.Errorf("%v", err)
		}
	})
}

// A policy's expressions have the same bounds.
func TestExpressionsOfPoliciesAreBounded(t *testing.T) {
	for name, expression := range map[string]string{
		"repeats": `(?:` + strings.Repeat("a?", 400) + `){1000}`, "long": strings.Repeat("a", 900_000),
	} {
		within(t, name, 64, func() {
			_, err := manifest.ParsePolicy([]byte(`{"environment":"test","require":{"/owner":"`+expression+`"}}`),
				"test")
			if problem.CodeOf(err) != "policy.unavailable" || !strings.Contains(err.Error(), "instructions") {
				t.Errorf("%s: %.200v", name, err)
			}
		})
	}
	p := policy(t, `"require":{`+listOf(8, func(i int) string {
		return fmt.Sprintf(`"/x-%d":"(?:%s){11}z"`, i, strings.Repeat("[a-y]?", 400))
	})+`}`)
	m := parse(t, with(listOf(8, func(i int) string {
		return fmt.Sprintf(`"x-%d":"%s"`, i, strings.Repeat("a", 90_000))
	})))
	within(t, "values", 64, func() {
		if got := p.Admit(manifest.Case{Manifest: m, Action: "apply"}); len(got) != 8 ||
			got[7].Code != "policy.require" {
			t.Errorf("%+v", got)
		}
	})
}

// However much is wrong, saying so costs little, and fits on a few screens.
func TestProblemsAreBounded(t *testing.T) {
	long := strings.Repeat("q", 57)
	for name, c := range map[string]struct{ members, more string }{
		"undeclared": {`"parameters":{` + listOf(1000,
			func(i int) string {
				return fmt.Sprintf(`"P%s%d":{"type":"string"}`, long, i)
			}) + `},"parameter_sets":{"S":{` +
			listOf(990, func(i int) string { return fmt.Sprintf(`"Z%s%d":1`, long, i+2000) }) + `}}`, "890 more"},
		"unknown keys": {`"steps":[` + listOf(1000, func(int) string {
			return `{` + listOf(70, func(j int) string { return fmt.Sprintf(`"nam%d":1`, j) }) + `}`
		}) + `]`, "70900 more"},
	} {
		within(t, name, 200, func() {
			_, err := manifest.Parse([]byte(with(c.members)))
			e := problem.Of(err, problem.Problem{})
			last := e.Problems[len(e.Problems)-1]
			if len(e.Problems) != 101 || last.Code != "manifest.more" || !strings.Contains(last.Message, c.more) {
				t.Errorf("%s: %d problems, the last %+v", name, len(e.Problems), last)
			}
			if len(e.Error()) > 100_000 {
				t.Errorf("%s: %d bytes of problems", name, len(e.Error()))
			}
		})
	}
}

// A step whose script is missing is compared with the files of the package, and not for every step.
func TestMissingScriptsCostLittle(t *testing.T) {
	long := strings.Repeat("q", 50)
	m := parse(t, with(`"steps":[`+listOf(1000, func(i int) string {
		return fmt.Sprintf(`{"run":"s/Z%s%04d"}`, long, i)
	})+`]`))
	files := map[string]string{}
	for i := range 10_000 {
		files[fmt.Sprintf("s/P%s%05d", long, i)] = ""
	}
	within(t, "missing", 64, func() {
		_, err := m.Plan(files, nil)
		if e := problem.Of(err, problem.Problem{}); len(e.Problems) != 101 || e.Problems[100].Code != "manifest.more" {
			t.Errorf("%d problems", len(e.Problems))
		}
	})
}

// A hint names some of what there is, and says how much more.
func TestHintsNameAFew(t *testing.T) {
	m := parse(t, with(`"parameters":{`+listOf(1000, func(i int) string {
		return fmt.Sprintf(`"P%03d":{"type":"string"}`, i)
	})+`}`))
	_, err := m.Resolve(manifest.Inputs{Parameters: values(t, `{"Q":"x"}`)})
	want := "the package's parameters: P000, P001, P002, P003, P004, P005, P006, P007, P008, P009 and 990 more"
	if got := problem.Of(err, problem.Problem{}).Problems[0].Hint; got != want {
		t.Errorf("%q; want %q", got, want)
	}
}
