package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"cemli-executor/internal/codes"

	"github.com/google/go-cmp/cmp"
)

// codeRule is the form of an error code: a family's name, and a word.
var codeRule = regexp.MustCompile(
	`^(archive|manifest|policy|signature|trigger|request|rollback|runner|target|config|store|sandbox|step|secret|state|audit)\.[a-z0-9_]+$`)

// The table has exactly the codes that the program uses.
func TestEveryErrorCodeIsInTheTable(t *testing.T) {
	t.Parallel()
	given := map[string]string{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		if filepath.Dir(path) == filepath.FromSlash("internal/codes") {
			given[codes.Internal] = path
			return nil
		}
		return codesIn(path, given)
	})
	if err != nil {
		t.Fatal(err)
	}
	for code, path := range given {
		if !codes.Known(code) {
			t.Errorf("%s (%s) is not in the table of internal/codes", code, path)
		}
	}
	for _, m := range codes.All() {
		if given[m.Code] == "" {
			t.Errorf("the table has %s, which nothing gives", m.Code)
		}
	}
}

// codesIn adds the codes among the texts of a Go file.
func codesIn(path string, given map[string]string) error {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			// A file's name looks alike, and is none.
			text, err := strconv.Unquote(literal.Value)
			if err == nil && codeRule.MatchString(text) && !notCodes[text] {
				given[text] = path
			}
		}
		return true
	})
	return nil
}

// notCodes look like codes: a variable of a policy statement, and a key of a request.
var notCodes = map[string]bool{"request.permission": true, "rollback.request": true}

// documents are all pages in Markdown, by their paths.
func documents(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || path != "." && strings.HasPrefix(entry.Name(), ".")) {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		pages[filepath.ToSlash(path)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

var (
	linkRule  = regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`)
	headings  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	unslugged = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	fences    = regexp.MustCompile("(?ms)^```.*?^```")
)

// anchors are the anchors of a page's headings, as GitHub makes them.
func anchors(page string) []string {
	var all []string
	for _, match := range headings.FindAllStringSubmatch(fences.ReplaceAllString(page, ""), -1) {
		slug := strings.ReplaceAll(unslugged.ReplaceAllString(strings.ToLower(match[1]), ""), " ", "-")
		for n, first := 1, slug; slices.Contains(all, slug); n++ {
			slug = first + "-" + strconv.Itoa(n)
		}
		all = append(all, slug)
	}
	return all
}

// brokenLinks lists the links of a page that lead to no file, or to no heading of a file.
func brokenLinks(pages map[string]string, document string) (broken []string, links int) {
	for _, match := range linkRule.FindAllStringSubmatch(fences.ReplaceAllString(pages[document], ""), -1) {
		if strings.Contains(match[1], ":") {
			continue
		}
		links++
		target := document
		if match[1] != "" {
			target = path.Join(path.Dir(document), match[1])
		}
		_, err := os.Stat(filepath.FromSlash(target))
		page, isPage := pages[target]
		anchor := strings.TrimPrefix(match[2], "#")
		if err != nil && !isPage || anchor != "" && (!isPage || !slices.Contains(anchors(page), anchor)) {
			broken = append(broken, match[1]+match[2])
		}
	}
	return broken, links
}

// Links between the documents and to files lead somewhere, also those to a heading.
func TestLinksInDocuments(t *testing.T) {
	t.Parallel()
	pages, links := documents(t), 0
	for document := range pages {
		broken, n := brokenLinks(pages, document)
		links += n
		for _, link := range broken {
			t.Errorf("%s: the link to %s is broken", document, link)
		}
	}
	if links < 100 {
		t.Errorf("only %d links were found", links)
	}
}

// Every page is linked from the index for its reader, except those that GitHub shows by itself.
func TestTheIndexNamesEveryDocument(t *testing.T) {
	t.Parallel()
	pages := documents(t)
	for document := range pages {
		dir, name := path.Split(document)
		if !strings.HasPrefix(dir, "docs/") || document == "docs/README.md" || dir == "docs/decisions/" {
			continue
		}
		if link := strings.TrimPrefix(dir+name, "docs/"); !strings.Contains(pages["docs/README.md"], "("+link+")") {
			t.Errorf("docs/README.md does not name %s", link)
		}
	}
}

// The check of links finds a page, a file and a heading that do not exist.
func TestBrokenLinksAreFound(t *testing.T) {
	t.Parallel()
	pages := map[string]string{
		"docs/a.md": "# A\n[1](b.md#the-second-one-1) [2](#a) [3](b.md#none) [4](c.md) [5](../go.mod) [6](#none) " +
			"[7](../go.mod#x)\n```\n# no heading [8](x.md)\n```\n",
		"docs/b.md": "## The second `one`\n## The second, one\n",
	}
	broken, _ := brokenLinks(pages, "docs/a.md")
	if diff := cmp.Diff([]string{"b.md#none", "c.md", "#none", "../go.mod#x"}, broken); diff != "" {
		t.Errorf("broken links (-want +got):\n%s", diff)
	}
}

// The glossary stays short enough to be read.
func TestGlossary(t *testing.T) {
	t.Parallel()
	words := regexp.MustCompile(`(?m)^\| \*\*[^|]+\*\* \| [^|]{10,200} \|$`).FindAllString(
		documents(t)["docs/glossary.md"], -1)
	if len(words) < 10 || len(words) > 20 {
		t.Errorf("the glossary has %d words; at most 20 are learnt", len(words))
	}
}

var quoted = regexp.MustCompile("(?s)```(?:json|bash)\n(.*?)```")

// The package that the guide takes the reader through is the one in examples.
func TestGuideQuotesItsExample(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("docs/authors/from-runbook-to-package.md")
	if err != nil {
		t.Fatal(err)
	}
	var quotes []string
	for _, match := range quoted.FindAllStringSubmatch(string(guide), -1) {
		quotes = append(quotes, match[1])
	}
	for _, name := range []string{
		"manifest.json", "prechecks/01-api.sh", "steps/01-load.sh", "rollback/01-load.sh", "tests/01-count.sh",
	} {
		text, err := os.ReadFile(filepath.Join("examples/ledger-codes", name))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(quotes, string(text)) {
			t.Errorf("docs/authors/from-runbook-to-package.md does not quote %s as it is", name)
		}
	}
}

// The README is what people read first: it stays short, and its pictures have texts that say what they show.
func TestReadmeIsShort(t *testing.T) {
	t.Parallel()
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
		if !strings.Contains(string(picture), "<title") || !strings.Contains(string(picture), "<desc") ||
			strings.Contains(string(picture), "<script") {
			t.Errorf("%s needs a title and a description, and no script", match[2])
		}
	}
}

var (
	target    = regexp.MustCompile(`(?m)^([a-z-]+):.*$`)
	commented = regexp.MustCompile(`^[a-z-]+:.* ## \S`)
)

// "make help" lists every target: each says what it is for, and none is mistaken for a file.
func TestEveryTargetSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
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

// A script of the command line's tests sends every request that the documents tell people to send to a local OCI.
func TestDocumentedCallsAreTested(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile("cmd/cemli/testdata/local_credentials.txtar")
	if err != nil {
		t.Fatal(err)
	}
	tested := strings.ReplaceAll(string(script), "curl -sf ", "curl ")
	calls := regexp.MustCompile(`(?m)^ *((?:curl|eval|jq|ENDPOINT=|cemli local credentials) ?.*[^|\s])`)
	seen := 0
	for _, document := range []string{"docs/platform/fn-server.md", "docs/platform/local-oci.md"} {
		text, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range calls.FindAllStringSubmatch(string(text), -1) {
			seen++
			if call := strings.TrimSuffix(match[1], `)"`); !strings.Contains(tested, call) {
				t.Errorf("%s: nothing tests %s", document, call)
			}
		}
	}
	if seen != 9 {
		t.Errorf("%d calls were found; want 9", seen)
	}
}
