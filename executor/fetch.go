package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/bundle"
	"cemli-executor/internal/download"
	"cemli-executor/internal/goback"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/results"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
	"cemli-executor/internal/workdir"
	"cemli-executor/manifest"
)

// fetch downloads the package: the version that was asked for, or, once it is settled which bytes the
// request is of, exactly those, from wherever they still are.
func (r *found) fetch(ctx context.Context) (*download.Object, error) {
	if r.request.OnEvent && r.request.ETag == "" { // another delivery of it may have begun
		if err := r.begunBefore(ctx); err != nil {
			return nil, err
		}
	}
	if r.request.Pinned == "" {
		s, err := r.fetchNewest(ctx)
		if !isGone(err) || r.request.ETag == "" {
			return s, r.absent(err)
		}
		if err := r.begunBefore(ctx); err != nil {
			return nil, err
		}
		if r.request.Pinned == "" {
			return nil, r.staleNow(ctx)
		}
	}
	return r.fetchPinned(ctx)
}

// isGone reports whether a version of an object is no longer there.
func isGone(err error) bool {
	return errors.Is(err, store.ErrChanged) || errors.Is(err, store.ErrNotFound)
}

// fetchNewest downloads what the request names, and pins its version.
func (r *found) fetchNewest(ctx context.Context) (*download.Object, error) {
	opts := store.GetOptions{IfMatch: r.request.ETag}
	if r.request.VersionNamed {
		opts.VersionID = r.request.VersionID
	}
	s, _, err := download.Open(ctx, r.exec.Packages, r.request.Object, opts, func(info store.Info) error {
		r.request.ETag, r.request.VersionID, r.created = info.ETag, info.VersionID, r.request.CreatedAt(info.Created)
		r.request.Created = r.created
		return r.learn(info)
	})
	if err != nil {
		return nil, err
	}
	r.result.Package.SHA256 = s.SHA256()
	return s, nil
}

// learn takes what the object's description says, and refuses what it alone forbids.
func (r *found) learn(info store.Info) error {
	if err := r.request.ReadMetadata(info.Metadata); err != nil {
		return err
	}
	r.result.Reason, r.result.Reference, r.result.ParameterSet = r.request.Reason, r.request.Reference, r.request.ParameterSet
	if r.request.Action != "" {
		r.result.Action = string(r.request.Action)
	}
	r.result.Package.Size, r.result.Package.ETag = info.Size, info.ETag
	r.result.Package.VersionID = info.VersionID
	if err := admission.WithinLimit(r.request.Object, info.Size, r.limits.PackageBytes); err != nil {
		return err
	}
	return r.request.Consistent()
}

// absent says of a package that the policy's triggers name that it is not there.
func (r *asked) absent(err error) error {
	if !r.request.OnEvent || !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return problem.New(problem.Problem{
		Code: "trigger.absent", Where: r.request.Object, Message: "nothing ran: the policy's triggers name a package that is not in the packages bucket",
		Hint: "upload it, or correct the policy; then send a request by hand for what this event was to do",
	}, err)
}

// form is the occurrence of a request that its form may not ask for: under a key of its own, its
// refusal says nothing of the same upload in another form.
const form = "refused form"

// formOnly gives a request whose form may not ask for its action a key of its own.
func (r *report) formOnly(policy *manifest.Policy) {
	q := &r.request
	if policy != nil && q.Occurrence(r.result.Start) == "" && !policy.Allows(intake.PolicyKind(q.Trigger.Kind), r.result.Action) {
		q.Slot = intake.Occasion(form, intake.PolicyKind(q.Trigger.Kind))
	}
}

// place is where the bytes of a package may be.
type place struct {
	bucket store.Bucket
	name   string
	opts   store.GetOptions
}

// fetchPinned downloads the bytes that the request is of: from the packages bucket if they are there
// with that digest, else from the copy that was kept.
func (r *found) fetchPinned(ctx context.Context) (*download.Object, error) {
	q := r.request
	if r.back != nil && r.back.NamesVersion {
		return r.fetchNamed(ctx)
	}
	for i, at := range []place{
		{r.exec.Packages, q.Object, store.GetOptions{IfMatch: q.ETag, VersionID: q.VersionID}},
		{r.exec.Packages, q.Object, store.GetOptions{}}, // which may be anything by now
		{r.exec.Results, results.KeptPackage(q.Pinned), store.GetOptions{}},
	} {
		s, err := r.fetchFrom(ctx, at)
		if isGone(err) || i == 1 && problem.CodeOf(err) == "archive.package_too_large" || err == nil && s.SHA256() != q.Pinned {
			continue
		}
		return s, err
	}
	return nil, problem.New(problem.Problem{
		Code: "request.gone", Where: q.Object, Message: "the package with the SHA-256 " + q.Pinned + " is neither in the packages bucket any more nor among the copies that were kept",
		Hint: "upload those bytes again under that name; what is applied is kept unless CEMLI_KEEP_PACKAGES is false or it has sensitive defaults" + goback.Anew,
	}, nil)
}

// fetchFrom downloads what is in a place, without learning anything from its metadata.
func (r *found) fetchFrom(ctx context.Context, at place) (*download.Object, error) {
	s, info, err := download.Open(ctx, at.bucket, at.name, at.opts, func(info store.Info) error {
		return admission.WithinLimit(at.name, info.Size, r.limits.PackageBytes)
	})
	if err != nil {
		return nil, err
	}
	if r.request.Pinned != s.SHA256() {
		return s, nil // it says nothing of the package
	}
	if r.request.Created.IsZero() { // else it is of the upload, even where its bytes come from elsewhere by now
		r.request.Created = info.Created
	}
	r.created = r.request.Created
	r.result.Package.Size, r.result.Package.SHA256 = info.Size, s.SHA256()
	r.result.Reason, r.result.Reference = r.request.Reason, r.request.Reference
	return s, nil
}

// fetchNamed downloads the version that a request which goes back names besides the run: it has to be of
// the same bytes.
func (r *found) fetchNamed(ctx context.Context) (*download.Object, error) {
	s, err := r.fetchFrom(ctx, place{r.exec.Packages, r.request.Object, r.back.Named})
	switch {
	case isGone(err):
		return nil, r.staleNow(ctx)
	case err == nil && s.SHA256() != r.request.Pinned:
		return nil, problem.New(problem.Problem{
			Code: "request.differs", Where: "/etag", Message: fmt.Sprintf("the version that is named has the SHA-256 %s, and the run %s had %s", s.SHA256(), r.back.Previous.RunID, r.request.Pinned),
			Hint: "leave etag and version_id out, or name the run of that version; contents that were changed are a new upload" + goback.Anew,
		}, nil)
	}
	return s, err
}

// open reads the archive's directory, and refuses the archive whole or admits that it may be extracted.
func (r *found) open(zip io.ReaderAt, size int64) (*bundle.Archive, error) {
	archive, err := admission.Open(r.request.Object, zip, size, r.limits)
	if err != nil {
		return nil, err
	}
	r.result.Package.Entries = len(archive.Files())
	return archive, nil
}

// read reads the manifest, and with it the package's name and version.
func (r *found) read(archive *bundle.Archive) (*manifest.Manifest, error) {
	m, err := admission.ReadManifest(archive)
	if err != nil {
		return nil, err
	}
	r.undoable = r.mayUndo(m, archive)
	r.hides = hiding.Of(r.request.Parameters, m)
	r.name = m.Name
	r.result.Package.Name, r.result.Package.Version, r.result.Package.Type = m.Name, m.Version, m.Type
	r.result.Manifest = m.Raw
	r.result.Parameters = r.hides.Asked(r.request.Parameters)
	return m, problem.Join(r.hides.TooMuch())
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

// current refuses an upload that is not what is under its name any more when its request is about to
// begin. Once it has begun, and for what goes back or names an old version, the bytes are settled; but an
// attempt or a set of it that comes after a later upload's does not take that one's place.
func (r *found) current(ctx context.Context) error {
	q := r.request
	if q.VersionNamed {
		return nil // it was asked for whatever has come since
	}
	if latest := r.history.Latest(q.ParameterSet); q.Pinned != "" && q.PreviousRun() == "" && latest != nil && latest.Object == q.Object && latest.Uploaded.After(r.created) {
		return r.stale("run "+latest.RunID+" has begun with a later upload of it", nil)
	}
	if q.Pinned != "" || q.Trigger.Kind == TriggerCLI {
		return nil
	}
	return r.stillThere(ctx)
}

// staleNow says of an object that changed after the trigger what is there now.
func (r *asked) staleNow(ctx context.Context) error {
	if err := r.stillThere(ctx); err != nil {
		return err
	}
	return r.stale("the version that was asked for is gone", nil)
}

// stillThere refuses an object whose newest version is not the one that the request is of.
func (r *asked) stillThere(ctx context.Context) error {
	info, err := r.exec.Packages.Head(ctx, r.request.Object)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return r.stale("it has been deleted", err)
	case err != nil:
		return err
	case info.ETag != r.request.ETag:
		return r.stale(fmt.Sprintf("it has been replaced, by an upload of %s with the ETag %s", info.Created.UTC().Format(time.RFC3339), info.ETag), nil)
	}
	return nil
}

func (r *asked) stale(why string, cause error) error {
	return problem.New(problem.Problem{
		Code: "trigger.stale", Where: r.request.Object, Message: "nothing ran: the object is no longer what was to be run; " + why,
		Hint: "what is there now has an event of its own; to run an earlier version, name its version_id in a request by hand",
	}, cause)
}
