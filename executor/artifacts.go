package executor

import (
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// collect keeps what the scripts left to be kept: the summary, and files as artifacts.
func (r *found) collect(ctx context.Context) error {
	if !r.outcome.Began {
		return nil
	}
	here := r.here()
	r.result.Summary = here.Summary()
	end, _ := ctx.Deadline() // forEvidence has set it; the result itself needs time, too
	until := time.Now().Add(time.Until(end) * 2 / 3)
	keep := func(f io.ReadSeeker, a evidence.Artifact) (evidence.Artifact, error) {
		return r.keepArtifact(ctx, f, a)
	}
	var err error
	r.result.Artifacts, err = here.Collect(ctx, r.job, until, keep)
	return err
}

// keepArtifact stores one file, or says why it is not stored. An error means that the store failed.
func (r *found) keepArtifact(ctx context.Context, f io.ReadSeeker, a evidence.Artifact) (evidence.Artifact, error) {
	a.Object = "artifacts/" + a.Name
	if err := store.CheckName(evidence.Dir(r.result.RunID) + a.Object); err != nil {
		return evidence.Artifact{Withheld: "its name cannot be an object's: " + err.Error()}, nil
	}
	d := r.document(a.Object, contentType(a.Name), f, a.Size)
	d.SHA256 = a.SHA256
	switch err := r.stored.Insist(ctx, d); {
	case errors.Is(err, store.ErrName):
		return evidence.Artifact{Withheld: "its name cannot be an object's"}, nil
	case errors.Is(err, store.ErrExists):
		return evidence.Artifact{Withheld: "another object has its name"}, nil
	default:
		return a, err
	}
}

// texts are the extensions of files that a browser may show: as text, whatever is in them.
var texts = strings.Fields(".conf .csv .diff .err .json .log .lst .md .out .patch .sql .tsv .txt .yaml .yml")

// contentType is what an artifact is stored as: never something that runs when somebody opens it.
func contentType(name string) string {
	if slices.Contains(texts, strings.ToLower(path.Ext(name))) {
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}
