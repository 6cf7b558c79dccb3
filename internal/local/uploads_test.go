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
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// A laptop's buckets are those of a tenancy: what keeps versions there does here.
func TestBucketsAreAsTerraformMakesThem(t *testing.T) {
	text, err := os.ReadFile("../../terraform/modules/storage/main.tf")
	if err != nil {
		t.Fatal(err)
	}
	deployed := regexp.MustCompile(
		`(\w+) +\= \{ versioning = "(\w+)", events = (\w+) \}`).FindAllStringSubmatch(string(text), -1)
	if len(deployed) != 4 {
		t.Fatalf("Terraform makes %q", deployed)
	}
	for _, unversioned := range []bool{false, true} {
		c := start(t, func(o *local.Options) { o.Unversioned = unversioned })
		names := map[string]string{
			"packages": c.Buckets().Packages, "results": c.Buckets().Results, "state": c.Buckets().State,
			"policies": c.Buckets().Policies,
		}
		for _, bucket := range deployed {
			versioning := bucket[2]
			if unversioned {
				versioning = "Disabled"
			}
			got := c.describeBucket(t, names[bucket[1]])
			if string(got.Versioning) != versioning || fmt.Sprint(*got.ObjectEventsEnabled) != bucket[3] {
				t.Errorf("unversioned %v: %s has versioning %s, events %v; want %s, %s", unversioned, bucket[1],
					got.Versioning, *got.ObjectEventsEnabled, versioning, bucket[3])
			}
		}
	}
}

func (c *cloud) describeBucket(t *testing.T, name string) objectstorage.Bucket {
	t.Helper()
	provider, err := common.ConfigurationProviderFromFile(c.ConfigFile(), "")
	if err != nil {
		t.Fatal(err)
	}
	client, err := objectstorage.NewObjectStorageClientWithConfigurationProvider(provider)
	if err != nil {
		t.Fatal(err)
	}
	client.Host = c.Endpoint()
	described, err := client.GetBucket(t.Context(),
		objectstorage.GetBucketRequest{NamespaceName: common.String(localoci.Namespace), BucketName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return described.Bucket
}

// stored reads all results, by the start of their first steps; those without any come first.
func (c *cloud) stored(t *testing.T) []evidence.Result {
	t.Helper()
	page, err := c.results().List(t.Context(), store.ListOptions{Prefix: "runs/"})
	if err != nil {
		t.Fatal(err)
	}
	var results []evidence.Result
	for _, o := range page.Objects {
		if strings.HasSuffix(o.Name, "/result.json") {
			a := answer{}
			a.Result.Object = o.Name
			results = append(results, c.result(a))
		}
	}
	began := func(r evidence.Result) string {
		if len(r.Steps) == 0 || r.Steps[0].Start == nil {
			return ""
		}
		return r.Steps[0].Start.Format("2006-01-02T15:04:05.000000000")
	}
	slices.SortFunc(results, func(a, b evidence.Result) int { return strings.Compare(began(a), began(b)) })
	return results
}

// Two versions of a package that are uploaded one right after the other, while their group is busy, run
// in that order, whatever their names.
func TestVersionsRunInTheOrderOfTheirUploads(t *testing.T) {
	c := start(t, func(o *local.Options) { unconfined(o); o.Instances = 2 })
	for round := range 3 {
		dir := t.TempDir()
		for _, open := range []string{filepath.Dir(dir), dir} {
			if err := os.Chmod(open, 0o777); err != nil { //nolint:gosec // for the function's users
				t.Fatal(err)
			}
		}
		name := fmt.Sprint("ver", round)
		zip := func(version, script string) []byte {
			return testkit.Zip(t,
				map[string]string{"manifest.json": `{"name":"` + name + `","version":"` + version +
					`","type":"extension"}`, "steps/run.sh": script})
		}
		c.put(name+"-1.8.0.zip", zip("1.8.0", "touch "+dir+"/begun; until [ -e "+dir+"/end ]; do sleep 0.02; done"))
		for end := time.Now().Add(time.Minute); !exists(dir + "/begun"); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the first run does not begin")
			}
		}
		c.put(name+"-1.9.0.zip", zip("1.9.0", "true"))
		c.put(name+"-1.10.0.zip", zip("1.10.0", "true"))
		for range 2 {
			if a := c.answer(); a.err != nil || a.Status != evidence.StatusInProgress {
				t.Fatalf("a run did not wait: %+v", a)
			}
		}
		if err := os.WriteFile(dir+"/end", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := c.result(c.answer()); r.Status != evidence.StatusSuccess {
			t.Fatalf("the first run ended %s, %s", r.Status, r.Message)
		}
		var order []string
		for _, r := range c.stored(t) {
			if r.Package.Name == name {
				order = append(order, r.Package.Version)
			}
		}
		if got := strings.Join(order, " "); got != "1.8.0 1.9.0 1.10.0" {
			t.Errorf("round %d: ran in the order %s", round, got)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// Uploads whose events are lost have results, with the function's own permissions: also those that were
// replaced or deleted before a sweep came, and these are not run.
func TestASweepFindsReplacedVersions(t *testing.T) {
	c := start(t, func(o *local.Options) { o.Faults.EventLose = 1 })
	sweep := func() {
		t.Helper()
		var swept struct {
			Status string `json:"status"`
		}
		doc := invokeByHand(t, c, `{"action":"sweep"}`)
		if json.Unmarshal(doc, &swept) != nil || swept.Status != "success" {
			t.Fatalf("the sweep answered %s", doc)
		}
	}
	sweep() // from here on uploads are looked after
	for _, text := range []string{"one", "two", "three"} {
		c.put("sample-1.0.0.zip", sample(t, "echo "+text))
	}
	c.put("gone-1.0.0.zip", sample(t, "echo gone"))
	if err := c.packages().Delete(t.Context(), "gone-1.0.0.zip", ""); err != nil {
		t.Fatal(err)
	}
	sweep()
	for range 2 {
		results := c.stored(t)
		if len(results) != 4 {
			t.Fatalf("%d results", len(results))
		}
		newest := results[3]
		if newest.Status != evidence.StatusSuccess || newest.Execution.Stdout != "three\n" {
			t.Errorf("the newest: %s, %s, %q", newest.Status, newest.Message, newest.Execution.Stdout)
		}
		stale := 0
		for _, r := range results[:3] {
			if r.Execution.Ran || r.Error == nil || r.Package.VersionID == "" {
				t.Errorf("%s of %s: %s, %+v, executed %v", r.RunID, r.SourceObject, r.Status, r.Error, r.Execution.Ran)
			} else if r.Error.Code == "trigger.stale" && r.SourceObject == "sample-1.0.0.zip" {
				stale++
			}
		}
		if stale != 2 {
			t.Errorf("%d of the replaced versions are told as stale", stale)
		}
		sweep() // nothing is left
	}
}

// An upload that is replaced or deleted while it waits for its group does not run: the newest is what runs
// last, where versions are kept and where they are not.
func TestWhatIsReplacedWhileItWaits(t *testing.T) {
	for _, unversioned := range []bool{false, true} {
		t.Run(fmt.Sprint("unversioned ", unversioned), func(t *testing.T) {
			c := start(t, func(o *local.Options) { unconfined(o); o.Instances, o.Unversioned = 2, unversioned })
			dir := t.TempDir()
			for _, open := range []string{filepath.Dir(dir), dir} {
				if err := os.Chmod(open, 0o777); err != nil { //nolint:gosec // for the function's users
					t.Fatal(err)
				}
			}
			zip := func(name, version, script string) []byte {
				return testkit.Zip(t,
					map[string]string{"manifest.json": `{"name":"` + name + `","version":"` + version +
						`","type":"extension","concurrency":{"group":"g"}}`, "steps/run.sh": script})
			}
			c.put("first.zip",
				zip("first", "1.0.0", "touch "+dir+"/begun; until [ -e "+dir+"/end ]; do sleep 0.02; done"))
			for end := time.Now().Add(time.Minute); !exists(dir + "/begun"); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("the first run does not begin")
				}
			}
			const objects = 4
			for n := range objects {
				for version := range 3 {
					c.put(fmt.Sprintf("chg-%d.zip", n),
						zip(fmt.Sprint("chg", n), fmt.Sprintf("1.0.%d", version), "echo "+fmt.Sprint(version)))
				}
			}
			c.put("gone.zip", zip("gone", "1.0.0", "echo gone"))
			for range 3*objects + 1 {
				c.answer() // each waits, or was replaced before it could
			}
			if err := c.packages().Delete(t.Context(), "gone.zip", ""); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir+"/end", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			c.answer()
			ran := map[string]string{}
			for _, r := range c.stored(t) {
				switch {
				case r.Execution.Ran:
					ran[r.SourceObject] += r.Execution.Stdout
				case r.Error == nil || r.Error.Code != "trigger.stale" || r.Status != evidence.StatusRejected:
					t.Errorf("%s of %s: %s, %s", r.RunID, r.SourceObject, r.Status, r.Message)
				}
			}
			for n := range objects {
				if got := ran[fmt.Sprintf("chg-%d.zip", n)]; got != "2\n" {
					t.Errorf("of chg-%d.zip ran %q; want the newest alone", n, got)
				}
			}
			if len(ran) != objects+1 {
				t.Errorf("ran %v", ran)
			}
		})
	}
}

// A person goes back with the id of a run and a reason alone; what that ran comes from the version that is
// kept or, where none is, from the copy, with the function's own permissions.
func TestGoingBackByHand(t *testing.T) {
	for _, unversioned := range []bool{false, true} {
		c := start(t, func(o *local.Options) { o.Unversioned = unversioned })
		c.put("sample-1.0.0.zip", sample(t, "echo A"))
		first := c.result(c.answer())
		c.put("sample-1.0.0.zip", sample(t, "echo B"))
		if r := c.result(c.answer()); r.Execution.Stdout != "B\n" {
			t.Fatalf("status %s, %s", r.Status, r.Message)
		}
		ask := func(request string) evidence.Summary {
			t.Helper()
			var s evidence.Summary
			if doc := invokeByHand(t, c, request); json.Unmarshal(doc, &s) != nil {
				t.Fatalf("the answer is %s", doc)
			}
			return s
		}
		closed := ask(`{"rerun_of":"` + first.RunID + `","reason":"again"}`)
		if closed.Error == nil || closed.Error.Code != "rollback.not_latest" {
			t.Errorf("unversioned %v: underneath a later run: %+v", unversioned, closed)
		}
		back := `{"action":"apply","rollback_of":"` + first.RunID + `","reason":"B is wrong","request_id":"r1"}`
		one, same := ask(back), ask(back)
		if one.Status != evidence.StatusSuccess || one.Execution.Stdout != "A\n" || one.Action != "apply" ||
			one.Duplicate || one.PreviousRunID != first.RunID {
			t.Errorf("unversioned %v: %s, %s, %q", unversioned, one.Status, one.Message, one.Execution.Stdout)
		}
		if same.RunID != one.RunID || !same.Duplicate || same.Status != evidence.StatusSuccess {
			t.Errorf("unversioned %v: sent again: run %s, duplicate %v, %s", unversioned, same.RunID, same.Duplicate,
				same.Status)
		}
	}
}
