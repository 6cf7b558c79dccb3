package scripts_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// The test binary stands in for the programs that first-deploy.sh calls, under their names. They share a tenancy that
// is a file, and count what is done to it.
func TestMain(m *testing.M) {
	programs := map[string]func(*tenancy, []string) int{
		"oci": (*tenancy).oci, "terraform": (*tenancy).terraform, "git": (*tenancy).git,
	}
	if program, ok := programs[filepath.Base(os.Args[0])]; ok {
		os.Exit(open().call(program, os.Args[1:]))
	}
	code := m.Run()
	if copied != "" {
		must(os.RemoveAll(copied))
	}
	os.Exit(code)
}

// conditions are what a test wants to be otherwise.
type conditions struct {
	Die                                                            int    // after this call everything is killed
	NoTrigger, FailingBuild, Destroys, NotApplied, NotReady, Fails bool   // the last: hello-cemli does
	Refused                                                        string // a command of OCI's that may not be used
	// mirror or direct; otherwise the repository is hosted
	Source      string
	Git, Remote string
}

// tenancy is what there is, and how often it was done.
type tenancy struct {
	Calls, Looks, Probes int
	Copied               int // how often the mirror was looked at
	Builds               []build
	Created              int // builds by hand
	CreatedAt            int // the call that did
	Made                 []string
	Objects              map[string]string // BUCKET/NAME and contents
	Puts                 map[string]int
	Seen                 [][]string // calls of OCI

	conditions
	path string
}

type build struct{ ID, State string }

// open reads the tenancy of the test that has started the script.
func open() *tenancy {
	t := &tenancy{path: os.Getenv("STANDIN"), Objects: map[string]string{}, Puts: map[string]int{}}
	if text, err := os.ReadFile(t.path); err == nil {
		must(json.Unmarshal(text, t))
	}
	must(json.Unmarshal([]byte(os.Getenv("STANDIN_CONDITIONS")), &t.conditions))
	return t
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// call does what a program does, and is killed with the script afterwards if that is the condition.
func (t *tenancy) call(program func(*tenancy, []string) int, args []string) int {
	code := program(t, args)
	t.tick()
	return code
}

// tick records what was done, and only then kills whoever is to be killed.
func (t *tenancy) tick() {
	t.Calls++
	text, err := json.Marshal(t)
	must(err)
	must(os.WriteFile(t.path, text, 0o600))
	if t.Calls == t.Die {
		must(syscall.Kill(0, syscall.SIGKILL))
		select {}
	}
}

// answer prints what OCI's command line prints.
func answer(data any) int {
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{"data": data}))
	return 0
}

func refuse(code int, format string, args ...any) int {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	return code
}

// options are those of each command that the script uses, in the spelling of OCI CLI 3.95.1; ! marks what it demands.
// TestOCIKnowsTheCalls asks that command line itself, where it is installed.
var options = map[string]string{
	"devops repository list-refs":    "repository-id! ref-type ref-name all",
	"devops build-run list":          "build-pipeline-id sort-by sort-order all",
	"devops build-run get":           "build-run-id!",
	"devops build-run create":        "build-pipeline-id!",
	"artifacts container image list": "compartment-id! repository-name image-version all",
	"fn function invoke":             "function-id! file! body!",
	"os object list":                 "bn! prefix all",
	"os object put":                  "bn! file! name no-overwrite",
	"os object get":                  "bn! file! name!",
}

// parse reads a call as strictly as OCI's command line.
func parse(args []string) (command string, given map[string]string, err error) {
	n := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-") })
	if n < 0 {
		n = len(args)
	}
	command, given = strings.Join(args[:n], " "), map[string]string{}
	known, ok := options[command]
	if !ok {
		return command, nil, fmt.Errorf("no such command: %s", command)
	}
	for i := n; i < len(args); i++ {
		name := strings.TrimLeft(args[i], "-")
		switch {
		case !slices.Contains(strings.Fields(strings.ReplaceAll(known, "!", "")), name):
			return command, nil, fmt.Errorf("no such option: %s", args[i])
		case name == "all" || name == "no-overwrite":
			given[name] = "true"
		case i+1 == len(args) || args[i+1] == "":
			return command, nil, fmt.Errorf("option %s requires an argument", args[i])
		default:
			i++
			given[name] = args[i]
		}
	}
	for _, name := range regexp.MustCompile(`(\S+)!`).FindAllStringSubmatch(known, -1) {
		if given[name[1]] == "" {
			return command, nil, fmt.Errorf("missing option --%s", name[1])
		}
	}
	return command, given, nil
}

func (t *tenancy) oci(args []string) int {
	t.Seen = append(t.Seen, args)
	command, given, err := parse(args)
	switch {
	case err != nil:
		return refuse(2, "Usage: oci %s\n\nError: %v", command, err)
	case command == t.Refused:
		return refuse(1, "ServiceError:\n{\"code\": \"NotAuthorizedOrNotFound\", \"status\": 404}")
	}
	switch command {
	case "devops repository list-refs":
		return t.refs()
	case "devops build-run list":
		return t.listBuilds()
	case "devops build-run create":
		t.Created++
		t.CreatedAt = t.Calls + 1
		t.Builds = append(t.Builds, build{ID: fmt.Sprintf("run%d", len(t.Builds)+1), State: "ACCEPTED"})
		return answer(map[string]any{"id": t.Builds[len(t.Builds)-1].ID})
	case "devops build-run get":
		return t.getBuild(given["build-run-id"])
	case "artifacts container image list":
		return t.images(given["repository-name"], given["image-version"])
	case "fn function invoke":
		return t.invoke(given["body"])
	case "os object list":
		return t.list(given["bn"], given["prefix"])
	case "os object put":
		return t.put(given["bn"]+"/"+given["name"], given["file"], given["no-overwrite"] != "")
	}
	content, ok := t.Objects[given["bn"]+"/"+given["name"]]
	if !ok {
		return refuse(1, "ServiceError:\n{\"code\": \"ObjectNotFound\", \"status\": 404}")
	}
	fmt.Print(content)
	return 0
}

// head is the commit of the branch in the repository of DevOps.
func (t *tenancy) head() string {
	out, err := exec.Command(t.Git, "--git-dir", t.Remote, "rev-parse", "--verify", "--quiet", "main").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (t *tenancy) refs() int {
	items := []any{}
	head := t.head()
	if t.Source == "mirror" {
		if t.Copied++; t.Copied > 2 {
			head = strings.Repeat("0f", 20)
		}
	}
	if head != "" {
		items = append(items,
			map[string]any{
				"ref-name": "main", "ref-type": "BRANCH", "full-ref-name": "refs/heads/main", "commit-id": head,
			})
	}
	return answer(map[string]any{"items": items})
}

// listBuilds lists builds, the newest first. A push starts one, which is seen some time later.
func (t *tenancy) listBuilds() int {
	if t.head() != "" && len(t.Builds) == 0 && !t.NoTrigger {
		if t.Looks++; t.Looks > 1 {
			t.Builds = append(t.Builds, build{ID: "run1", State: "ACCEPTED"})
		}
	}
	items := []any{}
	for _, b := range slices.Backward(t.Builds) {
		items = append(items, map[string]any{"id": b.ID, "lifecycle-state": b.State})
	}
	return answer(map[string]any{"items": items})
}

// getBuild shows a build, which has gone on since.
func (t *tenancy) getBuild(id string) int {
	n := slices.IndexFunc(t.Builds, func(b build) bool { return b.ID == id })
	if n < 0 {
		return refuse(1, "ServiceError:\n{\"code\": \"NotAuthorizedOrNotFound\", \"status\": 404}")
	}
	b := &t.Builds[n]
	data := map[string]any{
		"id": id, "lifecycle-details": "step Lint: exit 1", "build-outputs": nil, "build-run-progress": nil,
	}
	switch b.State {
	case "ACCEPTED":
		b.State = "IN_PROGRESS"
		data["build-run-progress"] = map[string]any{
			"build-pipeline-stage-run-progress": map[string]any{"s": map[string]any{
				"stage-display-name": "build", "status": "IN_PROGRESS",
			}},
		}
	case "IN_PROGRESS":
		b.State = "SUCCEEDED"
		if t.FailingBuild && n == 0 {
			b.State = "FAILED"
		}
	}
	if b.State == "SUCCEEDED" {
		data["build-outputs"] = map[string]any{
			"exported-variables": map[string]any{"items": []any{
				map[string]any{"name": "VERSION", "value": "1"},
				map[string]any{"name": "IMAGE_TAG", "value": "tag-" + id},
			}},
		}
	}
	data["lifecycle-state"] = b.State
	return answer(data)
}

var digest = "sha256:" + strings.Repeat("0f", 32)

func (t *tenancy) images(repository, tag string) int {
	items := []any{}
	for _, b := range t.Builds {
		if repository == "cemli-executor" && b.State == "SUCCEEDED" && tag == "tag-"+b.ID {
			items = append(items, map[string]any{"version": tag, "digest": digest})
		}
	}
	return answer(map[string]any{"items": items})
}

// invoke is the function's probe: its permissions come some time after it, and it wants its policy.
func (t *tenancy) invoke(body string) int {
	if !slices.Contains(t.Made, "function") {
		return refuse(1, "ServiceError:\n{\"status\": 404}")
	}
	t.Probes++
	ok := t.Probes > 1 && t.Objects["cemli-dev-policies/dev.json"] != "" && !t.NotReady
	if strings.Contains(body, "verdict") {
		fmt.Println(ok)
		return 0
	}
	fmt.Printf(`{"ok":%v,"lines":[{"what":"state","ok":%v,"says":"403","cure":"compare the policies"}]}`, ok, ok)
	return 0
}

// list lists objects. What was uploaded has run some time later.
func (t *tenancy) list(bucket, prefix string) int {
	if t.Objects["cemli-dev-packages/hello-cemli-1.0.0.zip"] != "" && prefix == "runs/" &&
		slices.Contains(t.Made, "rule") {
		if t.Looks++; t.Looks > 4 {
			t.Objects["cemli-dev-results/runs/20260102T030405Z-hello-cemli-5f2b7c9d01ae/result.json"] = t.run()
		}
	}
	var items []any
	for name := range t.Objects {
		if short, ok := strings.CutPrefix(name, bucket+"/"); ok && strings.HasPrefix(short, prefix) {
			items = append(items, map[string]any{"name": short})
		}
	}
	if items == nil { // as the command line does, which leaves the data out then
		fmt.Println(`{"prefixes": []}`)
		return 0
	}
	return answer(items)
}

func (t *tenancy) run() string {
	status, message := "success", "all steps succeeded"
	if t.Fails || t.Objects["cemli-dev-policies/dev.json"] == "" {
		status, message = "rejected", "policy.unavailable"
	}
	return fmt.Sprintf(`{"status":%q,"message":%q,"environment":"dev","package":{"name":"hello-cemli",`+
		`"version":"1.0.0"},"identity":{"image":"cemli-executor:tag"}}`, status, message)
}

func (t *tenancy) put(name, file string, keep bool) int {
	if t.Objects[name] != "" {
		if keep {
			fmt.Fprintln(os.Stderr, "The object already exists and was not overwritten")
			return 0
		}
		return refuse(1, "WARNING: This object already exists. Are you sure you want to overwrite it? [y/N]: Aborted!")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return refuse(2, "Error: Invalid value for '--file': %v", err)
	}
	t.Objects[name] = fmt.Sprintf("%x", content)
	t.Puts[name]++
	return 0
}

// git is git, counted.
func (t *tenancy) git(args []string) int {
	cmd := exec.Command(t.Git, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode()
}

func (t *tenancy) terraform(args []string) int {
	if args[0] != "-chdir=terraform" {
		return refuse(1, "there is no configuration here")
	}
	switch args[1] {
	case "output":
		t.outputs()
	case "workspace":
		fmt.Println("dev")
	case "plan":
		return t.plan(args[2:])
	case "show":
		actions := []string{"no-op"}
		if t.Destroys {
			actions = []string{"delete", "create"}
		}
		must(json.NewEncoder(os.Stdout).Encode(map[string]any{"resource_changes": []any{
			map[string]any{
				"address": "module.storage.oci_objectstorage_bucket.this[\"results\"]",
				"type":    "oci_objectstorage_bucket", "change": map[string]any{"actions": actions},
			},
			map[string]any{
				"address": "terraform_data.wait", "type": "terraform_data",
				"change": map[string]any{"actions": []string{"delete", "create"}},
			},
		}}))
	case "apply":
		return t.apply(args[2:])
	default:
		return refuse(1, "no such command: %s", args[1])
	}
	return 0
}

func (t *tenancy) outputs() {
	outputs := map[string]any{}
	if !t.NotApplied {
		outputs = map[string]any{
			"compartment_id": "ocid1.compartment.oc1..c", "tags": map[string]string{"Environment": "dev"},
			"build_pipeline_id": "ocid1.devopsbuildpipeline.oc1..b",
			"repository_id":     "ocid1.devopsrepository.oc1..r", "repository_url": t.Remote,
			"repository_branch": "main", "connection_id": nil,
			"image_path":      "ocir.eu-frankfurt-1.oci.oraclecloud.com/ns/cemli-executor",
			"buckets":         map[string]string{"packages": "cemli-dev-packages", "results": "cemli-dev-results"},
			"function_config": map[string]string{"CEMLI_POLICY": "cemli-dev-policies/dev.json"}, "function_id": nil,
		}
		if t.Source != "" {
			outputs["connection_id"] = "ocid1.devopsconnection.oc1..c"
		}
		if t.Source == "direct" {
			outputs["repository_id"] = nil
		}
		if slices.Contains(t.Made, "function") {
			outputs["function_id"] = "ocid1.fnfunc.oc1..f"
		}
	}
	for name, value := range outputs {
		outputs[name] = map[string]any{"value": value}
	}
	must(json.NewEncoder(os.Stdout).Encode(outputs))
}

// resources are what the second apply makes, in its order.
var resources = []string{"function", "rule", "schedule"}

func (t *tenancy) plan(args []string) int {
	given := strings.Join(args, " ")
	for _, want := range []string{
		"-input=false", "-detailed-exitcode", "-var-file=environments/dev.tfvars",
		"-var create_function=true",
		"-var function_image=ocir.eu-frankfurt-1.oci.oraclecloud.com/ns/cemli-executor:tag-run",
		"-var function_image_digest=" + digest,
	} {
		if !strings.Contains(given, want) {
			return refuse(1, "Error: %s is not among %s", want, given)
		}
	}
	if len(t.Made) == len(resources) {
		return 0
	}
	out := args[slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "-out=") })]
	must(os.WriteFile(strings.TrimPrefix(out, "-out="), []byte("plan"), 0o600))
	fmt.Printf("Plan: %d to add, 0 to change, 0 to destroy.\n", len(resources)-len(t.Made))
	return 2
}

// apply makes what is not there yet. It can be killed after each.
func (t *tenancy) apply(args []string) int {
	if text, err := os.ReadFile(args[len(args)-1]); err != nil || string(text) != "plan" {
		return refuse(1, "Error: there is no plan (%v)", err)
	}
	for _, name := range resources[len(t.Made):] {
		t.Made = append(t.Made, name)
		t.tick()
	}
	return 0
}
