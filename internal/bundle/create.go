package bundle

import (
	"archive/zip"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/klauspost/compress/flate"
)

// Created describes a written archive.
type Created struct {
	Size    int64  // bytes
	SHA256  string // of the zip, hexadecimal
	DirHash string // of what is outside Reserved, "h1:…"
	Entries int
}

// level is the compression level. With another one, or with another version of the deflate implementation than go.mod
// fixes, the same folder gives other bytes.
const level = 6

// Create packs every file of a folder; folders get no entries of their own. The same names and contents give the same
// bytes, regardless of modes, owners, times and the machine.
//
// It refuses what Check would refuse under DefaultLimits, with the same codes, and mostly before the first byte is
// written. After an error w may have part of a zip.
func Create(w io.Writer, folder fs.FS) (Created, error) {
	entries, err := list(folder)
	if err != nil {
		return Created{}, err
	}
	p := newPacker(w)
	for i := range entries {
		if err := p.add(folder, &entries[i]); err != nil {
			return Created{}, fmt.Errorf("pack %s: %w", printable(entries[i].name), err)
		}
	}
	return p.finish(entries)
}

// list names the files of a folder in byte order, or says why they cannot be packed.
func list(folder fs.FS) ([]entry, error) {
	c := newChecker(DefaultLimits())
	if err := fs.WalkDir(folder, ".", c.walk); err != nil {
		return nil, fmt.Errorf("read folder: %w", err)
	}
	if len(c.entries) == 0 && len(c.problems) == 0 {
		c.add("archive.empty", "", "the folder has no files")
	}
	c.totals()
	c.topFolder()
	slices.SortFunc(c.entries, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	return c.entries, c.refused()
}

// walk checks one file or folder of the folder.
func (c *checker) walk(name string, found fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case name == ".":
		return nil
	case found.IsDir() && !c.name(name+"/"):
		return fs.SkipDir // it cannot be opened, and everything in it has the same problem
	case found.IsDir():
		return nil
	case c.crowded():
		return fs.SkipAll
	}
	if c.name(name) {
		c.unique(name)
	}
	return c.found(name, found)
}

// found adds a file, or refuses what is neither a file nor a folder.
func (c *checker) found(name string, found fs.DirEntry) error {
	switch {
	case found.Type()&fs.ModeSymlink != 0:
		c.add("archive.link", name, "it is a symbolic link")
		return nil
	case !found.Type().IsRegular():
		c.add("archive.special_file", name, "it is a device, FIFO, socket or other special file")
		return nil
	}
	info, err := found.Info()
	if err != nil {
		return err
	}
	size := uint64(max(0, info.Size())) // not negative
	e := entry{name: name, size: size, packed: size}
	c.sizes(e)
	c.entries = append(c.entries, e)
	return nil
}

// packer writes a zip.
type packer struct {
	zip     *zip.Writer
	size    counter
	digest  func() string
	headers []*zip.FileHeader
	digests []FileDigest
	buf     []byte
}

func newPacker(w io.Writer) *packer {
	sum := sha256.New()
	p := &packer{digest: func() string { return hex.EncodeToString(sum.Sum(nil)) }, buf: make([]byte, 64<<10)}
	p.zip = zip.NewWriter(io.MultiWriter(w, sum, &p.size))
	var deflate *flate.Writer // reused for one file after the other
	p.zip.RegisterCompressor(zip.Deflate, func(to io.Writer) (io.WriteCloser, error) {
		if deflate == nil {
			var err error
			deflate, err = flate.NewWriter(to, level)
			return deflate, err
		}
		deflate.Reset(to)
		return deflate, nil
	})
	return p
}

var errChanged = errors.New("the file changed while it was packed")

// add writes one file with a fixed mode and time.
func (p *packer) add(folder fs.FS, e *entry) error {
	in, err := folder.Open(e.name)
	if err != nil {
		return err
	}
	defer in.Close()
	header := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
	//lint:ignore SA1019 the field that is not deprecated would add an extra field
	header.ModifiedDate = uint16(
		(fixedTime.Year()-1980)<<9 | int(fixedTime.Month())<<5 | fixedTime.Day()) // #nosec G115 -- fixed
	header.SetMode(fileMode)
	out, err := p.zip.CreateHeader(header)
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(out, sum), io.LimitReader(in, e.file().Size+1), p.buf)
	if err == nil && n != e.file().Size {
		err = errChanged
	}
	if err != nil {
		return err
	}
	p.headers = append(p.headers, header)
	p.digests = append(p.digests, FileDigest{Name: e.name, Size: n, SHA256: hex.EncodeToString(sum.Sum(nil))})
	return nil
}

// finish writes the directory and describes the zip, or refuses what only shows when everything is compressed.
func (p *packer) finish(entries []entry) (Created, error) {
	if err := p.zip.Close(); err != nil {
		return Created{}, fmt.Errorf("write zip: %w", err)
	}
	c := newChecker(DefaultLimits())
	for i, e := range entries {
		e.packed = p.headers[i].CompressedSize64
		c.entries = append(c.entries, e)
		c.sizes(e)
	}
	c.totals()
	if err := c.refused(); err != nil {
		return Created{}, err
	}
	covered := slices.DeleteFunc(p.digests, func(f FileDigest) bool { return strings.HasPrefix(f.Name, Reserved) })
	return Created{Size: int64(p.size), SHA256: p.digest(), DirHash: hash1(covered), Entries: len(entries)}, nil
}

// counter counts what is written.
type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}
