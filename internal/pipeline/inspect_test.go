package pipeline_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/pipeline"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/testkit"
)

// admission.Inspect gives the verdict that a run gives, with the same codes, for the same bytes.
func TestInspectAgreesWithRuns(t *testing.T) {
	strict := `{"environment":"test","require":{"/owner":true},"object_name":"{name}-{version}.zip",
		"embedded_secrets":"deny","types":["extension"],
		"freeze":[{"from":"2020-01-01T00:00","until":"2020-01-02T00:00","time_zone":"UTC","reason":"past"}]}`
	plain := manifestOf("")
	for name, contents := range map[string]files{
		"plain":      {"manifest.json": plain, "steps/run.sh": "echo"},
		"owned":      {"manifest.json": manifestOf(`,"owner":"me"`), "steps/run.sh": "echo"},
		"bad":        {"manifest.json": `{"name":"Sample","versoin":"1"}`, "steps/run.sh": "echo"},
		"no step":    {"manifest.json": manifestOf(`,"owner":"me","steps":[{"run":"x.sh"}]`)},
		"elsewhere":  {"manifest.json": manifestOf(`,"owner":"me","environments":["prod"]`)},
		"group":      {"manifest.json": manifestOf(`,"concurrency":{"group":"a"},"outputs":["*"]`)},
		"leak":       {"manifest.json": plain, "steps/run.sh": "cat <<E\n" + privateKey(t) + "E\n"},
		"top folder": {"manifest.json": plain},
	} {
		data := testkit.Zip(t, contents)
		if name == "top folder" {
			data = bytes.ReplaceAll(data, []byte("manifest.json"), []byte("m/nifest.json"))
		}
		for _, policy := range []string{"", strict, `{"environment":"prod"}`, `{}`} {
			b := newBench(t, func(c *pipeline.Config) {
				if policy != "" {
					c.Policy = admission.InlinePolicy("inline", []byte(policy))
				}
			})
			q := b.upload("sample-1.0.0.zip", data)
			q.Trigger.Kind = intake.TriggerRequest
			r := b.run(q).Result
			err := inspected(t, data, policy)
			if diff := cmp.Diff(codesOfResult(r), codesOf(err)); diff != "" {
				t.Errorf("%s under %.40s: codes (-run +Inspect):\n%s", name, policy, diff)
			}
			if (err == nil) != (r.Status == evidence.StatusSuccess) {
				t.Errorf("%s under %.40s: the run ended %s; Inspect says %v", name, policy, r.Status, err)
			}
		}
	}
}

// inspected is what Inspect has against a package.
func inspected(t *testing.T, zip []byte, policy string) error {
	t.Helper()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	opts := admission.InspectOptions{
		Limits: admission.DefaultLimits(), Environment: "test", Object: "sample-1.0.0.zip", Kind: intake.TriggerRequest,
	}
	if policy != "" {
		opts.Policy = []byte(policy)
	}
	_, err = admission.Inspect(t.Context(), bytes.NewReader(zip), int64(len(zip)), root, opts)
	return err
}

func codesOf(err error) (codes []string) {
	var refused *problem.Error
	if errors.As(err, &refused) {
		for _, p := range refused.Problems {
			codes = append(codes, p.Code)
		}
	}
	return codes
}

func codesOfResult(r evidence.Result) (codes []string) {
	if r.Error != nil && r.Error.Problems == nil {
		return []string{r.Error.Code}
	}
	if r.Error != nil {
		for _, p := range r.Error.Problems {
			codes = append(codes, p.Code)
		}
	}
	return codes
}

func privateKey(t *testing.T) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
