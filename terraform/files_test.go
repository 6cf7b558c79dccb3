package terraform_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// names are what the first group of a rule finds in a text, sorted.
func names(rule, text string) []string {
	var found []string
	for _, match := range regexp.MustCompile(rule).FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	slices.Sort(found)
	return found
}

// elsewhere are variables of the function that Terraform does not set, and why.
var elsewhere = map[string]string{
	"CEMLI_ENDPOINT":    "names a local OCI, on loopback only",
	"CEMLI_SIGNING_KEY": "belongs to a feature that the function does not have yet, and is refused",
}

// known are the variables of the function that its configuration reads.
func known(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../config*.go")
	if err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`^(CEMLI_[A-Z_]+[A-Z]|RESULTS_BUCKET)$`)
	var known []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				text, err := strconv.Unquote(lit.Value)
				if err == nil && variable.MatchString(text) && elsewhere[text] == "" {
					known = append(known, text)
				}
			}
			return true
		})
	}
	slices.Sort(known)
	if known = slices.Compact(known); len(known) < 10 {
		t.Fatalf("%q have only %q", files, known)
	}
	return known
}

// Terraform can set every variable that the function knows, as executor or as runner, and no other; a runner has
// nothing of the executor's.
func TestFunctionConfiguration(t *testing.T) {
	const variable = `(?m)^    ((?:CEMLI|RESULTS)_[A-Z_]+) += `
	runner := names(variable, read(t, "modules/runner/main.tf"))
	runners := regexp.MustCompile(
		`^CEMLI_(LIMIT_(PACKAGE_BYTES|FILE_BYTES|TOTAL_BYTES|ENTRIES|RATIO)|LOG_OUTPUT|ROLE|SANDBOX)$`)
	for _, name := range runner {
		if !runners.MatchString(name) {
			t.Errorf("modules/runner sets %s, which is an executor's", name)
		}
	}
	set := append(names(variable, read(t, "modules/function/main.tf")), runner...)
	slices.Sort(set)
	if diff := cmp.Diff(known(t), slices.Compact(set)); diff != "" {
		t.Errorf("config*.go (-) and modules/function and modules/runner (+) differ:\n%s", diff)
	}
}

const variables = `(?m)^variable "(\w+)"`

// Resource Manager asks for the root's variables, each in one group, and no others.
func TestSchema(t *testing.T) {
	var document map[string]any
	if err := yaml.Unmarshal([]byte(read(t, "schema.yaml")), &document); err != nil {
		t.Fatal(err)
	}
	for key := range document {
		if !slices.Contains([]string{
			"title", "description", "schemaVersion", "version", "locale", "informationalText", "stackDescription",
			"instructions", "troubleshooting", "variableGroups", "variables", "outputGroups", "outputs", "source",
			"logoUrl",
		}, key) {
			t.Errorf("schema.yaml: %s is no key of Resource Manager's schema", key)
		}
	}
	declared := names(variables, read(t, "variables.tf"))
	groups, rest, ok := strings.Cut(read(t, "schema.yaml"), "\nvariables:\n")
	if !ok {
		t.Fatal("schema.yaml has no variables")
	}
	described, outputs, ok := strings.Cut(rest, "\noutputGroups:\n")
	if !ok {
		t.Fatal("schema.yaml has no outputGroups")
	}
	if diff := cmp.Diff(declared, names(`(?m)^  (\w+):$`, described)); diff != "" {
		t.Errorf("variables.tf (-) and the variables of schema.yaml (+) differ:\n%s", diff)
	}
	if diff := cmp.Diff(declared, names(`(?m)^      - (\w+)$`, groups)); diff != "" {
		t.Errorf("variables.tf (-) and the groups of schema.yaml (+) differ:\n%s", diff)
	}
	for _, kind := range names(`(?m)^    type: (\S+)$`, described) {
		if !slices.Contains([]string{"array", "boolean", "enum", "integer", "string"}, kind) &&
			!strings.HasPrefix(kind, "oci:identity:") {
			t.Errorf("schema.yaml: %s is no type that Resource Manager asks for", kind)
		}
	}
	known := names(`(?m)^output "(\w+)"`, read(t, "outputs.tf"))
	for _, output := range names(`(?m)^      - (\w+)$`, outputs) {
		if !slices.Contains(known, output) {
			t.Errorf("schema.yaml shows %s, which is no output", output)
		}
	}
	// What has no default must be asked for.
	for _, block := range blocks(read(t, "variables.tf"), "variable") {
		name := names(variables, block)[0]
		required := !strings.Contains(block, "\n  default ")
		part := regexp.MustCompile(`(?m)^  ` + name + `:\n((?:    .*\n)+)`).FindString(described)
		if required != strings.Contains(part, "    required: true\n") {
			t.Errorf("schema.yaml and variables.tf do not agree whether %s is required", name)
		}
	}
}

// blocks are the top-level blocks of a kind in a formatted file.
func blocks(text, kind string) []string {
	return regexp.MustCompile(`(?ms)^`+kind+` .*?^\}`).FindAllString(text, -1)
}

// Every module is documented as it is, and has what a module has.
func TestModules(t *testing.T) {
	for _, dir := range modules(t) {
		for _, name := range []string{"main.tf", "variables.tf", "outputs.tf", "versions.tf", "README.md"} {
			read(t, filepath.Join(dir, name))
		}
		if tests, _ := filepath.Glob(filepath.Join(dir, "tests", "*.tftest.hcl")); len(tests) == 0 {
			t.Errorf("%s has no tests", dir)
		}
		readme := read(t, filepath.Join(dir, "README.md"))
		for _, file := range []string{"variables.tf", "outputs.tf"} {
			text := read(t, filepath.Join(dir, file))
			for _, name := range names(`(?m)^(?:variable|output) "(\w+)"`, text) {
				if !strings.Contains(readme, "`"+name+"`") {
					t.Errorf("%s/README.md does not name %s", dir, name)
				}
			}
			for _, block := range append(blocks(text, "variable"), blocks(text, "output")...) {
				if !strings.Contains(block, "\n  description = \"") {
					t.Errorf("%s/%s: no description:\n%s", dir, file, block)
				}
			}
		}
		if versions := read(t, filepath.Join(dir, "versions.tf")); versions != read(t, "versions.tf") {
			t.Errorf("%s/versions.tf differs from the root's", dir)
		}
	}
}

// resources are all resource blocks, by type and name.
func resources(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, dir := range append(modules(t), ".") {
		files, err := filepath.Glob(filepath.Join(dir, "*.tf"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text := read(t, file)
			if regexp.MustCompile(`(?i)all-resources|"Allow `).MatchString(text) {
				t.Errorf("%s: policy statements are data, in modules/iam/*.json", file)
			}
			for _, block := range blocks(text, "resource") {
				match := regexp.MustCompile(`^resource "(\w+)" "(\w+)"`).FindStringSubmatch(block)
				found[strings.TrimPrefix(dir, ".")+"."+match[1]+"."+match[2]] = block
			}
		}
	}
	if len(found) < 30 {
		t.Fatalf("only %d resources were found", len(found))
	}
	return found
}

// untagged are types that have no free-form tags.
var untagged = []string{
	"terraform_data", "oci_core_network_security_group_security_rule", "oci_objectstorage_object_lifecycle_policy",
}

func TestEverythingIsTagged(t *testing.T) {
	for name, block := range resources(t) {
		if slices.Contains(untagged, strings.Split(name, ".")[1]) {
			continue
		}
		for _, kind := range []string{"freeform_tags", "defined_tags"} {
			if !regexp.MustCompile(`(?m)^  ` + kind + ` +=`).MatchString(block) {
				t.Errorf("%s has no %s", name, kind)
			}
		}
	}
}

func TestNothingIsPublic(t *testing.T) {
	for name, block := range resources(t) {
		for rule, want := range map[string]string{
			`\baccess_type += (.*)`:                `"NoPublicAccess"`,
			`\bis_public += (.*)`:                  `false`,
			`\bprohibit_public_ip_on_vnic += (.*)`: `true`,
			`\bprohibit_internet_ingress += (.*)`:  `true`,
		} {
			for _, value := range names(rule, block) {
				if value != want {
					t.Errorf("%s: %s instead of %s", name, value, want)
				}
			}
		}
		for kind, rule := range map[string]string{
			"oci_objectstorage_bucket":           `access_type`,
			"oci_artifacts_container_repository": `is_public`,
			"oci_core_subnet":                    `prohibit_public_ip_on_vnic`,
		} {
			if strings.Split(name, ".")[1] == kind && !strings.Contains(block, rule) {
				t.Errorf("%s does not say %s", name, rule)
			}
		}
	}
}

// stages are the arguments that a type of stage cannot do without; the provider does not
// check them before OCI does.
var stages = map[string][]string{
	"BUILD":                       {"build_spec_file", "image", "primary_build_source", "build_source_collection"},
	"DELIVER_ARTIFACT":            {"deliver_artifact_collection"},
	"TRIGGER_DEPLOYMENT_PIPELINE": {"deploy_pipeline_id", "is_pass_all_parameters_enabled"},
	"MANUAL_APPROVAL":             {"approval_policy", "approval_policy_type", "number_of_approvals_required"},
	"DEPLOY_FUNCTION":             {"docker_image_deploy_artifact_id", "function_deploy_environment_id"},
	"INVOKE_FUNCTION":             {"function_deploy_environment_id", "is_async", "is_validation_enabled"},
}

func TestStages(t *testing.T) {
	seen := map[string]bool{}
	for name, block := range resources(t) {
		for _, kind := range names(`(?:build_pipeline|deploy)_stage_type += "(\w+)"`, block) {
			seen[kind] = true
			needed, ok := stages[kind]
			if !ok {
				t.Errorf("%s: the type %s is not in the table", name, kind)
			}
			for _, argument := range append(needed, "stage_predecessor_collection") {
				if !regexp.MustCompile(`(?m)^ +\w*` + argument + `( +=| \{)`).MatchString(block) {
					t.Errorf("%s: a stage %s needs %s", name, kind, argument)
				}
			}
		}
	}
	if len(seen) != len(stages) {
		t.Errorf("stages seen: %v", seen)
	}
}

var statement = regexp.MustCompile(
	`^Allow (any-user|(?:service|dynamic-group|group) \S+) to (\w+) ([\w-]+) in compartment id ` +
		`\$\{(?:\w+_)?compartment_id\}(?: where (.+))?$`)

// No statement gives more than its principal needs.
func TestStatements(t *testing.T) {
	for _, e := range entries(t) {
		if e.Name == "" || e.Why == "" {
			t.Errorf("%s: a statement has no name or reason: %+v", e.File, e)
		}
		match := statement.FindStringSubmatch(e.Statement)
		if match == nil {
			t.Errorf("%s: %s is not of the form that the tests know: %s", e.File, e.Name, e.Statement)
			continue
		}
		if problem := tooMuch(match[1], match[2], match[3], match[4]); problem != "" && e.Name != asBefore {
			t.Errorf("%s: %s: %s: %s", e.File, e.Name, problem, e.Statement)
		}
	}
}

// asBefore is the one statement without a condition: Events as older documentation has it,
// which knows none.
const asBefore = "events_as_before"

// tooMuch says what is wrong with the conditions of a grant.
func tooMuch(who, verb, what, where string) string {
	changes := verb == "use" || verb == "manage"
	switch {
	case changes && where == "":
		return "whoever changes something is held to it by a condition"
	case who == "any-user" && !strings.Contains(where, "request.principal.type="):
		return "any-user without the type of the principal is everyone"
	case who == "any-user" && !strings.Contains(where, "request.principal.compartment.id='${compartment_id}'") &&
		!strings.Contains(where, "any {${schedules}}") && !strings.Contains(where, "any {${event_compartments}}"):
		return "any-user without compartment or id is everyone's"
	case strings.HasPrefix(what, "object") && changes && !strings.Contains(where, "target.bucket.name="):
		return "objects are changed in one bucket only"
	case what == "objects" && changes && strings.Contains(where, "${results_bucket}") &&
		!strings.HasSuffix(where, "request.permission='OBJECT_CREATE'}"):
		return "results are created and nothing else"
	case what == "objects" && changes && strings.Contains(where, "${policies_bucket}") &&
		who != "group ${policies_group}":
		return "policies are written by a group of their own"
	case what == "keys" && !strings.Contains(where, "target.key.id="):
		return "it is about one key"
	case what == "keys" && !strings.HasPrefix(who, "service ") &&
		!strings.Contains(where, "any {request.permission='KEY_SIGN', request.permission='KEY_READ'}"):
		return "a key signs, and neither encrypts nor is exported"
	case what == "log-content" && !strings.Contains(where, "target.loggroup.id="):
		return "it is about one log group"
	case strings.HasPrefix(what, "fn-") && what != "fn-app" &&
		!strings.Contains(where, "target.function.id='${function_id}'") &&
		!strings.Contains(where, "target.function.id='${runner_function_id}'"):
		return "it is about one function"
	case what == "buckets" && changes &&
		where != "all {target.bucket.name='${jobs_bucket}', request.permission='PAR_MANAGE'}":
		return "of buckets nothing is changed but mailboxes made"
	case strings.Contains(where, "${jobs_bucket}") && strings.Contains(where, "DELETE"):
		return "a runner has what the executor has there, and deletes nothing"
	case what == "secret-bundles" && who != "dynamic-group ${function_group}" &&
		!strings.Contains(where, "target.secret.id=") &&
		!slices.Contains([]string{"any {${token_secrets}}", "any {${build_secrets}}"}, where):
		return "it is about secrets that are named"
	case what == "ons-topics" && !strings.Contains(where, "target.topic.id="):
		return "it is about one topic"
	case what == "devops-deployment" &&
		(!strings.Contains(where, "request.operation='") || strings.Contains(where, "!=")):
		return "operations on deployments are named"
	case what == "repos" && !strings.Contains(where, "target.repo.name="):
		return "it is about one repository"
	case strings.HasPrefix(who, "group ") && strings.Contains(where, "DELETE"):
		return "people delete nothing"
	}
	return ""
}

// What alarms count is what the function logs.
func TestAlarmsKnowTheLog(t *testing.T) {
	if !strings.Contains(read(t, "modules/observability/main.tf"), `\"msg\":\"run finished\"`) {
		t.Error("the connectors do not look for the last line of a run")
	}
	if !strings.Contains(read(t, "../internal/pipeline/end.go"), `finishLog("run finished"`) {
		t.Error("the function's last line of a run has another message")
	}
}

// The pipeline delivers what the build makes, under the names that it gives.
func TestDeliveredArtifacts(t *testing.T) {
	spec, err := os.ReadFile("../build_spec.yaml")
	if err != nil {
		t.Skip("there is no build_spec.yaml here")
	}
	_, outputs, _ := strings.Cut(string(spec), "\noutputArtifacts:\n")
	made := names(`(?m)^ +- name: (\S+)$`, outputs)
	_, files, _ := strings.Cut(read(t, "variables.tf"), `variable "build_files"`)
	files, _, _ = strings.Cut(files, "\n}\n")
	delivered := append(names(`(?m)^    ([\w-]+) += "`, files), "image")
	slices.Sort(delivered)
	if diff := cmp.Diff(made, delivered); diff != "" {
		t.Errorf("build_spec.yaml (-) and build_files (+) differ:\n%s", diff)
	}
	if !strings.Contains(string(spec), "- IMAGE_TAG\n") {
		t.Error("build_spec.yaml does not export IMAGE_TAG, the tag that is delivered and deployed")
	}
}

// waits are what has to be waited for before a resource is made, by the resource: OCI
// refuses it otherwise, and the provider does not try again.
var waits = map[string]string{
	// https://github.com/oracle/terraform-provider-oci/issues/1955
	"modules/vault.oci_kms_key.this": "endpoint",
	// InsufficientServicePermissions: https://docs.oracle.com/en-us/iaas/Content/Object/Tasks/encryption.htm
	"modules/storage.oci_objectstorage_bucket.this": "key_policies",
	"modules/storage.oci_objectstorage_bucket.jobs": "key_policies",
	// the same: https://docs.oracle.com/en-us/iaas/Content/Object/Tasks/usinglifecyclepolicies.htm
	"modules/storage.oci_objectstorage_object_lifecycle_policy.results": "lifecycle_policies",
	"modules/storage.oci_objectstorage_object_lifecycle_policy.state":   "lifecycle_policies",
	"modules/storage.oci_objectstorage_object_lifecycle_policy.jobs":    "lifecycle_policies",
	"modules/function.oci_functions_function.this":                      "image_policies",
	"modules/runner.oci_functions_function.this":                        "image_policies",
}

func TestWaits(t *testing.T) {
	all := resources(t)
	for name, wait := range waits {
		if !strings.Contains(all[name], "depends_on = [terraform_data."+wait+"]") {
			t.Errorf("%s does not wait for %s", name, wait)
		}
		module, _, _ := strings.Cut(name, ".")
		if block := all[module+".terraform_data."+wait]; !strings.Contains(block,
			`? "sleep ${var.settle_seconds}" : "exit 0"`) || !strings.Contains(block, "triggers_replace") {
			t.Errorf("%s is no wait for what is new: %s", wait, block)
		}
	}
}
