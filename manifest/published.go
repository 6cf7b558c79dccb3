package manifest

import _ "embed"

// Schema is the JSON Schema of manifest.json, for editors.
//
//go:embed schema.json
var Schema []byte
