// Package terminal is how cemli speaks to people and to machines: data on stdout, everything else on
// stderr; colours and symbols only where they can be shown; errors that say what happened, to what,
// and what to do next in the words of the command line; runs as they happen, and their results.
//
// What comes from packages and their scripts is made visible before it is printed: it cannot move the
// cursor, or pretend to be a line of the program's. With -o json a document is all that stdout gets.
package terminal

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

// Terminal is where and how the program prints.
type Terminal struct {
	Stdout, Stderr io.Writer
	// Format is text or json.
	Format string
	// Local is whether the real function runs packages, in a local OCI: then the cures are others.
	Local   bool
	colour  bool
	symbols symbols
}

// New makes a Terminal on two streams as the environment wants it: with colours if stderr is a terminal, and with
// symbols that the locale has.
func New(stdout, stderr io.Writer) *Terminal {
	return &Terminal{Stdout: stdout, Stderr: stderr, colour: colourWanted(stderr), symbols: symbolsOf(os.Getenv)}
}

// JSON reports whether the output is for machines.
func (t *Terminal) JSON() bool { return t.Format == "json" }

func isTerminal(w io.Writer) bool {
	fd, ok := descriptor(w)
	return ok && term.IsTerminal(int(fd)) // a descriptor is small
}

// descriptor is the descriptor of a stream that has one.
func descriptor(w io.Writer) (fd uintptr, ok bool) {
	f, ok := w.(interface{ Fd() uintptr })
	if !ok {
		return 0, false
	}
	return f.Fd(), true
}

// colourWanted follows no-color.org.
func colourWanted(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// CheckFormat refuses unknown formats.
func (t *Terminal) CheckFormat() error {
	switch t.Format {
	case "text", "json":
		return nil
	}
	hint := "use -o text or -o json"
	if strings.HasSuffix(t.Format, ".zip") {
		hint += "; the zip's name goes after -O"
	}
	return problem.New(problem.Problem{Code: "usage", Message: "unknown output format " + t.Format, Hint: hint}, nil)
}

// Colour is how a part of a line looks, as an SGR parameter.
type Colour string

// The colours.
const (
	Red    Colour = "31"
	Green  Colour = "32"
	Yellow Colour = "33"
	Faint  Colour = "2"
	Bold   Colour = "1"
)

// Paint colours text if that is wanted.
func (t *Terminal) Paint(colour Colour, text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[" + string(colour) + "m" + text + "\x1b[0m"
}

// Errorf prints a line that says what went wrong.
func (t *Terminal) Errorf(format string, args ...any) {
	fmt.Fprintf(t.Stderr, "%s %s\n", t.Paint(Red, "error:"), Visible(fmt.Sprintf(format, args...)))
}

// Hintf prints a line that says what to do about it.
func (t *Terminal) Hintf(format string, args ...any) {
	fmt.Fprintf(t.Stderr, "%s %s\n", t.Paint(Yellow, "hint:"), Visible(fmt.Sprintf(format, args...)))
}

// Notef prints a note of one or more lines.
func (t *Terminal) Notef(format string, args ...any) {
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		fmt.Fprintln(t.Stderr, Visible(line))
	}
}

// Line prints a line of stderr whose variable parts are visible already.
func (t *Terminal) Line(line string) { fmt.Fprintln(t.Stderr, line) }

// Visible makes text safe to print in a line: a package's output and names must not move the
// cursor, set the title, colour what follows or pretend to be a line of this program's.
func Visible(text string) string {
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

// Count returns a number with its noun, in the singular or the plural.
func Count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// PrintJSON writes one document to stdout.
func (t *Terminal) PrintJSON(value any) error {
	enc := json.NewEncoder(t.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}
