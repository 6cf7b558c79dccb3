package usage

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"cemli-executor/internal/problem"
)

// One accepts one argument; what names it in the error if it is missing.
func One(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return Error(cmd, errors.New("one "+what))
		case len(args) > 1:
			return unexpected(cmd, args[1])
		}
		return nil
	}
}

// OnePath accepts one argument, the path of a package.
var OnePath = One("PATH is needed: a package folder or a zip")

// NoArguments accepts no arguments.
func NoArguments(cmd *cobra.Command, args []string) error {
	if len(args) != 0 {
		return unexpected(cmd, args[0])
	}
	return nil
}

// unexpected is an argument too many: perhaps a parameter.
func unexpected(cmd *cobra.Command, arg string) error {
	err := errors.New("unexpected argument " + arg)
	if name, _, ok := strings.Cut(arg, "="); ok && name != "" && cmd.Flags().Lookup("param") != nil {
		return Wrong(err.Error(), "did you mean --param "+arg+"?")
	}
	return Error(cmd, err)
}

// Wrong returns the error for a wrong call whose cure is known.
func Wrong(message, hint string) error {
	return problem.New(problem.Problem{Code: "usage", Message: message, Hint: hint}, nil)
}

// Error returns the error for a wrong call of a command, with a pointer to the command's help.
func Error(cmd *cobra.Command, err error) error {
	return Wrong(err.Error(), "see "+cmd.CommandPath()+" --help")
}

// WrongAt returns the error for a wrong call whose cure is known, with the argument or the flag that is wrong. cause
// may be nil.
func WrongAt(where, message, hint string, cause error) error {
	return problem.New(problem.Problem{Code: "usage", Where: where, Message: message, Hint: hint}, cause)
}
