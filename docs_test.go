package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var codeRule = regexp.MustCompile(`(?:archive|manifest|policy|signature|trigger|request|rollback|config|store|sandbox|step|secret|state)\.[a-z0-9_]+`)

// codesIn finds the error codes between quotes, or backquotes, of a text.
func codesIn(text string, quote string) []string {
	var found []string
	for _, part := range strings.Split(text, quote) {
		if codeRule.FindString(part) == part && part != "" && part != "request.permission" && part != "rollback.request" { // a variable of IAM, and a key
			found = append(found, part)
		}
	}
	return found
}

// Every code that the program can give is explained in docs/formats.md, and no other.
func TestEveryErrorCodeIsDocumented(t *testing.T) {
	given := map[string]string{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, code := range codesIn(string(text), `"`) {
			given[code] = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	explained := codesIn(string(text), "`")
	for code, path := range given {
		// The name of the file is no code, though it is one's beginning.
		if !slices.Contains(explained, code) {
			t.Errorf("%s (%s) is not explained in docs/formats.md", code, path)
		}
	}
	for _, code := range explained {
		if given[code] == "" {
			t.Errorf("docs/formats.md explains %s, which nothing gives", code)
		}
	}
	if len(given) < 50 {
		t.Errorf("only %d codes were found", len(given))
	}
}

var linkRule = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)

// Links between the documents and to files lead somewhere.
func TestLinksInDocuments(t *testing.T) {
	var documents []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md", "examples/*/*.md", "terraform/*.md", "terraform/modules/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, found...)
	}
	links := 0
	for _, document := range documents {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range linkRule.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), match[1])); err != nil {
				t.Errorf("%s: the link to %s is broken", document, match[1])
			}
		}
	}
	if links < 10 {
		t.Errorf("only %d links were found", links)
	}
}

var quoted = regexp.MustCompile("(?s)```(?:json|bash)\n(.*?)```")

// The package that the guide takes the reader through is the one in examples.
func TestGuideQuotesItsExample(t *testing.T) {
	guide, err := os.ReadFile("docs/from-runbook-to-package.md")
	if err != nil {
		t.Fatal(err)
	}
	var quotes []string
	for _, match := range quoted.FindAllStringSubmatch(string(guide), -1) {
		quotes = append(quotes, match[1])
	}
	for _, name := range []string{"manifest.json", "prechecks/01-api.sh", "steps/01-load.sh", "rollback/01-load.sh", "tests/01-count.sh"} {
		text, err := os.ReadFile(filepath.Join("examples/ledger-codes", name))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(quotes, string(text)) {
			t.Errorf("docs/from-runbook-to-package.md does not quote %s as it is", name)
		}
	}
}

// The README is what people meet first; it stays short, and its pictures say in words what they show.
func TestReadmeIsShort(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if words := len(strings.Fields(string(text))); words > 600 {
		t.Errorf("the README has %d words; at most 600 are read", words)
	}
	pictures := regexp.MustCompile(`!\[([^\]]+)\]\((docs/images/[^)]+\.svg)\)`).FindAllStringSubmatch(string(text), -1)
	if len(pictures) == 0 {
		t.Error("the README has no picture")
	}
	for _, match := range pictures {
		picture, err := os.ReadFile(match[2])
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(picture), "<title") || !strings.Contains(string(picture), "<desc") || strings.Contains(string(picture), "<script") {
			t.Errorf("%s needs a title and a description, and no script", match[2])
		}
	}
}

var (
	target    = regexp.MustCompile(`(?m)^([a-z-]+):.*$`)
	commented = regexp.MustCompile(`^[a-z-]+:.* ## \S`)
)

// "make help" lists every target: each says what it is for, and none is taken for a file.
func TestEveryTargetSaysWhatItIsFor(t *testing.T) {
	text, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	_, phony, _ := strings.Cut(string(text), ".PHONY: ")
	phony, _, _ = strings.Cut(phony, "\n")
	found := target.FindAllStringSubmatch(string(text), -1)
	for _, match := range found {
		if !commented.MatchString(match[0]) || !slices.Contains(strings.Fields(phony), match[1]) {
			t.Errorf("%q needs a comment after ##, and a place in .PHONY", match[0])
		}
	}
	if len(found) < 20 {
		t.Errorf("only %d targets were found", len(found))
	}
}
