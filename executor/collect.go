package executor

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// maxSummary bounds the Markdown that scripts may add to the result.
const maxSummary = 64 << 10

// collect keeps what the scripts left to be kept: the summary, the files in the artifacts folder,
// and those of the package's folder that the manifest names as outputs. Only regular files are
// read, and none through a link.
func (r *run) collect(ctx context.Context) error {
	if r.dir == nil || !r.started {
		return nil
	}
	r.result.Summary = r.readSummary()
	places := []string{"artifacts"}
	if r.keeps != nil {
		places = append(places, "package")
	}
	keeper := &keeper{run: r, ctx: ctx, left: r.Limits.ArtifactBytes, taken: map[string]bool{}, names: newKeptNames(r.dir.root, places...)}
	end, _ := ctx.Deadline() // forEvidence has set it
	keeper.end = time.Now().Add(time.Until(end) * 2 / 3)
	if err := keeper.folder("artifacts", func(string) bool { return true }); err != nil || r.keeps == nil {
		return err
	}
	return keeper.folder("package", r.keeps)
}

// keeper keeps files of several folders within the limits of one run.
type keeper struct {
	run   *run
	ctx   context.Context
	left  int64
	seen  int             // files and folders
	end   time.Time       // of looking: the result itself needs time, too
	taken map[string]bool // names of files as they are
	names *keptNames      // and as they are kept
}

// folder keeps the files below a folder that are wanted. An error means that the store failed.
func (k *keeper) folder(name string, wanted func(name string) bool) error {
	result := &k.run.result
	files, err := k.run.dir.root.OpenRoot(name)
	if err != nil {
		// A script may have removed or replaced the folder: then nothing is kept.
		result.Artifacts = append(result.Artifacts, evidence.Artifact{Name: ".", Withheld: "the folder " + name + " is gone or no folder"})
		return nil
	}
	defer files.Close()
	return fs.WalkDir(files.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		k.seen++
		over := k.over(name)
		switch dir := err == nil && entry.IsDir(); {
		case over != "":
			result.Artifacts = append(result.Artifacts, evidence.Artifact{Name: printableName(name), Withheld: over})
			if strings.Count(name, "/") >= maxDepth && dir {
				return fs.SkipDir
			}
			return fs.SkipAll
		case dir || !wanted(name):
			return nil
		}
		as, withheld := k.as(name)
		artifact := evidence.Artifact{Name: printableName(name), Withheld: withheld}
		if withheld == "" {
			if artifact, err = k.run.keepArtifact(k.ctx, files, name, as, k.left); err != nil {
				return err
			}
		}
		k.left -= artifact.Size
		result.Artifacts = append(result.Artifacts, artifact)
		return nil
	})
}

// maxDepth is how deep folders of artifacts may be, as in a package.
const maxDepth = 32

// over says why this and what follows is not looked at; "" if it is.
func (k *keeper) over(name string) string {
	switch limit := k.run.Limits.Artifacts; {
	case k.ctx.Err() != nil || time.Now().After(k.end):
		return "no time was left; this one and all after it are not kept"
	case len(k.run.result.Artifacts) >= limit:
		return fmt.Sprintf("more than %d files; this one and all after it are not kept", limit)
	case k.seen > 10*limit+1000:
		return "too many files and folders; this one and all after it are not kept"
	case strings.Count(name, "/") >= maxDepth:
		return fmt.Sprintf("it is more than %d folders deep", maxDepth)
	}
	return ""
}

func printableName(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

// as is the name that a file is kept as: its own, without the secrets in it. Or why it is not kept.
func (k *keeper) as(name string) (as, withheld string) {
	if k.taken[name] {
		return "", "another file of this name was kept"
	}
	k.taken[name] = true
	if shown := k.run.masker.String(name); shown != name {
		return k.names.giveShown(shown), ""
	}
	if !k.names.give(name) {
		return "", "a file that was kept has the name of its folder, or is in a folder of its name"
	}
	return name, ""
}

// keepArtifact stores one file under a name, or says why not. An error means that the store failed.
func (r *run) keepArtifact(ctx context.Context, files *os.Root, name, as string, left int64) (evidence.Artifact, error) {
	withheld := func(why string) (evidence.Artifact, error) {
		return evidence.Artifact{Name: printableName(as), Withheld: why}, nil
	}
	object := "artifacts/" + as
	if err := store.CheckName(evidence.Dir(r.runID()) + object); err != nil {
		return withheld("its name cannot be an object's: " + err.Error())
	}
	f, info, err := openRegular(files, name)
	if err != nil {
		return withheld(err.Error())
	}
	defer f.Close()
	if info.Size() > left {
		return withheld(fmt.Sprintf("%d bytes are more than is left of the run's %d", info.Size(), r.Limits.ArtifactBytes))
	}
	sum := sha256.New()
	if n, err := io.Copy(sum, io.LimitReader(f, info.Size())); err != nil || n != info.Size() {
		return withheld("it could not be read")
	}
	if before, ok := r.restored[name]; ok && before.SHA256 == hexSum(sum) {
		before.Name = as
		return before, nil // the earlier run's evidence has it
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return withheld("it could not be read")
	}
	if found, err := r.masker.Found(f); found || err != nil {
		return withheld("it has a secret in it")
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return withheld("it could not be read")
	}
	kept := evidence.Artifact{Name: as, Size: info.Size(), SHA256: hexSum(sum), Object: object}
	err = r.persist(ctx, func(ctx context.Context) error { return r.putArtifact(ctx, f, kept) })
	switch {
	case errors.Is(err, store.ErrName):
		return withheld("its name cannot be an object's")
	case errors.Is(err, store.ErrExists):
		return withheld("another object has its name")
	}
	return kept, err
}

// putArtifact stores one file. One that an earlier try has stored is found there.
func (r *run) putArtifact(ctx context.Context, f *os.File, a evidence.Artifact) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("read %s: %w", a.Name, err)
	}
	err := r.put(ctx, a.Object, f, a.Size, contentType(a.Name))
	if errors.Is(err, store.ErrExists) {
		there, readErr := r.described(ctx, evidence.Dir(r.runID())+a.Object)
		switch {
		case readErr == nil && there.SHA256 == a.SHA256:
			r.list(there)
			return nil
		case retryable(readErr):
			return readErr // it may be this one
		}
	}
	return err
}

// texts are the extensions of files that a browser may show: as text, whatever is in them.
var texts = []string{".conf", ".csv", ".diff", ".err", ".json", ".log", ".lst", ".md", ".out", ".patch", ".sql", ".tsv", ".txt", ".yaml", ".yml"}

// contentType is what an artifact is stored as: never something that runs when somebody opens it.
func contentType(name string) string {
	if slices.Contains(texts, strings.ToLower(path.Ext(name))) {
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

var errNotRegular = errors.New("not a regular file")

// openRegular opens a regular file without following a link and without waiting for
// the other end of a pipe.
func openRegular(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	before, err := root.Lstat(name)
	if err != nil {
		return nil, nil, errors.New("it could not be read")
	}
	if !before.Mode().IsRegular() {
		return nil, nil, errNotRegular
	}
	f, err := root.OpenFile(name, os.O_RDONLY|withoutWaiting, 0)
	if err != nil {
		return nil, nil, errors.New("it could not be read")
	}
	after, err := f.Stat()
	if err != nil || !os.SameFile(before, after) {
		_ = f.Close()
		return nil, nil, errNotRegular
	}
	return f, after, nil
}

// readSummary returns the beginning of the scripts' Markdown; "" where there is none.
func (r *run) readSummary() string {
	f, _, err := openRegular(r.dir.root, summaryFile)
	if err != nil {
		return ""
	}
	defer f.Close()
	// Masked before it is cut: a part of a secret is not recognised any more.
	var text strings.Builder
	masked := r.masker.Writer(&text)
	n, err := io.Copy(masked, io.LimitReader(f, 2*maxSummary))
	if err != nil {
		return ""
	}
	if n < 2*maxSummary {
		_ = masked.Close() // otherwise what is held back may be the beginning of a secret
	}
	return strings.ToValidUTF8(text.String()[:min(text.Len(), maxSummary)], "\uFFFD")
}
