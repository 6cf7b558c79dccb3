package results

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"

	"cemli-executor/internal/evidence"
)

// Log stores a step's log and its times beside other work, so that they survive the function. What fails is noted, and
// left for Rest.
func (w *Writer) Log(ctx context.Context, object string, file io.ReadSeeker, times evidence.Times, notes *slog.Logger) {
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		notes.Error("cannot read the log", "error", err.Error())
	}
	keep := func(d Document) {
		w.Beside(ctx, d, func(err error) {
			notes.Warn("log not stored yet", "object", d.Object, "error", err.Error())
		})
	}
	keep(Document{Object: object, Type: "text/plain; charset=utf-8", Body: file, Size: size})
	doc, err := times.Encode()
	if err != nil {
		notes.Error("cannot encode the times of a log", "log", object, "error", err.Error())
		return
	}
	keep(Document{
		Object: strings.TrimSuffix(object, ".log") + ".times.json", Type: "application/json",
		Body: bytes.NewReader(doc), Size: int64(len(doc)),
	})
}
