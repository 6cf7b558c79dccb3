package bundle_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/bundle"
	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
)

func TestHostileZipsAreRefusedForTheirFaultAlone(t *testing.T) {
	t.Parallel()
	all := slices.Concat(hostileNames, hostileEntries, hostileLayouts, hostileEnds, combined)
	if len(all) < 100 {
		t.Fatalf("only %d cases", len(all))
	}
	for _, test := range all {
		t.Run(test.name, func(t *testing.T) {
			_, err := check(test.zip.bytes())
			if err == nil {
				t.Fatal("it was accepted")
			}
			if diff := cmp.Diff(test.want, refusals(t, err)); diff != "" {
				t.Errorf("reasons (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNoZip(t *testing.T) {
	t.Parallel()
	whole := pkg().bytes()
	for name, test := range map[string]struct{ data, want string }{
		"nothing":            {"", "empty"},
		"a byte":             {"P", "not_a_zip"},
		"text":               {strings.Repeat("text", 1000), "not_a_zip"},
		"cut before its end": {string(whole[:len(whole)-22]), "truncated"},
		"cut in its end":     {string(whole[:len(whole)-1]), "truncated"},
		"cut in its data":    {string(whole[:60]), "truncated"},
	} {
		if _, err := check([]byte(test.data)); !slices.Equal(refusals(t, err), []string{test.want}) {
			t.Errorf("%s: %v; want %s", name, err, test.want)
		}
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	f := pkg(item{name: "a/"}, item{name: "a/b", data: strings.Repeat("x", 2<<20)},
		item{name: "c", deflate: true, data: strings.Repeat("y", 2<<20)})
	zip := f.bytes()
	loose := bundle.Limits{Entries: 6, FileBytes: 2 << 20, TotalBytes: 5 << 20, Ratio: 2000}
	for name, test := range map[string]struct {
		change func(l *bundle.Limits)
		want   []string
	}{
		"at the limits": {func(*bundle.Limits) {}, nil},
		"entries":       {func(l *bundle.Limits) { l.Entries = 4 }, []string{"too_many_entries"}},
		"folders":       {func(l *bundle.Limits) { l.Entries = 5 }, []string{"too_many_entries"}},
		"no entries":    {func(l *bundle.Limits) { l.Entries = 0 }, []string{"too_many_entries"}},
		"negative":      {func(l *bundle.Limits) { l.Entries = -1 }, []string{"too_many_entries"}},
		"bytes of a file": {
			func(l *bundle.Limits) { l.FileBytes-- }, []string{"file_too_large a/b", "file_too_large c"},
		},
		"bytes in all": {func(l *bundle.Limits) { l.TotalBytes = 4 << 20 }, []string{"too_large"}},
		"ratio":        {func(l *bundle.Limits) { l.Ratio = 500 }, []string{"ratio c"}},
		"ratio in all": {func(l *bundle.Limits) { l.Ratio = 1 }, []string{"ratio c", "ratio"}},
	} {
		limits := loose
		test.change(&limits)
		_, err := bundle.Check(bytes.NewReader(zip), int64(len(zip)), limits)
		if diff := cmp.Diff(test.want, refusals(t, err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// The directory is bounded before it is read, even if it claims to have few entries.
func TestDirectoryIsBounded(t *testing.T) {
	t.Parallel()
	f := pkg()
	for i := range f.items {
		f.items[i].edit = central(func(f *fields) { f.comment = strings.Repeat("c", 60_000) })
	}
	zip := f.bytes()
	limits := bundle.DefaultLimits()
	limits.Entries = 2
	_, err := bundle.Check(bytes.NewReader(zip), int64(len(zip)), limits)
	if diff := cmp.Diff([]string{"directory_too_large"}, refusals(t, err)); diff != "" {
		t.Error(diff)
	}
}

// Every code in the table occurs in some case, and every hint comes from the table.
func TestRefusalsAreComplete(t *testing.T) {
	t.Parallel()
	given := map[string]bool{}
	for _, test := range slices.Concat(hostileNames, hostileEntries, hostileLayouts, hostileEnds) {
		for _, want := range test.want {
			code, _, _ := strings.Cut(want, " ")
			given["archive."+code] = true
		}
	}
	elsewhere := []string{
		"archive.empty", "archive.not_a_zip", "archive.truncated", "archive.too_many_entries",
		"archive.directory_too_large",
		"archive.crc", "archive.data", "archive.no_space", "archive.more", "archive.package_too_large",
		"archive.ignore",
	}
	for _, code := range elsewhere {
		given[code] = true
	}
	for _, r := range codes.All() {
		if r.Family() == "archive" && !given[r.Code] {
			t.Errorf("%s is never given", r.Code)
		}
		delete(given, r.Code)
	}
	for code := range given {
		t.Errorf("%s is not in the table", code)
	}
}

// A hostile archive can have any number of problems; the list stays short enough for an answer, and says that there
// are more.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	f := pkg()
	for range 3000 {
		f.items = append(f.items, item{name: "../x", mode: 0o120777})
	}
	_, err := check(f.bytes())
	list := refusals(t, err)
	if len(list) != 201 || list[200] != "more" {
		t.Errorf("%d reasons, the last %q", len(list), list[len(list)-1])
	}
	if last := err.(*problem.Error).Problems[200].Message; last != "there are 5800 more problems like these" {
		t.Error(last)
	}
}

// A long or hostile name does not make the answer long or unprintable.
func TestNamesAreShownSafely(t *testing.T) {
	t.Parallel()
	_, err := check(named(strings.Repeat("\x1b[31m", 5000)).bytes())
	for _, p := range err.(*problem.Error).Problems {
		if len(p.Where) > 8<<10 || strings.Contains(p.Where, "\x1b") {
			t.Errorf("%d bytes: %.40q", len(p.Where), p.Where)
		}
	}
}

func TestTopFolderHintIsACommandOnlyForPlainNames(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]string{
		"hello-cemli": "cd hello-cemli && zip -r ../hello-cemli.zip .",
		"a;rm -rf b":  "cd FOLDER && zip -r ../NAME.zip .",
		"-x":          "cd FOLDER && zip -r ../NAME.zip .",
	} {
		_, err := check(inFolder(dir).bytes())
		if hint := err.(*problem.Error).Problems[0].Hint; !strings.Contains(hint, want) {
			t.Errorf("%s: %s", dir, hint)
		}
	}
}

// bomb has many entries that share one kernel of data, as flat zip bombs do: each
// one's data begins with the headers of the next ones, quoted in stored blocks.
func bomb(n int) []byte {
	kernel := deflated(strings.Repeat("\x00", 16<<20))
	f := fixture{items: []item{{name: "manifest.json", data: "{}"}}}
	for i := range n {
		f.items = append(f.items, item{name: fmt.Sprintf("bomb%d", i), packed: " ", edit: both(func(f *fields) {
			f.method, f.size = 8, 16<<20
			f.packed = uint32(len(kernel) + (n-1-i)*40)
		})})
	}
	f.between = kernel
	return f.bytes()
}

// A bomb is not inflated, and finding it takes neither memory nor time.
func TestBombsAreRefusedCheaply(t *testing.T) {
	zip := bomb(3000)
	source := &countingReader{Reader: bytes.NewReader(zip)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := bundle.Check(source, int64(len(zip)), bundle.DefaultLimits())
	runtime.ReadMemStats(&after)
	if !slices.Contains(refusals(t, err), "overlap bomb7") {
		t.Errorf("error %v", err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 16<<20 {
		t.Errorf("it took %d MB of memory", got>>20)
	}
	if most := int64(len(zip)) * 2; source.bytes > most+512<<10 {
		t.Errorf("%d bytes were read of %d", source.bytes, len(zip))
	}
}

// Entries that share one header of maximal length, full of bad extra fields, do not multiply the work.
func TestSharedHeadersAreReadOnce(t *testing.T) {
	t.Parallel()
	long := strings.Repeat(extraField(0x554e, ""), 16_000)
	f := fixture{items: []item{{name: "x", edit: local(func(f *fields) { f.extra = long })}}}
	for i := range 5000 {
		f.items = append(f.items, item{name: fmt.Sprintf("x%d", i), edit: func(l, c *fields) { c.offset = 0 }})
	}
	if _, err := check(f.bytes()); !slices.Contains(refusals(t, err), "overlap x7") {
		t.Errorf("error %v", err)
	}
}

// Folders that are only implied by names take memory and inodes, too.
func TestImpliedFoldersAreBounded(t *testing.T) {
	f := pkg()
	for i := range 9000 {
		f.items = append(f.items, item{name: fmt.Sprintf("%d", i) + strings.Repeat("/"+strings.Repeat("D", 30), 30)})
	}
	zip := f.bytes()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := check(zip)
	runtime.ReadMemStats(&after)
	if diff := cmp.Diff([]string{"too_many_entries"}, refusals(t, err)); diff != "" {
		t.Error(diff)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
		t.Errorf("it took %d MB of memory", got>>20)
	}
}

// countingReader counts reads and bytes.
type countingReader struct {
	*bytes.Reader
	mu           sync.Mutex
	reads, bytes int64
}

func (r *countingReader) ReadAt(p []byte, off int64) (int, error) {
	r.mu.Lock()
	r.reads++
	r.bytes += int64(len(p))
	r.mu.Unlock()
	return r.Reader.ReadAt(p, off)
}

// The source may be remote: a small zip is read at once, a larger one in blocks.
func TestReadsAreFew(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		zip  []byte
		most int64
	}{
		"small":       {pkg().bytes(), 1},
		"large files": {pkg(item{name: "a", data: strings.Repeat("a", 4<<20)}, item{name: "b"}).bytes(), 4},
		"many files":  {many(5000, 1000).bytes(), 26},
	} {
		source := &countingReader{Reader: bytes.NewReader(test.zip)}
		if _, err := bundle.Check(source, int64(len(test.zip)), bundle.DefaultLimits()); err != nil {
			t.Fatal(err)
		}
		if source.reads > test.most {
			t.Errorf("%s, %d bytes: %d reads", name, len(test.zip), source.reads)
		}
	}
}

func many(n, size int) fixture {
	f := pkg()
	for i := range n {
		f.items = append(f.items,
			item{name: fmt.Sprintf("artifacts/%d/file%d", i%50, i), data: strings.Repeat("x", size)})
	}
	return f
}

// An error of the source is neither lost nor reported as a fault of the zip.
func TestSourceErrors(t *testing.T) {
	t.Parallel()
	cause := problem.New(problem.Problem{Code: "store.unavailable", Message: "gone"}, errors.New("reset"))
	zip := many(3000, 1000).bytes()
	for after := range int64(6) {
		source := &failingReader{r: bytes.NewReader(zip), left: after, err: cause}
		_, err := bundle.Check(source, int64(len(zip)), bundle.DefaultLimits())
		if problem.CodeOf(err) != "store.unavailable" {
			t.Errorf("after %d reads: %v", after, err)
		}
	}
	_, err := bundle.Check(bytes.NewReader(zip), int64(len(zip))+1, bundle.DefaultLimits())
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a source that is shorter than said: %v", err)
	}
}

// failingReader fails after some reads.
type failingReader struct {
	r    io.ReaderAt
	mu   sync.Mutex
	left int64
	err  error
}

func (f *failingReader) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left--; f.left < 0 {
		return 0, f.err
	}
	return f.r.ReadAt(p, off)
}
