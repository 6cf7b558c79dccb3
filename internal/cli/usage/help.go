// Package usage is how cemli is called: its groups of commands, its help, what arguments a command
// takes, and what was most likely meant by a word that is none of the program's.
//
// Every wrong call is a problem with the code "usage", and says how to call it right.
package usage

import (
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cemli-executor/internal/problem"
)

// The groups of the commands, by who uses them.
const (
	GroupAuthors = "authors"
	GroupLocal   = "local"
	GroupProgram = "program"
)

// Help is the help of a command.
type Help struct {
	Use, Short string
	// Group is one of the groups; "" for a command of another one.
	Group string
	// Suggest are words for which the command was most likely meant.
	Suggest       []string
	Long, Example string
}

// Command is a command with that help, which takes args and does run.
func (h Help) Command(args cobra.PositionalArgs, run func(*cobra.Command, []string) error) *cobra.Command {
	return &cobra.Command{
		Use: h.Use, Short: h.Short, GroupID: h.Group, SuggestFor: h.Suggest, Long: h.Long, Example: h.Example,
		Args: args, RunE: run,
	}
}

// template is cobra's own template, but flags are wrapped for 80 columns, and nothing is listed twice.
const template = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{$commands := .Commands}}{{if .Groups}}{{range $group := .Groups}}

{{$group.Title}}:{{range $commands}}{{if (and (eq .GroupID $group.ID) (not .Hidden))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{else if .HasAvailableSubCommands}}

Commands:{{range $commands}}{{if not .Hidden}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of every command:
{{.InheritedFlags.FlagUsagesWrapped 80 | trimTrailingWhitespaces}}{{end}}
`

// Helpful gives the program its groups, its own help command, and answers to misspelt words.
func Helpful(root *cobra.Command) {
	root.AddGroup(
		&cobra.Group{ID: GroupAuthors, Title: "Authors"},
		&cobra.Group{ID: GroupLocal, Title: "Local OCI"},
		&cobra.Group{ID: GroupProgram, Title: "This program"},
	)
	root.CompletionOptions.DisableDefaultCmd = true
	cobra.EnableCommandSorting = false // they are in the order in which they are needed
	root.SetHelpCommand(newHelpCommand())
	root.SetUsageTemplate(template)
	root.SetFlagErrorFunc(flagError)
}

func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Say what a command does, and how it is called",
		Example: "  cemli help local run",
		GroupID: GroupProgram,
		RunE: func(cmd *cobra.Command, args []string) error {
			called, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknownCommand(called, rest)
			}
			return called.Help()
		},
	}
}

// OnlyCommands is for a command that does nothing itself: any argument is a command that does not exist.
func OnlyCommands(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return unknownCommand(cmd, args)
}

// unknownCommand says what was most likely meant.
func unknownCommand(cmd *cobra.Command, args []string) error {
	p := problem.Problem{
		Code: "usage", Message: `unknown command "` + args[0] + `" of ` + cmd.CommandPath(),
		Hint: "see " + cmd.CommandPath() + " --help",
	}
	if _, err := os.Stat(args[0]); err == nil {
		p.Hint = "did you mean " + cmd.CommandPath() + " run " + args[0] + "?"
	} else if near := nearCommand(cmd.Root(), cmd, args[0]); near != "" {
		p.Hint = "did you mean " + near + "?"
	}
	return problem.New(p, nil)
}

// nearCommand returns the command that a word most likely stands for, first among those of cmd; "" if none is near.
func nearCommand(root, cmd *cobra.Command, word string) string {
	paths, words := map[string]string{}, []string{}
	add := func(candidate string, c *cobra.Command) {
		if _, taken := paths[candidate]; !taken {
			paths[candidate] = c.CommandPath()
			words = append(words, candidate)
		}
	}
	for _, c := range slices.Concat(cmd.Commands(), root.Commands(), below(root)) {
		add(c.Name(), c)
		for _, other := range c.SuggestFor {
			add(other, c)
		}
	}
	return paths[problem.Nearest(strings.ToLower(word), words)]
}

// below returns the commands of the program's commands.
func below(root *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, c := range root.Commands() {
		all = append(all, c.Commands()...)
	}
	return all
}

// flagError says what was most likely meant by a flag that does not exist, and what is wrong with a value.
func flagError(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return invalidValue(cmd, invalid)
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return Error(cmd, err)
	}
	word := unknown.GetSpecifiedName()
	if short := unknown.GetSpecifiedShortnames(); len(short) > 1 {
		word = short // -param, with one dash
	}
	if near := nearFlag(cmd, word); near != "" {
		return Wrong(err.Error(), "did you mean "+near+"?")
	}
	for _, other := range slices.Concat(cmd.Root().Commands(), below(cmd.Root())) {
		if other.Flags().Lookup(word) != nil {
			return Wrong(err.Error(), "--"+word+" is a flag of "+other.CommandPath())
		}
	}
	return Error(cmd, err)
}

// invalidValue says what a flag takes.
func invalidValue(cmd *cobra.Command, err *pflag.InvalidValueError) error {
	flag := "--" + err.GetFlag().Name
	switch err.GetFlag().Value.Type() {
	case "bool":
		return Error(cmd, errors.New(flag+" is given without a value, or left out"))
	case "int":
		return Error(cmd, errors.New(flag+" "+err.GetValue()+": it takes a whole number"))
	case "duration":
		return Error(cmd, errors.New(flag+" "+err.GetValue()+": it takes a duration, such as 30s or 5m"))
	}
	return Error(cmd, err)
}

// nearFlag returns the flag of cmd that a word most likely stands for: a longer or shorter word for it, or a misspelt
// one.
func nearFlag(cmd *cobra.Command, word string) string {
	if word == "json" || word == "format" {
		return "-o json"
	}
	var names []string
	longer := ""
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		names = append(names, f.Name)
		if len(word) > 2 && (strings.HasPrefix(word, f.Name) || strings.HasPrefix(f.Name, word)) {
			longer = f.Name
		}
	})
	word = strings.ReplaceAll(word, "_", "-")
	if near := problem.Nearest(word, names); near != "" {
		return "--" + near
	}
	if longer != "" {
		return "--" + longer
	}
	return ""
}
