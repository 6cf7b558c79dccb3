//go:build !linux

package executor

import (
	"io/fs"

	"cemli-executor/internal/bundle"
)

// Packages run on Linux only; the sandbox says so.

func freeSpace(string) (bundle.Footprint, bool, error) { return bundle.Footprint{}, false, nil }

func ownedByUs(fs.FileInfo) bool { return true }
