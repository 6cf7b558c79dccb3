package manifest_test

import (
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"cemli-executor/manifest"
)

func value(t testing.TB, doc string) manifest.Value {
	t.Helper()
	v, err := manifest.ParseValue([]byte(doc))
	if err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return v
}

func TestCanonicalValues(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		"1": "1", "1.0": "1", "1e0": "1", "10e-1": "1", "0.1E+1": "1", "100e-2": "1",
		"0": "0", "-0": "0", "0.000": "0", "0e999": "0", "-0e-7": "0",
		"-1.50": "-1.5", "1500": "1500", "1.5e3": "1500", "0.0015": "0.0015", "15e-4": "0.0015",
		"9007199254740993": "9007199254740993", "9007199254740993.0": "9007199254740993",
		"0.1": "0.1", "0.10000000000000000000001": "0.10000000000000000000001",
		"1e21": "1000000000000000000000", "1e22": "1e22", "10e21": "1e22", "1e-22": "0.0000000000000000000001",
		"1e-23": "1e-23", "0.1e-22": "1e-23",
		"1e999999999": "1e999999999", "10e999999998": "1e999999999", "12.0e-999999999": "12e-999999999",
		"1e" + strings.Repeat("9", 200):   "1e" + strings.Repeat("9", 200),
		"10e-" + strings.Repeat("9", 200): "1e-" + strings.Repeat("9", 199) + "8",
		`"1.0"`:                           `"1.0"`, `"1e0"`: `"1e0"`, "true": "true", "false": "false",
	} {
		got, err := json.Marshal(value(t, doc).Canonical())
		if err != nil || string(got) != want {
			t.Errorf("%s is %s, %v; want %s", doc, got, err, want)
		}
		if v := value(t, doc); v.Text() != strings.Trim(doc, `"`) {
			t.Errorf("scripts see %s instead of %s", v.Text(), doc)
		}
	}
}

// Canonical forms are equal where the numbers are, and only there.
func FuzzCanonical(f *testing.F) {
	f.Add("1.0", "1e0")
	f.Add("-0.10", "-1E-1")
	f.Add("1e21", "1000000000000000000000")
	f.Add("0.1", "0.10000000000000000000001")
	f.Add(`"1"`, "1")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a)+len(b) > 200 {
			return
		}
		v, err := manifest.ParseValue([]byte(a))
		w, err2 := manifest.ParseValue([]byte(b))
		if err != nil || err2 != nil {
			return
		}
		canonical := v.Canonical()
		if doc, err := json.Marshal(canonical); err != nil || value(t, string(doc)) != canonical ||
			canonical.Canonical() != canonical {
			t.Fatalf("%s is %s, %v", a, doc, err)
		}
		x, ok := number(a)
		y, ok2 := number(b)
		if !ok || !ok2 {
			return
		}
		if same := canonical == w.Canonical(); same != (x.Cmp(y) == 0) {
			t.Fatalf("%s and %s: same is %v", a, b, same)
		}
	})
}

// number is the exact value of a number with a small exponent.
func number(doc string) (*big.Rat, bool) {
	doc = strings.TrimSpace(doc)
	if strings.ContainsAny(doc, `"tf`) {
		return nil, false
	}
	if _, exponent, ok := strings.Cut(strings.ToLower(doc), "e"); ok && len(exponent) > 4 {
		return nil, false
	}
	return new(big.Rat).SetString(doc)
}
