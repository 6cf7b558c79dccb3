package manifest

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"cemli-executor/internal/document"
	"cemli-executor/internal/strictjson"
)

// ParameterType is the type of a parameter's values.
type ParameterType string

// The types of parameters.
const (
	TypeString  ParameterType = "string"
	TypeInteger ParameterType = "integer" // between -2^53 and 2^53, as JSON readers agree
	TypeNumber  ParameterType = "number"
	TypeBoolean ParameterType = "boolean"
)

var parameterTypes = []string{string(TypeString), string(TypeInteger), string(TypeNumber), string(TypeBoolean)}

// Value is one value of a parameter: text, a number, true or false.
type Value struct {
	kind jsontext.Kind // '"' '0' 't'
	text string
}

var (
	errValueKind = errors.New("a value must be text, a number, true or false")
	errValueLong = errors.New("a value has at most " + strconv.Itoa(maxValue) + " characters and no NUL")
)

// ParseValue reads a JSON value. Text may have up to 16,384 characters and no NUL, since
// it becomes a variable of the environment.
func ParseValue(doc []byte) (Value, error) {
	if fault := strictjson.Check(doc, 1); fault != nil {
		return Value{}, errValueKind
	}
	return parseValue(jsontext.Value(strings.Trim(string(doc), strictjson.Space)))
}

// TextValue returns the value of a text.
func TextValue(text string) (Value, error) {
	if utf8.RuneCountInString(text) > maxValue || strings.ContainsRune(text, 0) {
		return Value{}, errValueLong
	}
	return Value{'"', text}, nil
}

func parseValue(v jsontext.Value) (Value, error) {
	switch v.Kind() {
	case '"':
		text, _ := strictjson.Text(v)
		return TextValue(text)
	case '0':
		if len(v) > document.MaxLine {
			return Value{}, errValueLong
		}
		return Value{'0', string(v)}, nil
	case 't', 'f':
		return Value{'t', string(v)}, nil
	}
	return Value{}, errValueKind
}

// Text returns the value as scripts see it: text as it is, numbers as they were written, whole numbers without fraction
// or exponent, true or false.
func (v Value) Text() string { return v.text }

// MarshalJSON encodes the value as JSON.
func (v Value) MarshalJSON() ([]byte, error) {
	if v.kind == '"' {
		return json.Marshal(v.text)
	}
	return []byte(v.text), nil
}

// number returns the value as a number; ok is false if it is none or out of range.
func (v Value) number() (float64, bool) {
	if v.kind != '0' {
		return 0, false
	}
	f, err := strconv.ParseFloat(v.text, 64)
	return f, err == nil
}

// whole is the value as a whole number; only for one that fits TypeInteger.
func (v Value) whole() int64 {
	f, _ := v.number()
	return int64(f)
}

// fits reports whether the value is of a type.
func (v Value) fits(t ParameterType) bool {
	f, isNumber := v.number()
	switch t {
	case TypeString:
		return v.kind == '"'
	case TypeBoolean:
		return v.kind == 't'
	case TypeInteger:
		return isNumber && f == math.Trunc(f) && math.Abs(f) <= 1<<53 && v.exact(f)
	}
	return isNumber
}

// exact reports whether a whole number is exactly what its text says: beyond 2^52, a floating-point number may not be.
func (v Value) exact(f float64) bool {
	if n, err := strconv.ParseInt(v.text, 10, 64); err == nil {
		return n <= 1<<53 && n >= -1<<53
	}
	return math.Abs(f) < 1<<52 || !strings.Contains(v.text, ".")
}

// as returns a value in the form of a type, which it fits.
func (v Value) as(t ParameterType) Value {
	if t == TypeInteger {
		v.text = strconv.FormatInt(v.whole(), 10)
	}
	return v
}

// equal reports whether two values mean the same.
func (v Value) equal(w Value) bool { return v.Canonical() == w.Canonical() }

// maxZeros bounds the zeros that Canonical writes out.
const maxZeros = 21

// Canonical returns the value in a form that all values share which mean the same: 1, 1.0 and 1e0 are 1. It is exact,
// whatever the number of digits, and never much longer than the value. Most values that people write have this form
// already.
func (v Value) Canonical() Value {
	if v.kind != '0' {
		return v
	}
	unsigned, negative := strings.CutPrefix(v.text, "-")
	mantissa, exponent, _ := strings.Cut(strings.ToLower(unsigned), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	if digits == "" {
		return Value{'0', "0"}
	}
	// The value is the digits times ten to the power of scale, which has as many digits as were written.
	scale := new(big.Int)
	if exponent != "" {
		scale.SetString(exponent, 10) // JSON has checked its form
	}
	short := strings.TrimRight(digits, "0")
	scale.Add(scale, big.NewInt(int64(len(digits)-len(short)-len(fraction))))
	text := scaled(short, scale)
	if negative {
		text = "-" + text
	}
	return Value{'0', text}
}

// scaled writes digits times ten to the power of scale, with its zeros if they are few.
func scaled(digits string, scale *big.Int) string {
	if !scale.IsInt64() || scale.Int64() > maxZeros || scale.Int64() < -int64(len(digits)+maxZeros) {
		return digits + "e" + scale.String()
	}
	switch point := len(digits) + int(scale.Int64()); {
	case point >= len(digits):
		return digits + strings.Repeat("0", point-len(digits))
	case point > 0:
		return digits[:point] + "." + digits[point:]
	default:
		return "0." + strings.Repeat("0", -point) + digits
	}
}
