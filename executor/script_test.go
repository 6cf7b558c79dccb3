package executor

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
