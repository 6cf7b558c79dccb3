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
	// Log receives failures that need not stop a run, because a sweep finds what they left.
	Log *slog.Logger
}

// now is the time by this machine's clock. Other machines read what is stored of it.
func (b Book) now() time.Time { return b.Clock() }
