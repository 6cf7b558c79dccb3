package goback

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
	"cemli-executor/internal/workdir"
)

// Restore puts the artifacts of the run where its scripts had left them, as an undo needs what the step saved. It
// checks them against that run's digests, refuses those larger than limit, and returns what it restored. A step that is
// done again from its beginning finds no artifacts.
func (w *Way) Restore(ctx context.Context, dir *workdir.Dir, limit int64) (restored []evidence.Artifact, err error) {
	for _, a := range w.Previous.Artifacts {
		if a.Object == "" {
			w.missing = append(w.missing, a.Name) // an undo may do without it; Check has refused to resume
			continue
		}
		if a.Run == "" {
			a.Run = w.Previous.RunID
		}
		if err := w.restore(ctx, dir, limit, a); err != nil {
			return nil, err
		}
		restored = append(restored, a)
	}
	return restored, dir.Give()
}

// withheld returns an artifact of a run that was not kept; nil if all were.
func withheld(result evidence.Result) *evidence.Artifact {
	i := slices.IndexFunc(result.Artifacts, func(a evidence.Artifact) bool { return a.Object == "" })
	if i < 0 {
		return nil
	}
	return &result.Artifacts[i]
}

// shownMissing is how many missing artifacts the message of an undo names.
const shownMissing = 10

// Without says which artifacts an undo had to do without; "" if it had all, or there is no way back.
func (w *Way) Without() string {
	if w == nil || len(w.missing) == 0 {
		return ""
	}
	named := w.missing[:min(len(w.missing), shownMissing)]
	text := "; these artifacts of that run were not kept, and the undo had to do without: " + strings.Join(named, ", ")
	if more := len(w.missing) - len(named); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// restores one artifact.
func (w *Way) restore(ctx context.Context, dir *workdir.Dir, limit int64, a evidence.Artifact) error {
	object := evidence.Dir(a.Run) + a.Object
	body, info, err := w.follower.Results.Get(ctx, object, store.GetOptions{})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	lost := func(cause error) error {
		return problem.New(problem.Problem{
			Code: "request.gone", Where: w.Previous.RunID,
			Message: "the artifact " + a.Name + " of that run is gone, or is not what its result says",
			Hint:    "find out who changed the results bucket, and go on by hand",
		}, cause)
	}
	if err != nil {
		return lost(err)
	}
	defer body.Close()
	if info.Size != a.Size || a.Size > limit {
		return lost(fmt.Errorf("it has %d bytes", info.Size))
	}
	f, err := dir.NewArtifact(a.Name)
	if err != nil {
		return lost(err)
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), io.LimitReader(body, a.Size))
	if err := errors.Join(err, f.Close()); err != nil {
		return store.Unread(w.follower.Results, object, err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != a.SHA256 {
		return lost(errors.New("its digest is another"))
	}
	return nil
}
