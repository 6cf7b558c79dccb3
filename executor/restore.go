package executor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// restore puts the artifacts of the run that this one undoes or goes on with where its scripts had left
// them: an undo needs what the step had saved. They are checked against that run's digests. What is done
// again from its beginning finds nothing.
func (r *found) restore(ctx context.Context) error {
	for _, a := range r.previous.Artifacts {
		if a.Object == "" {
			r.missing = append(r.missing, a.Name) // an undo may do without; resuming, mayResume has refused
			continue
		}
		if a.Run == "" {
			a.Run = r.previous.RunID
		}
		if err := r.restoreOne(ctx, a); err != nil {
			return err
		}
		r.job.Restored = append(r.job.Restored, a)
	}
	return r.dir.Give()
}

// withheld is an artifact of a run that was not kept; nil: there is none.
func withheld(result evidence.Result) *evidence.Artifact {
	i := slices.IndexFunc(result.Artifacts, func(a evidence.Artifact) bool { return a.Object == "" })
	if i < 0 {
		return nil
	}
	return &result.Artifacts[i]
}

// shownMissing is how many artifacts that an undo did without its message names.
const shownMissing = 10

// without says which artifacts an undo did without; "" if it had all.
func (r *earlier) without() string {
	if len(r.missing) == 0 {
		return ""
	}
	named := r.missing[:min(len(r.missing), shownMissing)]
	text := "; these artifacts of that run were not kept, and the undo had to do without: " + strings.Join(named, ", ")
	if more := len(r.missing) - len(named); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func (r *found) restoreOne(ctx context.Context, a evidence.Artifact) error {
	object := evidence.Dir(a.Run) + a.Object
	body, info, err := r.exec.Results.Get(ctx, object, store.GetOptions{})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	lost := func(cause error) error {
		return problem.New(problem.Problem{
			Code: "request.gone", Where: r.previous.RunID, Message: "the artifact " + a.Name + " of that run is gone, or is not what its result says",
			Hint: "find out who changed the results bucket, and go on by hand",
		}, cause)
	}
	if err != nil {
		return lost(err)
	}
	defer body.Close()
	if info.Size != a.Size || a.Size > r.limits.ArtifactBytes {
		return lost(fmt.Errorf("it has %d bytes", info.Size))
	}
	f, err := r.dir.NewArtifact(a.Name)
	if err != nil {
		return lost(err)
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), io.LimitReader(body, a.Size))
	if err := errors.Join(err, f.Close()); err != nil {
		return store.Unread(r.exec.Results, object, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != a.SHA256 {
		return lost(errors.New("its digest is another"))
	}
	return nil
}
