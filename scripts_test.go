package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"cemli-executor/internal/testkit"
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
		{
			[]string{run, "OCI_TRIGGER_COMMIT_HASH=00112233445566778899aabbccddeeff00112233"},
			"001122334455-run-0123abcd",
		},
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
		if (err != nil) != c.fails ||
			!c.fails && strings.Contains(c.scanner, "fetching") && !strings.Contains(out, "NOT CHECKED") {
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
		out, err := script(t, bin, env, "sbom.sh", "image", filepath.Join(bin, scanner+".json"), scanner)
		if (err != nil) != fails {
			t.Errorf("%s: %v\n%s", scanner, err, out)
		}
	}
}

// needsGit skips where the sources are no repository, as in an archive of them, and lets git read one of another user.
func needsGit(t *testing.T) {
	t.Helper()
	t.Setenv("GIT_CONFIG_COUNT", "1")
	t.Setenv("GIT_CONFIG_KEY_0", "safe.directory")
	t.Setenv("GIT_CONFIG_VALUE_0", "*")
	if err := exec.Command("git", "rev-parse", "HEAD").Run(); err != nil {
		t.Skip("the sources are no git repository")
	}
}

// sources copies the repository's files, as they are now, into a folder, and makes a release of them: tag v9.8.7.
func sources(t *testing.T, dir string) {
	t.Helper()
	copied := exec.Command("bash", "-euc", `
		git ls-files -z --cached --others --exclude-standard | while IFS= read -rd '' f; do [[ ! -e $f ]] || printf '%s\0' "$f"; done |
			tar c --null -T - | tar x -C "$0"
		cd "$0"
		git init -q && git add -A
		git -c user.name=a -c user.email=a@example.com commit -qm release
		git -c tag.gpgSign=false tag v9.8.7`, dir)
	copied.Env = append(os.Environ(), "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
	if out, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// makes runs make in a folder, as a person would with that umask.
func makes(t *testing.T, dir, umask string, args ...string) string {
	t.Helper()
	cmd := exec.Command("bash", "-c", "umask "+umask+`; exec make -s "$@"`, "make")
	cmd.Args = append(cmd.Args, args...)
	cmd.Dir = dir
	for _, v := range os.Environ() { // not of the make that runs this test
		name, _, _ := strings.Cut(v, "=")
		if !slices.Contains([]string{"VERSION", "COMMIT", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "IMAGE"}, name) {
			cmd.Env = append(cmd.Env, v)
		}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// A release is the same bytes wherever and whenever it is made. Its archive has what people need to run a package the
// whole way, without Go.
func TestDist(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds four programs")
	}
	needsGit(t)
	target := runtime.GOOS + "/" + runtime.GOARCH
	first, second := t.TempDir(), filepath.Join(testkit.TempDir(t), "else", "where")
	if err := os.MkdirAll(second, 0o755); err != nil {
		t.Fatal(err)
	}
	sources(t, first)
	sources(t, second)
	makes(t, first, "022", "dist", "TARGETS="+target)
	makes(t, second, "077", "dist", "TARGETS="+target, "DIST=out")
	name := "cemli-9.8.7-" + strings.ReplaceAll(target, "/", "-")
	for _, file := range []string{name + ".tar.gz", "cemli-9.8.7.cdx.json", "cemli-stack.zip", "SHA256SUMS"} {
		one, errOne := os.ReadFile(filepath.Join(first, "dist", file))
		two, errTwo := os.ReadFile(filepath.Join(second, "out", file))
		if errOne != nil || errTwo != nil || !bytes.Equal(one, two) {
			t.Errorf("%s is another one each time (%v, %v)", file, errOne, errTwo)
		}
	}
	check := exec.Command("bash", "-euc", `
		cd dist && sha256sum --quiet -c SHA256SUMS && tar xzf "$0".tar.gz && cd "$0"
		[[ -s completions/cemli.bash && -s completions/_cemli && -s completions/cemli.fish && -s completions/cemli.ps1 ]]
		grep -q ' cemli-stack.zip$' ../SHA256SUMS
		grep -q spf13/cobra LICENSES-OF-OTHERS
		./cemli version
		PATH=/usr/bin:/bin ./cemli local run ../../examples/hello-cemli`, name)
	check.Dir = first
	out, err := check.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "cemli 9.8.7 (") ||
		!strings.Contains(string(out), "success  hello-cemli") {
		t.Errorf("%v\n%s", err, out)
	}
}

// What the README and CONTRIBUTING name: two binaries side by side, and a list of all targets.
func TestMake(t *testing.T) {
	needsGit(t)
	help := makes(t, ".", "022", "help")
	for _, line := range []string{"build ", "quick ", "check ", "dist ", "help "} {
		if !strings.Contains("\n"+help, "\n"+line) {
			t.Errorf("make help does not name %s\n%s", line, help)
		}
	}
	for line := range strings.Lines(help) {
		if len(line) > 81 {
			t.Errorf("make help has a line of more than 80 columns: %s", line)
		}
	}
	if testing.Short() {
		t.Skip("the rest builds")
	}
	bin := t.TempDir()
	makes(t, ".", "022", "build", "BIN="+bin)
	out, err := exec.Command(filepath.Join(bin, "cemli"), "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "cemli ") || strings.Contains(string(out), "devel") {
		t.Errorf("cemli version says %s (%v)", out, err)
	}
	if _, err := os.Stat(filepath.Join(bin, "cemli-executor")); err != nil {
		t.Error(err)
	}
}

// Scripts are checked by lint, and have LF wherever they are checked out: a CR would be part of their commands.
func TestScriptsAreKept(t *testing.T) {
	needsGit(t)
	makefile, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^lint:.*\bshellcheck\b`).Match(makefile) ||
		!bytes.Contains(makefile, []byte("git ls-files '*.sh'")) {
		t.Error("make lint does not check every script")
	}
	out, err := exec.Command("bash",
		"-c", `git ls-files '*.sh' '*.txtar' .ci/run Makefile | git check-attr --stdin eol`).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range lines {
		if !strings.HasSuffix(line, ": eol: lf") {
			t.Error(line)
		}
	}
	if len(lines) < 30 {
		t.Errorf("only %d scripts were found", len(lines))
	}
}
