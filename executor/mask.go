package executor

import (
	"strings"

	"cemli-executor/manifest"
)

// mask hides secrets in what the result quotes of scripts, requests and messages. What
// identifies the run and its bytes stays as it is.
func (r *report) mask() {
	res := &r.result
	res.Mask(r.masker)
	for name, value := range res.Parameters {
		if shown, ok := value.(manifest.Value); ok && r.hides(shown.Text()) {
			res.Parameters[name] = r.masker.String(shown.Text())
		}
	}
	if len(res.Trigger.Raw) > 0 {
		res.Trigger.Raw = r.masker.JSON(res.Trigger.Raw, r.about(r.hidesGiven))
	}
	if len(res.Manifest) > 0 && r.manifest != nil {
		res.Manifest = r.masker.JSON(res.Manifest, r.about(r.manifest.Hides))
	}
}

// hides reports whether a text has a secret in it.
func (r *report) hides(text string) bool {
	found, err := r.masker.Found(strings.NewReader(text))
	return found || err != nil
}
