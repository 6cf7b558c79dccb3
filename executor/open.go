package executor

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/workdir"
	"cemli-executor/manifest"
)

// open reads the archive's directory and refuses the archive whole, or admits that
// it may be extracted: well formed, within the limits, and small enough for what is
// free in the work folder.
func (r *found) open(zip io.ReaderAt, size int64) (*bundle.Archive, error) {
	if err := withinLimit(r.request.Object, size, r.limits.PackageBytes); err != nil {
		return nil, err
	}
	archive, err := bundle.Check(zip, size, r.limits.Archive)
	if err != nil {
		return nil, err
	}
	r.result.Package.Entries = len(archive.Files())
	return archive, nil
}

// read reads the manifest, and with it the package's name and version.
func (r *found) read(archive *bundle.Archive) (*manifest.Manifest, error) {
	m, err := readManifest(archive)
	if err != nil {
		return nil, err
	}
	r.guard(m)
	r.undoable = r.mayUndo(m, archive)
	r.name = m.Name
	r.result.Package.Name, r.result.Package.Version, r.result.Package.Type = m.Name, m.Version, m.Type
	r.result.Manifest = m.Raw
	r.result.Parameters = r.askedParameters(m)
	return m, problem.Join(tooMuch(r.hidden))
}

// mayUndo reports whether the run may have undo scripts to run, as far as the manifest and the files' names tell.
func (r *decided) mayUndo(m *manifest.Manifest, archive *bundle.Archive) bool {
	named := slices.ContainsFunc(m.StepList, func(s manifest.StepSpec) bool { return s.Rollback != "" })
	found := slices.ContainsFunc(archive.Files(), func(f bundle.File) bool { return strings.HasPrefix(f.Name, "rollback/") })
	return (named || found) && (r.result.Action == string(ActionRollback) || m.OnFailure != manifest.OnFailureStop)
}

// extract writes the files into the run's own directory.
func (r *found) extract(ctx context.Context, archive *bundle.Archive) (bundle.Extracted, error) {
	user, _ := sandbox.User(r.level)
	dir, err := workdir.Make(r.exec.WorkDir, user)
	if err != nil {
		return bundle.Extracted{}, err
	}
	r.dir = dir
	if err := fits(dir.Path(""), archive.Footprint()); err != nil {
		return bundle.Extracted{}, err
	}
	extracted, err := r.unpack(ctx, archive, dir.Contents())
	if err != nil {
		return bundle.Extracted{}, err
	}
	if err := dir.Give(); err != nil {
		return bundle.Extracted{}, err
	}
	if r.result.Package.Size > 4<<20 {
		// What the download held is garbage now; the scripts need the memory.
		debug.FreeOSMemory()
	}
	return extracted, nil
}

// unpack writes the files into root.
func (r *found) unpack(ctx context.Context, archive *bundle.Archive, root *os.Root) (bundle.Extracted, error) {
	extracted, err := archive.Extract(ctx, root)
	if err != nil {
		return bundle.Extracted{}, err
	}
	r.result.Package.DirHash = extracted.DirHash
	r.files = make(map[string]steps.File, len(extracted.Files))
	for _, f := range extracted.Files {
		r.files[f.Name] = steps.File{Size: f.Size, SHA256: f.SHA256}
	}
	return extracted, nil
}

// spare is what must stay free beside the contents: logs until they are stored,
// artifacts, and what the scripts themselves write.
const (
	spareBytes  = 8 << 20
	spareInodes = 64
)

// fits says, before anything is written, whether the contents fit what is free.
func fits(dir string, need bundle.Footprint) error {
	free, ok, err := workdir.Free(dir)
	if err != nil {
		return fmt.Errorf("measure free space: %w", err)
	}
	if !ok || free.Bytes >= need.Bytes+spareBytes && free.Inodes >= need.Inodes+spareInodes {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "archive.no_space",
		Message: fmt.Sprintf("the contents need %d MB and %d files beside %d MB and %d files for the run; %d MB and %d files are free",
			mega(need.Bytes), need.Inodes, mega(spareBytes), spareInodes, free.Bytes>>20, free.Inodes),
		Hint: "give the function more memory, a quarter of which is its /tmp, or take large files out of the package",
	}, nil)
}

// mega rounds bytes up to MB, so that a need is never understated.
func mega(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }

// cleanUp removes the run's directory; what cannot be removed is logged and will be
// tried again by the next run.
func (r *found) cleanUp() {
	r.stored.Close()
	if r.dir == nil {
		return
	}
	if err := r.dir.Remove(); err != nil {
		r.log.Error("cannot remove the run's directory", "error", err.Error())
	}
}
