package scripts_test

import (
	"bytes"
	"crypto/md5" // #nosec G501 -- fingerprints of API keys are made so
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// copied is where copyOnce has put its files.
var copied string

// copyOnce is a repository with what the script needs, and bin/cemli.
var copyOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "first-deploy-")
	if err != nil {
		return "", err
	}
	copied = dir
	out, err := exec.Command("bash", "-euc", `
		mkdir -p "$0"/scripts "$0"/terraform/environments "$0"/examples
		cp first-deploy.sh "$0"/scripts
		cp ../terraform/environments/*.tfvars "$0"/terraform/environments
		cp -R ../examples/policies ../examples/hello-cemli "$0"/examples
		go build -o "$0"/bin/cemli ../cmd/cemli
		cd "$0"
		echo /bin/ >.gitignore
		git init -q -b main
		git add -A
		git -c user.name=a -c user.email=a@example.com -c commit.gpgSign=false commit -qm first`, dir).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

// deployment is a tenancy after the first apply, and somebody with the script.
type deployment struct {
	conditions
	t    *testing.T
	copy string
	bin  string
	path string
}

func deploy(t *testing.T) *deployment {
	t.Helper()
	for _, program := range []string{"bash", "git", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("NOT TESTED: needs %s", program)
		}
	}
	dir, err := copyOnce()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := &deployment{t: t, copy: dir, bin: t.TempDir(), path: filepath.Join(t.TempDir(), "tenancy.json")}
	for _, program := range []string{"oci", "terraform", "git"} {
		if err := os.Symlink(self, filepath.Join(d.bin, program)); err != nil {
			t.Fatal(err)
		}
	}
	d.Git, err = exec.LookPath("git")
	d.Remote = filepath.Join(t.TempDir(), "remote.git")
	if err := errors.Join(err, exec.Command(d.Git, "init", "-q", "--bare", "-b", "main", d.Remote).Run()); err != nil {
		t.Fatal(err)
	}
	return d
}

// run runs the script, says what it printed, and whether it was killed or failed.
func (d *deployment) run(args ...string) (string, error) {
	d.t.Helper()
	text, err := json.Marshal(d.conditions)
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := exec.CommandContext(d.t.Context(), filepath.Join(d.copy, "scripts/first-deploy.sh"), args...)
	cmd.Env = append(os.Environ(), "PATH="+d.bin+":"+os.Getenv("PATH"), "TMPDIR="+d.t.TempDir(), "FIRST_DEPLOY_PAUSE=0",
		"GORACE=atexit_sleep_ms=0", // each call is a process of the stand-in, which would wait for a second at its end
		"STANDIN="+d.path, "STANDIN_CONDITIONS="+string(text))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			d.t.Errorf("a line has %d columns: %s", n, line)
		}
	}
	return string(out), err
}

// must runs the script to its end.
func (d *deployment) must(args ...string) string {
	d.t.Helper()
	out, err := d.run(args...)
	if err != nil {
		d.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// fails runs the script, which ends with what went wrong and what to do.
func (d *deployment) fails(said ...string) string {
	d.t.Helper()
	out, err := d.run()
	plain := strings.Join(strings.Fields(out), " ")
	for _, want := range append(said, "FAILED: ", "Next: ") {
		if err == nil || !strings.Contains(plain, want) {
			d.t.Errorf("it does not fail with %q: %v\n%s", want, err, out)
		}
	}
	return out
}

// tenancy is what there is now.
func (d *deployment) tenancy() tenancy {
	d.t.Helper()
	var now tenancy
	text, err := os.ReadFile(d.path)
	if err := errors.Join(err, json.Unmarshal(text, &now)); err != nil {
		d.t.Fatal(err)
	}
	return now
}

// end is what is left in the end, and how often it was made: whatever happened on the way it has to be the same.
func (d *deployment) end() any {
	d.t.Helper()
	now := d.tenancy()
	now.conditions = d.conditions
	return struct {
		Head          string
		Builds        []build
		Made          []string
		Objects, Puts any
	}{now.head(), now.Builds, now.Made, now.Objects, now.Puts}
}

// From the first apply to the first result, by itself; and once more, which changes nothing.
func TestFirstDeploy(t *testing.T) {
	d := deploy(t)
	out := d.must()
	for _, want := range []string{
		"environment dev", "pushing commit", "stage build", "Plan: 3 to add", "examples/policies/dev.json",
		"success: hello-cemli 1.0.0, dev", "The environment dev works.",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	first := d.end()
	now := d.tenancy()
	if len(now.Builds) != 1 || now.Created != 0 || !slices.Equal(now.Made, resources) || len(now.Puts) != 2 {
		t.Errorf("it made %+v", first)
	}
	d.must("-var-file=environments/dev.tfvars")
	if diff := cmp.Diff(first, d.end()); diff != "" {
		t.Errorf("the second time changes what is there:\n%s", diff)
	}
}

// Killed after each of its calls, and in the middle of an apply, and run again: what there is in the end is the same,
// with nothing made twice.
func TestFirstDeployIsKilled(t *testing.T) {
	whole := deploy(t)
	whole.must()
	var all []int
	for die := 1; die <= whole.tenancy().Calls; die++ {
		if !testing.Short() || die%7 == 0 {
			all = append(all, die)
		}
	}
	whole.killed(all)
}

// The same around the call that starts a build, where the push starts none.
func TestFirstDeployIsKilledAsItBuilds(t *testing.T) {
	whole := deploy(t)
	whole.NoTrigger = true
	whole.must()
	at := whole.tenancy().CreatedAt
	whole.killed([]int{at - 1, at, at + 1})
}

// killed compares what others leave, each killed after one of these calls and run again, with what d has left.
func (d *deployment) killed(after []int) {
	want := d.end()
	for _, die := range after {
		d.t.Run(fmt.Sprint(die), func(t *testing.T) {
			t.Parallel()
			other := deploy(t)
			other.NoTrigger, other.Die = d.NoTrigger, die
			if out, err := other.run(); err == nil {
				t.Fatalf("it was not killed after call %d:\n%s", die, out)
			}
			other.Die = 0
			other.must()
			if diff := cmp.Diff(want, other.end()); diff != "" {
				t.Errorf("killed after call %d and run again (-: never killed):\n%s", die, diff)
			}
		})
	}
}

// Killed again and again it gets to its end all the same.
func TestFirstDeployIsKilledOften(t *testing.T) {
	whole := deploy(t)
	whole.must()
	d := deploy(t)
	for n := 3; ; n += 2 {
		if _, err := os.Stat(d.path); err == nil {
			d.Die = d.tenancy().Calls + n
		} else {
			d.Die = n
		}
		if _, err := d.run(); err == nil {
			break
		}
		if n > 200 {
			t.Fatal("it never ends")
		}
	}
	if diff := cmp.Diff(whole.end(), d.end()); diff != "" {
		t.Errorf("killed often (-: never killed):\n%s", diff)
	}
}

// A build that fails is told, and the next run starts another, once.
func TestFirstDeployBuildFails(t *testing.T) {
	d := deploy(t)
	d.FailingBuild = true
	d.fails("The build ended as FAILED: step Lint: exit 1", "cemli-dev-devops", "starts another build")
	d.must()
	if now := d.tenancy(); len(now.Builds) != 2 || now.Created != 1 || now.Builds[1].State != "SUCCEEDED" {
		t.Errorf("builds: %+v", now.Builds)
	}
}

// What is at GitHub or GitLab is not pushed: a mirror is waited for, and the first build is started by hand.
func TestFirstDeployOfASourceElsewhere(t *testing.T) {
	for source, said := range map[string]string{"mirror": "the mirror has it", "direct": "it is read where it is"} {
		d := deploy(t)
		d.Source = source
		out := d.must()
		now := d.tenancy()
		if now.conditions = d.conditions; !strings.Contains(out, said) || now.head() != "" || now.Created != 1 ||
			len(now.Builds) != 1 {
			t.Errorf("%s: builds %+v, pushed %q:\n%s", source, now.Builds, now.head(), out)
		}
	}
}

// Before the first apply there is nothing to do, and what that apply takes is told.
func TestFirstDeployBeforeTheFirstApply(t *testing.T) {
	d := deploy(t)
	d.NotApplied = true
	d.fails("Terraform has made nothing yet in the workspace dev", "step 1 and 2 of docs/operations/README.md")
}

// What is in the repository and not in this copy is not replaced.
func TestFirstDeployKeepsOtherCommits(t *testing.T) {
	d := deploy(t)
	other := t.TempDir()
	out, err := exec.Command("bash",
		"-euc",
		`cd "$0"; git init -q -b main; git -c user.name=b -c user.email=b@example.com -c commit.gpgSign=false commit `+
			`-q --allow-empty -m other; git push -q "$1" main`, other, d.Remote).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	before := (&tenancy{conditions: d.conditions}).head()
	d.fails("which is not among those of this copy", "Nothing was replaced")
	if after := (&tenancy{conditions: d.conditions}).head(); before == "" || after != before {
		t.Errorf("%s became %s", before, after)
	}
}

// A plan that takes something away is for people.
func TestFirstDeployDestroysNothing(t *testing.T) {
	d := deploy(t)
	d.Destroys = true
	out := d.fails("The plan takes something away, and nothing was applied", "oci_objectstorage_bucket")
	if strings.Contains(out, "terraform_data.wait") || len(d.tenancy().Made) != 0 {
		t.Errorf("it made %v:\n%s", d.tenancy().Made, out)
	}
}

// What OCI refuses is shown, whatever it is, and nothing is done as if the answer had been empty.
func TestFirstDeployIsRefused(t *testing.T) {
	for command := range options {
		if command == "fn function invoke" || command == "devops build-run create" {
			continue
		}
		t.Run(command, func(t *testing.T) {
			d := deploy(t)
			d.Refused = command
			d.fails("NotAuthorizedOrNotFound", "oci ended with the lines above", "goes on where it stopped")
			now := d.tenancy()
			if last := strings.Join(now.Seen[len(now.Seen)-1], " "); !strings.HasPrefix(last, command) {
				t.Errorf("after the refusal it went on, to %s", last)
			}
			if now.Created != 0 || len(now.Builds) > 1 {
				t.Errorf("builds: %+v", now.Builds)
			}
		})
	}
}

// Without its permissions the function is given time, and then what is missing is told.
func TestFirstDeployFunctionIsNotReady(t *testing.T) {
	d := deploy(t)
	d.NotReady = true
	d.fails("state: 403 compare the policies", "docs/operations/probe.md")
	if puts := d.tenancy().Puts; puts["cemli-dev-packages/hello-cemli-1.0.0.zip"] != 0 {
		t.Errorf("a package was uploaded: %v", puts)
	}
}

// A result that is no success is no success of the deployment.
func TestFirstDeployPackageFails(t *testing.T) {
	d := deploy(t)
	d.Fails = true
	d.fails("rejected: hello-cemli 1.0.0, dev", "The first package ended as rejected")
}

// Its help is that of a person at a terminal.
func TestFirstDeployHelp(t *testing.T) {
	out := deploy(t).must("--help")
	if !strings.HasPrefix(out, "first-deploy.sh [TERRAFORM ARGUMENT...]: ") || strings.Contains(out, "set -") {
		t.Error(out)
	}
}

// realOCI is Oracle's command line, as .ci/run installs it.
func realOCI(t *testing.T) string {
	t.Helper()
	if path, err := exec.LookPath("oci"); err == nil {
		return path
	}
	cache, err := os.UserCacheDir()
	path := filepath.Join(cache, "cemli-executor-ci/venv/bin/oci")
	if _, errStat := os.Stat(path); err != nil || errStat != nil {
		t.Skip("NOT TESTED: needs the OCI CLI (PyPI: oci-cli)")
	}
	return path
}

// profile is a configuration for a command line that nobody answers: a key is enough for it to try.
func profile(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	fingerprint := strings.ReplaceAll(fmt.Sprintf("% x", md5.Sum(public)), " ", ":") // #nosec G401 -- the same
	config := fmt.Sprintf("[DEFAULT]\nuser=ocid1.user.oc1..u\nfingerprint=%s\ntenancy=ocid1.tenancy.oc1..t\nregion=eu-frankfurt-1\nkey_file=%s\n", fingerprint, dir+"/key.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	err = errors.Join(os.WriteFile(dir+"/key.pem", block, 0o600), os.WriteFile(dir+"/config", []byte(config), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return dir + "/config"
}

// Oracle's own command line takes every call that the script makes: it sends a request, where a wrong option would end
// with how it is used.
func TestOCIKnowsTheCalls(t *testing.T) {
	if testing.Short() {
		t.Skip("it starts a command line that is slow to start")
	}
	oci := realOCI(t)
	d := deploy(t)
	d.NoTrigger = true
	d.must()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.TrimSuffix(r.URL.Path, "/") == "/n" { // whose namespace is asked for first
			_, _ = w.Write([]byte(`"ns"`))
			return
		}
		requests.Add(1)
		http.Error(w, `{"code":"InvalidParameter","message":"nobody is here"}`, http.StatusBadRequest)
	}))
	defer server.Close()
	config, seen := profile(t), map[string]bool{}
	for _, call := range d.tenancy().Seen {
		command, _, err := parse(call)
		if err != nil || seen[command] {
			continue
		}
		seen[command] = true
		for i := range call { // the script has removed its own by now
			if i > 0 && call[i-1] == "--file" && call[i] != "-" {
				call[i] = config
			}
		}
		before := requests.Load()
		cmd := exec.CommandContext(t.Context(), oci,
			append([]string{"--config-file", config, "--endpoint", server.URL, "--no-retry"}, call...)...)
		cmd.Env = append(os.Environ(), "OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING=True", "SUPPRESS_LABEL_WARNING=True",
			"HOME="+t.TempDir(), "LC_ALL=C.UTF-8")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() == 2 || requests.Load() == before || bytes.Contains(out, []byte("Usage:")) {
			t.Errorf("oci %s: %v\n%s", strings.Join(call, " "), err, out)
		}
	}
	if len(seen) != len(options) {
		t.Errorf("the script made only the calls %v", seen)
	}
}
