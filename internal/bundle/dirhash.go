package bundle

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"
)

// hash1 is dirhash.Hash1 of files with known digests, in byte order of names.
func hash1(files []FileDigest) string {
	sum := sha256.New()
	for _, f := range files {
		fmt.Fprintf(sum, "%s  %s\n", f.SHA256, f.Name)
	}
	return "h1:" + base64.StdEncoding.EncodeToString(sum.Sum(nil))
}

// DirHash is the dirhash of a folder's files outside Reserved, the same as that of every zip of them. It refuses what
// Create refuses.
func DirHash(folder fs.FS) (string, error) {
	entries, err := list(folder)
	if err != nil {
		return "", err
	}
	var names []string
	for _, e := range entries {
		if !strings.HasPrefix(e.name, Reserved) {
			names = append(names, e.name)
		}
	}
	return dirhash.Hash1(names, func(name string) (io.ReadCloser, error) { return folder.Open(name) })
}
