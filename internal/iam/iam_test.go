package iam_test

import (
	"testing"

	"cemli-executor/internal/iam"
)

func TestAllows(t *testing.T) {
	const begin = "Allow dynamic-group runner to "
	bucket := func(name string, p iam.Permission) iam.Request {
		return iam.Request{Group: "runner", Compartment: "c", Permission: p, Target: map[string]string{"target.bucket.name": name}}
	}
	for _, c := range []struct {
		name, statement string
		request         iam.Request
		want            bool
	}{
		{"verb", begin + "read objects in compartment id c", bucket("b", iam.ObjectRead), true},
		{"verbs include those before", begin + "read objects in compartment id c", bucket("b", iam.ObjectInspect), true},
		{"and not those after", begin + "read objects in compartment id c", bucket("b", iam.ObjectOverwrite), false},
		{"use does not create", begin + "use objects in compartment id c", bucket("b", iam.ObjectCreate), false},
		{"manage is everything", begin + "manage objects in compartment id c", bucket("b", iam.ObjectDelete), true},
		{"other resources", begin + "manage objects in compartment id c", bucket("b", iam.BucketRead), false},
		{"another group", "Allow dynamic-group other to read objects in compartment id c", bucket("b", iam.ObjectRead), false},
		{"another compartment", begin + "read objects in compartment id d", bucket("b", iam.ObjectRead), false},
		{"condition", begin + "read objects in compartment id c where target.bucket.name='b'", bucket("b", iam.ObjectRead), true},
		{"condition that does not hold", begin + "read objects in compartment id c where target.bucket.name='b'", bucket("x", iam.ObjectRead), false},
		{"unequal", begin + "read objects in compartment id c where target.bucket.name != 'b'", bucket("x", iam.ObjectRead), true},
		{"a variable that is not there", begin + "read objects in compartment id c where target.topic.id!='b'", bucket("x", iam.ObjectRead), false},
		{"all", begin + "manage objects in compartment id c where all {target.bucket.name='b', request.permission='OBJECT_CREATE'}", bucket("b", iam.ObjectCreate), true},
		{"not all", begin + "manage objects in compartment id c where all {target.bucket.name='b', request.permission='OBJECT_CREATE'}", bucket("b", iam.ObjectOverwrite), false},
		{"any", begin + "manage objects in compartment id c where any {target.bucket.name='x', request.permission='OBJECT_CREATE'}", bucket("b", iam.ObjectCreate), true},
		{"letters of any case", "ALLOW DYNAMIC-GROUP runner TO Read OBJECTS in Compartment ID c", bucket("b", iam.ObjectRead), true},
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
	for _, statement := range []string{
		"", "Allow any-user to read objects in tenancy", "Allow dynamic-group r to own objects in compartment id c",
		"Allow dynamic-group r to manage all-resources in compartment id c", "Allow dynamic-group r to read objects in compartment c",
		"Allow dynamic-group r to read objects in compartment id c where target.bucket.name=/b*/",
		"Allow dynamic-group r to read objects in compartment id c where all {target.bucket.name='b', any {request.permission='X'}}",
		"Deny dynamic-group r to read objects in compartment id c",
	} {
		if _, err := iam.Parse([]string{statement}); err == nil {
			t.Errorf("%q was accepted", statement)
		}
	}
}
