// Package manifest is the package contract: what manifest.json may say, and the plan
// that follows from it and from the package's files.
//
// The document is strict JSON: UTF-8, one object, no duplicate keys, nothing after
// it, at most MaxBytes long and MaxDepth deep. Unknown keys are errors, except those
// that begin with "x-"; so is a key whose feature this version does not have: nothing
// is ever ignored. Every problem is reported at once, with a JSON pointer (RFC 6901),
// a code of the family "manifest" and a sentence.
//
// The package is pure: no files, no network, no clock.
package manifest

// Name is the manifest's name in a package, at its root.
const Name = "manifest.json"

// Bounds of a manifest document.
const (
	MaxBytes = 1 << 20
	MaxDepth = 32
)

// Manifest is a valid manifest. Only Parse makes one.
type Manifest struct {
	// Name of the package: lower-case letters, digits, dot, underscore, hyphen; 1 to 63.
	Name string
	// Version is a SemVer 2.0.0 version.
	Version string
	// Type is one of Types.
	Type string
	// Raw is the document as it was read.
	Raw []byte
}

// Types are the kinds of change, in the order of the acronym.
var Types = []string{"configuration", "extension", "modification", "localization", "integration"}
