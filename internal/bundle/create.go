package bundle

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"cemli-executor/internal/problem"
)

// Created describes an archive that was written.
type Created struct {
	Size    int64
	SHA256  string
	DirHash string
	Entries int
}

// Create packs all regular files of a folder: the same files give the same bytes,
// whatever their modes and times. It refuses what Check refuses.
func Create(w io.Writer, files fs.FS) (Created, error) {
	names, err := packable(files)
	if err != nil {
		return Created{}, err
	}
	sum, lines := sha256.New(), sha256.New()
	counted := &counter{w: io.MultiWriter(w, sum)}
	archive := zip.NewWriter(counted)
	made := Created{Entries: len(names)}
	for _, name := range names {
		digest, err := addFile(archive, files, name)
		if err != nil {
			return Created{}, fmt.Errorf("pack %s: %w", name, err)
		}
		if !strings.HasPrefix(name, Reserved) {
			fmt.Fprintf(lines, "%s  %s\n", digest, name)
		}
	}
	if err := archive.Close(); err != nil {
		return Created{}, fmt.Errorf("write zip: %w", err)
	}
	made.Size, made.SHA256, made.DirHash = counted.n, hex.EncodeToString(sum.Sum(nil)), hash1(lines)
	return made, nil
}

// packable lists the files to pack, in byte order, or every reason against them.
func packable(files fs.FS) ([]string, error) {
	c := checker{limits: DefaultLimits(), names: map[string]string{}}
	var names []string
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if why := badName(name); why != "" {
			c.add("archive.name", name, why, "rename the file")
			return nil
		}
		switch {
		case entry.Type()&fs.ModeSymlink != 0:
			c.add("archive.link", name, "it is a link", "put the file itself there")
		case entry.IsDir():
			return nil
		case !entry.Type().IsRegular():
			c.add("archive.special_file", name, "it is neither a file nor a folder", "leave it out")
		default:
			c.unique(name, false)
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read folder: %w", err)
	}
	slices.Sort(names)
	return names, problem.Join(c.problems)
}

// addFile writes one entry without a time and with a fixed mode.
func addFile(archive *zip.Writer, files fs.FS, name string) (string, error) {
	in, err := files.Open(name)
	if err != nil {
		return "", err
	}
	defer in.Close()
	header := &zip.FileHeader{Name: name, Method: zip.Deflate}
	header.SetMode(0o644)
	out, err := archive.CreateHeader(header)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, sum), in); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
