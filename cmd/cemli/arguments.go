package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"cemli-executor/internal/problem"
	"cemli-executor/manifest"
)

// one accepts one argument; what says which, where it is missing.
func one(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return usageError(cmd, errors.New("one "+what))
		case len(args) > 1:
			return unexpected(cmd, args[1])
		}
		return nil
	}
}

// onePath accepts a package.
var onePath = one("PATH is needed: a package folder or a zip")

// noArguments accepts none.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) != 0 {
		return unexpected(cmd, args[0])
	}
	return nil
}

// unexpected is an argument too many: perhaps a parameter.
func unexpected(cmd *cobra.Command, arg string) error {
	err := errors.New("unexpected argument " + arg)
	if name, _, ok := strings.Cut(arg, "="); ok && name != "" && cmd.Flags().Lookup("param") != nil {
		return wrongCall(err.Error(), "did you mean --param "+arg+"?")
	}
	return usageError(cmd, err)
}

// wrongCall is a wrong call whose cure is known.
func wrongCall(message, hint string) error {
	return problem.New(problem.Problem{Code: "usage", Message: message, Hint: hint}, nil)
}

// notThere says what a path that leads nowhere was most likely meant to be.
func notThere(path, message, hint string, cause error) error {
	if entries, err := os.ReadDir(filepath.Dir(path)); err == nil {
		var names []string
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
		if near := problem.Nearest(filepath.Base(path), names); near != "" {
			return problem.New(problem.Problem{Code: "usage", Where: path, Message: message, Hint: "did you mean " + filepath.Join(filepath.Dir(path), near) + "?"}, nil)
		}
	}
	return problem.New(problem.Problem{Code: "usage", Where: path, Message: message, Hint: hint}, cause)
}

// insidePackage refuses a path that leads to a part of a package: people name its manifest or a script.
func insidePackage(path string, info fs.FileInfo) error {
	kind := "file"
	if info.IsDir() {
		if kind = "folder"; hasManifest(path) {
			return nil
		}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil //nolint:nilerr // then nothing is known of what is around it
	}
	for dir := filepath.Dir(abs); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if isPackage(dir) {
			return problem.New(problem.Problem{
				Code: "usage", Where: path, Message: fmt.Sprintf("it is a %s of the package %s", kind, filepath.Base(dir)), Hint: "name that folder",
			}, nil)
		}
	}
	return nil
}

// isPackage reports whether a folder has a manifest that is one: other programs have files of that name, too.
func isPackage(dir string) bool {
	if !hasManifest(dir) {
		return false
	}
	f, err := os.Open(filepath.Join(dir, manifest.Name))
	if err != nil {
		return false
	}
	defer f.Close()
	doc, err := io.ReadAll(io.LimitReader(f, manifest.MaxBytes))
	if err != nil {
		return false
	}
	_, err = manifest.Parse(doc)
	return err == nil
}

func hasManifest(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, manifest.Name))
	return err == nil && info.Mode().IsRegular()
}

// packagesBelow says which folders of a folder are packages; nil if the folder is one, or none is there.
func packagesBelow(dir string) error {
	if hasManifest(dir) {
		return nil
	}
	found, err := filepath.Glob(filepath.Join(dir, "*", manifest.Name))
	if err != nil || len(found) < 2 { // of one the executor tells
		return nil //nolint:nilerr // a folder whose name is a pattern
	}
	for i := range found {
		found[i] = filepath.Dir(found[i])
	}
	return problem.New(problem.Problem{
		Code: "usage", Where: dir, Message: fmt.Sprintf("it is no package; there are %d in it", len(found)), Hint: "name one of these: " + strings.Join(found[:min(len(found), 10)], ", "),
	}, nil)
}

// environmentRule is what an environment may be called.
var environmentRule = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)

func environmentName(name string) error {
	if environmentRule.MatchString(name) {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "usage", Where: "--env", Message: fmt.Sprintf("%.100q is no name of an environment", name), Hint: "use letters, digits, dots, hyphens and underscores, such as dev",
	}, nil)
}
