package claim

import (
	"context"
)

// firstVersion notes the version of the object that a request with an id of its sender's first named. It is created
// once and never changed. It is needed because the run key includes the ETag, and so cannot tell that the same
// request came again after the object was replaced.
type firstVersion struct {
	header
	Environment string `json:"environment"`
	Key         string `json:"key"` // of the request without its ETag
	ETag        string `json:"etag"`
}

// FirstVersion notes the ETag that a request names, unless the same request came before, and returns the ETag noted
// first. The key is the run key that the request has without an ETag.
func (b Book) FirstVersion(ctx context.Context, key, etag string) (string, error) {
	where := "requests/" + b.Environment + "/" + key + ".json"
	first := firstVersion{Environment: b.Environment, Key: key, ETag: etag}
	_, err := write(ctx, b.State, where, "", &first)
	if !lostRace(err) {
		return etag, err
	}
	var known firstVersion
	mine := func() bool { return known.Environment == b.Environment && known.Key == key && known.ETag != "" }
	found, err := find(ctx, b.State, where, &known, mine)
	switch {
	case err != nil:
		return "", err
	case found == "":
		return "", conflict(b.State, where, nil)
	}
	return known.ETag, nil
}
