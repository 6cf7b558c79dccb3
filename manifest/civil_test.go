package manifest_test

import (
	"fmt"
	"testing"
	"time"

	"cemli-executor/manifest"
)

// clocks are what the clocks of a zone show at each minute of a few days, and when they are changed.
type clocks struct {
	begin time.Time
	shown []time.Time // local times, as if they were of UTC
}

func watch(zone *time.Location, begin time.Time, days int) clocks {
	c := clocks{begin: begin}
	for i := range days * 24 * 60 {
		at := begin.Add(time.Duration(i) * time.Minute).In(zone)
		c.shown = append(c.shown, time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), 0, 0, time.UTC))
	}
	return c
}

// minutes are the first and the last minute at which a local time is shown; the one of the change, where
// it is skipped.
func (c clocks) minutes(wall time.Time) (first, last int) {
	first = -1
	for i, shown := range c.shown {
		if shown.Equal(wall) {
			if first < 0 {
				first = i
			}
			last = i
		}
	}
	if first >= 0 {
		return first, last
	}
	for i := 1; i < len(c.shown); i++ {
		if c.shown[i-1].Before(wall) && c.shown[i].After(wall) {
			return i, i
		}
	}
	panic("not looked at: " + wall.String())
}

// frozen are the minutes within a window on some days of every week.
func (c clocks) frozen(days map[time.Weekday]bool, from, until time.Duration) []bool {
	frozen := make([]bool, len(c.shown))
	if until <= from {
		until += 24 * time.Hour
	}
	last := c.shown[len(c.shown)-1]
	const day = 24 * time.Hour
	end := last.Add(-3 * day)
	for midnight := c.shown[0].Truncate(day).Add(2 * day); midnight.Before(end); midnight = midnight.Add(day) {
		if !days[midnight.Weekday()] {
			continue
		}
		begin, _ := c.minutes(midnight.Add(from))
		_, end := c.minutes(midnight.Add(until))
		for i := begin; i < end; i++ {
			frozen[i] = true
		}
	}
	return frozen
}

// Dates are civil dates: a window is open exactly from the first to the last minute that its zone's clocks
// show, around every kind of change there is. Counted minute by minute, in a hurry every seventh.
func TestFreezeAroundEveryChange(t *testing.T) {
	t.Parallel()
	stride := 1
	if testing.Short() {
		stride = 7
	}
	weekdays := []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}
	spans := []struct{ from, until time.Duration }{
		{0, 24 * time.Hour},
		{22 * time.Hour, 6 * time.Hour},
		{0, 30 * time.Minute},
		{30 * time.Minute, 90 * time.Minute},
		{23*time.Hour + 30*time.Minute, 0},
		{2 * time.Hour, 2 * time.Hour},
		{23 * time.Hour, 24 * time.Hour},
	}
	for _, c := range []struct{ zone, day string }{
		{"America/Santiago", "2026-09-06"}, // midnight is skipped
		{"America/Santiago", "2026-04-05"}, // the hour before midnight occurs twice
		{"America/Havana", "2026-03-08"},   // midnight is skipped
		{"America/Havana", "2026-11-01"},   // the hour after midnight occurs twice
		{"Australia/Lord_Howe", "2026-10-04"},
		{"Australia/Lord_Howe", "2027-04-04"}, // half an hour
		{"Pacific/Apia", "2011-12-30"},        // a day is skipped
		{"Pacific/Kwajalein", "1993-08-21"},
		{"America/St_Johns", "2010-11-07"}, // set back over midnight, at 00:01
		{"Europe/Berlin", "2026-10-25"},
		{"Europe/Berlin", "2027-03-28"},
		{"UTC", "2026-10-25"},
	} {
		t.Run(c.zone+" "+c.day, func(t *testing.T) {
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			change := at(c.day + "T00:00:00Z")
			shown := watch(zone, change.AddDate(0, 0, -9), 18)
			m := parse(t, `{"name":"a","version":"1.0.0","type":"extension"}`)
			for weekday, name := range weekdays {
				for _, span := range spans {
					want := shown.frozen(map[time.Weekday]bool{time.Weekday(weekday): true}, span.from, span.until)
					window := fmt.Sprintf(`{"days":[%q],"from":%q,"until":%q,"time_zone":%q,"reason":"r"}`, name,
						clockOf(span.from), clockOf(span.until), c.zone)
					p := policy(t, `"freeze":[`+window+`]`)
					for i := 5 * 24 * 60; i < 13*24*60; i += stride {
						now := shown.begin.Add(time.Duration(i) * time.Minute)
						if got := len(p.Admit(manifest.Case{
							Manifest: m, Action: "apply",
							Now: now,
						})) > 0; got != want[i] {
							t.Fatalf("%s: at %s (%s) frozen is %v; want %v", window, now.Format(time.RFC3339),
								shown.shown[i].Format(time.DateTime), got, want[i])
						}
					}
				}
			}
		})
	}
}

// The same of windows that occur once, with ends at every quarter of an hour around the change.
func TestFreezeOnceAroundEveryChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, day string }{
		{"America/Santiago", "2026-09-06"},
		{"America/Santiago", "2026-04-05"},
		{"America/Havana", "2026-03-08"},
		{"America/Havana", "2026-11-01"},
		{"Australia/Lord_Howe", "2026-10-04"},
		{"Australia/Lord_Howe", "2027-04-04"},
		{"Pacific/Apia", "2011-12-30"},
		{"America/St_Johns", "2010-11-07"},
		{"Europe/Berlin", "2026-10-25"},
		{"Europe/Berlin", "2027-03-28"},
	} {
		t.Run(c.zone+" "+c.day, func(t *testing.T) {
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			change := at(c.day + "T00:00:00Z")
			shown := watch(zone, change.AddDate(0, 0, -4), 8)
			m := parse(t, `{"name":"a","version":"1.0.0","type":"extension"}`)
			for quarter := -8; quarter < 20; quarter++ {
				end := change.Add(time.Duration(quarter) * 15 * time.Minute)
				first, last := shown.minutes(end)
				far := `"2010-01-01T00:00"`
				for _, w := range []struct {
					window      string
					open, close int // minutes
				}{
					{
						fmt.Sprintf(`{"from":%s,"until":%q,"time_zone":%q,"reason":"r"}`, far,
							end.Format("2006-01-02T15:04"), c.zone), last - 1, last,
					},
					{
						fmt.Sprintf(`{"from":%q,"until":"2030-01-01T00:00","time_zone":%q,"reason":"r"}`,
							end.Format("2006-01-02T15:04"), c.zone), first, first - 1,
					},
				} {
					p := policy(t, `"freeze":[`+w.window+`]`)
					frozen := func(minute int) bool {
						return len(p.Admit(manifest.Case{
							Manifest: m, Action: "apply", Now: shown.begin.Add(time.Duration(minute) * time.Minute),
						})) > 0
					}
					if !frozen(w.open) || frozen(w.close) {
						t.Errorf("%s: frozen is %v at %s and %v at %s", w.window, frozen(w.open), shown.shown[w.open],
							frozen(w.close), shown.shown[w.close])
					}
				}
			}
		})
	}
}

func clockOf(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
}
