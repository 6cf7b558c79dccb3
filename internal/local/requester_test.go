package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/local"
	"cemli-executor/internal/localoci"
	"cemli-executor/internal/oci"
	"cemli-executor/internal/store"
	"cemli-executor/internal/testkit"
)

// uploadersToo lets the principals of functions and instances upload packages.
func uploadersToo(t *testing.T) func(*local.Options) {
	return func(o *local.Options) {
		const upload = " to manage objects in compartment id " + localoci.Compartment +
			" where target.bucket.name='cemli-packages'"
		o.Statements = append(without(t), "Allow dynamic-group cemli-function"+upload,
			"Allow dynamic-group cemli-instance"+upload)
	}
}

// as is a client of a principal with session credentials.
func (c *cloud) as(t *testing.T, issue func(now, expires time.Time) (localoci.Session, error)) *oci.Client {
	t.Helper()
	session, err := issue(time.Now(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{
		"VERSION": "2.2", "REGION": localoci.Region, "RPST": session.Token, "PRIVATE_PEM": string(session.PrivateKey),
	} {
		t.Setenv("OCI_RESOURCE_PRINCIPAL_"+name, value)
	}
	client := oci.ResourcePrincipal(oci.Options{Endpoint: c.Endpoint()})
	if _, err := client.Namespace(t.Context()); err != nil {
		t.Fatal(err)
	}
	return client
}

// uploads has somebody upload a package, and returns the result of its run.
func (c *cloud) uploads(who *oci.Client, name string) evidence.Result {
	c.t.Helper()
	data := sample(c.t, "true")
	_, err := who.Bucket(c.Buckets().Packages).Put(c.t.Context(), name, bytes.NewReader(data), int64(len(data)),
		store.PutOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	return c.result(c.answer())
}

// sweeps has the function sweep.
func (c *cloud) sweeps() {
	c.t.Helper()
	if body, err := c.invoke(`{"action":"sweep"}`); err != nil {
		c.t.Fatalf("%s, %v", body, err)
	}
	c.answer()
}

// requester is what is stored of who uploaded; false if nothing is. It has no name and no address.
func (c *cloud) requester(r evidence.Result) (u evidence.Uploader, ok bool) {
	c.t.Helper()
	body, _, err := c.results().Get(c.t.Context(), evidence.UploaderObject(r.RunID), store.GetOptions{})
	if errors.Is(err, store.ErrNotFound) {
		return u, false
	}
	if err != nil {
		c.t.Fatal(err)
	}
	defer body.Close()
	doc, err := io.ReadAll(body)
	if err == nil {
		err = json.Unmarshal(doc, &u)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	testkit.CheckRequester(c.t, doc)
	for _, never := range []string{
		"127.0.0.1", "192.0.2.1", "local user", "local resource", "local instance", "local principal", ".zip",
		"Oracle-GoSDK",
	} {
		if bytes.Contains(doc, []byte(never)) {
			c.t.Errorf("%q is in %s", never, doc)
		}
	}
	return u, true
}

// aDayPasses makes what waits for an entry of the log a day older.
func (c *cloud) aDayPasses(r evidence.Result) {
	c.t.Helper()
	name, state := "todo/local/"+r.RunID+".json", c.Person().Bucket(c.Buckets().State)
	body, _, err := state.Get(c.t.Context(), name, store.GetOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer body.Close()
	var doc map[string]any
	if err := json.NewDecoder(body).Decode(&doc); err != nil {
		c.t.Fatal(err)
	}
	doc["created"], doc["uploaded"] = time.Now().Add(-25*time.Hour), time.Now().Add(-25*time.Hour)
	text, err := json.Marshal(doc)
	if err != nil {
		c.t.Fatal(err)
	}
	_, err = state.Put(c.t.Context(), name, bytes.NewReader(text), int64(len(text)), store.PutOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
}

// A run says who uploaded its package, for every kind of principal.
func TestWhoUploadedIsStored(t *testing.T) {
	c := start(t, uploadersToo(t))
	no := false
	for name, p := range map[string]struct {
		who  *oci.Client
		id   string
		kind string
	}{
		"a.zip": {c.Person(), localoci.User, "user"},
		"b.zip": {c.as(t, c.Server().Authority().NewSession), localoci.FunctionID, "resource"},
		"c.zip": {c.as(t, c.Server().Authority().NewInstance), localoci.InstanceID, "instance"},
	} {
		r := c.uploads(p.who, name)
		c.sweeps()
		got, ok := c.requester(r)
		want := evidence.Uploader{
			SchemaVersion: 1, RunID: r.RunID, ETag: r.Package.ETag, VersionID: r.Package.VersionID, Found: true,
			Principal: p.id, Authentication: p.kind, PreAuthenticated: &no, Recorded: got.Recorded,
		}
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("%s (-want +got):\n%s", p.kind, diff)
		}
	}
}

// An upload through a pre-authenticated request is told as one; one whose entry is late is told then, and one
// whose entry is lost, after a day, as that.
func TestUploadsWhoseEntryIsNotAsUsual(t *testing.T) {
	c := start(t, nil)
	faults := func(f localoci.Faults) {
		if err := c.Server().SetFaults(f); err != nil {
			t.Fatal(err)
		}
	}
	faults(localoci.Faults{LogLose: 1})
	r := c.uploads(c.Person(), "par.zip")
	c.Server().LogWrite(localoci.LoggedWrite{
		ETag: r.Package.ETag, Principal: "ocid1.user.oc1..creator", PreAuthenticated: true,
	})
	c.sweeps()
	got, ok := c.requester(r)
	if !ok || !got.Found || got.Principal != "ocid1.user.oc1..creator" || !*got.PreAuthenticated {
		t.Errorf("through a pre-authenticated request: %v, %+v", ok, got)
	}

	faults(localoci.Faults{LogDelay: localoci.Duration(2 * time.Second)})
	r = c.uploads(c.Person(), "late.zip")
	c.sweeps()
	if _, ok := c.requester(r); ok {
		t.Error("the entry was not late")
	}
	for ctx := within(t, time.Minute); ; c.sweeps() {
		if got, ok := c.requester(r); ok && got.Principal == localoci.User || ctx.Err() != nil {
			break
		}
	}
	if got, ok := c.requester(r); !ok || !got.Found || got.Principal != localoci.User {
		t.Errorf("late: %v, %+v", ok, got)
	}

	faults(localoci.Faults{LogLose: 1})
	r = c.uploads(c.Person(), "lost.zip")
	c.sweeps()
	if _, ok := c.requester(r); ok {
		t.Error("it is told too early that there is no entry")
	}
	c.aDayPasses(r)
	c.sweeps()
	if got, ok := c.requester(r); !ok || got.Found || got.Principal != "" || got.PreAuthenticated != nil {
		t.Errorf("lost: %v, %+v", ok, got)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A function that may not read the log says so, and its runs go on.
func TestAWriteLogThatMayNotBeRead(t *testing.T) {
	c := start(t, func(o *local.Options) { o.Statements = without(t, "read_write_log") })
	r := c.uploads(c.Person(), "a.zip")
	if r.Status != evidence.StatusSuccess {
		t.Errorf("status %s, %s", r.Status, r.Message)
	}
	if _, err := c.invoke(`{"action":"sweep"}`); err == nil || !strings.Contains(c.log.String(), "config.write_log") {
		t.Errorf("the sweep: %v", err)
	}
	if got := failing(c.probe(t)); !cmp.Equal(got, []string{"write_log config.write_log"}) {
		t.Errorf("the probe says %q", got)
	}
	if _, ok := c.requester(r); ok {
		t.Error("somebody is named")
	}
}

// The real command line searches the log.
func TestLoggingSearchWithTheOCICLI(t *testing.T) {
	o := newOCICLI(t)
	o.file("a.zip", sample(t, "true"))
	o.run("os", "object", "put", "-bn", "cemli-packages", "--file", "a.zip")
	now := time.Now().UTC()
	text := o.run("logging-search", "search-logs",
		"--search-query", `search "`+localoci.WriteLog+`" | sort by datetime desc`,
		"--time-start", now.Add(-time.Hour).Format(time.RFC3339), "--time-end", now.Add(time.Hour).Format(time.RFC3339))
	if !strings.Contains(text, `"principalId": "`+localoci.User+`"`) || !strings.Contains(text, `"isPar": false`) {
		t.Errorf("found %s", text)
	}
}
