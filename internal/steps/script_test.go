package steps

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestInterpreterOf(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err)
	}
	env := findProgram("env")
	for _, c := range []struct {
		line string
		want []string // interpreter and arguments
		why  string   // part of the reason
	}{
		{"echo hi", []string{findProgram("bash")}, ""},
		{"", []string{findProgram("bash")}, ""},
		{"#!" + bash, []string{bash}, ""},
		{"#! " + bash + "  -e -u ", []string{bash, "-e -u"}, ""},
		{"#!/usr/bin/env bash", []string{env, "bash"}, ""},
		{"#!/usr/bin/env -S bash -e", []string{env, "-S bash -e"}, ""},
		{"#!/usr/bin/env\tbash ", []string{env, "bash"}, ""},
		{"#!" + bash + "\t-e", []string{bash, "-e"}, ""},
		{"#!\t" + bash + " \t -e\t-u\t", []string{bash, "-e\t-u"}, ""},
		{"#!/usr/bin/env -vS bash -e", []string{env, "-vS bash -e"}, ""},
		{"#!/usr/bin/env -Sbash -e", []string{env, "-Sbash -e"}, ""},
		{"#!/usr/bin/env --split-string=bash -e", []string{env, "--split-string=bash -e"}, ""},
		{"#!/usr/bin/env -S LANG=C bash -e", []string{env, "-S LANG=C bash -e"}, ""},
		{"#!/usr/bin/env -S -i bash", []string{env, "-S -i bash"}, ""},
		{"#!/usr/bin/env -S PATH=/x own", []string{env, "-S PATH=/x own"}, ""},
		{"#!/usr/bin/env -S 'bash' -e", []string{env, "-S 'bash' -e"}, ""},
		{"#!/usr/bin/env bash -e", nil, `takes "bash -e" for the name of one program; write #!/usr/bin/env -S bash -e`},
		{"#!/usr/bin/env -i bash", nil, "no program to run"},
		{"#!/usr/bin/env LANG=C bash", nil, "no program to run"},
		{"#!/usr/bin/env --split-string bash", nil, "no program to run"},
		{"#!/usr/bin/env -S LANG=C", nil, "no program to run"},
		{"#!/usr/bin/env", nil, "no program to run"},
		{"#!/usr/bin/env -vS no-such-program -x", nil, "no-such-program"},
		{"#!/usr/bin/env --split-string=A=b no-such-program", nil, "no-such-program"},
		{"\uFEFF#!/bin/bash -e\nfalse\n", nil, "a byte order mark stands before"},
		{"\uFEFFecho hi\n", []string{findProgram("bash")}, ""},
		{" #!/bin/bash -e\n", nil, "a blank stands before"},
		{"\n#!/bin/bash -e\n", nil, "an empty line stands before"},
		{"\r\n\r\n#!/bin/bash -e\n", nil, "an empty line stands before"},
		{"# Copyright\n#!/bin/bash -e\nfalse\n", nil, "the #! line is the second"},
		{"\uFEFF# Copyright\n#!/bin/bash -e\n", nil, "the #! line is the second"},
		{"# a comment\n#!important\n", []string{findProgram("bash")}, ""},
		{"#!/bin/bash\n#!/bin/sh\n", []string{"/bin/bash"}, ""},
		{"#!/usr/bin/env no-such-program", nil, "no-such-program"},
		{"#!/usr/bin/env -S no-such-program -x", nil, "no-such-program"},
		{"#!/no/such/shell", nil, "/no/such/shell"},
		{"#!bash", nil, "absolute"},
		{"#!", nil, "absolute"},
		{"#!/usr/bin", nil, "does not exist"},
		{"#!/bin/bash\r", nil, "CR LF"},
	} {
		got, why := interpreterOf(c.line)
		if !strings.Contains(why, c.why) || (why == "") != (c.why == "") {
			t.Errorf("%q: reason %q; want %q in it", c.line, why, c.why)
		}
		if c.want != nil {
			if diff := cmp.Diff(c.want, append([]string{got.interpreter}, got.args...)); diff != "" {
				t.Errorf("%q (-want +got):\n%s", c.line, diff)
			}
		}
	}
}
