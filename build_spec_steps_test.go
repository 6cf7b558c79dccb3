//go:build buildspec

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestBuildSpecSteps runs the steps of build_spec.yaml on this repository, as the managed build
// would when a person starts it. One of them runs all tests; the build tag keeps this one out of them.
func TestBuildSpecSteps(t *testing.T) {
	source, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	env := []string{
		"OCI_BUILD_RUN_ID=ocid1.devopsbuildrun.oc1..localtest", "OCI_PRIMARY_SOURCE_DIR=" + source,
		"OCI_TRIGGER_COMMIT_HASH=",
		// The parameters of the build pipeline.
		"GO_IMAGE=" + os.Getenv("GO_IMAGE"), "RUNTIME_IMAGE=" + os.Getenv("RUNTIME_IMAGE"),
		// Where the database of vulnerabilities cannot be reached the rest is tried all the same.
		"VULN_UNCHECKED=1", "GIT_CONFIG_GLOBAL=" + filepath.Join(t.TempDir(), "gitconfig"),
	}
	// Of this machine nothing else, nor of the make that started this.
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "DOCKER_HOST", "GOFLAGS", "GOPROXY", "GOMODCACHE", "GOCACHE",
		"NODE_PATH", "TESTFLAGS",
	} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	s := readBuildSpec(t)
	for _, a := range s.OutputArtifacts {
		if a.Type == "BINARY" { // of an earlier build
			_ = os.Remove(expand(a.Location, source))
		}
	}
	exported, err := s.run(t.Context(), t.TempDir(), env, os.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range s.Env.ExportedVariables {
		if exported[name] == "" {
			t.Errorf("%s was not exported", name)
		}
	}
	tag := exported["IMAGE_TAG"]
	if !strings.HasPrefix(exported["COMMIT"], tag[:12]) || !strings.HasSuffix(tag, "-run-ocaltest") {
		t.Errorf("tag %s of commit %s", tag, exported["COMMIT"])
	}
	for _, a := range s.OutputArtifacts {
		if a.Type == "DOCKER_IMAGE" {
			id := func(name string) string {
				out, err := exec.Command("docker", "image", "inspect", "--format", "{{.Id}}", name).Output()
				if err != nil {
					t.Errorf("artifact %s: there is no image %s", a.Name, name)
				}
				return string(out)
			}
			if id(a.Location) != id(exported["IMAGE"]) {
				t.Errorf("artifact %s: %s is not %s", a.Name, a.Location, exported["IMAGE"])
			}
			continue
		}
		if info, err := os.Stat(expand(a.Location, source)); err != nil || info.Size() == 0 {
			t.Errorf("artifact %s: %v", a.Name, err)
		}
	}
}

func expand(location, source string) string {
	return filepath.FromSlash(strings.ReplaceAll(location, "${OCI_PRIMARY_SOURCE_DIR}", source))
}
