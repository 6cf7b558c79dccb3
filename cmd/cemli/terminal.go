package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"

	"cemli-executor/internal/problem"
)

// terminal is where the program speaks, and how.
type terminal struct {
	stdout, stderr io.Writer
	format         string // text or json
	colour         bool
	local          bool // the real function runs packages, in a local OCI
}

func isTerminal(w io.Writer) bool {
	fd, ok := descriptor(w)
	return ok && term.IsTerminal(int(fd)) // a descriptor is small
}

// colourWanted follows no-color.org.
func colourWanted(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func (t *terminal) chooseFormat() error {
	switch t.format {
	case "text", "json":
		return nil
	}
	hint := "use -o text or -o json"
	if strings.HasSuffix(t.format, ".zip") {
		hint += "; the zip's name goes after -O"
	}
	return problem.New(problem.Problem{Code: "usage", Message: "unknown output format " + t.format, Hint: hint}, nil)
}

// The colours, as SGR parameters.
const (
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
	bold   = "1"
)

// paint colours text if that is wanted.
func (t *terminal) paint(colour, text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

func (t *terminal) errorf(format string, args ...any) {
	fmt.Fprintf(t.stderr, "%s %s\n", t.paint(red, "error:"), visible(fmt.Sprintf(format, args...)))
}

func (t *terminal) hintf(format string, args ...any) {
	fmt.Fprintf(t.stderr, "%s %s\n", t.paint(yellow, "hint:"), visible(fmt.Sprintf(format, args...)))
}

// notef says something of one or more lines.
func (t *terminal) notef(format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		fmt.Fprintln(t.stderr, visible(line))
	}
}

// visible makes text safe to print in a line: a package's output and names must not move the
// cursor, set the title, colour what follows or pretend to be a line of this program's.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return r
		case unicode.IsControl(r), r == '\u2028', r == '\u2029', unicode.Is(unicode.Bidi_Control, r):
			return '\uFFFD'
		}
		return r
	}, text)
}

// count says how many there are of something.
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// printJSON writes one document to stdout.
func (t *terminal) printJSON(value any) error {
	enc := json.NewEncoder(t.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}
