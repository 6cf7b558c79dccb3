package steps

import (
	"fmt"
	"strings"
)

// How env reads the one argument that a "#!" line gives it. This decides only what GNU env and similar programs agree
// on, and leaves the rest to env, when the script runs.

// envMisreads says why "env ARG SCRIPT" runs no program on any machine, or returns "".
func envMisreads(arg string) string {
	_, split := splitString(arg)
	option := strings.HasPrefix(arg, "-") || strings.Contains(arg, "=")
	switch {
	case !split && !option && strings.ContainsAny(arg, blanks):
		return fmt.Sprintf("env takes %.100q for the name of one program; write #!/usr/bin/env -S %.100s", arg, arg)
	case !split && (option || arg == ""), split && envWords(arg) != nil && envProgram(arg) == "":
		const none = "the #! line gives env no program to run: %.100q; write it like #!/usr/bin/env -S bash -e"
		return fmt.Sprintf(none, arg)
	}
	return ""
}

// envProgram is the program that "env ARG" looks for; "" if there is none, or only env can tell.
func envProgram(arg string) string {
	if _, split := splitString(arg); !split {
		return arg
	}
	for _, word := range envWords(arg) {
		if word != "-v" && word != "--debug" && !strings.Contains(word, "=") {
			return word
		}
	}
	return ""
}

// envWords are the words into which env splits arg; nil if quotes, escapes, variables, comments, options or a PATH of
// its own decide what is found.
func envWords(arg string) []string {
	text, _ := splitString(arg)
	words := strings.Fields(text)
	if strings.ContainsAny(text, `\'"$#`) {
		return nil
	}
	for _, word := range words {
		if strings.HasPrefix(word, "PATH=") || strings.HasPrefix(word, "-") && word != "-v" && word != "--debug" {
			return nil
		}
		if !strings.Contains(word, "=") && !strings.HasPrefix(word, "-") {
			break // what follows are the program's arguments
		}
	}
	return words
}

// splitString finds the text that env splits: the value of -S, which may follow other letters, or of --split-string=,
// which may be abbreviated.
func splitString(arg string) (string, bool) {
	if long, ok := strings.CutPrefix(arg, "--"); ok {
		name, text, given := strings.Cut(long, "=")
		return text, given && name != "" && strings.HasPrefix("split-string", name)
	}
	letters, ok := strings.CutPrefix(arg, "-")
	if !ok {
		return "", false
	}
	return strings.CutPrefix(strings.TrimLeft(letters, "0iv"), "S")
}
