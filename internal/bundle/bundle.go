// Package bundle is the zip of a package: what may be in it, how it is read, and how
// it is written.
//
// Check reads the directory and refuses the whole archive with every reason: names
// that are not clean relative UTF-8 paths, that occur twice (also when only case or
// Unicode form differs), or that are both file and folder; links, devices and other
// special files; encryption and methods other than store and deflate; more entries,
// bytes or compression than the limits allow. All limits are known before the first
// byte is written and are enforced again while writing.
//
// Extract writes regular files through an os.Root with fixed modes and times, and
// computes every file's SHA-256 and the dirhash (golang.org/x/mod/sumdb/dirhash,
// Hash1) in the same pass. Entries below .cemli/ are reserved: they are neither
// extracted nor hashed. Folders that no file is in do not count.
package bundle

import (
	"archive/zip"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"cemli-executor/internal/problem"
)

// Reserved is the folder of a package that scripts never see.
const Reserved = ".cemli/"

// Limits bound what an archive may hold.
type Limits struct {
	Entries    int   // files and folders
	FileBytes  int64 // of one file, uncompressed
	TotalBytes int64 // of all files, uncompressed
	Ratio      int64 // uncompressed to compressed, of each file over 1 MB and of all
}

// DefaultLimits admit what an ordinary package can be.
func DefaultLimits() Limits {
	return Limits{Entries: 10_000, FileBytes: 1 << 30, TotalBytes: 1 << 30, Ratio: 200}
}

// ratioFloor is the size up to which a file may be compressed however well.
const ratioFloor = 1 << 20

// Archive is an archive that was checked. Only Check makes one.
type Archive struct {
	files   []*zip.File // to extract, in byte order of names
	folders int         // that those files need
	limits  Limits
}

// File describes a file of an archive.
type File struct {
	Name string
	Size int64 // uncompressed, as the directory says
}

// Footprint is what the contents take when they are extracted.
type Footprint struct {
	Bytes  int64 // files rounded up to blocks of 4,096
	Inodes int64 // files and folders
}

// Check reads the directory of an archive of size bytes. The error is a
// *problem.Error with every reason to refuse it.
func Check(r io.ReaderAt, size int64, limits Limits) (*Archive, error) {
	if size == 0 {
		return nil, refuse("archive.empty", "", "the package is an empty file", "make the zip again and check the upload")
	}
	reader, err := zip.NewReader(r, size)
	if err != nil {
		if problem.CodeOf(err) != "" {
			return nil, err // of the source, not of the archive
		}
		return nil, problem.New(problem.Problem{
			Code: "archive.not_a_zip", Message: "the package is not a zip, or it is cut off", Hint: "make the zip again and check the upload",
		}, err)
	}
	c := checker{limits: limits, names: map[string]string{}}
	c.check(reader.File)
	if err := problem.Join(c.problems); err != nil {
		return nil, err
	}
	slices.SortFunc(c.files, func(a, b *zip.File) int { return strings.Compare(a.Name, b.Name) })
	return &Archive{files: c.files, folders: countFolders(c.files), limits: limits}, nil
}

func refuse(code, where, message, hint string) error {
	return problem.New(problem.Problem{Code: code, Where: where, Message: message, Hint: hint}, nil)
}

// Files lists the files that Extract writes, in byte order of their names.
func (a *Archive) Files() []File {
	files := make([]File, len(a.files))
	for i, f := range a.files {
		files[i] = File{Name: f.Name, Size: int64(f.UncompressedSize64)} //nolint:gosec // bounded by the limits
	}
	return files
}

// Footprint returns what Extract will need of the file system.
func (a *Archive) Footprint() Footprint {
	const block = 4096
	need := Footprint{Inodes: int64(len(a.files) + a.folders), Bytes: int64(a.folders) * block}
	for _, f := range a.Files() {
		need.Bytes += (f.Size + block - 1) / block * block
	}
	return need
}

// Stat describes the file of that name; false if there is none.
func (a *Archive) Stat(name string) (File, bool) {
	f := a.find(name)
	if f == nil {
		return File{}, false
	}
	return File{Name: f.Name, Size: int64(f.UncompressedSize64)}, true //nolint:gosec // bounded by the limits
}

func (a *Archive) find(name string) *zip.File {
	i, ok := slices.BinarySearchFunc(a.files, name, func(f *zip.File, name string) int { return strings.Compare(f.Name, name) })
	if !ok {
		return nil
	}
	return a.files[i]
}

// ReadFile returns the contents of one file of at most limit bytes.
func (a *Archive) ReadFile(name string, limit int64) ([]byte, error) {
	f := a.find(name)
	if f == nil {
		return nil, fmt.Errorf("read %s: %w", name, fs.ErrNotExist)
	}
	if f.UncompressedSize64 > uint64(limit) { //nolint:gosec // limits are positive
		return nil, refuse("archive.file_too_large", shown(name), fmt.Sprintf("the file has %d bytes; at most %d are allowed", f.UncompressedSize64, limit), "make it smaller")
	}
	r, err := f.Open()
	if err != nil {
		return nil, corrupt(name, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, corrupt(name, err)
	}
	if uint64(len(data)) != f.UncompressedSize64 {
		return nil, corrupt(name, io.ErrUnexpectedEOF)
	}
	return data, nil
}

// corrupt says that an entry's data is not what its headers promise, unless the
// archive could not be read at all.
func corrupt(name string, err error) error {
	if problem.CodeOf(err) != "" {
		return err
	}
	return problem.New(problem.Problem{
		Code: "archive.corrupt", Where: shown(name), Message: "the data does not match its size or checksum", Hint: "make the zip again and check the upload",
	}, err)
}

// countFolders counts the distinct folders above the files.
func countFolders(files []*zip.File) int {
	seen := map[string]bool{}
	for _, f := range files {
		for dir := parent(f.Name); dir != "" && !seen[dir]; dir = parent(dir) {
			seen[dir] = true
		}
	}
	return len(seen)
}

// parent is the folder of a name without its slash, "" at the root.
func parent(name string) string {
	return name[:max(0, strings.LastIndexByte(name, '/'))]
}
