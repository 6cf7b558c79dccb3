package terraform_test

import (
	"archive/zip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// stack makes the zip that "make dist" makes of a Terraform folder, and unpacks it.
func stack(t *testing.T, folder string) (unpacked string, files []string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "cemli-stack.zip")
	if out, err := exec.Command("go", "run", "../scripts/release", "stack", name, folder).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	archive, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	unpacked = t.TempDir()
	if err := os.CopyFS(unpacked, archive); err != nil {
		t.Fatal(err)
	}
	for _, file := range archive.File {
		files = append(files, file.Name)
	}
	return unpacked, files
}

// The zip that the deploy button names has at its root what Resource Manager looks for there, all of the configuration,
// and nothing that is somebody's own or Terraform's.
func TestStack(t *testing.T) {
	folder := t.TempDir()
	if err := copyFiles(folder, "."); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"backend_override.tf", "override.tf", "tenancy.auto.tfvars", "dev.tfstate", ".terraform.lock.hcl",
		".terraform/modules/x/main.tf", "modules/iam/.terraform/x.json", "package.json",
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("{}"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	unpacked, files := stack(t, folder)
	expected := regexp.MustCompile(`^(schema\.yaml|\w+\.tf|modules/\w+/\w+\.(tf|json))$`)
	for _, name := range files {
		if !expected.MatchString(name) || strings.HasSuffix(name, "override.tf") {
			t.Errorf("the zip has %s", name)
		}
	}
	for name := range resources(t) {
		if dir, _, _ := strings.Cut(name, "."); dir != "" {
			read(t, filepath.Join(unpacked, dir, "main.tf"))
		}
	}
	for _, name := range []string{
		"main.tf", "variables.tf", "outputs.tf", "providers.tf", "versions.tf", "schema.yaml",
	} {
		if read(t, filepath.Join(unpacked, name)) != read(t, name) {
			t.Errorf("%s is another one in the zip", name)
		}
	}
	byOraclesSchema(t, filepath.Join(unpacked, "schema.yaml"))
}

// What is unpacked is a whole configuration: Terraform accepts it, with every file that it reads.
func TestStackIsValid(t *testing.T) {
	w := newWorkspace(t)
	w.dir, _ = stack(t, ".")
	if out, err := w.run(".", "init", "-backend=false"); err != nil {
		if w.skip {
			t.Skipf("the provider cannot be had: %v\n%s", err, out)
		}
		t.Fatalf("init: %v\n%s", err, out)
	}
	w.must(t, ".", "validate")
	data, err := filepath.Glob("modules/*/*.json")
	if err != nil || len(data) < 5 {
		t.Fatalf("modules read only %q: %v", data, err)
	}
	for _, name := range data {
		read(t, filepath.Join(w.dir, name))
	}
}
