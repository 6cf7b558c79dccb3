package admission

import (
	"time"

	"cemli-executor/internal/bundle"
	"cemli-executor/manifest"
)

// Limits bound what one run may use.
type Limits struct {
	PackageBytes  int64 // the zip
	Archive       bundle.Limits
	LogBytes      int64         // stored log of one step
	Artifacts     int           // files kept
	ArtifactBytes int64         // of all kept files together
	RunTime       time.Duration // of all steps together
	Attempts      int           // how often a run is tried that fails before its first step
	Deaths        int           // how often the executor may die on an upload before it is claimed
}

// DefaultLimits returns the limits that apply unless others are configured.
func DefaultLimits() Limits {
	return Limits{
		PackageBytes: 200 << 20, Archive: bundle.DefaultLimits(),
		LogBytes: 10 << 20, Artifacts: 1000, ArtifactBytes: 64 << 20, RunTime: time.Hour, Attempts: 10, Deaths: 3,
	}
}

// Within lowers the limits to those of a policy.
func (l Limits) Within(p *manifest.Policy) Limits {
	lower := func(name string, limit *int64) {
		if value, ok := p.Limits[name]; ok {
			*limit = min(*limit, value)
		}
	}
	lowerInt := func(name string, limit *int) {
		if value, ok := p.Limits[name]; ok {
			*limit = int(min(int64(*limit), value))
		}
	}
	lower("package_bytes", &l.PackageBytes)
	lowerInt("entries", &l.Archive.Entries)
	lower("file_bytes", &l.Archive.FileBytes)
	lower("total_bytes", &l.Archive.TotalBytes)
	lower("ratio", &l.Archive.Ratio)
	lower("log_bytes", &l.LogBytes)
	lowerInt("artifacts", &l.Artifacts)
	lower("artifact_bytes", &l.ArtifactBytes)
	if value, ok := p.Limits["run_time"]; ok {
		l.RunTime = min(l.RunTime, time.Duration(value))
	}
	return l
}
