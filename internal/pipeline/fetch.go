package pipeline

import (
	"context"
	"io"
	"os"
	"runtime/debug"

	"cemli-executor/internal/admission"
	"cemli-executor/internal/bundle"
	"cemli-executor/internal/download"
	"cemli-executor/internal/fetch"
	"cemli-executor/internal/hiding"
	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/workdir"
	"cemli-executor/manifest"
)

// fetcher returns what finds the run's package.
func (r *earlier) fetcher() fetch.Fetcher {
	return fetch.Fetcher{
		Packages: r.exec.Packages, Results: r.exec.Results, Book: r.exec.Book,
		Limit: r.limits.PackageBytes, At: r.result.Start, Back: r.back,
	}
}

// fetch downloads the package: the version that the request names or, once the request has begun, exactly the bytes
// that it began with, from wherever they still are.
func (r *found) fetch(ctx context.Context) (*download.Object, error) {
	zip, found, err := r.fetcher().Fetch(ctx, r.request)
	r.learn(found)
	r.result.Package.Size, r.result.Package.SHA256 = found.Size, found.SHA256
	return zip, err
}

// learn takes over what is known of the request's object.
func (r *found) learn(found fetch.Found) {
	r.request, r.created = found.Request, found.Created
	if !found.Learned {
		return
	}
	q := r.request
	r.result.Reason, r.result.Reference, r.result.ParameterSet = q.Reason, q.Reference, q.ParameterSet
	r.result.Package.ETag, r.result.Package.VersionID = q.ETag, q.VersionID
	if q.Action != "" {
		r.result.Action = string(q.Action)
	}
}

// open reads the archive's directory, and refuses the archive unless all of it may be extracted.
func (r *found) open(zip io.ReaderAt, size int64) (*bundle.Archive, error) {
	archive, err := admission.Open(r.request.Object, zip, size, r.limits)
	if err != nil {
		return nil, err
	}
	r.result.Package.Entries = len(archive.Files())
	return archive, nil
}

// reads the manifest, and takes the package's name and version from it.
func (r *found) read(archive *bundle.Archive) (*manifest.Manifest, error) {
	m, err := admission.ReadManifest(archive)
	if err != nil {
		return nil, err
	}
	r.undoable = admission.MayUndo(m, archive, r.result.Action)
	r.hides = hiding.Of(r.request.Parameters, m)
	r.name = m.Name
	r.result.Package.Name, r.result.Package.Version, r.result.Package.Type = m.Name, m.Version, m.Type
	r.result.Manifest = m.Raw
	r.result.Parameters = r.hides.Asked(r.request.Parameters)
	return m, problem.Join(r.hides.TooMuch())
}

// extract writes the files into the run's own directory.
func (r *found) extract(ctx context.Context, archive *bundle.Archive) (bundle.Extracted, error) {
	user, _ := sandbox.User(r.level)
	dir, err := workdir.Make(r.exec.WorkDir, user)
	if err != nil {
		return bundle.Extracted{}, err
	}
	r.dir = dir
	need := archive.Footprint()
	if err := dir.Fits(workdir.Space{Bytes: need.Bytes, Inodes: need.Inodes}); err != nil {
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
		// The download's buffers are garbage now, and the scripts need the memory.
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

// keepPolicy begins to store a copy of the policy, if there is one.
func (r *found) keepPolicy(ctx context.Context) {
	if r.policy != nil && r.exec.KeepPackages {
		r.copies.Policy(ctx, r.policy)
	}
}

// keepPackage begins to store a copy of the package if it is going to be applied and may be kept: authors can read the
// copies, so a package with sensitive defaults is not kept.
func (r *found) keepPackage(ctx context.Context, zip *download.Object, m *manifest.Manifest) {
	if !r.exec.KeepPackages || r.result.Action != string(intake.ActionApply) || len(m.SensitiveValues()) > 0 {
		return
	}
	r.kept = true
	r.copies.Package(ctx, zip, zip.Size(), zip.SHA256(), func() {
		if zip.Size() > 4<<20 {
			debug.FreeOSMemory() // of the download, for the scripts
		}
	})
}
