package terraform_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A model of absent(), as Oracle describes it: "returns 1 (true) when the metric is absent
// for the entire interval. After continuous 1 values for the duration of the absence
// detection period, the statistic stops returning values. When the metric is present during
// the interval, the statistic returns 0"; and with groupBy "the alarm monitors grouped
// metric streams only", without it each combination of dimensions is a stream of its own.
// https://docs.oracle.com/iaas/Content/Monitoring/Tasks/create-alarm-absence.htm

// absence is a query with absent(): its interval, its detection period, and whether all
// streams of a resource count as one.
type absence struct {
	interval, period time.Duration
	grouped          bool
}

var absent = regexp.MustCompile(`FunctionInvocationCount\[(\w+)\]\{[^}]*\}(\.groupBy\(resourceId\))?\.absent\((\w+)\)`)

// parseAbsence reads a query.
func parseAbsence(t *testing.T, query string) absence {
	t.Helper()
	match := absent.FindStringSubmatch(query)
	if match == nil {
		t.Fatalf("%q is no query with absent()", query)
	}
	var a absence
	var err error
	if a.interval, err = time.ParseDuration(match[1]); err != nil {
		t.Fatal(err)
	}
	if a.period, err = time.ParseDuration(match[3]); err != nil {
		t.Fatal(err)
	}
	a.grouped = match[2] != ""
	return a
}

// call is an invocation: when, in minutes from the beginning, and the dimensions of its
// metric besides the function.
type call struct {
	minute int
	stream string
}

// firing says for each minute whether the alarm fires: in one stream the value is 1.
func (a absence) firing(calls []call, minutes int) []bool {
	streams := map[string][]bool{}
	for _, c := range calls {
		name := c.stream
		if a.grouped {
			name = ""
		}
		if streams[name] == nil {
			streams[name] = make([]bool, minutes)
		}
		if c.minute < minutes {
			streams[name][c.minute] = true
		}
	}
	fires := make([]bool, minutes)
	for _, present := range streams {
		last := -1 // nothing is known of a stream before its first point
		for minute := range minutes {
			if present[minute] {
				last = minute
			}
			empty := time.Duration(minute-last)*time.Minute - a.interval
			if last >= 0 && empty >= 0 && empty < a.period {
				fires[minute] = true
			}
		}
	}
	return fires
}

// changes counts how often an alarm begins to fire.
func changes(fires []bool) int {
	n := 0
	for i := range fires {
		if fires[i] && (i == 0 || !fires[i-1]) {
			n++
		}
	}
	return n
}

// query is the one that Terraform makes of the alarm, with its default.
func query(t *testing.T) string {
	t.Helper()
	hours := names(`(?s)variable "silence_hours".*?default +?= (\d+)`, read(t, "variables.tf"))[0]
	line := regexp.MustCompile(`query += "(FunctionInvocationCount.*absent.*)"`).FindStringSubmatch(
		read(t, "modules/observability/main.tf"))
	if line == nil {
		t.Fatal("there is no alarm on silence")
	}
	return strings.NewReplacer("${var.silence_hours}", hours, "${var.function_id}", "x", `\"`, `"`).Replace(line[1])
}

// sweeps are the calls of a number of days by the schedules, each as late as said.
func sweeps(t *testing.T, days int, late func(i int) int) []call {
	t.Helper()
	every, err := strconv.Atoi(names(`(?s)variable "sweep_minutes".*?default +?= (\d+)`, read(t, "variables.tf"))[0])
	if err != nil {
		t.Fatal(err)
	}
	var calls []call
	for i := range days * 24 * 60 / every {
		calls = append(calls, call{minute: i*every + late(i), stream: "detached"})
	}
	return calls
}

const day = 24 * 60

func TestSilence(t *testing.T) {
	now := parseAbsence(t, query(t))
	onTime := sweeps(t, 3, func(int) int { return 0 })
	if n := changes(now.firing(onTime, 3*day)); n != 0 {
		t.Errorf("the alarm fires %d times although every sweep is on time", n)
	}
	if n := changes(now.firing(sweeps(t, 3, func(i int) int { return i * 37 % 60 }), 3*day)); n != 0 {
		t.Errorf("the alarm fires %d times although sweeps are only late", n)
	}
	// One upload on the first day is another stream, of calls that are waited for.
	if n := changes(now.firing(append(onTime, call{minute: 100, stream: "waited for"}), 3*day)); n != 0 {
		t.Errorf("the alarm fires %d times because there was only one upload", n)
	}
	fires := now.firing(sweeps(t, 1, func(int) int { return 0 }), 4*day)
	first := day - 15 + 2*60
	for minute, want := range map[int]bool{
		first - 1: false, first: true, first + 60: true, 2 * day: true, first + 72*60 - 1: true,
	} {
		if minute < len(fires) && fires[minute] != want {
			t.Errorf("%v after the last sweep the alarm fires: %v; want %v", time.Duration(minute-day+15)*time.Minute,
				fires[minute], want)
		}
	}
	if n := changes(fires); n != 1 {
		t.Errorf("in one silence the alarm begins to fire %d times", n)
	}
}

// The model tells what was wrong: an interval shorter than the schedule fires all day, and
// two hours of real silence end the alarm; without grouping one upload makes a silent stream.
func TestSilenceModel(t *testing.T) {
	before := parseAbsence(t, `FunctionInvocationCount[5m]{resourceId = "x"}.absent(2h)`)
	if n := changes(before.firing(sweeps(t, 1, func(int) int { return 0 }), day)); n < 90 {
		t.Errorf("an interval of 5 minutes begins to fire %d times a day", n)
	}
	fires := before.firing(sweeps(t, 1, func(int) int { return 0 }), 2*day)
	if fires[day+4*60] {
		t.Error("it still fires after four hours of silence")
	}
	ungrouped := parseAbsence(t, `FunctionInvocationCount[2h]{resourceId = "x"}.absent(72h)`)
	if changes(ungrouped.firing(
		append(sweeps(t, 1, func(int) int { return 0 }), call{minute: 100, stream: "waited for"}), day)) != 1 {
		t.Error("a stream of its own is not silent by itself")
	}
}
