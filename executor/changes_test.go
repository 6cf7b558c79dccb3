package executor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// A step that rewrites what a later one reads leaves a trace in its own record.
func TestChangedFiles(t *testing.T) {
	lib := func() files {
		return files{
			"lib/check.sh": "exit 1\n", "lib/other.sh": "true\n", "data/a/b.txt": "b\n", "tests/t.sh": ". lib/check.sh",
		}
	}
	for name, c := range map[string]struct {
		script string
		want   []string
	}{
		"nothing":  {`cat lib/*.sh >/dev/null; echo x >"$TMPDIR/x"`, nil},
		"in place": {`echo "exit 0" >lib/check.sh`, []string{"lib/check.sh"}},
		"of the same size": {
			`printf 'exit 0\n' >lib/check.sh; touch -d 2000-01-01 lib/check.sh`, []string{"lib/check.sh"},
		},
		"another in its place": {`echo "exit 0" >x; mv x lib/check.sh`, []string{"lib/check.sh"}},
		"by sed":               {`sed -i s/1/0/ lib/check.sh`, []string{"lib/check.sh"}},
		"by a link":            {`ln -sf /dev/null lib/check.sh`, []string{"lib/check.sh"}},
		"to the same contents": {
			`cp lib/check.sh x; mv x lib/check.sh; touch lib/other.sh; chmod 600 data/a/b.txt; ` +
				`echo "exit 0" >lib/check.sh; echo "exit 1" >lib/check.sh`, nil,
		},
		"new ones": {
			`echo 1 >lib/new.sh; mkdir -p d/e; echo 2 >d/e/f; true >lib/check.sh`,
			[]string{"d/e/f", "lib/check.sh", "lib/new.sh"},
		},
		"removed": {`rm lib/other.sh; true >lib/check.sh`, []string{"lib/check.sh", "lib/other.sh"}},
		"a folder": {
			`mv data moved; true >lib/check.sh`, []string{"data/a/b.txt", "lib/check.sh", "moved/a/b.txt"},
		},
		"a folder by a link": {
			`mv data /"$TMPDIR"/data; ln -s "$TMPDIR/data" data; true >lib/check.sh`,
			[]string{"data", "data/a/b.txt", "lib/check.sh"},
		},
		"a name that is no text": {`true >lib/check.sh; : >"$(printf 'x\377')"`, []string{"lib/check.sh", "x\uFFFD"}},
		"larger than any disk": {
			`true >lib/check.sh; truncate -s 900G lib/other.sh || truncate -s 1G lib/other.sh`,
			[]string{"lib/check.sh", "lib/other.sh"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			contents := lib()
			contents["steps/1.sh"] = c.script
			r := newBench(t).ran(contents)
			if !slices.Equal(r.Steps[0].ChangedFiles, c.want) || r.Steps[0].MoreChanged != 0 ||
				r.Steps[1].ChangedFiles != nil {
				t.Errorf("%v, %d more, then %v; want %v; %s", r.Steps[0].ChangedFiles, r.Steps[0].MoreChanged,
					r.Steps[1].ChangedFiles, c.want, r.Execution.Stderr)
			}
			if passed := r.Status == evidence.StatusSuccess; passed != (c.want != nil) {
				t.Errorf("status %s, %s", r.Status, r.Message)
			}
		})
	}
}

// Each step has what it changed itself, undo steps and those that fail too.
func TestChangedFilesOfEachStep(t *testing.T) {
	r := newBench(t).ran(files{
		"a.txt": "1", "b.txt": "1", "steps/1.sh": "echo 2 >a.txt", "steps/2.sh": "touch a.txt; echo 2 >b.txt; exit 1",
		"rollback/1.sh": "printf 1 >a.txt", "rollback/2.sh": "rm b.txt",
	})
	got := [][]string{
		r.Steps[0].ChangedFiles, r.Steps[1].ChangedFiles, r.Rollback.Steps[0].ChangedFiles,
		r.Rollback.Steps[1].ChangedFiles,
	}
	if fmt.Sprint(got) != "[[a.txt] [b.txt] [b.txt] [a.txt]]" {
		t.Errorf("%v", got)
	}
}

func TestChangedFilesAreBounded(t *testing.T) {
	r := newBench(t).ran(files{
		"steps/1.sh": `for i in $(seq 1300); do : >$i; done`,
		"steps/2.sh": `for i in $(seq 600); do : >"$(printf '%0200d' $i)"; done`,
		"steps/3.sh": `mkdir -p "$(printf 'd/%.0s' $(seq 100))"; echo x >lib`,
	})
	if s := r.Steps[0]; len(s.ChangedFiles) != 1000 || s.MoreChanged != 300 {
		t.Errorf("%d names and %d more", len(s.ChangedFiles), s.MoreChanged)
	}
	if s := r.Steps[1]; len(s.ChangedFiles) == 0 || len(s.ChangedFiles) > 330 ||
		len(s.ChangedFiles)+s.MoreChanged != 600 {
		t.Errorf("%d names and %d more", len(s.ChangedFiles), s.MoreChanged)
	}
	if s := r.Steps[2]; len(s.ChangedFiles)+s.MoreChanged != 2 {
		t.Errorf("%v and %d more", s.ChangedFiles, s.MoreChanged)
	}
}

func TestSecretsInNamesOfChangedFilesAreMasked(t *testing.T) {
	b := newBench(t)
	r := b.asks(with(`"parameters":{"P":{"type":"string","sensitive":true}}`,
		files{"steps/1.sh": `: >"x-$CEMLI_PARAM_P"`}),
		func(q *executor.Request) { q.Parameters = map[string]json.RawMessage{"P": []byte(`"tiger-tiger"`)} })[0]
	if names := r.Steps[0].ChangedFiles; len(names) != 1 || strings.Contains(names[0], "tiger") {
		t.Errorf("%v", names)
	}
}

// Looking at 7,000 files costs little beside a step.
func TestChangedFilesOfALargePackage(t *testing.T) {
	contents := files{"steps/1.sh": "true", "steps/2.sh": "echo x >data/3/77.txt"}
	for n := range 7000 {
		contents[fmt.Sprintf("data/%d/%d.txt", n%70, n)] = "x"
	}
	b := newBench(t)
	start := time.Now()
	r := b.ran(contents)
	if r.Status != evidence.StatusSuccess || !slices.Equal(r.Steps[1].ChangedFiles, []string{"data/3/77.txt"}) ||
		r.Steps[0].ChangedFiles != nil {
		t.Errorf("status %s, %s, %v", r.Status, r.Message, r.Steps[1].ChangedFiles)
	}
	t.Logf("%s in all, of which steps %d ms", time.Since(start).Round(time.Millisecond), r.Timings["execute"])
}

// storedAs notes what objects are stored as.
type storedAs struct {
	store.Bucket
	mu  sync.Mutex
	all map[string]string
}

func (k *storedAs) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, o store.PutOptions,
) (store.Info, error) {
	k.mu.Lock()
	k.all[path.Base(name)] = o.ContentType
	k.mu.Unlock()
	return k.Bucket.Put(ctx, name, body, size, o)
}

// An artifact is stored as something that no browser runs.
func TestArtifactsAreNotActive(t *testing.T) {
	b := newBench(t)
	k := &storedAs{Bucket: b.results, all: map[string]string{}}
	b.config.Results = k
	r := b.ran(files{
		"steps/1.sh": `cd "$CEMLI_ARTIFACTS"; for f in a.html b.svg c.xml d.xhtml e.js f.mjs g.pdf h.txt i.LOG ` +
			`j.json k plain.htm; do echo "<script>" >$f; done`,
	})
	if len(r.Artifacts) != 12 {
		t.Errorf("%+v", r.Artifacts)
	}
	for _, a := range r.Artifacts {
		want := "application/octet-stream"
		if slices.Contains([]string{"h.txt", "i.LOG", "j.json"}, a.Name) {
			want = "text/plain; charset=utf-8"
		}
		if kind := k.all[a.Name]; kind != want {
			t.Errorf("%s is stored as %q", a.Name, kind)
		}
	}
}
