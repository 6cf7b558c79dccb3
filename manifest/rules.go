package manifest

import (
	"maps"
	"regexp"
	"slices"
)

// segment matches a part of a path in a package: neither empty nor "." nor "..".
const segment = `(?:[^/.\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*` +
	`|\.[^/.\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*|\.\.[^/\\\x00-\x1f\x7f]+)`

// The forms of names and texts. The schema has the same expressions.
var (
	nameRule = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)
	// versionRule is the expression that semver.org publishes for SemVer 2.0.0.
	versionRule = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)` +
		`(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(?:\.(?:0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?` +
		`(?:\+([0-9a-zA-Z-]+(?:\.[0-9a-zA-Z-]+)*))?$`)
	environmentRule = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)
	parameterRule   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,63}$`)
	setRule         = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)
	variableRule    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	reservedRule    = regexp.MustCompile(`^(?:CEMLI_.*|PATH|LD_.*|BASH_ENV|ENV|IFS)$`)
	stepRule        = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._-]{0,99}$`)
	labelRule       = regexp.MustCompile(`^[a-z0-9-]{1,32}$`)
	toolRule        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}$`)
	pathRule        = regexp.MustCompile(`^` + segment + `(?:/` + segment + `)*$`)
)

// Bounds of values, in characters, and of tries, in their number.
const (
	maxVersion = 128
	maxText    = 10_000
	maxValue   = 16_384
	maxRetries = 10
)

// SchemaBlind are the codes of Parse that manifest/schema.json cannot give: a document
// with problems of these codes only is valid by the schema. manifest.more may stand for problems of any code.
var SchemaBlind = []string{
	"manifest.json", "manifest.duplicate_key", "manifest.too_deep", "manifest.too_large",
	"manifest.value", "manifest.pattern", "manifest.undeclared", "manifest.duplicate_step",
	"manifest.duration_range", "manifest.glob", "manifest.version_range", "manifest.sensitive_size",
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Reserved reports whether a package may not set a name: it is the executor's own, or changes how programs run.
func Reserved(name string) bool { return reservedRule.MatchString(name) }
