// Command release makes the files of a release that must be the same bytes on every machine:
//
//	release archive OUT FOLDER       a .tar.gz or .zip of a folder, by OUT's name
//	release stack OUT TERRAFORM      what Resource Manager needs of a Terraform folder
//	release sbom OUT NAME BINARY…    the Go modules in the binaries, in CycloneDX's form
//
// Times are those of SOURCE_DATE_EPOCH, and VERSION is the release's.
package main

import (
	"archive/tar"
	"archive/zip"
	"cmp"
	"compress/gzip"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	seconds, err := strconv.ParseInt(cmp.Or(os.Getenv("SOURCE_DATE_EPOCH"), "0"), 10, 64)
	if err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	switch {
	case len(args) == 3 && args[0] == "archive":
		everything := func(string) bool { return true }
		return archive(args[1], args[2], filepath.Base(args[2]), everything, time.Unix(seconds, 0).UTC())
	case len(args) == 3 && args[0] == "stack":
		return archive(args[1], args[2], "", inStack, time.Unix(seconds, 0).UTC())
	case len(args) > 3 && args[0] == "sbom":
		return sbom(args[1], args[2], os.Getenv("VERSION"), args[3:])
	}
	return errors.New("usage: release archive OUT FOLDER | release stack OUT TERRAFORM | " +
		"release sbom OUT NAME BINARY…")
}

// adder adds a file to an archive.
type adder func(name string, mode fs.FileMode, content []byte) error

// inStack says whether a file of a Terraform folder is part of the configuration: sources, what they read, and how
// Resource Manager asks for the variables. What Terraform leaves there, and what is somebody's own, is not.
func inStack(name string) bool {
	switch {
	case slices.Contains(strings.Split(name, "/"), ".terraform"), strings.HasSuffix(name, "override.tf"):
		return false
	case strings.HasPrefix(name, "modules/") && path.Ext(name) == ".json", name == "schema.yaml":
		return true
	}
	return path.Ext(name) == ".tf"
}

// archive writes those files of a folder that are wanted, in the order of their names, below a name.
func archive(out, folder, below string, wanted func(name string) bool, date time.Time) (err error) {
	f, err := os.Create(out) // #nosec G703 -- what the caller names
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	add, finish := tarTo(f, date)
	if strings.HasSuffix(out, ".zip") {
		add, finish = zipTo(f, date)
	}
	files := os.DirFS(folder)
	err = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !wanted(name) {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		return add(path.Join(below, name), mode(info), content)
	})
	return errors.Join(err, finish())
}

// mode is that of programs or of other files, whatever the umask was.
func mode(info fs.FileInfo) fs.FileMode {
	if info.Mode()&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

func tarTo(w io.Writer, date time.Time) (adder, func() error) {
	compressed := gzip.NewWriter(w)
	to := tar.NewWriter(compressed)
	add := func(name string, mode fs.FileMode, content []byte) error {
		header := &tar.Header{
			Name: name, Mode: int64(mode), Size: int64(len(content)), ModTime: date, Format: tar.FormatUSTAR,
		}
		if err := to.WriteHeader(header); err != nil {
			return err
		}
		_, err := to.Write(content)
		return err
	}
	return add, func() error { return errors.Join(to.Close(), compressed.Close()) }
}

func zipTo(w io.Writer, date time.Time) (adder, func() error) {
	to := zip.NewWriter(w)
	add := func(name string, mode fs.FileMode, content []byte) error {
		header := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: date}
		header.SetMode(mode)
		file, err := to.CreateHeader(header)
		if err != nil {
			return err
		}
		_, err = file.Write(content)
		return err
	}
	return add, to.Close
}

// component is a part of what an inventory lists.
type component struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl"`
}

// sbom lists the modules that any of the binaries has. It has no serial number and no time, which would be others
// each time.
func sbom(out, name, version string, binaries []string) error {
	modules := map[string]component{}
	for _, binary := range binaries {
		info, err := buildinfo.ReadFile(binary)
		if err != nil {
			return fmt.Errorf("%s: %w", binary, err)
		}
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			c := component{"library", m.Path, m.Version, "pkg:golang/" + m.Path + "@" + m.Version}
			modules[c.PURL] = c
		}
		goVersion := strings.TrimPrefix(info.GoVersion, "go")
		modules["std"] = component{"library", "stdlib", goVersion, "pkg:golang/stdlib@" + goVersion}
	}
	list := make([]component, 0, len(modules))
	for _, c := range modules {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b component) int { return cmp.Compare(a.PURL, b.PURL) })
	doc, err := json.MarshalIndent(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
		"metadata": map[string]any{"component": component{
			"application", name, version, "pkg:golang/cemli-executor@" + version,
		}},
		"components": list,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(doc, '\n'), 0o644) // #nosec G306 G703 -- for everyone, where the caller says
}
