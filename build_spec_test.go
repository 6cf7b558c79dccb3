package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/google/go-cmp/cmp"
)

// buildSpec has every key that OCI DevOps knows in a build_spec.yaml, and no other.
type buildSpec struct {
	Version                string `yaml:"version"`
	Component              string `yaml:"component"`
	TimeoutInSeconds       int    `yaml:"timeoutInSeconds"`
	RunAs                  string `yaml:"runAs"`
	Shell                  string `yaml:"shell"`
	FailImmediatelyOnError bool   `yaml:"failImmediatelyOnError"`
	Env                    struct {
		Variables         map[string]string `yaml:"variables"`
		VaultVariables    map[string]string `yaml:"vaultVariables"`
		ExportedVariables []string          `yaml:"exportedVariables"`
	} `yaml:"env"`
	InputArtifacts []struct {
		Name, Type, URL, Location, Path, Version string
		ArtifactID                               string `yaml:"artifactId"`
		RegistryID                               string `yaml:"registryId"`
	} `yaml:"inputArtifacts"`
	Steps           []buildStep `yaml:"steps"`
	OutputArtifacts []struct {
		Name     string `yaml:"name"`
		Type     string `yaml:"type"`
		Location string `yaml:"location"`
	} `yaml:"outputArtifacts"`
}

type buildStep struct {
	Type                   string `yaml:"type"`
	Name                   string `yaml:"name"`
	Shell                  string `yaml:"shell"`
	TimeoutInSeconds       int    `yaml:"timeoutInSeconds"`
	FailImmediatelyOnError bool   `yaml:"failImmediatelyOnError"`
	Command                string `yaml:"command"`
	OnFailure              []struct {
		Type             string `yaml:"type"`
		TimeoutInSeconds int    `yaml:"timeoutInSeconds"`
		Command          string `yaml:"command"`
	} `yaml:"onFailure"`
}

// readYAML reads a document; a key that its type does not have is an error.
func readYAML(t *testing.T, text []byte, into any) {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func readBuildSpec(t *testing.T) buildSpec {
	t.Helper()
	var s buildSpec
	readYAML(t, readFile(t, "build_spec.yaml"), &s)
	return s
}

// run runs the steps as the managed build does, each in a shell of its own that starts in the
// workspace, ends at the first command that fails, and knows of earlier steps only the exported
// variables, which it returns. What follows a failure is the step's onFailure, and the end.
func (s buildSpec) run(ctx context.Context, workspace string, env []string, out io.Writer) (map[string]string, error) {
	exported := map[string]string{}
	for name, value := range s.Env.Variables {
		env = append(env, name+"="+value)
	}
	for _, step := range s.Steps {
		fmt.Fprintf(out, "== %s\n", step.Name)
		start := time.Now()
		script := "trap 'env -0 >\"$OCI_WORKSPACE_DIR/exported\"' EXIT\n" + step.Command
		err := inShell(ctx, step.TimeoutInSeconds, s.FailImmediatelyOnError, script, workspace, env, out)
		if err != nil {
			for _, f := range step.OnFailure {
				err = errors.Join(err, inShell(ctx, f.TimeoutInSeconds, false, f.Command, workspace, env, out))
			}
			return exported, fmt.Errorf("step %q: %w", step.Name, err)
		}
		after, err := os.ReadFile(filepath.Join(workspace, "exported"))
		if err != nil {
			return exported, err
		}
		for _, entry := range strings.Split(string(after), "\x00") {
			if name, value, _ := strings.Cut(entry, "="); slices.Contains(s.Env.ExportedVariables, name) {
				exported[name] = value
				env = append(env, entry)
			}
		}
		fmt.Fprintf(out, "== %s: done in %.0f s\n", step.Name, time.Since(start).Seconds())
	}
	return exported, nil
}

func inShell(
	ctx context.Context, seconds int, stopOnError bool, script, dir string, env []string, out io.Writer,
) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer cancel()
	args := []string{"-c", script}
	if stopOnError {
		args = append([]string{"-e"}, args...)
	}
	cmd := exec.CommandContext(ctx, "bash", args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(env, "OCI_WORKSPACE_DIR="+dir), out, out
	return cmd.Run()
}

// The checks of the real file are worth nothing if the runner would go on after a failure, or hand
// on more than the service does.
func TestBuildStopsAtTheFirstFailure(t *testing.T) {
	var s buildSpec
	readYAML(t, []byte(`
failImmediatelyOnError: true
env: {variables: {A: a}, exportedVariables: [B]}
steps:
  - {name: one, timeoutInSeconds: 9, command: 'export B=b C=c; D=d'}
  - {name: two, timeoutInSeconds: 9, command: 'echo "[$A $B $C $D]"'}
  - {name: three, timeoutInSeconds: 9, command: "false\necho three", onFailure: [{timeoutInSeconds: 9, command: echo cure}]}
  - {name: four, timeoutInSeconds: 9, command: echo four}
`), &s)
	var out bytes.Buffer
	exported, err := s.run(t.Context(), t.TempDir(), []string{"PATH=" + os.Getenv("PATH")}, &out)
	if err == nil || !strings.Contains(err.Error(), `"three"`) || exported["B"] != "b" || len(exported) != 1 {
		t.Errorf("error %v, exported %v", err, exported)
	}
	if got := out.String(); !strings.Contains(got, "[a b  ]\n") || !strings.HasSuffix(got, "== three\ncure\n") {
		t.Errorf("output:\n%s", got)
	}
}

func TestBuildSpec(t *testing.T) {
	s := readBuildSpec(t)
	if s.Version != "0.1" || s.Component != "build" || s.Shell != "bash" || !s.FailImmediatelyOnError ||
		s.TimeoutInSeconds < 600 {
		t.Errorf("version %s, component %s, shell %s, fails at once %v, timeout %d", s.Version, s.Component, s.Shell,
			s.FailImmediatelyOnError, s.TimeoutInSeconds)
	}
	all := ""
	seen := map[string]bool{}
	for _, step := range s.Steps {
		if step.Type != "Command" || step.Name == "" || seen[step.Name] || step.TimeoutInSeconds < 1 ||
			step.TimeoutInSeconds > s.TimeoutInSeconds {
			t.Errorf("step %q: type %q, timeout %d, or a name that is not its own", step.Name, step.Type,
				step.TimeoutInSeconds)
		}
		seen[step.Name] = true
		all += step.Command
		checkShell(t, step.Name, step.Command)
		if len(step.OnFailure) == 0 {
			t.Errorf("step %q: nothing is said when it fails", step.Name)
		}
		for _, f := range step.OnFailure {
			checkShell(t, step.Name, f.Command)
			if f.Type != "Command" || f.TimeoutInSeconds < 1 || !strings.Contains(f.Command, "BUILD FAILED") {
				t.Errorf("step %q: on failure %+v", step.Name, f)
			}
		}
	}
	for _, name := range s.Env.ExportedVariables {
		if _, vault := s.Env.VaultVariables[name]; vault {
			t.Errorf("%s comes from the vault and must not be exported", name)
		}
		if !regexp.MustCompile(`(?m)^\s*`+name+`=`).MatchString(all) ||
			!regexp.MustCompile(`(?m)^\s*export .*\b`+name+`\b`).MatchString(all) {
			t.Errorf("%s is exported, but no step sets it", name)
		}
	}
	if len(s.Env.ExportedVariables) == 0 {
		t.Error("no variable is exported")
	}
}

// checkShell fails for a command that bash does not understand.
func checkShell(t *testing.T, name, command string) {
	t.Helper()
	out, err := exec.Command("bash", "-n", "-c", command).CombinedOutput()
	if err != nil || strings.TrimSpace(command) == "" {
		t.Errorf("step %q: %v: %s", name, err, out)
	}
}

var makeCall = regexp.MustCompile(`(?m)^\s*make ([a-z -]+[a-z])`)

// Everything that can refuse a change does so before the image is built, and the image has run
// before the build ends, which is when it is published. What is called exists.
func TestBuildSpecOrder(t *testing.T) {
	makefile := string(readFile(t, "Makefile"))
	var calls []string
	for _, step := range readBuildSpec(t).Steps {
		for _, call := range makeCall.FindAllStringSubmatch(step.Command, -1) {
			calls = append(calls, strings.Fields(call[1])...)
		}
	}
	for _, step := range readBuildSpec(t).Steps[1:] { // the first one names things
		if lax := regexp.MustCompile(`\|\||;|&\s*$|set \+e|\btrap\b|\bif\b`).FindString(step.Command); lax != "" {
			t.Errorf("%s: what fails has to fail the build, and %q may keep it from that", step.Name, lax)
		}
	}
	want := []string{"lint", "test", "vuln", "secrets", "image", "smoke", "dist", "sbom"}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("what the steps call (-want +got):\n%s", diff)
	}
	for _, target := range calls {
		if !regexp.MustCompile(`(?m)^` + target + `:`).MatchString(makefile) {
			t.Errorf("the Makefile has no target %s", target)
		}
	}
	if !regexp.MustCompile(`(?m)^lint:.*\bstaticcheck\b.*\bgosec\b`).MatchString(makefile) {
		t.Error("lint does not include staticcheck and gosec")
	}
}

// A step's own timeout says which one hung; the build's would only say that something did. So they all fit
// into it, and into the pipeline's, with the message of a last one.
func TestBuildSpecTimeouts(t *testing.T) {
	s := readBuildSpec(t)
	sum, message := 0, 0
	for _, step := range s.Steps {
		sum += step.TimeoutInSeconds
		for _, f := range step.OnFailure {
			message = max(message, f.TimeoutInSeconds)
		}
	}
	if sum+message > s.TimeoutInSeconds {
		t.Errorf("the steps may take %d s and a message %d s, the build %d s", sum, message, s.TimeoutInSeconds)
	}
	stage := regexp.MustCompile(
		`(?s)variable "build_timeout_seconds" \{.*?default\s+= (\d+)`).FindSubmatch(
		readFile(t, "terraform/modules/devops/variables.tf"))
	if stage == nil || string(stage[1]) != strconv.Itoa(s.TimeoutInSeconds) {
		t.Errorf("the pipeline's stage has the timeout %s s, build_spec.yaml %d s", stage, s.TimeoutInSeconds)
	}
}

func TestBuildSpecArtifacts(t *testing.T) {
	images, names := 0, map[string]bool{}
	for _, a := range readBuildSpec(t).OutputArtifacts {
		if a.Name == "" || names[a.Name] {
			t.Errorf("the name %q is missing or used twice", a.Name)
		}
		names[a.Name] = true
		switch a.Type {
		case "DOCKER_IMAGE":
			images++
			if !regexp.MustCompile(`^[a-z-]+$`).MatchString(a.Location) {
				t.Errorf("%s: %q is no local image", a.Name, a.Location)
			}
		case "BINARY":
			if !strings.HasPrefix(a.Location, "${OCI_PRIMARY_SOURCE_DIR}/dist/") {
				t.Errorf("%s: %q is not where they are made", a.Name, a.Location)
			}
		default:
			t.Errorf("%s: type %q", a.Name, a.Type)
		}
	}
	if images != 1 || !names["sbom"] || !names["checksums"] {
		t.Errorf("%d images, artifacts %v", images, names)
	}
}

// The tests run with the Go that builds the image.
func TestOneGo(t *testing.T) {
	image := regexp.MustCompile(
		`(?m)^ARG GO_IMAGE=docker.io/library/golang:([0-9.]+)-\S+@sha256:[0-9a-f]{64}$`).FindStringSubmatch(string(readFile(t, "Dockerfile")))
	if image == nil {
		t.Fatal("the Dockerfile's GO_IMAGE is not pinned by version and digest")
	}
	if got := readBuildSpec(t).Env.Variables["GOTOOLCHAIN"]; got != "go"+image[1] {
		t.Errorf("build_spec.yaml has Go %s, the Dockerfile %s", got, image[1])
	}
	if !regexp.MustCompile(`(?m)^ARG RUNTIME_IMAGE=docker.io/library/debian:\S+@sha256:[0-9a-f]{64}$`).Match(readFile(t,
		"Dockerfile")) {
		t.Error("the Dockerfile's RUNTIME_IMAGE is not pinned by digest")
	}
}

// commentedOut are the examples that build_spec.yaml has as comments: from a key on, to where the comment ends.
var commentedOut = regexp.MustCompile(`(?m)^( *)# (vaultVariables|inputArtifacts):\n((?: *#   .*\n)+)`)

// The examples of vaultVariables and inputArtifacts are such that they can be used: without their comment signs the
// file is one that DevOps takes.
func TestBuildSpecExamples(t *testing.T) {
	text := readFile(t, "build_spec.yaml")
	sign := regexp.MustCompile(`(?m)^( *)# `)
	found := 0
	text = commentedOut.ReplaceAllFunc(text, func(example []byte) []byte {
		found++
		return sign.ReplaceAll(example, []byte("$1"))
	})
	var s buildSpec
	readYAML(t, text, &s)
	if found != 2 || len(s.Env.VaultVariables) == 0 || len(s.Steps) != len(readBuildSpec(t).Steps) {
		t.Fatalf("%d examples are there, with the variables %v and %d steps", found, s.Env.VaultVariables, len(s.Steps))
	}
	for name, id := range s.Env.VaultVariables {
		if !strings.HasPrefix(id, "ocid1.vaultsecret.") || slices.Contains(s.Env.ExportedVariables, name) {
			t.Errorf("%s is %s: a secret by its OCID, which is not exported", name, id)
		}
	}
	kinds := map[string]bool{}
	for _, a := range s.InputArtifacts {
		kinds[a.Type] = true
		registry := a.ArtifactID != "" && a.RegistryID != "" && a.Path != "" && a.Version != ""
		if a.Name == "" || a.Location == "" || a.Type == "URL" && a.URL == "" ||
			a.Type == "GENERIC_ARTIFACT" && !registry {
			t.Errorf("%+v does not say what it is", a)
		}
	}
	if len(kinds) != 2 || !kinds["URL"] || !kinds["GENERIC_ARTIFACT"] {
		t.Errorf("there are examples of %v", kinds)
	}
}
