package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "cemli-executor"

// arrows says which packages of this module each one may import. A package that is not here may not exist.
var arrows = map[string]string{
	"": `
		executor internal/announce internal/apart internal/buildinfo internal/codes internal/container internal/evidence
		internal/jobs internal/logwriter internal/oci internal/problem internal/runner internal/sandbox internal/store
		internal/trigger manifest`,
	"cmd/cemli": `
		executor internal/admission internal/buildinfo internal/bundle internal/cli/advice internal/cli/input
		internal/cli/localcmd internal/cli/terminal internal/cli/usage internal/codes internal/evidence internal/folder
		internal/problem internal/sandbox internal/scratch internal/store manifest`,
	"executor": `
		internal/admission internal/apart internal/claim internal/codes internal/confinement internal/evidence
		internal/followup internal/intake internal/jobs internal/pipeline internal/problem internal/sandbox
		internal/secrets internal/steps internal/store internal/uploader internal/workdir manifest`,
	"internal/pipeline": `
		internal/admission internal/apart internal/bundle internal/claim internal/codes internal/confinement
		internal/download internal/evidence internal/fetch internal/followup internal/goback internal/hiding
		internal/intake internal/logwriter internal/problem internal/progress internal/results internal/sandbox
		internal/secrets internal/steps internal/store internal/timing internal/uploader internal/verdict
		internal/workdir manifest`,
	"internal/progress": "internal/claim internal/evidence internal/problem internal/steps",
	"internal/apart": `
		internal/claim internal/codes internal/evidence internal/jobs internal/problem internal/redact internal/steps
		internal/store`,
	"internal/hiding": "internal/evidence internal/problem internal/redact internal/steps manifest",
	"internal/admission": `
		internal/bundle internal/claim internal/codes internal/evidence internal/hiding internal/intake internal/leaks
		internal/problem internal/steps manifest`,
	"internal/followup": `
		internal/claim internal/evidence internal/intake internal/problem internal/results internal/store manifest`,
	"internal/goback": `
		internal/admission internal/claim internal/evidence internal/followup internal/hiding internal/intake
		internal/problem internal/steps internal/store internal/workdir manifest`,
	"internal/fetch": `
		internal/admission internal/claim internal/codes internal/download internal/goback internal/intake
		internal/problem internal/results internal/store`,
	"internal/uploader":    "internal/claim internal/evidence internal/store",
	"internal/secrets":     "internal/codes internal/evidence internal/hiding internal/problem internal/redact internal/store",
	"internal/container":   "internal/conceal internal/problem internal/proctree internal/sandbox internal/workdir",
	"internal/confinement": "internal/evidence internal/problem internal/sandbox",
	"internal/logwriter":   "internal/evidence",
	"manifest":             "internal/document internal/problem internal/strictjson",
	"internal/timing":      "internal/problem internal/steps manifest",
	"internal/verdict":     "internal/claim internal/evidence",
	"internal/intake":      "internal/evidence internal/problem internal/store manifest",
	"internal/trigger": `
		internal/codes internal/evidence internal/intake internal/problem internal/strictjson manifest`,
	"internal/cli/advice": "internal/admission internal/bundle internal/problem manifest",
	"internal/cli/input": `
		executor internal/bundle internal/cli/usage internal/folder internal/problem internal/store manifest`,
	"internal/cli/localcmd": `
		executor internal/cli/input internal/cli/terminal internal/cli/usage internal/codes internal/evidence
		internal/fnhost internal/local internal/localoci internal/problem internal/scratch internal/store`,
	"internal/cli/terminal": "internal/codes internal/evidence internal/problem",
	"internal/cli/usage":    "internal/problem",
	"internal/bundle":       "internal/codes internal/problem",
	"internal/claim":        "internal/problem internal/store",
	"internal/document":     "internal/problem internal/strictjson",
	"internal/download":     "internal/problem internal/store",
	"internal/folder":       "internal/problem",
	"internal/leaks":        "",
	"internal/proctree":     "",
	"internal/redact":       "",
	"internal/announce":     "internal/evidence",
	"internal/results":      "internal/codes internal/evidence internal/store",
	"internal/conceal":      "internal/proctree",
	"internal/sandbox":      "internal/conceal internal/problem internal/proctree",
	"internal/jobs": `
		internal/codes internal/document internal/evidence internal/problem internal/redact internal/strictjson`,
	"internal/steps": `
		internal/codes internal/evidence internal/jobs internal/problem internal/redact internal/sandbox
		internal/workdir manifest`,
	"internal/runner": `
		internal/bundle internal/confinement internal/download internal/evidence internal/jobs internal/problem
		internal/redact internal/sandbox internal/steps internal/store internal/workdir`,
	"internal/workdir":         "internal/problem",
	"internal/evidence":        "internal/codes internal/problem",
	"internal/store":           "internal/codes internal/problem",
	"internal/store/storetest": "internal/problem internal/store",
	"internal/oci":             "internal/codes internal/problem internal/store",
	"internal/iam":             "",
	"internal/localoci": `
		internal/iam internal/localoci/admin internal/localoci/answer internal/localoci/buckets internal/localoci/events
		internal/localoci/faults internal/localoci/functions internal/localoci/gateway internal/localoci/index
		internal/localoci/logging internal/localoci/notifications internal/localoci/objectstorage
		internal/localoci/tenancy internal/localoci/vault internal/problem terraform/modules/events
		terraform/modules/iam`,
	"internal/localoci/admin":   "internal/localoci/answer internal/localoci/gateway",
	"internal/localoci/answer":  "",
	"internal/localoci/buckets": "internal/localoci/answer internal/localoci/index internal/localoci/tenancy",
	"internal/localoci/events":  "internal/localoci/faults internal/localoci/index internal/localoci/tenancy",
	"internal/localoci/faults":  "",
	"internal/localoci/functions": `
		internal/iam internal/localoci/answer internal/localoci/faults internal/localoci/gateway`,
	"internal/localoci/gateway": `
		internal/iam internal/localoci/answer internal/localoci/faults internal/localoci/tenancy`,
	"internal/localoci/index":     "",
	"internal/localoci/localtest": "internal/localoci",
	"internal/localoci/logging": `
		internal/iam internal/localoci/answer internal/localoci/faults internal/localoci/gateway internal/localoci/index
		internal/localoci/tenancy`,
	"internal/localoci/notifications": `
		internal/iam internal/localoci/answer internal/localoci/gateway internal/localoci/index`,
	"internal/localoci/objectstorage": `
		internal/iam internal/localoci/answer internal/localoci/buckets internal/localoci/gateway
		internal/localoci/tenancy`,
	"internal/localoci/tenancy": "",
	"internal/localoci/vault": `
		internal/iam internal/localoci/answer internal/localoci/gateway internal/localoci/index terraform/modules/events`,
	"terraform/modules/events": "",
	"terraform/modules/iam":    "",
	"internal/fnhost":          "internal/proctree internal/scratch",
	"internal/local":           "internal/fnhost internal/localoci internal/oci",
	"internal/problem":         "",
	"internal/codes":           "internal/problem",
	"internal/scratch":         "",
	"internal/strictjson":      "",
	"internal/buildinfo":       "",
	"internal/testkit":         "",
	"internal/testkit/kernel":  "internal/testkit",
	"examples":                 "",
	"scripts":                  "",
	"scripts/release":          "",
	"scripts/way":              "",
	"terraform":                "",
}

// outside says which packages may import a module outside this one that is to stay in
// one place.
var outside = map[string][]string{
	"github.com/oracle/oci-go-sdk/":  {"internal/localoci/localtest", "internal/oci"},
	"github.com/fnproject/fdk-go":    {""},
	"github.com/cloudevents/sdk-go/": {"internal/announce", "internal/trigger"},
	"go.etcd.io/bbolt": {
		"internal/localoci", "internal/localoci/buckets", "internal/localoci/events", "internal/localoci/index",
		"internal/localoci/logging", "internal/localoci/notifications", "internal/localoci/vault",
	},
	"mvdan.cc/sh/":           {"internal/cli/advice"},
	"github.com/spf13/cobra": {"cmd/cemli", "internal/cli/input", "internal/cli/localcmd", "internal/cli/usage"},
	"github.com/go-json-experiment/json": {
		"internal/document", "internal/redact", "internal/strictjson", "internal/trigger", "manifest",
	},
	"github.com/klauspost/compress/":    {"internal/bundle"},
	"github.com/golang-jwt/jwt/":        {"internal/localoci/tenancy"},
	"github.com/google/osv-scalibr/":    {"internal/leaks"},
	"github.com/Masterminds/semver/":    {"manifest"},
	"github.com/bmatcuk/doublestar/":    {"internal/folder", "manifest"},
	"github.com/landlock-lsm/":          {"internal/sandbox"},
	"github.com/elastic/go-seccomp-bpf": {"internal/sandbox"},
}

// TestArrows holds the direction of imports; tests of a package may import more.
func TestArrows(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		seen++
		checkArrows(t, within(p.ImportPath), p.Imports)
	}
	if seen < len(arrows)-1 {
		t.Errorf("%d packages were seen; the table has %d", seen, len(arrows))
	}
}

// within is a package's path within this module.
func within(path string) string { return strings.TrimPrefix(strings.TrimPrefix(path, module), "/") }

func checkArrows(t *testing.T, from string, imports []string) {
	t.Helper()
	allowed, ok := arrows[from]
	if !ok {
		t.Errorf("the package %q has no place in the layout; see docs/design.md", from)
	}
	for _, path := range imports {
		if path == module || strings.HasPrefix(path, module+"/") {
			if !slices.Contains(strings.Fields(allowed), within(path)) {
				t.Errorf("%q must not import %q", from, within(path))
			}
			continue
		}
		for prefix, users := range outside {
			if strings.HasPrefix(path, prefix) && !slices.Contains(users, from) {
				t.Errorf("%q must not import %s", from, path)
			}
		}
	}
}

// Everything that the layout names exists, and nothing in it is left of the past.
func TestEveryRoomExists(t *testing.T) {
	for room := range arrows {
		matches, err := filepath.Glob(filepath.Join(room, "*.go"))
		if err != nil || len(matches) == 0 {
			t.Errorf("the room %q is empty", room)
		}
	}
}

// TestTheWayOfOneRun holds docs/design.md to the code: each line of the way names a function of that file.
func TestTheWayOfOneRun(t *testing.T) { checkTheWay(t, "## One run's way\n") }

// TestTheWayApart does the same for what is otherwise where a runner does the steps.
func TestTheWayApart(t *testing.T) { checkTheWay(t, "### A run apart\n") }

// checkTheWay holds the first block under a heading of docs/design.md to the code.
func checkTheWay(t *testing.T, heading string) {
	t.Helper()
	doc, err := os.ReadFile("docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	_, way, _ := strings.Cut(string(doc), heading)
	_, way, _ = strings.Cut(way, "```text\n")
	way, _, ok := strings.Cut(way, "```")
	if !ok {
		t.Fatalf("docs/design.md has no way under %q", heading)
	}
	for line := range strings.Lines(way) {
		words := strings.Fields(line)
		if len(words) < 3 {
			t.Fatalf("not a file, a function and what it does: %q", line)
		}
		src, err := os.ReadFile(words[0])
		if err != nil {
			t.Error(err)
			continue
		}
		if !regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + words[1] + `\(`).Match(src) {
			t.Errorf("%s has no function %s", words[0], words[1])
		}
	}
}
