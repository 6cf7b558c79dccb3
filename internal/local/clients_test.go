package local_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/localoci"
)

// ociCLI runs Oracle's command line against a local OCI.
type ociCLI struct {
	t    *testing.T
	c    *cloud
	dir  string // with files of the test
	path string
}

func newOCICLI(t *testing.T) *ociCLI {
	t.Helper()
	path, err := exec.LookPath("oci")
	if err != nil {
		t.Skip("NOT TESTED: needs the OCI CLI (PyPI: oci-cli)")
	}
	return &ociCLI{t: t, c: start(t, nil), dir: t.TempDir(), path: path}
}

func (o *ociCLI) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(o.t.Context(), o.path,
		append([]string{"--config-file", o.c.ConfigFile(), "--endpoint", o.c.Endpoint()}, args...)...)
	cmd.Dir = o.dir
	cmd.Env = append(os.Environ(), "OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING=True", "HOME="+o.dir, "LC_ALL=C.UTF-8")
	return cmd
}

// run runs a command that must succeed and returns its output.
func (o *ociCLI) run(args ...string) string {
	o.t.Helper()
	var stderr bytes.Buffer
	cmd := o.command(args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		o.t.Fatalf("oci %s: %v\n%s%s", strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

// data is the data of an answer.
func (o *ociCLI) data(args ...string) any {
	o.t.Helper()
	text := o.run(args...)
	var answer struct {
		Data any `json:"data"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		o.t.Fatalf("oci %s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return answer.Data
}

// field is a member of an answer's data.
func (o *ociCLI) field(name string, args ...string) any {
	o.t.Helper()
	data, _ := o.data(args...).(map[string]any)
	return data[name]
}

// file writes a file into the test's folder.
func (o *ociCLI) file(name string, data []byte) {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // a test's
		o.t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// same checks that a file has the same contents.
func (o *ociCLI) same(name string, want []byte) {
	o.t.Helper()
	got, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil || !bytes.Equal(got, want) {
		o.t.Errorf("%s has %d bytes, %v; want %d as they were", name, len(got), err, len(want))
	}
}

// names lists the objects of a bucket.
func (o *ociCLI) names(args ...string) []string {
	o.t.Helper()
	list, _ := o.data(append([]string{"os", "object", "list", "-bn"}, args...)...).([]any)
	var names []string
	for _, entry := range list {
		name, _ := entry.(map[string]any)["name"].(string)
		names = append(names, name)
	}
	return names
}

func (o *ociCLI) want(what string, got, want any) {
	o.t.Helper()
	if got != want {
		o.t.Errorf("%s: %v; want %v", what, got, want)
	}
}

func TestObjectStorageWithTheOCICLI(t *testing.T) {
	o := newOCICLI(t)
	o.want("namespace", o.data("os", "ns", "get"), localoci.Namespace)
	o.want("bucket",
		o.field("name", "os", "bucket", "create", "--name", "mine", "--compartment-id", localoci.Compartment), "mine")
	o.want("bucket", o.field("namespace", "os", "bucket", "get", "--name", "mine"), localoci.Namespace)
	if list, _ := o.data("os", "bucket", "list", "--compartment-id", localoci.Compartment).([]any); len(list) != 6 {
		t.Errorf("buckets %v", list)
	}
	small, large := []byte("small\n"), make([]byte, 12<<20)
	if _, err := rand.Read(large); err != nil {
		t.Fatal(err)
	}
	o.file("small", small)
	o.file("large", large)
	o.run("os", "object", "put", "-bn", "mine", "--file", "small", "--name", "in/small file",
		"--metadata", `{"cemli-reason":"try"}`)
	o.run("os", "object", "put", "-bn", "mine", "--file", "large", "--name", "in/large", "--part-size", "10")
	o.run("os", "object", "get", "-bn", "mine", "--name", "in/small file", "--file", "small.back")
	o.run("os", "object", "get", "-bn", "mine", "--name", "in/large", "--file", "large.back")
	o.same("small.back", small)
	o.same("large.back", large)
	head := o.run("os", "object", "head", "-bn", "mine", "--name", "in/large")
	if !strings.Contains(head, `"opc-multipart-md5"`) {
		t.Errorf("head of the multipart upload: %s", head)
	}
	head = o.run("os", "object", "head", "-bn", "mine", "--name", "in/small file")
	if !strings.Contains(head, `"opc-meta-cemli-reason": "try"`) {
		t.Errorf("head: %s", head)
	}
	o.run("os", "object", "put", "-bn", "mine", "--file", "small", "--name", "out/x")
	got := o.names("mine", "--prefix", "in/", "--delimiter", "/")
	if !slices.Equal(got, []string{"in/large", "in/small file"}) {
		t.Errorf("list of a prefix: %v", got)
	}
	text := o.run("os", "object", "list", "-bn", "mine", "--delimiter", "/")
	if !strings.Contains(text, `"in/"`) || !strings.Contains(text, `"out/"`) {
		t.Errorf("list of folders: %s", text)
	}
	o.run("os", "object", "copy", "-bn", "mine", "--source-object-name", "out/x", "--destination-bucket", "mine",
		"--destination-object-name", "out/y")
	o.run("os", "object", "rename", "-bn", "mine", "--source-name", "out/y", "--new-name", "out/z")
	o.run("os", "object", "delete", "-bn", "mine", "--name", "out/x", "--force")
	if got := o.names("mine", "--prefix", "out/"); !slices.Equal(got, []string{"out/z"}) {
		t.Errorf("after copy, rename and delete: %v", got)
	}
	o.file("tree/a.txt", small)
	o.file("tree/b/c.txt", small)
	o.run("os", "object", "bulk-upload", "-bn", "mine", "--src-dir", "tree", "--object-prefix", "tree/")
	o.run("os", "object", "bulk-download", "-bn", "mine", "--download-dir", "back", "--prefix", "tree/")
	o.same("back/tree/b/c.txt", small)
	if cmd := o.command("os", "bucket", "delete", "--name", "mine", "--force"); cmd.Run() == nil {
		t.Error("a bucket that is not empty was deleted")
	}
	o.run("os", "object", "bulk-delete", "-bn", "mine", "--force")
	o.run("os", "bucket", "delete", "--name", "mine", "--force")
}

func TestPreAuthenticatedRequestsWithTheOCICLI(t *testing.T) {
	o := newOCICLI(t)
	const bucket = "cemli-state"
	par, _ := o.data("os", "preauth-request", "create", "-bn", bucket, "--name", "mail",
		"--access-type", "AnyObjectReadWrite",
		"--object-name", "in/", "--bucket-listing-action", "ListObjects", "--time-expires",
		time.Now().Add(time.Hour).UTC().Format(time.RFC3339)).(map[string]any)
	uri, _ := par["access-uri"].(string)
	id, _ := par["id"].(string)
	status := func(method, name string) any {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, o.c.Endpoint()+uri+name, strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	o.want("put", status(http.MethodPut, "in/a"), 200)
	o.want("put elsewhere", status(http.MethodPut, "out"), 401)
	o.run("os", "object", "get", "-bn", bucket, "--name", "in/a", "--file", "a")
	o.same("a", []byte("hello"))
	o.want("prefix", o.field("object-name", "os", "preauth-request", "get", "-bn", bucket, "--par-id", id), "in/")
	if text := o.run("os", "preauth-request", "list", "-bn", bucket); !strings.Contains(text, id) ||
		strings.Contains(text, "/p/") {
		t.Errorf("list: %s", text)
	}
	o.run("os", "preauth-request", "delete", "-bn", bucket, "--par-id", id, "--force")
	o.want("put after the deletion", status(http.MethodPut, "in/a"), 401)
}

// A package from upload to result, with Oracle's own tool alone.
func TestPackageWithTheOCICLI(t *testing.T) {
	o := newOCICLI(t)
	o.file("sample-1.0.0.zip", sample(t, "echo hello from the CLI"))
	o.run("os", "object", "put", "-bn", "cemli-packages", "--file", "sample-1.0.0.zip")
	a := o.c.answer()
	if a.err != nil {
		t.Fatal(a.err)
	}
	if got := o.names("cemli-results", "--prefix", "runs/"); !slices.Contains(got, a.Result.Object) {
		t.Errorf("results %v; want %s", got, a.Result.Object)
	}
	o.run("os", "object", "get", "-bn", "cemli-results", "--name", a.Result.Object, "--file", "result.json")
	text, err := os.ReadFile(filepath.Join(o.dir, "result.json"))
	if err != nil || !strings.Contains(string(text), "hello from the CLI") {
		t.Errorf("result %s, %v", text, err)
	}
	o.run("fn", "function", "invoke", "--function-id", localoci.FunctionID, "--file", "answer.json",
		"--body", `{"object":"sample-1.0.0.zip"}`)
	text, err = os.ReadFile(filepath.Join(o.dir, "answer.json"))
	if err != nil || !strings.Contains(string(text), `"run_id":"`+a.RunID+`"`) {
		t.Errorf("answer %s, %v; want the run that there was", text, err)
	}
	secret, err := o.c.Server().PutSecret("erp-db", []byte("tiger"))
	if err != nil {
		t.Fatal(err)
	}
	content, _ := o.field("secret-bundle-content", "secrets", "secret-bundle", "get",
		"--secret-id", secret.ID).(map[string]any)
	o.want("secret", content["content"], "dGlnZXI=")
	o.run("ons", "message", "publish", "--topic-id", localoci.TopicID, "--title", "done", "--body", "the change is in")
	// The function has announced the run before.
	if list, err := o.c.Server().Messages(); err != nil || len(list) != 2 || list[1].Body != "the change is in" {
		t.Errorf("messages %+v, %v", list, err)
	}
}

// script runs a program in testdata/clients that takes a package from upload to result.
func script(t *testing.T, c *cloud, cmd *exec.Cmd) {
	t.Helper()
	zip := filepath.Join(t.TempDir(), "sample-1.0.0.zip")
	if err := os.WriteFile(zip, sample(t, "echo hello from "+filepath.Base(cmd.Path)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd.Args = append(cmd.Args, c.ConfigFile(), c.Endpoint(), localoci.Namespace, localoci.FunctionID, zip)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "success: hello from "+filepath.Base(cmd.Path)) ||
		!strings.Contains(string(out), "invoked: success") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestPackageWithThePythonSDK(t *testing.T) {
	if err := exec.Command("python3", "-c", "import oci").Run(); err != nil {
		t.Skip("NOT TESTED: needs the Python SDK (PyPI: oci)")
	}
	c := start(t, nil)
	script(t, c, exec.Command("python3", "testdata/clients/main.py"))
}

func TestPackageWithTheTypeScriptSDK(t *testing.T) {
	if err := exec.Command("node", "-e", "require('oci-objectstorage')").Run(); err != nil {
		t.Skip("NOT TESTED: needs Node.js and the TypeScript SDK " +
			"(npm: oci-objectstorage oci-functions oci-common) on NODE_PATH")
	}
	c := start(t, nil)
	script(t, c, exec.Command("node", "testdata/clients/main.cjs"))
}
