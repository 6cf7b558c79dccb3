package runner

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"cemli-executor/internal/apart"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/redact"
	"cemli-executor/internal/steps"
	"cemli-executor/internal/store"
)

// folder is a mailbox in a bucket.
type folder struct {
	bucket store.Bucket
	prefix string
}

func (f folder) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, create bool,
) (time.Time, error) {
	_, err := f.bucket.Put(ctx, f.prefix+name, body, size, store.PutOptions{IfNoneMatch: create})
	return time.Now().Truncate(time.Second), err
}

func (f folder) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, store.Info, error) {
	return f.bucket.Get(ctx, f.prefix+name, store.GetOptions{Offset: offset, Length: length})
}

// An executor that sends a job, and stays with it, takes what a runner says of it: from the answer, and from the mailbox
// where the answer is lost.
func TestTogetherWithAnExecutor(t *testing.T) {
	for name, call := range map[string]func(d *apart.Desk, serve func(call []byte) ([]byte, error)){
		"called": func(d *apart.Desk, serve func(call []byte) ([]byte, error)) {
			d.Call = func(_ context.Context, _ string, call []byte) ([]byte, error) { return serve(call) }
		},
		"the answer is lost": func(d *apart.Desk, serve func(call []byte) ([]byte, error)) {
			d.Call = func(_ context.Context, _ string, call []byte) ([]byte, error) {
				_, err := serve(call)
				return nil, errors.Join(err, errors.New("the answer is lost"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, map[string]string{
				"1": `echo "one $TOKEN"; cat $CEMLI_ARTIFACTS/old`, "u1": "echo u1",
				"2": `echo new >$CEMLI_ARTIFACTS/new; echo "$TOKEN" >$CEMLI_ARTIFACTS/secret; exit 1`, "u2": "echo u2",
			}, "1", "2")
			b.job.Secrets, b.job.Mask = map[string]string{"TOKEN": secret}, []string{secret}
			b.restore("old", "text of before")
			bucket, err := store.OpenFolder(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			prefix := strings.Repeat("2", 32) + "/"
			b.config.Open = func(string) (Mailbox, error) { return folder{bucket, prefix}, nil }
			r := b.runner()
			d := &apart.Desk{
				Jobs: bucket, EndMailbox: func(context.Context, string) error { return nil },
				NewMailbox: func(context.Context, time.Time) (apart.Mailbox, error) {
					return apart.Mailbox{ID: "m", Prefix: prefix, Address: func() string { return b.job.Mailbox }}, nil
				},
				Clock: func() time.Time { return time.Now().UTC() }, Log: b.config.Log,
			}
			call(d, func(call []byte) ([]byte, error) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				return r.Serve(ctx, call)
			})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			place := d.At(apart.Order{
				Runner: apart.Runner{Kind: "function", ID: "f", Label: "l"}, Attempt: 1, Mask: b.job.Mask,
				Package: apart.Package{
					SHA256: b.job.Package.SHA256, DirHash: b.job.Package.DirHash, Size: b.job.Package.Size,
					Zip: bytes.NewReader(b.zip),
				},
				Masker: redact.New(b.job.Mask), AcceptInit: true,
				Restored: func(evidence.Artifact) (io.ReadSeekCloser, error) {
					return nopCloser{strings.NewReader("text of before")}, nil
				},
			}, d.Prepare(ctx, time.Now().Add(time.Hour)))
			var told []string
			job := steps.FromDocument(b.job)
			outcome, err := place.Run(ctx, job, steps.Journal{
				Begins: func(context.Context, steps.Beginning) error { return nil },
				Ended: func(s evidence.Step, log steps.Log) {
					text, err := io.ReadAll(log.File)
					if err := errors.Join(err, log.Err); err != nil || log.Times.SchemaVersion == 0 {
						t.Errorf("%s: %v, %+v", s.Name, err, log.Times)
					}
					told = append(told, s.Run+": "+string(text))
				},
				Tolerated: func(string, error) {},
			})
			if err == nil || trail(jobs.Outcome{Steps: outcome.Steps, Rollback: outcome.Rollback}) !=
				"1 success, 2 failed, undo success, u2 success, u1 success" {
				t.Fatalf("%v: %+v\n%s", err, outcome, &b.log)
			}
			slices.Sort(told)
			want := []string{"1: one ***\ntext of before", "2: ", "u1: u1\n", "u2: u2\n"}
			if !slices.Equal(told, want) {
				t.Errorf("%q; want %q", told, want)
			}
			var kept []string
			all, err := place.Collect(ctx, job, time.Now().Add(time.Minute),
				func(f io.ReadSeeker, a evidence.Artifact) (evidence.Artifact, error) {
					text, err := io.ReadAll(f)
					kept = append(kept, a.Name+": "+string(text))
					return a, err
				})
			if err != nil || len(all) != 3 || !slices.Equal(kept, []string{"new: new\n"}) {
				t.Errorf("%v, %+v, %q", err, all, kept)
			}
		})
	}
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }
