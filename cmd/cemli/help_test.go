package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"cemli-executor/internal/cli/terminal"

	"github.com/google/go-cmp/cmp"
)

// commands are all that people can call, the program itself first.
func commands(cmd *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{cmd}
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			all = append(all, commands(sub)...)
		}
	}
	return all
}

// commandLine is the command line with what cobra adds when it is called.
func commandLine() *cobra.Command {
	var out bytes.Buffer
	root := newRoot(terminal.New(&out, &out))
	root.InitDefaultHelpCmd()
	return root
}

// Every command's help fits a terminal of 80 columns, and shows how it is called.
func TestHelp(t *testing.T) {
	root := commandLine()
	for _, cmd := range commands(root) {
		var out bytes.Buffer
		cmd.SetOut(&out)
		if err := cmd.Help(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if width := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); width > 80 {
				t.Errorf("%s --help has a line of %d columns: %s", cmd.CommandPath(), width, line)
			}
		}
		if cmd.Example == "" {
			t.Errorf("%s --help has no example", cmd.CommandPath())
		}
		if cmd.HasParent() && cmd.Parent() == root && !root.ContainsGroup(cmd.GroupID) {
			t.Errorf("%s is in no group: who uses it?", cmd.CommandPath())
		}
		for _, empty := range []string{"Available Commands:", "stringArray", "Additional Commands:"} {
			if strings.Contains(out.String(), empty) {
				t.Errorf("%s --help says %q", cmd.CommandPath(), empty)
			}
		}
	}
}

// Examples in the help are calls that the program takes.
func TestExamplesInHelp(t *testing.T) {
	root := commandLine()
	for _, cmd := range commands(root) {
		for line := range strings.Lines(cmd.Example) {
			words := words(line)
			if len(words) == 0 || words[0] != "cemli" {
				continue
			}
			called, rest, err := commandLine().Find(words[1:])
			if err != nil || !strings.HasPrefix(called.CommandPath(), cmd.CommandPath()) {
				t.Errorf("%s is no call of %s: %v", line, cmd.CommandPath(), err)
				continue
			}
			if err := called.ParseFlags(rest); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			args, _, _ := strings.Cut(strings.Join(called.Flags().Args(), " "), " >")
			if err := called.ValidateArgs(strings.Fields(args)); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		}
	}
}

// words are a line's, as a shell takes them; what comes after a # is a comment.
func words(line string) []string {
	line, _, _ = strings.Cut(line, " # ")
	var all []string
	for n, part := range strings.Split(strings.TrimSpace(line), `"`) {
		if n%2 == 1 {
			all = append(all, part)
		} else {
			all = append(all, strings.Fields(part)...)
		}
	}
	return all
}

// The groups are in the order in which people come to need them.
func TestGroupsOfHelp(t *testing.T) {
	var out bytes.Buffer
	root := commandLine()
	root.SetOut(&out)
	if err := root.Help(); err != nil {
		t.Fatal(err)
	}
	var titles []string
	for line := range strings.Lines(out.String()) {
		if title, ok := strings.CutSuffix(line, ":\n"); ok && !strings.HasPrefix(line, " ") {
			titles = append(titles, title)
		}
	}
	want := []string{"Usage", "Examples", "Authors", "Local OCI", "This program", "Flags"}
	if diff := cmp.Diff(want, titles); diff != "" {
		t.Errorf("titles of the help (-want +got):\n%s", diff)
	}
}

// A word that is nearly one of the program's is answered with that one.
func TestSuggestions(t *testing.T) {
	for call, want := range map[string]string{
		"vaildate pkg":                  "did you mean cemli validate?",
		"pakc pkg":                      "did you mean cemli pack?",
		"check pkg":                     "did you mean cemli validate?",
		"lint pkg":                      "did you mean cemli validate?",
		"build pkg":                     "did you mean cemli pack?",
		"zip pkg":                       "did you mean cemli pack?",
		"new pkg":                       "did you mean cemli init?",
		"exec pkg":                      "did you mean cemli run?",
		"up":                            "did you mean cemli local up?",
		"local rum pkg":                 "did you mean cemli local run?",
		"local-run pkg":                 "did you mean cemli local run?",
		"help pakc":                     "did you mean cemli pack?",
		"frobnicate":                    "see cemli --help",
		"local frobnicate":              "see cemli local --help",
		"run pkg --resluts evidence":    "did you mean --results?",
		"run pkg --environment dev":     "did you mean --env?",
		"run pkg --parameter A=1":       "did you mean --param?",
		"run pkg --dryrun":              "did you mean --dry-run?",
		"run pkg -param A=1":            "did you mean --param?",
		"run pkg --json":                "did you mean -o json?",
		"validate pkg --polcy p":        "did you mean --policy?",
		"pack pkg --frobnicate":         "see cemli pack --help",
		"local up --sweep 1m":           "did you mean --sweep-every?",
		"local up --detached_timeout 1": "did you mean --detached-timeout?",
	} {
		var out bytes.Buffer
		if code := run(t.Context(), strings.Fields(call), &out, &out); code != 2 ||
			!strings.Contains(out.String(), "hint: "+want+"\n") {
			t.Errorf("cemli %s: exit code %d; want 2 and %q\n%s", call, code, want, &out)
		}
	}
}
