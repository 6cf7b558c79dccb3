package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/confinement"
	"cemli-executor/internal/download"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
	"cemli-executor/internal/workdir"
)

// place is a job whose place is made.
type place struct{ *work }

// prepare makes the place where the steps run, with all that they find there. An error says why nothing is begun.
func (w place) prepare() (steps.Here, steps.Job, error) {
	none, job := steps.Here{}, steps.FromDocument(w.job)
	if err := w.inTime(); err != nil {
		return none, job, err
	}
	if w.runner.Level.Reaches(job.Level) {
		job.Level = w.runner.Level
	}
	if err := w.confinable(job); err != nil {
		return none, job, err
	}
	if err := w.tellable(); err != nil {
		return none, job, err
	}
	ctx, cancel := context.WithDeadline(w.base, w.stop)
	defer cancel()
	files, err := w.unpack(ctx, job)
	if err != nil {
		return none, job, err
	}
	here := steps.Here{
		Dir: w.dir, Files: files, Masker: w.masker, Limits: w.runner.Scripts, Keeper: w.runner.Keeper,
		Spawn: w.runner.Spawn,
	}
	if err := here.Check(job); err != nil {
		return none, job, err
	}
	for _, a := range job.Restored {
		if err := w.restore(ctx, a); err != nil {
			return none, job, err
		}
	}
	return here, job, w.dir.Give()
}

// confinable refuses a job for which scripts cannot be confined as it demands.
func (w place) confinable(job steps.Job) error {
	if err := confinement.Available(job.Level); err != nil {
		return err
	}
	if err := confinement.ForNetwork(job.Level, job.Network); err != nil {
		return err
	}
	if len(job.Secrets) == 0 || w.job.AcceptInit {
		return nil
	}
	return confinement.ForSecretsApart(confinement.Planned(job.Level, job.Network))
}

// recordBytes is what the record of a step that has run has more than one of a step that has not, at its shortest.
const recordBytes = 900

// tellable refuses a job whose outcome would be larger than one can be.
func (w place) tellable() error {
	trial, records := w.nothing(), 0
	for _, s := range w.job.Plan {
		record := evidence.Step{Name: s.Name, Phase: s.Phase, Run: s.Run, SHA256: s.SHA256, Status: evidence.StepNotRun}
		trial.Steps, records = append(trial.Steps, record), records+1
		if s.Undoable() {
			record.Run = s.Rollback
			trial.Steps, records = append(trial.Steps, record), records+1
		}
	}
	doc, err := trial.Encode()
	if err == nil && len(doc)+records*recordBytes <= jobs.MaxOutcome {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "runner.job", Where: "/plan",
		Message: fmt.Sprintf("what comes of %d scripts could not be told in %d bytes", records, jobs.MaxOutcome),
		Hint:    "split the package",
	}, err)
}

// unpack makes the job's folder, with the package's files.
func (w place) unpack(ctx context.Context, job steps.Job) (map[string]steps.File, error) {
	zip, err := w.archive(ctx)
	if err != nil {
		return nil, err
	}
	archive, err := bundle.Check(zip, w.job.Package.Size, w.runner.Archive)
	if err != nil {
		return nil, err
	}
	user, _ := sandbox.User(job.Level)
	if w.dir, err = workdir.Make(w.runner.WorkDir, user); err != nil {
		return nil, err
	}
	if err := w.dir.Fits(w.space(archive)); err != nil {
		return nil, err
	}
	extracted, err := archive.Extract(ctx, w.dir.Contents())
	if err != nil {
		return nil, err
	}
	if extracted.DirHash != w.job.Package.DirHash {
		return nil, other("package", fmt.Errorf("its contents are %s", extracted.DirHash))
	}
	files := make(map[string]steps.File, len(extracted.Files))
	for _, f := range extracted.Files {
		files[f.Name] = steps.File{Size: f.Size, SHA256: f.SHA256}
	}
	if w.zip = nil; w.job.Package.Size > 4<<20 {
		debug.FreeOSMemory() // the scripts need it
	}
	return files, nil
}

// space is what the package and the restored artifacts take.
func (w place) space(archive *bundle.Archive) workdir.Space {
	need := archive.Footprint()
	for _, r := range w.job.Restore {
		need.Bytes, need.Inodes = need.Bytes+r.Size, need.Inodes+1
	}
	return workdir.Space{Bytes: need.Bytes, Inodes: need.Inodes}
}

// archive is the package: from the call, which was checked, or from the mailbox.
func (w place) archive(ctx context.Context) (io.ReaderAt, error) {
	want := w.job.Package
	switch {
	case want.Size > w.runner.PackageBytes:
		most := w.runner.PackageBytes
		return nil, other("package", fmt.Errorf("it has %d bytes; at most %d are read", want.Size, most))
	case w.zip != nil:
		return bytes.NewReader(w.zip), nil
	}
	known := func(info store.Info) error {
		if info.Size != want.Size {
			return other("package", fmt.Errorf("it has %d bytes", info.Size))
		}
		return nil
	}
	zip, _, err := download.Open(ctx, shelf{mailbox: w.box}, jobs.MailPackage, store.GetOptions{}, known)
	switch {
	case err != nil:
		return nil, err
	case zip.SHA256() != want.SHA256:
		return nil, other("package", errors.New("its digest is another"))
	}
	return zip, nil
}

// shelf is a mailbox as what a package can be downloaded from. It has no conditions: each part is compared with what it
// was the first time.
type shelf struct {
	store.Bucket
	mailbox Mailbox
}

func (s shelf) Name() string { return "mailbox" }

func (s shelf) Get(ctx context.Context, name string, o store.GetOptions) (io.ReadCloser, store.Info, error) {
	return s.mailbox.Get(ctx, name, o.Offset, o.Length)
}

// other is the error for something in the mailbox that is not what the job names.
func other(what string, cause error) error {
	return problem.New(problem.Problem{
		Code: "runner.package", Where: what,
		Message: "the " + what + " is not what the job names: " + cause.Error() + "; nothing was executed",
		Hint:    "see who else may write to the jobs bucket",
	}, cause)
}

// restore puts an artifact of an earlier run where its scripts had left it.
func (w place) restore(ctx context.Context, a evidence.Artifact) error {
	what := "artifact " + a.Name
	if most := w.job.Limits.ArtifactBytes; a.Size > most {
		return other(what, fmt.Errorf("it has %d bytes; at most %d are restored", a.Size, most))
	}
	body, info, err := w.box.Get(ctx, a.Object, 0, 0)
	if err != nil {
		return err
	}
	defer body.Close()
	if info.Size != a.Size {
		return other(what, fmt.Errorf("it has %d bytes", info.Size))
	}
	f, err := w.dir.NewArtifact(a.Name)
	if err != nil {
		return other(what, withoutPath(err))
	}
	sum, err := workdir.Digest(io.TeeReader(body, f), a.Size)
	if err := errors.Join(err, f.Close()); err != nil {
		return other(what, withoutPath(err))
	}
	if sum != a.SHA256 {
		return other(what, errors.New("its digest is another"))
	}
	return nil
}

// withoutPath is an error of a file without the path, which tells where this program works.
func withoutPath(err error) error {
	var of *os.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}
