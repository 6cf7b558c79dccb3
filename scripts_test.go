package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// script runs one of the pipeline's scripts with nothing but a PATH and more variables.
func script(t *testing.T, dir string, env []string, name string, args ...string) (string, error) {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("scripts", name))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Env = dir, append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func TestImageTag(t *testing.T) {
	const run = "OCI_BUILD_RUN_ID=ocid1.devopsbuildrun.oc1..aaaa0123abcd"
	for _, c := range []struct {
		env  []string
		want string // empty: it fails
	}{
		{[]string{run, "OCI_TRIGGER_COMMIT_HASH=00112233445566778899aabbccddeeff00112233"}, "001122334455-run-0123abcd"},
		{[]string{run, "OCI_TRIGGER_COMMIT_HASH="}, "run-0123abcd"}, // by hand, and no repository
		{[]string{"OCI_TRIGGER_COMMIT_HASH=00112233445566778899aabbccddeeff00112233"}, ""},
	} {
		got, err := script(t, t.TempDir(), c.env, "image-tag.sh")
		if c.want != "" && (got != c.want || err != nil) || c.want == "" && err == nil {
			t.Errorf("%v: %q, %v; want %q", c.env, got, err, c.want)
		}
	}
}

// A vulnerability fails the build, and so does a scanner that breaks; a database that is out of
// reach does not, and is told.
func TestVulnerabilityScanFails(t *testing.T) {
	for _, c := range []struct {
		scanner string
		fails   bool
	}{
		{"exit 0", false},
		{"echo 'Vulnerability #1: GO-2026-0001'; exit 3", true},
		{"echo 'govulncheck: loading packages: broken' >&2; exit 1", true},
		{"echo 'govulncheck: fetching vulnerabilities: no route' >&2; exit 1", false},
	} {
		out, err := script(t, ".", nil, "vulncheck.sh", "bash", "-c", c.scanner)
		if (err != nil) != c.fails || !c.fails && strings.Contains(c.scanner, "fetching") && !strings.Contains(out, "NOT CHECKED") {
			t.Errorf("%s: %v\n%s", c.scanner, err, out)
		}
	}
}

// An inventory that misses one of its halves is no success.
func TestSBOMNeedsBothHalves(t *testing.T) {
	bin := t.TempDir()
	for name, text := range map[string]string{
		"docker": "exit 0",
		"both":   `echo pkg:deb/a pkg:golang/b >"${6#cdx-json=}"`,
		"half":   `echo pkg:deb/a >"${6#cdx-json=}"`,
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/usr/bin/env bash\n"+text+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
	for scanner, fails := range map[string]bool{"both": false, "half": true, "false": true} {
		if out, err := script(t, bin, env, "sbom.sh", "image", filepath.Join(bin, scanner+".json"), scanner); (err != nil) != fails {
			t.Errorf("%s: %v\n%s", scanner, err, out)
		}
	}
}
