package claim

import (
	"context"
)

// asked says of which version of its object a request was that has an id of its sender's. It is made once
// and never changed: the run key has the ETag in it, and so cannot tell that the same request came again
// after the object was replaced.
type asked struct {
	header
	Environment string `json:"environment"`
	Key         string `json:"key"` // of the request without its ETag
	ETag        string `json:"etag"`
}

// FirstVersion notes of which version of its object a request is, unless the same request came before, and
// returns the ETag of the first. The key is the run key that the request has without an ETag.
func (b Book) FirstVersion(ctx context.Context, key, etag string) (string, error) {
	where := "requests/" + b.Environment + "/" + key + ".json"
	first := asked{Environment: b.Environment, Key: key, ETag: etag}
	_, err := write(ctx, b.State, where, "", &first)
	if !lostRace(err) {
		return etag, err
	}
	var known asked
	switch found, err := load(ctx, b.State, where, &known); {
	case err != nil:
		return "", err
	case found == "":
		return "", conflict(b.State, where, nil)
	case known.Environment != b.Environment || known.Key != key || known.ETag == "":
		return "", corrupt(b.State, where, nil)
	}
	return known.ETag, nil
}
