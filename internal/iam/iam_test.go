package iam_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"cemli-executor/internal/iam"
)

func TestAllows(t *testing.T) {
	t.Parallel()
	const begin = "Allow dynamic-group runner to "
	bucket := func(name string, p iam.Permission) iam.Request {
		return iam.Request{
			Group: "runner", Compartment: "c", Permission: p, Target: map[string]string{"target.bucket.name": name},
		}
	}
	for _, c := range []struct {
		name, statement string
		request         iam.Request
		want            bool
	}{
		{"verb", begin + "read objects in compartment id c", bucket("b", iam.ObjectRead), true},
		{
			"verbs include those before", begin + "read objects in compartment id c", bucket("b", iam.ObjectInspect),
			true,
		},
		{"and not those after", begin + "read objects in compartment id c", bucket("b", iam.ObjectOverwrite), false},
		{"use does not create", begin + "use objects in compartment id c", bucket("b", iam.ObjectCreate), false},
		{"manage is everything", begin + "manage objects in compartment id c", bucket("b", iam.ObjectDelete), true},
		{"other resources", begin + "manage objects in compartment id c", bucket("b", iam.BucketRead), false},
		{
			"another group", "Allow dynamic-group other to read objects in compartment id c",
			bucket("b", iam.ObjectRead), false,
		},
		{"another compartment", begin + "read objects in compartment id d", bucket("b", iam.ObjectRead), false},
		{
			"condition", begin + "read objects in compartment id c where target.bucket.name='b'",
			bucket("b", iam.ObjectRead), true,
		},
		{
			"condition that does not hold", begin + "read objects in compartment id c where target.bucket.name='b'",
			bucket("x", iam.ObjectRead), false,
		},
		{
			"unequal", begin + "read objects in compartment id c where target.bucket.name != 'b'",
			bucket("x", iam.ObjectRead), true,
		},
		{
			"a variable that is not there", begin + "read objects in compartment id c where target.topic.id!='b'",
			bucket("x", iam.ObjectRead), false,
		},
		{
			"all",
			begin + "manage objects in compartment id c where all {target.bucket.name='b', " +
				"request.permission='OBJECT_CREATE'}", bucket("b", iam.ObjectCreate), true,
		},
		{
			"not all",
			begin + "manage objects in compartment id c where all {target.bucket.name='b', " +
				"request.permission='OBJECT_CREATE'}", bucket("b", iam.ObjectOverwrite), false,
		},
		{
			"any",
			begin + "manage objects in compartment id c where any {target.bucket.name='x', " +
				"request.permission='OBJECT_CREATE'}", bucket("b", iam.ObjectCreate), true,
		},
		{
			"any within all",
			begin + "manage objects in compartment id c where all {target.bucket.name='b', any " +
				"{request.permission='OBJECT_CREATE', request.permission='OBJECT_READ'}}", bucket("b", iam.ObjectRead),
			true,
		},
		{
			"not any within all",
			begin + "manage objects in compartment id c where all {target.bucket.name='b', any " +
				"{request.permission='OBJECT_CREATE', request.permission='OBJECT_READ'}}",
			bucket("b", iam.ObjectDelete), false,
		},
		{
			"pattern", begin + "read objects in compartment id c where target.bucket.name=/b*/",
			bucket("bc", iam.ObjectRead), true,
		},
		{
			"pattern that does not match", begin + "read objects in compartment id c where target.bucket.name=/b*/",
			bucket("ab", iam.ObjectRead), false,
		},
		{
			"people's statements are not the function's", "Allow group runner to read objects in compartment id c",
			bucket("b", iam.ObjectRead), false,
		},
		{
			"letters of any case", "ALLOW DYNAMIC-GROUP runner TO Read OBJECTS in Compartment ID c",
			bucket("b", iam.ObjectRead), true,
		},
	} {
		p, err := iam.Parse([]string{c.statement})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := p.Allows(c.request); got != c.want {
			t.Errorf("%s: %v; want %v", c.name, got, c.want)
		}
	}
	if (iam.Policy{}).Allows(bucket("b", iam.ObjectRead)) {
		t.Error("a policy without statements allows something")
	}
}

func TestWhatIsNotUnderstoodIsAnError(t *testing.T) {
	t.Parallel()
	for _, statement := range []string{
		"", "Allow any-user to read objects in tenancy", "Allow dynamic-group r to own objects in compartment id c",
		"Allow dynamic-group r to manage all-resources in compartment id c",
		"Allow dynamic-group r to read objects in compartment c",
		"Allow dynamic-group r to read objects in compartment id c where target.bucket.name=/b*",
		"Allow dynamic-group r to read objects in compartment id c where target.bucket.name=//",
		"Allow dynamic-group r to read objects in compartment id c where all {target.bucket.name='b', any " +
			"{request.permission='X'}",
		"Allow dynamic-group r to read objects in compartment id c where all {target.bucket.name='b' " +
			"request.permission='X'}",
		"Allow dynamic-group r to read objects in compartment id c where all {}",
		"Allow dynamic-group r to read objects in compartment id c where target.bucket.name='b' or " +
			"request.permission='X'",
		"Deny dynamic-group r to read objects in compartment id c",
	} {
		if _, err := iam.Parse([]string{statement}); err == nil {
			t.Errorf("%q was accepted", statement)
		}
	}
}

// A statement gives what its verb stands for, less what its condition excludes.
func TestPermissions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Allow any-user to read objects in compartment id c where target.bucket.name='b'": "[OBJECT_INSPECT OBJECT_READ]",
		"Allow group g to manage objects in compartment id c where all {target.bucket.name='b', any " +
			"{request.permission='OBJECT_CREATE'}}": "[OBJECT_CREATE]",
		"Allow service s to use fn-invocation in compartment id c": "[FN_INVOCATION]",
		"Allow service s to use functions-family in compartment id c": "[FN_APP_LIST FN_APP_READ FN_FUNCTION_LIST " +
			"FN_FUNCTION_READ FN_INVOCATION]",
		"Allow group g to use repos in compartment id c where any {request.permission='REPOSITORY_UPDATE', " +
			"request.permission='REPOSITORY_CREATE'}": "[]",
	} {
		s, err := iam.Read(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := fmt.Sprint(s.Permissions()); got != want {
			t.Errorf("%s: %s; want %s", text, got, want)
		}
	}
}

// Each table names where it is from, and no permission is in two places of one.
func TestTables(t *testing.T) {
	t.Parallel()
	for name, table := range iam.Tables().Types {
		if !strings.HasPrefix(table.Source, "https://docs.oracle.com/") {
			t.Errorf("%s: its source is %q; want a page of Oracle's documentation", name, table.Source)
		}
		all := slices.Concat(table.Inspect, table.Read, table.Use, table.Manage)
		slices.Sort(all)
		if len(slices.Compact(slices.Clone(all))) != len(all) || len(all) == 0 {
			t.Errorf("%s: %q", name, all)
		}
	}
	for family, types := range iam.Tables().Families {
		for _, name := range types {
			if _, ok := iam.Tables().Types[name]; !ok {
				t.Errorf("%s has %s, which has no table", family, name)
			}
		}
	}
}
