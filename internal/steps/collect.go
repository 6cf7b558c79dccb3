package steps

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/workdir"
	"cemli-executor/manifest"
)

// Keep keeps a file that a script left; the artifact has its name, size and digest. It returns the artifact with the
// place where it is kept, or the reason why it is not. An error ends the collecting.
type Keep func(f io.ReadSeeker, a evidence.Artifact) (evidence.Artifact, error)

// Summary is the beginning of the Markdown that the scripts wrote, masked; "" if there is none.
func (h Here) Summary() string {
	f, _, err := workdir.OpenRegular(h.Dir.Root(), workdir.SummaryFile)
	if err != nil {
		return ""
	}
	defer f.Close()
	// The text is masked before it is cut: a part of a secret would not be recognised.
	var text strings.Builder
	masked := h.Masker.Writer(&text)
	n, err := io.Copy(masked, io.LimitReader(f, 2*jobs.MaxSummary))
	if err != nil {
		return ""
	}
	if n < 2*jobs.MaxSummary {
		_ = masked.Close() // otherwise what is held back may be the beginning of a secret
	}
	return strings.ToValidUTF8(text.String()[:min(text.Len(), jobs.MaxSummary)], "\uFFFD")
}

// Collect passes to keep the files that scripts left: those in the artifacts folder, and those of the package's
// folder that the job names. It reads only regular files, and none through a link, and starts none after the time
// until. It lists what was kept and what was not; the error is keep's.
func (h Here) Collect(ctx context.Context, job Job, until time.Time, keep Keep) ([]evidence.Artifact, error) {
	places := []string{workdir.Artifacts}
	if job.Keep != nil {
		places = append(places, workdir.Package)
	}
	c := &collector{
		here: h, job: job, ctx: ctx, until: until, keep: keep,
		left: job.Limits.ArtifactBytes, taken: map[string]bool{}, names: newKeptNames(h.Dir.Root(), places...),
		restored: map[string]evidence.Artifact{},
	}
	for _, a := range job.Restored {
		c.restored[a.Name] = a
	}
	for _, place := range places {
		if err := c.folder(place); err != nil {
			return c.found, err
		}
	}
	return c.found, nil
}

// collector collects files of several folders within the limits of one run.
type collector struct {
	here     Here
	job      Job
	ctx      context.Context
	until    time.Time
	keep     Keep
	found    []evidence.Artifact
	left     int64                        // bytes that may still be kept
	seen     int                          // files and folders
	taken    map[string]bool              // original names of the files kept so far
	names    *keptNames                   // the names under which files are kept
	restored map[string]evidence.Artifact // by name
}

// folder collects the wanted files below a folder.
func (c *collector) folder(place string) error {
	files, err := c.here.Dir.Root().OpenRoot(place)
	if err != nil {
		// A script may have removed or replaced the folder; then nothing in it is kept.
		gone := evidence.Artifact{Name: ".", Withheld: "the folder " + place + " is gone or no folder"}
		c.found = append(c.found, gone)
		return nil
	}
	defer files.Close()
	return fs.WalkDir(files.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		c.seen++
		over, dir := c.over(name), err == nil && entry.IsDir()
		switch {
		case over != "":
			c.found = append(c.found, evidence.Artifact{Name: printable(name), Withheld: over})
			if strings.Count(name, "/") >= workdir.MaxDepth && dir {
				return fs.SkipDir
			}
			return fs.SkipAll
		case dir || place == workdir.Package && !manifest.Keeps(c.job.Keep, name):
			return nil
		}
		return c.file(files, name)
	})
}

// over says why this file and all later ones are not read; "" if they are.
func (c *collector) over(name string) string {
	switch limit := c.job.Limits.Artifacts; {
	case c.ctx.Err() != nil || time.Now().After(c.until):
		return "no time was left; this one and all after it are not kept"
	case len(c.found) >= limit:
		return fmt.Sprintf("more than %d files; this one and all after it are not kept", limit)
	case c.seen > 10*limit+1000:
		return "too many files and folders; this one and all after it are not kept"
	case strings.Count(name, "/") >= workdir.MaxDepth:
		return fmt.Sprintf("it is more than %d folders deep", workdir.MaxDepth)
	}
	return ""
}

// file collects one file, or lists why it is not kept.
func (c *collector) file(files *os.Root, name string) error {
	as, withheld := c.as(name)
	a := evidence.Artifact{Name: printable(name), Withheld: withheld}
	if withheld == "" {
		var err error
		if a, err = c.contents(files, name, as); err != nil {
			return err
		}
	}
	c.left -= a.Size
	c.found = append(c.found, a)
	return nil
}

// as is the name under which a file is kept: its own, with secrets masked; or the reason why it is not kept.
func (c *collector) as(name string) (as, withheld string) {
	if c.taken[name] {
		return "", "another file of this name was kept"
	}
	c.taken[name] = true
	if shown := c.here.Masker.String(name); shown != name {
		return c.names.giveShown(shown), ""
	}
	if !c.names.give(name) {
		return "", "a file that was kept has the name of its folder, or is in a folder of its name"
	}
	return name, ""
}

// contents keeps a file under a name, or lists why it is not kept.
func (c *collector) contents(files *os.Root, name, as string) (evidence.Artifact, error) {
	a := evidence.Artifact{Name: as}
	withheld := func(why string) (evidence.Artifact, error) {
		return evidence.Artifact{Name: printable(as), Withheld: why}, nil
	}
	f, info, err := workdir.OpenRegular(files, name)
	if err != nil {
		return withheld(err.Error())
	}
	defer f.Close()
	if info.Size() > c.left {
		all := c.job.Limits.ArtifactBytes
		return withheld(fmt.Sprintf("%d bytes are more than is left of the run's %d", info.Size(), all))
	}
	a.Size = info.Size()
	if a.SHA256, err = workdir.Digest(f, a.Size); err != nil {
		return withheld("it could not be read")
	}
	if before, ok := c.restored[name]; ok && before.SHA256 == a.SHA256 {
		before.Name = as
		return before, nil // the earlier run's evidence has it
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return withheld("it could not be read")
	}
	if found, err := c.here.Masker.Found(f); found || err != nil {
		return withheld("it has a secret in it")
	}
	a, err = c.keep(f, a)
	if a.Withheld != "" {
		return withheld(a.Withheld)
	}
	return a, err
}
