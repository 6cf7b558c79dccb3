package terraform_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// offline stands in for the provider, where it is beside the repository: it knows the
// schema and needs no network.
const offline = "../../shared/tools/terraform-offline"

// workspace is a copy of this folder, which Terraform may write to.
type workspace struct {
	dir     string
	command string
	init    string   // gets the provider: the command, or what stands in for it
	env     []string // of init
	skip    bool     // where the provider cannot be had: it would come from the network
}

// newWorkspace chooses the Terraform to test with.
func newWorkspace(t *testing.T) workspace {
	t.Helper()
	if name := os.Getenv("CEMLI_TERRAFORM"); name != "" {
		return workspace{dir: t.TempDir(), command: name, init: name}
	}
	name, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("terraform is not installed; CEMLI_TERRAFORM may name another command")
	}
	w := workspace{dir: t.TempDir(), command: name, init: name, skip: true}
	if stand, err := filepath.Abs(offline); err == nil {
		if _, err := os.Stat(stand); err == nil {
			// A cache of its own: the stand-in renews what it has while others may read it.
			w.init, w.env, w.skip = stand, []string{"TERRAFORM_OFFLINE_CACHE=" + t.TempDir()}, false
		}
	}
	return w
}

func (w workspace) run(dir string, args ...string) (string, error) {
	name := w.command
	if args[0] == "init" {
		name = w.init
	}
	cmd := exec.Command(name, append([]string{"-chdir=" + filepath.Join(w.dir, dir)}, args...)...)
	cmd.Env = append(append(os.Environ(), "TF_IN_AUTOMATION=1", "TF_CLI_ARGS=-no-color", "CHECKPOINT_DISABLE=1"),
		w.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (w workspace) must(t *testing.T, dir string, args ...string) {
	t.Helper()
	if out, err := w.run(dir, args...); err != nil {
		t.Errorf("terraform %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// prepare copies this folder and gets the provider into every part of it.
func prepare(t *testing.T) workspace {
	t.Helper()
	w := newWorkspace(t)
	if err := copyFiles(w.dir, "."); err != nil {
		t.Fatal(err)
	}
	for _, dir := range append(modules(t), ".") {
		if out, err := w.run(dir, "init", "-backend=false"); err != nil {
			if w.skip {
				t.Skipf("the provider cannot be had: %v\n%s", err, out)
			}
			t.Fatalf("init %s: %v\n%s", dir, err, out)
		}
	}
	return w
}

// copyFiles copies what belongs to the configuration, not what Terraform left of earlier runs.
func copyFiles(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch name := entry.Name(); {
		case name == ".terraform":
			return fs.SkipDir
		case strings.HasPrefix(name, ".terraform.") || strings.Contains(name, ".tfstate"):
			return nil
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), text, 0o644)
	})
}

func modules(t *testing.T) []string {
	t.Helper()
	dirs, err := filepath.Glob("modules/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no modules: %v", err)
	}
	return dirs
}

func environments(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("environments/*.tfvars")
	if err != nil || len(files) == 0 {
		t.Fatalf("no environments: %v", err)
	}
	return files
}

// withEnvironment are the arguments that test the root with the file of an environment.
func withEnvironment(file string) []string {
	return []string{"test", "-test-directory=tests/environments", "-var-file=" + file}
}

// breaches are changes that must not go unnoticed, and what has to be said of each.
var breaches = []struct {
	name, module, file, old, new, said string
	args                               []string
}{
	{
		"the function writes packages", "modules/iam", "statements.json",
		"to read objects in compartment id ${compartment_id} where target.bucket.name='${packages_bucket}'",
		"to manage objects in compartment id ${compartment_id} where target.bucket.name='${packages_bucket}'",
		"packages are read", nil,
	},
	{
		"the function deletes results", "modules/iam", "statements.json",
		"where all {target.bucket.name='${results_bucket}', request.permission='OBJECT_CREATE'}",
		"where target.bucket.name='${results_bucket}'",
		"the function creates results, never overwrites or deletes them", nil,
	},
	{
		"a policy for everything", "modules/iam", "devops.json", "to read devops-family in compartment id",
		"to manage all-resources in compartment id", "no statement is about everything", nil,
	},
	{
		"builds approve", "modules/iam", "devops.json", "request.operation='ListDeployments'}",
		"request.operation='ListDeployments', request.operation='ApproveDeployment'}", "only approvers approve", nil,
	},
	{
		"results can be deleted", "modules/storage", "main.tf",
		`each.key == "results" ? [var.results_retention_days] : []`, "[]", "the results bucket has a retention rule",
		nil,
	},
	{
		"everybody's functions invoke the runner", "modules/iam", "statements.json",
		"Allow dynamic-group ${function_group} to use fn-invocation in compartment id ${runner_compartment_id}",
		"Allow dynamic-group ${deploy_group} to use fn-invocation in compartment id ${runner_compartment_id}",
		"the executor invokes each runner", nil,
	},
	{
		"runners are taken for the executor", "modules/iam", "main.tf",
		`ALL {resource.type='${type}', resource.compartment.id='${var.compartment_id}'}`,
		`ANY {resource.type='${type}'}`, "no dynamic group takes what is in the runners' compartment", nil,
	},
	{
		"runners are beside the executor", ".", "main.tf",
		"= local.create_runners_compartment ? module.runners_compartment[0].id :",
		"= local.create_runners_compartment ? local.compartment_id :", "they need one of their own",
		[]string{"test", "-filter=tests/apart.tftest.hcl"},
	},
	{
		"a runner reaches what is the executor's", "modules/network", "main.tf",
		"destination               = local.object_storage.cidr_block",
		"destination               = local.oracle_services.cidr_block", "a runner reaches Object Storage alone", nil,
	},
	{
		"the executor reaches what is the runner's", ".", "main.tf", "local.apart ? [] : var.egress", "var.egress",
		"the executor reaches Oracle's services only",
		[]string{"test", "-filter=tests/apart.tftest.hcl"},
	},
	{
		"the runner knows the executor's buckets", "modules/runner", "main.tf", `CEMLI_ROLE                = "runner"`,
		`CEMLI_ROLE = "runner", RESULTS_BUCKET = "x"`, "a runner knows its role and nothing else", nil,
	},
	{
		"jobs keep versions", "modules/storage", "main.tf", `versioning            = "Disabled"`,
		`versioning            = "Enabled"`, "without versions, which would stay", nil,
	},
	{
		"the executor is deployed before its runner", "modules/devops", "main.tf",
		"length(var.runners) > 0 ? [for stage", "false ? [for stage", "only when all of them have it", nil,
	},
	{
		"runs are counted from what scripts write", "modules/observability", "main.tf",
		`log_id         = oci_logging_log.this["function"].id`,
		`log_id         = try(oci_logging_log.runner["default"].id, oci_logging_log.this["function"].id)`,
		"runs are counted from the executor's log only", nil,
	},
	{"a public bucket", "modules/storage", "main.tf", "NoPublicAccess", "ObjectRead", "no bucket may be public", nil},
	{
		"no approval stage", "modules/devops", "main.tf", "var.approvals > 0 ?", "false ?",
		"prod has an approval stage", nil,
	},
	{
		"an apply without an image destroys the function", ".", "main.tf", "has_function = var.create_function",
		`has_function = var.function_image != ""`, "an apply that names no image destroys nothing",
		[]string{"test", "-filter=tests/image.tftest.hcl"},
	},
	{
		"prod without an approval", ".", "environments/prod.tfvars", "approvals              = 1",
		"approvals              = 0", "Nothing is deployed to prod without an approval",
		withEnvironment("environments/prod.tfvars"),
	},
	{
		"prod without a policy", ".", "environments/prod.tfvars", `policy_object          = "prod.json"`,
		`policy_object          = ""`, "prod needs an admission policy", withEnvironment("environments/prod.tfvars"),
	},
}

// All of Terraform's own tests, and that they notice what they are for.
func TestTerraform(t *testing.T) {
	w := prepare(t)
	w.must(t, ".", "fmt", "-check", "-recursive", "-diff")

	// Two at a time: each starts providers of its own.
	slots := make(chan struct{}, 2)
	check := func(name string, f func(t *testing.T)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			f(t)
		})
	}
	for _, dir := range append(modules(t), ".") {
		check(filepath.Base(dir), func(t *testing.T) {
			w.must(t, dir, "validate")
			w.must(t, dir, "test")
		})
	}
	for _, file := range environments(t) {
		check(strings.TrimSuffix(filepath.Base(file), ".tfvars"), func(t *testing.T) {
			w.must(t, ".", withEnvironment(file)...)
		})
	}
	for _, b := range breaches {
		check(b.name, func(t *testing.T) { breach(t, w, b.module, b.file, b.old, b.new, b.said, b.args) })
	}
}

// breach makes one change in a copy, and wants the tests there to fail for its reason.
func breach(t *testing.T, prepared workspace, module, file, old, changed, said string, args []string) {
	t.Helper()
	w := prepared
	w.dir = t.TempDir()
	if err := copyFiles(w.dir, "."); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".terraform", ".terraform.lock.hcl"} { // what init made
		err := os.Symlink(filepath.Join(prepared.dir, module, name), filepath.Join(w.dir, module, name))
		if err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(w.dir, module, file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q to change", file, old)
	}
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), old, changed)), 0o644); err != nil {
		t.Fatal(err)
	}
	if args == nil {
		args = []string{"test"}
	}
	out, err := w.run(module, args...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("the tests pass all the same: %v\n%s", err, out)
	}
	if !strings.Contains(strings.Join(strings.Fields(out), " "), said) {
		t.Errorf("the tests fail, but do not say %q:\n%s", said, out)
	}
}
