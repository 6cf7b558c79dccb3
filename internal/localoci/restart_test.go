package localoci_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/internal/localoci"
	"cemli-executor/internal/localoci/localtest"
	"cemli-executor/internal/problem"
)

func reopen(dir string) (*localoci.Server, error) {
	return localoci.Open(localoci.Config{
		Dir: dir, Buckets: localtest.Buckets, Log: slog.New(slog.DiscardHandler),
		Invoke: func(context.Context, localoci.Invocation) (localoci.Answer, error) { return localoci.Answer{}, nil },
	})
}

func TestStateSurvivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := localtest.Open(t, dir, nil)
	p, f := localtest.PersonOf(t, s), localtest.FunctionOf(t, s, time.Now().Add(time.Hour))
	p.Send(t, "POST", s.Endpoint()+"/n/localns/b/packages", `{"objectEventsEnabled":false}`, nil)
	put, _ := p.Send(t, "PUT", localtest.Object(s, "packages", "kept"), "kept", nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = localtest.Open(t, dir, nil)
	defer s.Close()
	resp, doc := p.Send(t, "GET", s.Endpoint()+"/n/localns/b/packages", "", nil)
	if doc["objectEventsEnabled"] != false {
		t.Errorf("the bucket forgot its settings: status %d %v", resp.StatusCode, doc)
	}
	// Credentials from before are still good, both kinds.
	for name, who := range map[string]*localtest.Signer{"person": p, "function": f} {
		resp, text := who.Read(t, "GET", localtest.Object(s, "packages", "kept"), nil)
		if resp.StatusCode != 200 || text != "kept" || resp.Header.Get("Etag") != put.Header.Get("Etag") {
			t.Errorf("%s: status %d, %q", name, resp.StatusCode, text)
		}
	}
}

// Files of writes that were never completed, and of removed versions, do not stay on the disk.
func TestNoFileIsLeftBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := localtest.Open(t, dir, nil)
	p := localtest.PersonOf(t, s)
	p.Send(t, "PUT", localtest.Object(s, "state", "a"), "1", nil)
	p.Send(t, "PUT", localtest.Object(s, "state", "a"), "2", nil)
	p.Send(t, "PUT", localtest.Object(s, "state", "gone"), "x", nil)
	p.Send(t, "DELETE", localtest.Object(s, "state", "gone"), "", nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := localtest.Blobs(t, dir); len(got) != 1 {
		t.Errorf("one object has the files %v", got)
	}
	orphan := filepath.Join(dir, "blobs", "orphan")
	if err := os.WriteFile(orphan, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = localtest.Open(t, dir, nil)
	defer s.Close()
	if got := localtest.Blobs(t, dir); len(got) != 1 || got[0] == "orphan" {
		t.Errorf("after a restart the files are %v", got)
	}
	if _, text := localtest.PersonOf(t, s).Read(t, "GET", localtest.Object(s, "state", "a"), nil); text != "2" {
		t.Errorf("the object is %q", text)
	}
}

// An index that is truncated or overwritten is reported at the start: it neither ends the process nor counts as an
// empty one.
func TestDamagedIndexes(t *testing.T) {
	t.Parallel()
	origin := t.TempDir()
	s := localtest.Open(t, origin, nil)
	p := localtest.PersonOf(t, s)
	for _, name := range []string{"a", "b", "c"} {
		p.Send(t, "PUT", localtest.Object(s, "state", name+strings.Repeat("x", 1000)), name, nil)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(filepath.Join(origin, "index.db"))
	if err != nil {
		t.Fatal(err)
	}
	page := os.Getpagesize()
	damages := map[string][]byte{
		"cut to the headers":      good[:2*page],
		"cut to three pages":      good[:3*page],
		"cut within a page":       good[:3*page+1],
		"headers gone":            append(make([]byte, 2*page), good[2*page:]...),
		"everything but them":     append(bytes.Clone(good[:2*page]), bytes.Repeat([]byte{0xff}, len(good)-2*page)...),
		"everything but them, 0s": append(bytes.Clone(good[:2*page]), make([]byte, len(good)-2*page)...),
	}
	for name, damaged := range damages {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(filepath.Join(dir, "oci"), os.DirFS(filepath.Join(origin, "oci"))); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "index.db"), damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := reopen(dir)
			if err == nil {
				_ = s.Close()
			}
			if problem.CodeOf(err) != "config.local_dir" {
				t.Errorf("error %v; want config.local_dir", err)
			}
		})
	}
}

func TestFoldersThatCannotBe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := reopen(filepath.Join(file, "below")); problem.CodeOf(err) != "config.local_dir" {
		t.Errorf("below a file: %v", err)
	}
	s := localtest.Open(t, dir, nil)
	defer s.Close()
	_, err := reopen(dir)
	if err == nil || !strings.Contains(err.Error(), "another local OCI has the folder open") {
		t.Errorf("a folder in use: %v", err)
	}
}

// The configuration file works from every folder, and only its owner can read the keys.
func TestConfigurationFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	s := localtest.Open(t, "state", nil)
	defer s.Close()
	text, err := os.ReadFile(s.Authority().ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	_, path, found := strings.Cut(string(text), "key_file=")
	if !found || !filepath.IsAbs(strings.TrimSpace(path)) {
		t.Errorf("the configuration has no absolute key_file:\n%s", text)
	}
	modes := map[string]os.FileMode{}
	for _, name := range []string{"config", "user.pem", "issuer.pem"} {
		info, err := os.Stat(filepath.Join(filepath.Dir(s.Authority().ConfigFile()), name))
		if err != nil {
			t.Fatal(err)
		}
		modes[name] = info.Mode().Perm()
	}
	diff := cmp.Diff(map[string]os.FileMode{"config": 0o600, "user.pem": 0o600, "issuer.pem": 0o600}, modes)
	if diff != "" {
		t.Error("modes (-want +got):\n" + diff)
	}
}
