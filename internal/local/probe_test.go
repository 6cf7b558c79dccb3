package local_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cemli-executor/executor"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"

	"github.com/google/go-cmp/cmp"
)

// probe asks the running function what it can do.
func (c *cloud) probe(t *testing.T) executor.Probe {
	t.Helper()
	body, err := c.invoke(`{"action":"probe"}`)
	var p executor.Probe
	if err != nil || json.Unmarshal(body, &p) != nil {
		t.Fatalf("%s, %v", body, err)
	}
	return p
}

// checkBody is what the deployment's check stage sends, as Terraform writes it.
func checkBody(t *testing.T) string {
	t.Helper()
	module, err := os.ReadFile("../../terraform/modules/devops/main.tf")
	if err != nil {
		t.Fatal(err)
	}
	object := regexp.MustCompile(
		`base64encoded_content = jsonencode\(\{ action = "(\w+)", verdict = (\w+) \}\)`).FindSubmatch(module)
	if object == nil {
		t.Fatal("the module devops has no such check stage any more")
	}
	return fmt.Sprintf(`{"action":%q,"verdict":%s}`, object[1], object[2])
}

// verdict asks for a yes or no, which is all that a deployment's validation takes.
func (c *cloud) verdict(t *testing.T) string {
	t.Helper()
	body, err := c.invoke(checkBody(t))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(body))
}

// failing are the lines that are not well, each with its code.
func failing(p executor.Probe) (lines []string) {
	for _, l := range p.Lines {
		if !l.OK {
			lines = append(lines, l.What+" "+l.Code)
		}
	}
	return lines
}

// without are the statements that Terraform deploys, but for those of some names.
func without(t *testing.T, names ...string) (texts []string) {
	t.Helper()
	all, err := localoci.Statements(
		localoci.Buckets{
			Packages: "cemli-packages", Results: "cemli-results", State: "cemli-state", Policies: "cemli-policies",
		})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if !slices.Contains(names, s.Name) {
			texts = append(texts, s.Statement)
		}
	}
	return texts
}

func TestProbe(t *testing.T) {
	c := start(t,
		func(o *local.Options) { o.Settings = map[string]string{"CEMLI_POLICY": "cemli-policies/policy.json"} })
	c.putPolicy(t, `{"environment":"local"}`)
	for range 2 { // the second finds what the first has left
		p := c.probe(t)
		if !p.OK || p.Environment != "local" || p.Version == "" || failing(p) != nil {
			t.Errorf("%+v", p)
		}
		var whats []string
		for _, l := range p.Lines {
			whats = append(whats, l.What)
			if l.Says == "" || l.Cure != "" || strings.Contains(l.Says, "ocid1.") {
				t.Errorf("%+v", l)
			}
		}
		want := strings.Fields(
			"configuration kernel landlock memory processes tools seccomp tmp sandbox clock " +
				"state results packages policy topic vault invoke container write_log")
		if diff := cmp.Diff(want, whats); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
		if got := c.verdict(t); got != "true" {
			t.Errorf("verdict %q; want true and nothing else", got)
		}
	}
	if !strings.Contains(c.log.String(), `"what":"results"`) {
		t.Error("the lines are not in the log")
	}
	for bucket, want := range map[string][]string{"cemli-results": {"probe/local.json"}, "cemli-packages": nil} {
		if diff := cmp.Diff(want, c.names(t, bucket)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", bucket, diff)
		}
	}
	got := c.names(t, "cemli-state")
	if slices.ContainsFunc(got, func(name string) bool { return strings.HasPrefix(name, "probe/") }) {
		t.Errorf("the state bucket has %v", got)
	}
}

// What a deployment lacks is named, and fails its check.
func TestProbeFindsWhatIsMissing(t *testing.T) {
	for name, c := range map[string]struct {
		settings   map[string]string
		statements []string // left out
		policy     string
		want       []string
	}{
		"no packages bucket": {
			settings: map[string]string{"CEMLI_PACKAGES_BUCKET": "none"},
			want:     []string{"packages store.bucket_not_found"},
		},
		"no results bucket": {
			settings: map[string]string{"RESULTS_BUCKET": "none"}, want: []string{"results store.bucket_not_found"},
		},
		"no state bucket": {
			settings: map[string]string{"CEMLI_STATE_BUCKET": "none"},
			want:     []string{"clock store.bucket_not_found", "state store.bucket_not_found"},
		},
		"packages not read": {
			statements: []string{"read_packages"}, want: []string{"packages store.bucket_not_found"},
		},
		"results not created": {
			statements: []string{"create_results"}, want: []string{"results store.bucket_not_found"},
		},
		"results not read": {
			statements: []string{"read_results"}, want: []string{"results store.bucket_not_found"},
		},
		"state not written": {
			statements: []string{"manage_state"},
			want:       []string{"clock store.bucket_not_found", "state store.bucket_not_found"},
		},
		"not itself, asked":   {statements: []string{"find_itself"}, want: []string{"invoke config.invoke"}},
		"not itself, invoked": {statements: []string{"invoke_itself"}, want: []string{"invoke config.invoke"}},
		"policy not read": {
			policy: "{}", statements: []string{"read_policies"}, want: []string{"policy policy.unavailable"},
		},
		"policy of another": {policy: `{"environment":"prod"}`, want: []string{"policy policy.unavailable"}},
		"broken configuration": {
			settings: map[string]string{"CEMLI_RESERVE": "soon", "CEMLI_TYPO": "1"},
			want:     []string{"configuration config.value", "configuration config.unknown"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cloud := start(t, func(o *local.Options) {
				o.Settings = c.settings
				if c.policy != "" {
					o.Settings = map[string]string{"CEMLI_POLICY": "cemli-policies/policy.json"}
				}
				o.Statements = without(t, c.statements...)
			})
			if c.policy != "" {
				cloud.putPolicy(t, c.policy)
			}
			p := cloud.probe(t)
			if diff := cmp.Diff(c.want, failing(p)); p.OK || diff != "" {
				t.Errorf("OK: %v; failing (-want +got):\n%s", p.OK, diff)
			}
			for _, l := range p.Lines {
				if !l.OK && l.Cure == "" {
					t.Errorf("%+v says no cure", l)
				}
			}
			if got := cloud.verdict(t); got != "false" {
				t.Errorf("verdict %q; want false and nothing else", got)
			}
		})
	}
}

// A permission that is taken away later is missed too, although the name is taken by then.
func TestProbeAfterAPermissionIsLost(t *testing.T) {
	dir := t.TempDir()
	t.Run("before", func(t *testing.T) {
		if got := start(t, func(o *local.Options) { o.Dir = dir }).verdict(t); got != "true" {
			t.Errorf("verdict %q", got)
		}
	})
	c := start(t, func(o *local.Options) { o.Dir, o.Statements = dir, without(t, "create_results") })
	if p := c.probe(t); !slices.Equal(failing(p), []string{"results store.bucket_not_found"}) {
		t.Errorf("failing %q", failing(p))
	}
}

func TestProbeUnderOtherKernels(t *testing.T) {
	for _, k := range []struct{ kernel, sandbox, verdict, says string }{
		{testkit.NoLandlock, "basic", "true", "ENOSYS"},
		{testkit.NoLandlock, "isolated", "false", "ENOSYS"},
		{testkit.LandlockDisabled, "isolated", "false", "EOPNOTSUPP"},
		{testkit.LandlockForbidden, "full", "false", "EPERM"},
		{testkit.LandlockMute, "basic", "false", "outside of its rules"},
		{"1", "isolated", "true", "level isolated"},
		{"3", "full", "false", "ABI 3"},
	} {
		t.Run(k.kernel+" "+k.sandbox, func(t *testing.T) {
			if k.kernel[0] < 'A' || k.kernel == testkit.LandlockMute {
				needIsolated(t)
			}
			c := start(t, func(o *local.Options) {
				o.Settings = map[string]string{"CEMLI_SANDBOX": k.sandbox}
				o.Wrap = func(dir, binary string) []string {
					passable(t, filepath.Dir(dir), dir, filepath.Join(dir, "tmp"))
					return testkit.UnderKernel(k.kernel, binary)
				}
			})
			p := c.probe(t)
			said := false
			for _, l := range p.Lines {
				said = said || l.What == "sandbox" && strings.Contains(l.Says, k.says) ||
					l.What == "landlock" && strings.Contains(l.Says, k.says)
			}
			if got := c.verdict(t); got != k.verdict || !said {
				t.Errorf("verdict %q; want %s, because of %s: %+v", got, k.verdict, k.says, p.Lines)
			}
		})
	}
}

// passable lets the scripts' user pass through folders of the function's, which is root here.
func passable(t *testing.T, folders ...string) {
	t.Helper()
	for _, folder := range folders {
		if err := os.Chmod(folder, 0o711); err != nil { //nolint:gosec // to pass through
			t.Error(err)
		}
	}
}

func (c *cloud) putPolicy(t *testing.T, doc string) {
	t.Helper()
	_, err := c.Person().Bucket("cemli-policies").Put(t.Context(), "policy.json", strings.NewReader(doc),
		int64(len(doc)), store.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

func (c *cloud) names(t *testing.T, bucket string) (names []string) {
	t.Helper()
	page, err := c.Person().Bucket(bucket).List(t.Context(), store.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range page.Objects {
		names = append(names, o.Name)
	}
	return names
}
