package terraform_test

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/iam"
)

// gives says what each statement is meant to give, in permissions: Oracle's verb tables
// (internal/iam/verbs.json) and not a verb's name decide whether it does. Object names and
// other conditions are apart.
var gives = map[string]string{
	"statements.json read_packages":  "OBJECT_INSPECT OBJECT_READ",
	"statements.json read_policies":  "OBJECT_INSPECT OBJECT_READ",
	"statements.json create_results": "OBJECT_CREATE",
	"statements.json read_results":   "OBJECT_INSPECT OBJECT_READ",
	"statements.json manage_state":   "OBJECT_CREATE OBJECT_DELETE OBJECT_INSPECT OBJECT_OVERWRITE OBJECT_READ",
	"statements.json read_secrets":   "SECRET_BUNDLE_INSPECT SECRET_BUNDLE_READ",
	"statements.json publish":        "ONS_TOPIC_PUBLISH",
	"statements.json read_write_log": "LOG_CONTENT_READ",
	"statements.json find_itself":    "FN_FUNCTION_LIST FN_FUNCTION_READ",
	"statements.json invoke_itself":  "FN_INVOCATION",
	"statements.json find_runner":    "FN_FUNCTION_LIST FN_FUNCTION_READ",
	"statements.json invoke_runner":  "FN_INVOCATION",
	// A pre-authenticated request gives whoever has its address what its maker may do, so nothing is deleted here.
	"statements.json exchange_jobs":  "OBJECT_CREATE OBJECT_INSPECT OBJECT_OVERWRITE OBJECT_READ",
	"statements.json open_mailboxes": "PAR_MANAGE",

	"images.json images": "REPOSITORY_INSPECT REPOSITORY_READ",
	// A key that buckets are encrypted with is never taken out of its vault.
	"encryption.json encryption": "KEY_DECRYPT KEY_ENCRYPT KEY_INSPECT KEY_READ",

	"services.json events_find":                  "FN_FUNCTION_LIST FN_FUNCTION_READ",
	"services.json events_invoke":                "FN_INVOCATION",
	"services.json events_find_from_elsewhere":   "FN_FUNCTION_LIST FN_FUNCTION_READ",
	"services.json events_invoke_from_elsewhere": "FN_INVOCATION",
	"services.json events_as_before": "FN_APP_LIST FN_APP_READ FN_FUNCTION_LIST FN_FUNCTION_READ " +
		"FN_INVOCATION",
	"services.json schedules_find":        "FN_FUNCTION_LIST FN_FUNCTION_READ",
	"services.json schedules_invoke":      "FN_INVOCATION",
	"services.json failure_destination":   "ONS_TOPIC_PUBLISH",
	"services.json lifecycle_state":       everyObject,
	"services.json lifecycle_results":     everyObject,
	"services.json lifecycle_jobs":        everyObject,
	"services.json connector_reads_logs":  "LOG_CONTENT_READ",
	"services.json connector_reads_audit": "AUDIT_EVENT_READ",
	"services.json connector_counts":      "METRIC_INSPECT METRIC_READ METRIC_WRITE",
	"services.json connector_alerts":      "ONS_TOPIC_PUBLISH",

	"devops.json deploy_reads_project":            "DEVOPS_*_INSPECT DEVOPS_*_READ",
	"devops.json deploy_updates_function":         "FN_FUNCTION_READ FN_FUNCTION_UPDATE",
	"devops.json deploy_reads_application":        "FN_APP_LIST FN_APP_READ",
	"devops.json deploy_updates_runner":           "FN_FUNCTION_READ FN_FUNCTION_UPDATE",
	"devops.json deploy_reads_runner_application": "FN_APP_LIST FN_APP_READ",
	"devops.json deploy_checks_function":          "FN_INVOCATION",
	"devops.json deploy_reads_image":              "REPOSITORY_INSPECT REPOSITORY_READ",
	"devops.json deploy_notifies":                 "ONS_TOPIC_PUBLISH",
	"devops.json build_reads_project":             "DEVOPS_*_INSPECT DEVOPS_*_READ",
	"devops.json build_deploys":                   deployments,
	"devops.json build_pushes_image":              "REPOSITORY_CREATE REPOSITORY_INSPECT REPOSITORY_READ REPOSITORY_UPDATE",
	"devops.json build_delivers_artifacts": "GENERIC_ARTIFACT_CREATE GENERIC_ARTIFACT_INSPECT " +
		"GENERIC_ARTIFACT_READ GENERIC_ARTIFACT_UPDATE",
	"devops.json build_notifies":              "ONS_TOPIC_PUBLISH",
	"devops.json repository_reads_connection": "DEVOPS_CONNECTION_INSPECT DEVOPS_CONNECTION_READ",
	"devops.json repository_reads_token":      "SECRET_BUNDLE_INSPECT SECRET_BUNDLE_READ",
	"devops.json connection_reads_token":      "SECRET_BUNDLE_INSPECT SECRET_BUNDLE_READ",
	"devops.json build_reads_secrets":         "SECRET_BUNDLE_INSPECT SECRET_BUNDLE_READ",

	"people.json authors_upload":              "OBJECT_CREATE OBJECT_INSPECT OBJECT_OVERWRITE OBJECT_READ",
	"people.json authors_list_results":        "OBJECT_INSPECT",
	"people.json authors_read_results":        "OBJECT_INSPECT OBJECT_READ",
	"people.json authors_see_buckets":         "BUCKET_INSPECT BUCKET_READ",
	"people.json promotion_uploads":           "OBJECT_CREATE OBJECT_INSPECT OBJECT_READ",
	"people.json promotion_list_results":      "OBJECT_INSPECT",
	"people.json promotion_read_results":      "OBJECT_INSPECT OBJECT_READ",
	"people.json promotion_deploys":           deployments,
	"people.json approvers_approve":           deployments,
	"people.json approvers_see_pipelines":     "DEVOPS_*_INSPECT DEVOPS_*_READ",
	"people.json operators_read_results":      "OBJECT_INSPECT OBJECT_READ",
	"people.json operators_list_state":        "OBJECT_INSPECT",
	"people.json operators_read_state":        "OBJECT_INSPECT OBJECT_READ",
	"people.json operators_see_buckets":       "BUCKET_INSPECT BUCKET_READ",
	"people.json operators_find_function":     "FN_FUNCTION_LIST FN_FUNCTION_READ",
	"people.json operators_invoke":            "FN_INVOCATION",
	"people.json operators_read_log":          "LOG_CONTENT_READ",
	"people.json operators_read_runner_log":   "LOG_CONTENT_READ",
	"people.json policies_written":            "OBJECT_CREATE OBJECT_INSPECT OBJECT_OVERWRITE OBJECT_READ",
	"people.json policies_see_bucket":         "BUCKET_INSPECT BUCKET_READ",
	"people.json auditors_read_objects":       "OBJECT_INSPECT OBJECT_READ",
	"people.json auditors_see_buckets":        "BUCKET_INSPECT BUCKET_READ",
	"people.json auditors_read_write_log":     "LOG_CONTENT_READ",
	"people.json auditors_read_audit":         "AUDIT_EVENT_READ",
	"people.json auditors_read_tenancy_audit": "AUDIT_EVENT_READ",
}

const (
	// Lifecycle rules archive and delete, in one bucket each; this statement is Oracle's own:
	// https://docs.oracle.com/en-us/iaas/Content/Object/Tasks/usinglifecyclepolicies.htm
	everyObject = "BUCKET_CREATE BUCKET_DELETE BUCKET_INSPECT BUCKET_READ BUCKET_UPDATE OBJECTSTORAGE_NAMESPACE_READ " +
		"OBJECTSTORAGE_NAMESPACE_UPDATE " +
		"OBJECT_CREATE OBJECT_DELETE OBJECT_INSPECT OBJECT_OVERWRITE OBJECT_READ OBJECT_RESTORE OBJECT_UPDATE_TIER " +
		"OBJECT_VERSION_DELETE " +
		"PAR_MANAGE RETENTION_RULE_LOCK RETENTION_RULE_MANAGE"
	// Which of them is held to the operations that the condition names.
	deployments = "DEVOPS_DEPLOY_DEPLOYMENT_APPROVE DEVOPS_DEPLOY_DEPLOYMENT_CANCEL DEVOPS_DEPLOY_DEPLOYMENT_CREATE " +
		"DEVOPS_DEPLOY_DEPLOYMENT_DELETE " +
		"DEVOPS_DEPLOY_DEPLOYMENT_INSPECT DEVOPS_DEPLOY_DEPLOYMENT_READ DEVOPS_DEPLOY_DEPLOYMENT_UPDATE"
)

// entry is a statement as its file has it.
type entry struct{ File, Name, Why, Statement string }

// entries are all statements of all files.
func entries(t *testing.T) []entry {
	t.Helper()
	files, err := filepath.Glob("modules/iam/*.json")
	if err != nil || len(files) != 6 {
		t.Fatalf("%q %v", files, err)
	}
	var all []entry
	for _, file := range files {
		var list []entry
		if err := json.Unmarshal([]byte(read(t, file)), &list); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, e := range list {
			e.File = filepath.Base(file)
			all = append(all, e)
		}
	}
	return all
}

// read is the statement as the parser that local OCI has reads it, with placeholders as
// they stand.
func (e entry) read(t *testing.T) iam.Statement {
	t.Helper()
	lists := strings.NewReplacer("${schedules}", "request.principal.id='x'", "${event_compartments}",
		"request.principal.compartment.id='x'",
		"${token_secrets}", "target.secret.id='x'", "${build_secrets}", "target.secret.id='x'")
	s, err := iam.Read(lists.Replace(e.Statement))
	if err != nil {
		t.Fatalf("%s %s: %v: %s", e.File, e.Name, err, e.Statement)
	}
	return s
}

// Every statement gives what it is meant to and nothing else, by Oracle's tables.
func TestStatementsGiveWhatIsMeant(t *testing.T) {
	got := map[string]string{}
	for _, e := range entries(t) {
		var list []string
		for _, p := range e.read(t).Permissions() {
			list = append(list, string(p))
		}
		slices.Sort(list)
		got[e.File+" "+e.Name] = strings.Join(list, " ")
	}
	if diff := cmp.Diff(gives, got); diff != "" {
		t.Errorf("what statements are meant to give (-) and give (+) differ:\n%s", diff)
	}
}

// where are the objects that people read, by names: buckets and prefixes as the function
// writes them.
var where = map[string]string{
	"authors_read_results":   "results_bucket: runs index",
	"promotion_read_results": "results_bucket: runs index",
	"operators_read_results": "results_bucket: everything",
	"operators_read_state":   "state_bucket: claims groups packages progress",
	"auditors_read_objects":  "results_bucket packages_bucket policies_bucket: everything",
}

// Requests under open/ have sensitive parameters in clear text, and kept packages are not
// for authors: who reads what is said by the beginnings of names.
func TestWhoReadsWhichObjects(t *testing.T) {
	bucket := regexp.MustCompile(`target\.bucket\.name='\$\{(\w+)\}'`)
	prefix := regexp.MustCompile(`target\.object\.name=/(\w+)\*/`)
	got := map[string]string{}
	for _, e := range entries(t) {
		if !regexp.MustCompile(`^Allow group \S+ to read objects `).MatchString(e.Statement) {
			continue
		}
		list := names(prefix.String(), e.Statement)
		if list == nil {
			list = []string{"everything"}
		}
		if want, _, _ := strings.Cut(where[e.Name],
			":"); len(names(bucket.String(), e.Statement)) != len(strings.Fields(want)) {
			t.Errorf("%s: its buckets: %s", e.Name, e.Statement)
		}
		_, want, _ := strings.Cut(where[e.Name], ": ")
		sorted := strings.Fields(want)
		slices.Sort(sorted)
		got[e.Name] = where[e.Name]
		if diff := cmp.Diff(sorted, list); diff != "" {
			t.Errorf("%s: names that should be (-) and can be read (+):\n%s", e.Name, diff)
		}
	}
	if diff := cmp.Diff(where, got); diff != "" {
		t.Errorf("readers that should be (-) and are (+):\n%s", diff)
	}
}

// Logs are read by log group: what scripts print is not for those who look for uploaders.
func TestLogsAreReadByGroup(t *testing.T) {
	for name, group := range map[string]string{
		"auditors_read_write_log": "uploads_log_group_id", "operators_read_log": "log_group_id",
		"connector_reads_logs": "log_group_id", "operators_read_runner_log": "runner_log_group_id",
		"read_write_log": "write_log_group_id",
	} {
		i := slices.IndexFunc(entries(t), func(e entry) bool { return e.Name == name })
		if i < 0 {
			t.Errorf("there is no statement %s", name)
		} else if !strings.Contains(entries(t)[i].Statement, "target.loggroup.id='${"+group+"}'") {
			t.Errorf("%s is not held to %s: %s", name, group, entries(t)[i].Statement)
		}
	}
}

// who is the principal of a statement, without "Allow".
func (e entry) who() string {
	who, _, _ := strings.Cut(strings.TrimPrefix(e.Statement, "Allow "), " to ")
	return who
}

// about are the statements that name something, and whose they are.
func about(t *testing.T, rule string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, e := range entries(t) {
		if regexp.MustCompile(rule).MatchString(e.Statement) {
			found[e.Name] = e.who()
		}
	}
	return found
}

// A runner is granted nothing, and nobody but the executor calls it: what is given in its compartment is what the
// executor and the pipeline need.
func TestRunnersAreGrantedNothing(t *testing.T) {
	want := map[string]string{
		"find_runner": "dynamic-group ${function_group}", "invoke_runner": "dynamic-group ${function_group}",
		"deploy_updates_runner":           "dynamic-group ${deploy_group}",
		"deploy_reads_runner_application": "dynamic-group ${deploy_group}",
	}
	if diff := cmp.Diff(want, about(t, `\$\{runner_(compartment|function)_id\}`)); diff != "" {
		t.Errorf("statements about runners that should be (-) and are (+):\n%s", diff)
	}
	for _, e := range entries(t) {
		invokes := slices.Contains(e.read(t).Permissions(), "FN_INVOCATION")
		if invokes && strings.Contains(e.Statement, "${runner_") && e.Name != "invoke_runner" {
			t.Errorf("%s invokes a runner, too: %s", e.Name, e.Statement)
		}
		if strings.Contains(e.Statement, "request.principal.type='fnfunc'") {
			t.Errorf("%s gives every function something: %s", e.Name, e.Statement)
		}
	}
}

// Who may do what with the bucket of jobs: the executor, and the rule that empties it.
func TestJobsAreTheExecutorsAlone(t *testing.T) {
	want := map[string]string{
		"exchange_jobs": "dynamic-group ${function_group}", "open_mailboxes": "dynamic-group ${function_group}",
		"lifecycle_jobs": "service objectstorage-${region}",
	}
	if diff := cmp.Diff(want, about(t, `jobs_bucket\}`)); diff != "" {
		t.Errorf("statements about jobs that should be (-) and are (+):\n%s", diff)
	}
	for _, e := range entries(t) {
		named := strings.Contains(e.Statement, "jobs_bucket}'")
		switch permissions := e.read(t).Permissions(); {
		case slices.Contains(permissions, "PAR_MANAGE") && !named && !strings.HasPrefix(e.Name, "lifecycle_"):
			t.Errorf("%s makes pre-authenticated requests elsewhere: %s", e.Name, e.Statement)
		case slices.Contains(permissions, "OBJECT_READ") && !strings.Contains(e.Statement, "target.bucket.name="):
			t.Errorf("%s reads objects of every bucket, of jobs too: %s", e.Name, e.Statement)
		}
	}
}
