package results

import (
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// Artifact stores one file that the scripts of a run left to be kept, or says in what it returns why it is withheld. An
// error means that the store failed.
func (w *Writer) Artifact(
	ctx context.Context, runID string, f io.ReadSeeker, a evidence.Artifact,
) (evidence.Artifact, error) {
	a.Object = "artifacts/" + a.Name
	object := evidence.Dir(runID) + a.Object
	if err := store.CheckName(object); err != nil {
		return evidence.Artifact{Withheld: "its name cannot be an object's: " + err.Error()}, nil
	}
	err := w.Insist(ctx, Document{Object: object, Type: contentType(a.Name), Body: f, Size: a.Size, SHA256: a.SHA256})
	switch {
	case errors.Is(err, store.ErrName):
		return evidence.Artifact{Withheld: "its name cannot be an object's"}, nil
	case errors.Is(err, store.ErrExists):
		return evidence.Artifact{Withheld: "another object has its name"}, nil
	}
	return a, err
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
