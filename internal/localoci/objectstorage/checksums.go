package objectstorage

import (
	"crypto/md5" // #nosec G501 -- Content-MD5 is part of the interface
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"hash/crc32"
	"net/http"
	"strings"

	"cemli-executor/internal/localoci/answer"
)

// checksums are the checksums of one body. MD5 is always computed, others if the request names them.
type checksums struct {
	all []checksum
}

type checksum struct {
	name   string // the algorithm's name
	header string // the header for it, in requests and answers
	hash   hash.Hash
}

func newChecksums(header http.Header) *checksums {
	c := &checksums{all: []checksum{{"MD5", "Content-Md5", md5.New()}}} // #nosec G401 -- see the import
	algorithm := strings.ToUpper(header.Get("Opc-Checksum-Algorithm"))
	for name, make := range map[string]func() hash.Hash{
		"CRC32C": func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) }, "SHA256": sha256.New,
		"SHA384": sha512.New384,
	} {
		answered := "Opc-Content-" + name[:1] + strings.ToLower(name[1:])
		if header.Get(answered) != "" || algorithm == name {
			c.all = append(c.all, checksum{name, answered, make()})
		}
	}
	return c
}

// Write takes a part of the body.
func (c *checksums) Write(p []byte) (int, error) {
	for _, sum := range c.all {
		_, _ = sum.hash.Write(p) // hashes do not fail
	}
	return len(p), nil
}

func (s checksum) text() string { return base64.StdEncoding.EncodeToString(s.hash.Sum(nil)) }

func (c *checksums) md5() string { return c.all[0].text() }

// answered are the checksums other than MD5, by header.
func (c *checksums) answered() map[string]string {
	found := map[string]string{}
	for _, sum := range c.all[1:] {
		found[sum.header] = sum.text()
	}
	return found
}

// match compares every checksum that came with the body.
func (c *checksums) match(header http.Header) error {
	for _, sum := range c.all {
		if want := header.Get(sum.header); want != "" && want != sum.text() {
			return answer.New(http.StatusBadRequest, "UnmatchedContent"+sum.name,
				fmt.Sprintf("The computed %s of the request body (%s) does not match the %s header (%s)",
					sum.name, sum.text(), sum.header, want))
		}
	}
	return nil
}
