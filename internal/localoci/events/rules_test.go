package events_test

import (
	"testing"

	"cemli-executor/internal/localoci/events"
)

func TestRules(t *testing.T) {
	t.Parallel()
	const upload = `{"eventType":"createobject","data":{"resourceName":"a.zip",` +
		`"additionalDetails":{"bucketName":"packages"}}}`
	for _, c := range []struct {
		name, condition string
		want            bool
	}{
		{"nothing is asked", `{}`, true},
		{"as it is", `{"eventType":"createobject"}`, true},
		{"another type", `{"eventType":"deleteobject"}`, false},
		{"one of several", `{"eventType":["deleteobject","createobject"]}`, true},
		{"none of several", `{"eventType":["deleteobject"]}`, false},
		{"within", `{"data":{"additionalDetails":{"bucketName":"packages"}}}`, true},
		{"all of them", `{"eventType":"createobject","data":{"resourceName":"b.zip"}}`, false},
		{"what is not there", `{"data":{"none":"x"}}`, false},
		{"below what is a text", `{"eventType":{"x":"y"}}`, false},
		{"the beginning", `{"data":{"resourceName":"a*"}}`, true},
		{"the end", `{"data":{"resourceName":"*.zip"}}`, true},
		{"within a text", `{"data":{"resourceName":"*.z*"}}`, true},
		{"not the beginning", `{"data":{"resourceName":"zip*"}}`, false},
	} {
		rules, err := events.ParseRules(`{"eventType":"another"}`, c.condition)
		if err != nil {
			t.Fatal(err)
		}
		if got := rules.Match([]byte(upload)); got != c.want {
			t.Errorf("%s: %s is for the event: %v; want %v", c.name, c.condition, got, c.want)
		}
	}
	if _, err := events.ParseRules(`{`); err == nil {
		t.Error("a condition that is no JSON was taken")
	}
}
