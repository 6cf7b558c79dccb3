package claim

import (
	"log/slog"
	"time"

	"cemli-executor/internal/store"
)

// Book is the state bucket as the runs of one environment use it.
type Book struct {
	State       store.Bucket
	Environment string
	Clock       func() time.Time
	// Log is told of what fails and need not stop a run, because a sweep finds it.
	Log *slog.Logger
}

// now is the time by this machine's clock. What is stored of it, others read.
func (b Book) now() time.Time { return b.Clock() }
