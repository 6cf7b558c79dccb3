package manifest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/manifest"
)

const rotated = "com.oraclecloud.vaultsecret.createsecretversion"

func trigger(members string) string {
	return `{"event_type":"` + rotated + `","resource":"erp-*","object":"rotate-1.0.0.zip"` + members + `}`
}

// A policy whose triggers are not understood to the last key admits nothing.
func TestTriggersAreReadStrictly(t *testing.T) {
	t.Parallel()
	many := make([]string, 101)
	for i := range many {
		many[i] = trigger(fmt.Sprintf(`,"parameters":{"N":%d}`, i))
	}
	values := make([]string, 257)
	for i := range values {
		values[i] = fmt.Sprintf(`"P%d":1`, i)
	}
	for _, c := range []struct {
		name, triggers string
		want           []string // places of the problems
	}{
		{"none", `[]`, nil},
		{"one", `[` + trigger("") + `]`, nil},
		{"with parameters", `[` + trigger(`,"parameters":{"DAYS":30,"DRY":true,"WHO":"erp","RATE":1.5}`) + `]`, nil},
		{"in a folder", `[{"event_type":"a.b","resource":"*","object":"in/rotate.ZIP"}]`, nil},
		{
			"the same event, another package",
			`[` + trigger("") + `,{"event_type":"` + rotated + `","resource":"erp-*","object":"b.zip"}]`, nil,
		},
		{"no list", `{}`, []string{"/triggers"}},
		{"no object", `["rotate"]`, []string{"/triggers/0"}},
		{"nothing said", `[{}]`, []string{"/triggers/0", "/triggers/0", "/triggers/0"}},
		{"unknown key", `[` + trigger(`,"once_per":"1h"`) + `]`, []string{"/triggers/0/once_per"}},
		{
			"types",
			`[{"event_type":"","resource":"*","object":"a.zip"},{"event_type":"a b","resource":"*","object":"a.zip"},` +
				`{"event_type":1,"resource":"*","object":"a.zip"}]`,
			[]string{
				"/triggers/0/event_type", "/triggers/1/event_type", "/triggers/2/event_type",
			},
		},
		{
			"uploads",
			`[{"event_type":"com.oraclecloud.objectstorage.createobject","resource":"*","object":"a.zip"},` +
				`{"event_type":"com.oraclecloud.ObjectStorage.UpdateObject","resource":"*","object":"a.zip"}]`,
			[]string{
				"/triggers/0/event_type", "/triggers/1/event_type",
			},
		},
		{
			"patterns",
			`[{"event_type":"a","resource":"erp-[","object":"a.zip"},{"event_type":"a","resource":"","object":"a.zip"}]`,
			[]string{"/triggers/0/resource", "/triggers/1/resource"},
		},
		{
			"objects",
			`[{"event_type":"a","resource":"*","object":"a.tar"},{"event_type":"b","resource":"*","object":""},{"event_type":"c","resource":"*","object":"../a.zip"},
			{"event_type":"d","resource":"*","object":"a\u202eb.zip"},{"event_type":"e","resource":"*","object":"/a.zip"},{"event_type":"f","resource":"*","object":"` + strings.Repeat("a", 1024) + `.zip"}]`,
			[]string{
				"/triggers/0/object", "/triggers/1/object", "/triggers/2/object", "/triggers/3/object",
				"/triggers/4/object", "/triggers/5/object",
			},
		},
		{
			"parameters",
			`[` + trigger(`,"parameters":{"A":null,"B":[1],"C":{},"1D":1,"E":"`+strings.Repeat("x", 20_000)+`"}`) +
				`]`,
			[]string{
				"/triggers/0/parameters/1D", "/triggers/0/parameters/A", "/triggers/0/parameters/B",
				"/triggers/0/parameters/C", "/triggers/0/parameters/E",
			},
		},
		{
			"too many parameters", `[` + trigger(`,"parameters":{`+strings.Join(values, ",")+`}`) + `]`,
			[]string{"/triggers/0/parameters"},
		},
		{
			"the same twice", `[` + trigger(`,"parameters":{"N":1}`) + `,` + trigger(`,"parameters":{"N":1.0}`) + `]`,
			[]string{"/triggers/1"},
		},
		{"too many", `[` + strings.Join(many, ",") + `]`, []string{"/triggers"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := manifest.ParsePolicy([]byte(`{"environment":"prod","triggers":`+c.triggers+`}`), "prod")
			var got []string
			for _, line := range found(err) {
				code, where, _ := strings.Cut(line, " ")
				if code != "policy.unavailable" {
					t.Errorf("code %s; want policy.unavailable", code)
				}
				got = append(got, where)
			}
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems at (-want +got):\n%s\n%v", diff, err)
			}
		})
	}
}

// An event starts every entry of its type whose pattern matches the name or the id of what it is about.
func TestStarted(t *testing.T) {
	t.Parallel()
	p := policy(t, `"triggers":[
		{"event_type":"`+rotated+`","resource":"erp-*","object":"rotate-1.0.0.zip","parameters":{"WHO":"erp"}},
		{"event_type":"`+rotated+`","resource":"ocid1.vaultsecret.oc1.*","object":"note-1.0.0.zip"},
		{"event_type":"com.oraclecloud.database.x","resource":"*","object":"db-1.0.0.zip"}]`)
	for _, c := range []struct {
		eventType string
		names     []string
		want      string
	}{
		{rotated, []string{"erp-db", "ocid1.vaultsecret.oc1.a"}, "rotate-1.0.0.zip note-1.0.0.zip"},
		{rotated, []string{"bank", "ocid1.vaultsecret.oc1.a"}, "note-1.0.0.zip"},
		{rotated, []string{"bank", "ocid1.vaultsecret.oc2.a"}, ""},
		{rotated, nil, ""},
		{rotated + "2", []string{"erp-db"}, ""},
		{strings.ToUpper(rotated), []string{"erp-db"}, ""},
		{"com.oraclecloud.database.x", []string{"a"}, "db-1.0.0.zip"},
		{"com.oraclecloud.database.x", []string{"a/b"}, ""}, // as in patterns of paths
	} {
		var got []string
		for _, started := range p.Started(c.eventType, c.names) {
			got = append(got, started.Object)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s about %v starts %v; want %s", c.eventType, c.names, got, c.want)
		}
	}
	if first := p.Started(rotated, []string{"erp-db"})[0]; len(first.Parameters) != 1 ||
		first.Parameters["WHO"].Text() != "erp" {
		t.Errorf("parameters %+v", first.Parameters)
	}
	if !p.Awaits(rotated) || p.Awaits("com.oraclecloud.database.y") {
		t.Error("what is awaited")
	}
	if p := policy(t, `"description":"d"`); p.Started(rotated, []string{"erp-db"}) != nil || p.Awaits(rotated) {
		t.Error("a policy without triggers starts something")
	}
}
