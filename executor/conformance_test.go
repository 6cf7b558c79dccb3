package executor_test

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cemli-executor/executor"
	"cemli-executor/internal/evidence"
	"cemli-executor/internal/store"
)

// A run whose steps run apart leaves the same result as one whose steps run here, and the same objects beside it, but
// for where they ran, the sandbox, and times.
func TestARunIsTheSameApart(t *testing.T) {
	for name, runs := range map[string]func(b *bench) []evidence.Result{
		"phases": func(b *bench) []evidence.Result {
			return b.uploaded("a-1.0.0.zip", files{
				"prechecks/p.sh": "echo checking >&2", "steps/1.sh": "echo one; echo '# Title' >$CEMLI_SUMMARY",
				"steps/2.sh": "echo two", "tests/t.sh": "echo tested; env | grep -c CEMLI_",
			})
		},
		"no scripts": func(b *bench) []evidence.Result { return b.uploaded("a-1.0.0.zip", files{"artifacts/x": "x"}) },
		"undo": func(b *bench) []evidence.Result {
			return b.uploaded("a-1.0.0.zip", files{
				"steps/1.sh": "echo one", "steps/2.sh": "echo two; exit 3", "steps/3.sh": "echo three",
				"rollback/1.sh": "echo undone 1", "rollback/2.sh": "echo undone 2; exit 4",
			})
		},
		"a step that may fail, retries": func(b *bench) []evidence.Result {
			return b.uploaded("a-1.0.0.zip", with(
				`"steps":[{"name":"a","run":"steps/1.sh","continue_on_error":true,"retries":1,"retry_delay":"1s"},`+
					`{"name":"b","run":"steps/2.sh"}]`,
				files{"steps/1.sh": "echo tried; exit 3", "steps/2.sh": "echo two"}))
		},
		"rejected": func(b *bench) []evidence.Result {
			return append(b.uploaded("a-1.0.0.zip", files{"steps/1.sh": "#!/no/such/shell\n"}),
				b.uploaded("b-1.0.0.zip", with(`"tools":["no-such-tool"]`, files{"steps/1.sh": "echo 1"}))...)
		},
		"ways to fail": func(b *bench) []evidence.Result {
			return slices.Concat(b.uploaded("a-1.0.0.zip", files{"steps/1.sh": "kill -9 $$"}),
				b.uploaded("b-1.0.0.zip", files{"steps/1.sh": "echo 'exit 0' >steps/2.sh", "steps/2.sh": "exit 1"}),
				b.uploaded("c-1.0.0.zip", files{"steps/1.sh": "echo 'A=1' >$CEMLI_OUTPUT; echo no >&2; exit 9"}))
		},
		"sets": func(b *bench) []evidence.Result {
			return b.uploaded("sets-1.0.0.zip", with(threeSets, files{
				"steps/run.sh": "echo $CEMLI_PARAM_C; [ $CEMLI_PARAM_C != de ]",
			}))
		},
		"secrets": func(b *bench) []evidence.Result {
			b.hides(map[string]string{"db": "tiger-s3cr3t"})
			return b.uploaded("a-1.0.0.zip", with(`"secrets":{"DB":{"vault_secret":"db"}}`, files{
				"steps/1.sh": `echo "it is $DB"; echo "$DB" >$CEMLI_ARTIFACTS/a; echo x >"$CEMLI_ARTIFACTS/$DB"; ` +
					`echo "A=$DB" >>$CEMLI_OUTPUT; echo "# $DB" >$CEMLI_SUMMARY; touch "$DB"`,
				"steps/2.sh": `echo "$CEMLI_OUT_A" | tr a-z A-Z; echo "$CEMLI_OUT_A" >&2`,
			}))
		},
		"masks that come late": func(b *bench) []evidence.Result {
			return b.uploaded("a-1.0.0.zip", files{
				"steps/1.sh": `echo "it is tok-$((4700 + 11))"`,
				"steps/2.sh": `echo "tok-$((4700 + 11))" >>"$CEMLI_MASK"; echo "it is tok-$((4700 + 11))"`,
			})
		},
		"artifacts": func(b *bench) []evidence.Result {
			b.config.Limits.Artifacts, b.config.Limits.ArtifactBytes = 4, 10
			return b.uploaded("a-1.0.0.zip", files{
				"steps/1.sh": `cd $CEMLI_ARTIFACTS; echo 12345 >a; echo 1234567890 >b; ln -s /etc/passwd c; mkfifo d; ` +
					`mkdir f; echo f >f/g; echo z >z`,
			})
		},
		"outputs": func(b *bench) []evidence.Result {
			return b.uploaded("a-1.0.0.zip", files{
				"steps/1.sh": `echo "ROWS=8" >>$CEMLI_OUTPUT; echo "::add-mask::hidden-value"; echo hidden-value`,
				"steps/2.sh": `echo "$CEMLI_OUT_ROWS"; echo "ROWS=9" >>$CEMLI_OUTPUT`,
			})
		},
		"logs that are too long": func(b *bench) []evidence.Result {
			b.config.Limits.LogBytes = 1000
			return b.uploaded("a-1.0.0.zip", files{"steps/1.sh": "for i in {1..1000}; do echo 0123456789; done"})
		},
		"resume, restored artifacts": func(b *bench) []evidence.Result {
			failed := b.uploaded("a-1.0.0.zip", with(`"on_failure":"stop"`, files{
				"steps/1.sh": `echo old >$CEMLI_ARTIFACTS/old; echo "A=1" >>$CEMLI_OUTPUT`,
				"steps/2.sh": `cat $CEMLI_ARTIFACTS/old; echo "$CEMLI_OUT_A"; echo new >$CEMLI_ARTIFACTS/new; exit 2`,
				"steps/3.sh": "echo three", "rollback/1.sh": `cat $CEMLI_ARTIFACTS/old; echo undone`,
			}))
			resumed := b.back(resumeOf, failed[0].RunID, "again")
			return append(failed, resumed, b.back(rollBackOf, resumed.RunID, "back"))
		},
		"timeouts": func(b *bench) []evidence.Result {
			return b.uploaded("a-1.0.0.zip", with(`"timeout":"1s"`, files{
				"steps/1.sh": "echo before; sleep 100", "steps/2.sh": "echo never", "rollback/1.sh": "echo undone",
			}))
		},
		"dry run": func(b *bench) []evidence.Result {
			info := b.upload("a-1.0.0.zip", pack(b.t, files{"prechecks/p.sh": "echo p", "steps/1.sh": "echo one"}),
				store.PutOptions{Metadata: map[string]string{"cemli-action": "dry_run"}})
			results, err := executor.New(b.config).Run(b.t.Context(), event(info.Name, info.ETag))
			if err != nil {
				b.t.Fatal(err)
			}
			return results
		},
		"progress and cancel": func(b *bench) []evidence.Result {
			g := b.begins("a-1.0.0.zip", files{
				"steps/1.sh": "echo one", "rollback/1.sh": "echo undone 1",
				"steps/2.sh": "trap 'echo cleaned up; exit 0' TERM; echo begun; sleep 100 & wait", "steps/3.sh": "echo never",
			})
			b.until("its progress is told", func() bool { return len(b.stateNames("progress/")) == 1 })
			if _, err := b.cancels(g.id); err != nil {
				b.t.Error(err)
			}
			return []evidence.Result{g.ended()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			here, apart := newBench(t), newBench(t)
			here.config.Apart, here.config.Runners = nil, nil
			apart.apart()
			want, got := here.describes(runs(here)), apart.describes(runs(apart))
			for i := range got {
				if where := got[i]["where"]; got[i]["execution"].(map[string]any)["ran"] == true && where != runnerID {
					t.Errorf("it ran at %v", where)
				}
				delete(got[i], "where")
			}
			for i := range want {
				delete(want[i], "where")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("here (-), apart (+):\n%s", diff)
			}
		})
	}
}

// differs are the members of a result that are other ones each time, or where the steps ran.
var differs = []string{
	"apart", "sandbox", "timings", "start", "end", "duration_ms", "cpu_ms", "max_rss_bytes", "etag", "at",
}

// anew are ids of runs, and how long something took.
var anew = regexp.MustCompile(`\d{8}T\d{6}Z-([a-z]+)-[0-9a-f]{12}|\b[0-9a-f]{12}\b|after [0-9.]+m?s`)

// describes returns what is the same of results each time: each with its objects.
func (b *bench) describes(results []evidence.Result) []map[string]any {
	b.t.Helper()
	var all []map[string]any
	for _, r := range results {
		stored := b.stored(r.RunID)
		doc := map[string]any{}
		if err := json.Unmarshal([]byte(b.object(evidence.ResultObject(r.RunID))), &doc); err != nil {
			b.t.Fatal(err)
		}
		objects := map[string]any{}
		for _, o := range stored.Evidence {
			name := strings.TrimPrefix(o.Object, evidence.Dir(r.RunID))
			switch {
			case strings.HasSuffix(name, ".log") || strings.HasPrefix(name, "artifacts/"):
				objects[name] = b.object(o.Object)
			default:
				objects[name] = "there"
			}
		}
		doc = same(doc).(map[string]any)
		if doc["evidence"] = objects; stored.Apart != nil {
			doc["where"] = stored.Apart.ID
		}
		all = append(all, doc)
	}
	return all
}

// same is a part of a document without what differs.
func same(part any) any {
	switch v := part.(type) {
	case map[string]any:
		for key, value := range v {
			if v[key] = same(value); slices.Contains(differs, key) {
				delete(v, key)
			}
		}
	case []any:
		for i := range v {
			v[i] = same(v[i])
		}
	case string:
		return anew.ReplaceAllString(v, "…")
	}
	return part
}
