package manifest

import (
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // so that zones are the same wherever the policy is read

	"cemli-executor/internal/document"
)

// window is a time in which nothing may be changed: one period, or a part of some days of every week.
//
// Both ends are local times of a zone. If the clock is set back and a local time occurs twice, the window begins at the
// first and ends at the second; if a local time is skipped, it stands for the moment of the change.
type window struct {
	zone   *time.Location
	reason string
	// noRollback closes the window to rollbacks too.
	noRollback bool
	// The ends of a window that occurs once.
	from, until time.Time // local times; their location means nothing
	// The ends of a weekly window, counted from the beginning of each day.
	days      []time.Weekday
	dayFrom   time.Duration
	dayLength time.Duration
}

var (
	momentRule = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(?::[0-9]{2})?$`)
	clockRule  = regexp.MustCompile(`^(?:[01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$`)
	weekdays   = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"} // as time.Weekday counts
)

// readWindow reads one window.
func readWindow(n document.Node) window {
	var w window
	var from, until *document.Node
	weekly := false
	n.Fields([]document.Field{
		document.Required("time_zone", func(v document.Node) { w.zone = readZone(v) }),
		document.Required("reason", func(v document.Node) {
			if w.reason = v.Line(document.MaxLine); !Visible(w.reason) {
				v.Bad("", "the reason is missing", "say why, for those whose packages are refused")
			}
		}),
		document.Optional("rollback", func(v document.Node) { w.noRollback = !readAllow(v) }),
		document.Optional("days", func(v document.Node) {
			weekly = true
			for _, e := range v.List() {
				// The index is 0 to 6; a wrong name is a problem.
				w.days = append(w.days, time.Weekday(slices.Index(weekdays, e.Choice("", weekdays...))))
			}
		}),
		document.Optional("from", func(v document.Node) { from = &v }),
		document.Optional("until", func(v document.Node) { until = &v }),
	})
	if weekly {
		w.dayFrom, w.dayLength = 0, 24*time.Hour
		if from != nil {
			w.dayFrom = readClock(*from)
		}
		end := 24 * time.Hour
		if until != nil {
			end = readClock(*until)
		}
		if end <= w.dayFrom {
			end += 24 * time.Hour // past midnight
		}
		w.dayLength = end - w.dayFrom
		return w
	}
	if from == nil || until == nil {
		n.Bad("", "a window needs from and until, or days",
			`write "from": "2026-12-24T00:00", "until": "2027-01-02T06:00"`)
		return w
	}
	w.from, w.until = readMoment(*from), readMoment(*until)
	if !w.from.IsZero() && !w.until.IsZero() && !w.until.After(w.from) {
		until.Bad("", "until is not after from", "")
	}
	return w
}

// readZone reads the name of a time zone.
func readZone(n document.Node) *time.Location {
	text := n.Line(document.MaxLine)
	zone, err := time.LoadLocation(text)
	if err != nil || text == "" || strings.EqualFold(text, "local") {
		n.Bad("", document.Printable(text)+" is not a time zone", "write it like Europe/Berlin or UTC")
		return time.UTC
	}
	return zone
}

// readMoment reads a local date and time; the location of the result means nothing.
func readMoment(n document.Node) time.Time {
	text := n.Word("", momentRule, "a local date and time such as 2026-12-24T18:00")
	if text == "" {
		return time.Time{}
	}
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at
		}
	}
	n.Bad("", document.Printable(text)+" is no date and time", "")
	return time.Time{}
}

// readClock reads a time of day.
func readClock(n document.Node) time.Duration {
	text := n.Word("", clockRule, "a time of day such as 18:00")
	if text == "" {
		return 0
	}
	hours, minutes, _ := strings.Cut(text, ":")
	d, _ := time.ParseDuration(hours + "h" + minutes + "m")
	return d
}

// holds reports whether the window is open at a moment, and when it ends then.
func (w window) holds(now time.Time) (end time.Time, in bool) {
	if w.days == nil {
		return w.between(w.from, w.until, now)
	}
	// Dates are counted without a zone, where every day has its midnight.
	year, month, day := now.In(w.zone).Date()
	// A window may reach into the second day after its own; and where clocks are set back over a
	// midnight, the next day has begun before.
	for ahead := 1; ahead >= -2; ahead-- {
		midnight := time.Date(year, month, day+ahead, 0, 0, 0, 0, time.UTC)
		if !slices.Contains(w.days, midnight.Weekday()) {
			continue
		}
		from := midnight.Add(w.dayFrom)
		if end, in := w.between(from, from.Add(w.dayLength), now); in {
			return end, true
		}
	}
	return time.Time{}, false
}

// between reports whether a moment is between two local times of the window's zone, and when the second ends.
func (w window) between(from, until, now time.Time) (end time.Time, in bool) {
	begin, _ := instants(from, w.zone)
	_, end = instants(until, w.zone)
	return end, !now.Before(begin) && now.Before(end)
}

// furthest is larger than the distance of any zone from UTC.
const furthest = 26 * time.Hour

// instants returns the first and the last moment at which the clocks of a zone show a local time; if they skip it,
// twice the moment of the change. The location of wall means nothing.
func instants(wall time.Time, zone *time.Location) (first, last time.Time) {
	wall = time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, time.UTC)
	var shown []time.Time
	var skipped time.Time
	for at := wall.Add(-furthest); ; {
		_, offset := at.In(zone).Zone()
		begin, end := at.In(zone).ZoneBounds()
		moment := wall.Add(-time.Duration(offset) * time.Second) // if that is within these bounds, the clocks show it
		switch early := moment.Before(begin); {
		case early && skipped.IsZero():
			skipped = begin
		case !early && (end.IsZero() || moment.Before(end)):
			shown = append(shown, moment)
		}
		if end.IsZero() || end.After(wall.Add(furthest)) {
			break
		}
		at = end
	}
	if shown == nil {
		return skipped, skipped
	}
	return shown[0], shown[len(shown)-1]
}
