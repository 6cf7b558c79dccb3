package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// minimal is a manifest with more members.
func minimal(members string) string {
	return `{"name":"p","version":"1.0.0","type":"extension"` + members + `}`
}

// mistakes are what people in a hurry type, with a package "ok", one with parameter sets "sets", a zip "ok.zip", and p,
// whose manifest is the case's. A part of what they read is want; it ends with the cure. never is what would mislead.
var mistakes = []struct {
	call, manifest string
	code           int
	want, never    string
}{
	// init
	{call: "init", code: 2, want: "one NAME is needed"},
	{call: "init My_Change", code: 3, want: "hint: call it my_change"},
	{call: "init ERP'Fix", code: 3, want: "hint: call it erp-fix"},
	{call: "init .", code: 3, want: "hint: name a folder that does not exist yet; init makes it"},
	{call: "init ok", code: 2, want: "hint: there is something of that name; choose another"},
	{call: "init new/deep/p", code: 2, want: "hint: make the folder new/deep first", never: "a name that is free"},
	{call: "init a b", code: 2, want: "unexpected argument b"},
	{call: "init x --type Configuration", code: 3, want: "did you mean configuration?"},
	{call: "init x --template SQL", code: 2, want: "did you mean sql?"},
	{call: "init x --template soap", code: 2, want: "there are localization, plain, rest, sql"},
	// pack
	{call: "pack", code: 2, want: "one DIR is needed: a package folder", never: "zip"},
	{call: "pack ok ok2", code: 2, want: "unexpected argument ok2"},
	{
		call: "pack ok/manifest.json", code: 2,
		want: "ok/manifest.json: it is a file of the package ok\nhint: name that folder", never: "invalid argument",
	},
	{
		call: "pack ok.zip", code: 2, want: "ok.zip: it is a file, and no folder\nhint: DIR is a package folder",
		never: "no such folder",
	},
	{call: "pack none", code: 2, want: "none: there is no such folder"},
	{call: "pack ok -o out.zip", code: 2, want: "hint: use -o text or -o json; the zip's name goes after -O"},
	{call: "pack ok -O none/out.zip", code: 2, want: "none: there is no such folder", never: ".cemli-pack"},
	{call: "pack ok -O ok", code: 2, want: "cannot be written to"},
	{call: "pack .", code: 2, want: "hint: name one of these: ok, p, sets, silent"},
	// validate
	{call: "validate", code: 2, want: "one PATH is needed: a package folder or a zip"},
	{call: "validate ok/manifest.json", code: 2, want: "it is a file of the package ok\nhint: name that folder"},
	{call: "validate ok/steps", code: 2, want: "it is a folder of the package ok\nhint: name that folder"},
	{call: "validate .", code: 2, want: "hint: name one of these: ok, p, sets, silent"},
	{call: "validate text.zip", code: 3, want: "the file is not a zip"},
	{
		call: "validate oem.zip", code: 3,
		want: "hint: zip it with UTF-8 names: 7z a -mcu=on; in WinZip and WinRAR the option for Unicode names",
	},
	{call: "validate ok --policy ok", code: 2, want: "ok: the policy cannot be read"},
	{call: "validate ok --policy none.json", code: 2, want: "none.json: the policy cannot be read"},
	{
		call: "validate ok --policy ok/manifest.json", code: 2,
		want: "this is a package's manifest, and no admission policy", never: "unknown key",
	},
	{
		call: "validate ok --policy prod.json --env dev", code: 3,
		want: "hint: say --env prod, or name the policy of dev", never: "CEMLI_POLICY",
	},
	{
		call: "validate nothing", code: 3,
		want: "hint: cemli init NAME makes a folder with a package that already runs", never: "upload",
	},
	// run
	{call: "run", code: 2, want: "one PATH is needed"},
	{call: "run okk", code: 2, want: "hint: did you mean ok?"},
	{call: "run ok/steps/01-apply.sh", code: 2, want: "it is a file of the package ok\nhint: name that folder"},
	{call: "run text", code: 2, want: "text: it is neither a folder nor a zip", never: "upload a zip"},
	{call: "run ok COMMENT=x", code: 2, want: "hint: did you mean --param COMMENT=x?"},
	{call: "run ok sets", code: 2, want: "unexpected argument sets"},
	{call: "run ok --env=", code: 2, want: "--env: \"\" is no name of an environment", never: "store.name"},
	{call: "run ok --env dev/test", code: 2, want: "hint: use letters, digits, dots, hyphens and underscores"},
	{call: "run ok --env", code: 2, want: "flag needs an argument: --env"},
	{call: "run ok --param COMMENT", code: 2, want: "is not NAME=VALUE"},
	{
		call: "run ok --param COMMENT%20=x", code: 2,
		want: "\"COMMENT =x\" is not NAME=VALUE\nhint: write it like LEDGER=4711, without blanks",
	},
	{call: "run ok --param comment=x", code: 3, want: "did you mean COMMENT?"},
	{call: "run ok --set DE", code: 3, want: "hint: it has none: leave the set out"},
	{call: "run ok --set=", code: 2, want: "--set: the name of the set is missing"},
	{call: "run sets --set DE,FR", code: 2, want: "hint: repeat it: --set DE --set FR"},
	{call: "run sets --set de", code: 3, want: "hint: its sets: DE, FR"},
	{call: "run ok --results ok/manifest.json", code: 2, want: "ok/manifest.json: it is no folder"},
	{call: "run ok --results ok", code: 2, want: "hint: name a folder inside it or beside it"},
	{call: "run ok --sandbox strict", code: 2, want: "hint: use full, isolated, basic or none"},
	{call: "run ok --dry-run=yes", code: 2, want: "--dry-run is given without a value", never: "strconv"},
	{call: "run ok --rollback-of x", code: 2, want: "--results is needed"},
	{call: "run ok --force", code: 2, want: "--force goes with --rerun-of, --resume-from or --rollback-of"},
	{
		call: "run p", manifest: minimal(`,"environments":["test"]`), code: 3,
		want: "hint: it may run in: test; choose with --env",
	},
	{
		call: "run p", manifest: minimal(`,"tools":["no-such-tool"]`), code: 3,
		want: "hint: install it here, and add it to the function's image",
	},
	{
		call: "run p", manifest: minimal(`,"parameters":{"LEDGER":{"type":"integer","required":true}}`), code: 3,
		want:  "hint: give it with --param LEDGER=VALUE, by an --env that has it, or as default in the manifest",
		never: "request",
	},
	{
		call: "run ok --policy prod.json", code: 3, want: "hint: say --env prod, or name the policy of local",
		never: "leave --env out",
	},
	{
		call: "run silent", code: 1, want: "hint: the script printed nothing; set -x at its top shows how far it comes",
		never: "is above",
	},
	{
		call: "run p --policy accepting.json", manifest: minimal(`,"secrets":{"DB":{"vault_secret":"erp"}}`), code: 3,
		want: "hint: set the variable CEMLI_SECRET_DB",
	},
	// local
	{call: "local ok", code: 2, want: "hint: did you mean cemli local run ok?"},
	{call: "ok", code: 2, want: "hint: did you mean cemli run ok?"},
	{call: "local run ok --port 80", code: 2, want: "hint: --port is a flag of cemli local up"},
	{call: "local run ok --results evidence", code: 2, want: "hint: --results is a flag of cemli run"},
	{
		call: "local run ok --timeout 5", code: 2, want: "--timeout 5: it takes a duration, such as 30s or 5m",
		never: "missing unit",
	},
	{call: "local run ok --memory 512MB", code: 2, want: "--memory 512MB: it takes a whole number", never: "strconv"},
	{
		call: "local run ok --env dev/test", code: 2, want: "is no name of an environment",
		never: "function does not start",
	},
	{call: "local run ok --secret db", code: 2, want: "--secret: \"db\" is not NAME=FILE", never: "--secret: --secret"},
	{
		call: "local run ok --secret db=void", code: 2,
		want: "--secret: the file with the secret db is empty\nhint: write the value into it",
	},
	{call: "local run ok --secret db=none", code: 2, want: "hint: write the value into a file, and name that"},
	{call: "local run ok --config CEMLI_TOPIC", code: 2, want: "hint: write it like CEMLI_LOG_LEVEL=debug"},
	{call: "local run ok --fault slow=1", code: 2, want: "hint: docs/platform/local-oci.md lists the faults"},
	{call: "local run okk", code: 2, want: "hint: did you mean ok?"},
	{call: "local up --port 99999", code: 2, want: "--port must be 0 to 65535"},
	{call: "local up ok", code: 2, want: "unexpected argument ok"},
	// The manifest, by hand.
	{call: "validate p", manifest: ``, code: 3, want: "the document is empty"},
	{call: "validate p", manifest: "{'name':'p'}", code: 3, want: "hint: write texts and keys in double quotes"},
	{
		call: "validate p", manifest: "// mine\n" + minimal(``), code: 3,
		want: "hint: JSON has no comments: say it under a key that begins with x-",
	},
	{call: "validate p", manifest: "name: p\nversion: 1.0.0\n", code: 3, want: "hint: write JSON, such as {"},
	{call: "validate p", manifest: "{\n\"name\": \"p\"\n\"version\": \"1.0.0\"}", code: 3, want: "line 3: "},
	{
		call: "validate p", manifest: "{\"name\": \"p\",}", code: 3,
		want: "hint: remove the comma before the closing bracket",
	},
	{
		call: "validate p", manifest: `{"name":"p","version":"v1.0","type":"extension"}`, code: 3,
		want: "hint: write 1.0.0",
	},
	{
		call: "validate p", manifest: `{"name":"My Package","version":"1.0.0","type":"extension"}`, code: 3,
		want: "hint: call it my-package",
	},
	{
		call: "validate p", manifest: `{"Name":"p","version":"1.0.0","type":"extension"}`, code: 3,
		want: "did you mean name?",
	},
	{
		call: "validate p", manifest: minimal(`,"parameters":{"LEDGER":"integer"}`), code: 3,
		want: `hint: write it like {"type": "integer"}`,
	},
	{
		call: "validate p", manifest: minimal(`,"parameters":{"LEDGER":{"type":"int"}}`), code: 3,
		want: "did you mean integer?",
	},
	{
		call: "validate p", manifest: minimal(`,"steps":["steps/run.sh"]`), code: 3,
		want: `hint: write it like {"run": "steps/run.sh"}`,
	},
	{
		call: "validate p", manifest: minimal(`,"secrets":{"DB":"erp-db"}`), code: 3,
		want: `hint: write it like {"vault_secret": "erp-db"}`,
	},
	{
		call: "validate p", manifest: minimal(`,"timeout":300`), code: 3,
		want: "hint: write it in quotes, with its unit: \"300s\"",
	},
	{call: "validate p", manifest: minimal(`,"timeout":"5 min"`), code: 3, want: `hint: write "5m"`},
	{call: "validate p", manifest: minimal(`,"environments":"dev"`), code: 3, want: "hint: write it in [ ]"},
	{call: "validate p --env dev", manifest: minimal(`,"environments":["test"]`), code: 3, want: "it may run in: test"},
	// The rest.
	{call: "version now", code: 2, want: "unexpected argument now"},
	{call: "version -o yaml", code: 2, want: "use -o text or -o json"},
	{call: "completion tcsh", code: 2, want: "one SHELL is needed"},
	{call: "help nothing", code: 2, want: `unknown command "nothing"`},
}

// Each mistake is answered with what is wrong and what to do, in the words of the command line.
func TestMistakes(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("packages run on Linux only")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // #nosec G302 -- scripts are another user's
		t.Fatal(err)
	}
	t.Chdir(dir)
	var out bytes.Buffer
	for _, call := range []string{"init ok", "init sets --template localization", "pack ok -O ok.zip"} {
		if code := run(t.Context(), strings.Fields(call), &out, &out); code != 0 {
			t.Fatalf("cemli %s: exit code %d\n%s", call, code, &out)
		}
	}
	for name, text := range map[string]string{
		"text.zip": "text", "text": "text", "prod.json": `{"environment":"prod"}`, "accepting.json": accepting,
		"p/steps/run.sh": "#!/usr/bin/env bash\ntrue\n", "p/manifest.json": minimal(""),
		"void": "", "silent/steps/run.sh": "#!/usr/bin/env bash\nset -e\nfalse\n",
		"silent/manifest.json": `{"name":"silent","version":"1.0.0","type":"extension"}`,
	} {
		write(t, name, text)
	}
	if err := os.Mkdir("nothing", 0o755); err != nil { // #nosec G301 -- as the others
		t.Fatal(err)
	}
	var oem bytes.Buffer // as older archivers write names, in the code page of the console
	w := zip.NewWriter(&oem)
	_, err := w.CreateHeader(&zip.FileHeader{Name: "steps/gr\x81n.sh", NonUTF8: true})
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	write(t, "oem.zip", oem.String())
	for n, c := range mistakes {
		t.Run(strconv.Itoa(n)+" "+c.call, func(t *testing.T) {
			if c.manifest != "" || strings.HasSuffix(c.call, " p") {
				write(t, "p/manifest.json", c.manifest)
				defer write(t, "p/manifest.json", minimal(""))
			}
			before := tree(t)
			args := strings.Fields(c.call)
			for i := range args {
				args[i] = strings.ReplaceAll(args[i], "%20", " ")
			}
			var out bytes.Buffer
			code := run(t.Context(), args, &out, &out)
			if code != c.code || !strings.Contains(out.String(), c.want) ||
				c.never != "" && strings.Contains(out.String(), c.never) {
				t.Errorf("exit code %d, want %d and %q, and never %q:\n%s", code, c.code, c.want, c.never, &out)
			}
			if after := tree(t); after != before {
				t.Errorf("a mistake left something behind:\n%s", after)
			}
		})
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil { // #nosec G301 -- see above
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil { // #nosec G306 -- see above
		t.Fatal(err)
	}
}

// tree is the working folder's files.
func tree(t *testing.T) string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, "\n")
}

// A file of another program that is called manifest.json makes no package of the folders around.
func TestManifestsOfOthers(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "manifest.json", `{"name":"My App","start_url":"/"}`)
	write(t, "folder/steps/run.sh", "true\n")
	var out bytes.Buffer
	if code := run(t.Context(), []string{"validate", "folder"}, &out, &out); code != 3 ||
		!strings.Contains(out.String(), "manifest.missing") {
		t.Errorf("exit code %d:\n%s", code, &out)
	}
}
