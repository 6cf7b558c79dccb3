package leaks_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cemli-executor/internal/leaks"
)

func privateKey(t testing.TB) string {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// scan puts a text into a file and scans it. What looks like a token is put together
// here, so that this source holds none.
func scan(t testing.TB, text string) []string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	found, err := leaks.Scan(t.Context(), root, []string{"f"})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range found {
		lines = append(lines, f.String())
	}
	return lines
}

func TestScanFinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"private key", "#!/bin/bash\ncat <<E\n" + privateKey(t) + "E\n", "f:3: private key"},
		{"URL", "\ncurl https://erp:hunter" + "22@db.example.org/x\n", "f:2: password in a URL"},
		{"basic", "curl -H 'Authorization: Basic " + "dXNlcjpwYXNzd29yZDEyMw=='\n", "f:1: HTTP basic credentials"},
		{
			"AWS",
			"export AWS_ACCESS_KEY_ID=AKIA" + "IOSFODNN7QQQQQQQ\nexport AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG" +
				"/bPxRfiCYzzzzzzzzzz\n", "f:1: AWS access key",
		},
		{"Google", "key=AI" + "zaSyD4iE2xVSpkLLOXoyqT-RuPwURN3ddScAI\n", "f:1: Google API key"},
		{"GitLab", "token=glp" + "at-vzDNJu3Lvh4YCCekKsnx\n", "f:1: GitLab token"},
	} {
		if got := strings.Join(scan(t, c.text), ", "); got != c.want {
			t.Errorf("%s: found %q; want %q", c.name, got, c.want)
		}
	}
}

func TestScanLeavesOrdinaryScriptsAlone(t *testing.T) {
	t.Parallel()
	const script = `#!/usr/bin/env bash
set -euo pipefail
# see https://example.org/docs?user=x and mail ops@example.org
curl --fail -H "Authorization: Bearer $TOKEN" "https://$HOST/api/v1/ledgers/${CEMLI_PARAM_LEDGER}"
sqlplus "$DB_USER/$DB_PASSWORD@$DB" @artifacts/fix.sql
echo "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
`
	if found := scan(t, script); found != nil {
		t.Errorf("found %v in an ordinary script", found)
	}
}

// Whatever a file looks like, and however long it is, it is looked at.
func TestNothingHidesSecrets(t *testing.T) {
	t.Parallel()
	key := privateKey(t)
	var wide strings.Builder
	for _, b := range []byte("line 1\n" + key) {
		wide.Write([]byte{b, 0})
	}
	token := "glp" + "at-vzDNJu3Lvh4YCCekKsnx"
	far := strings.Repeat("# a comment\n", 1_000_000)
	for name, c := range map[string]struct{ text, want string }{
		"a NUL in a comment":     {"#!/bin/bash\n# \x00\ncat <<E\n" + key + "E\n", "f:4: private key"},
		"a NUL in it":            {"token=" + token[:10] + "\x00" + token[10:] + "\n", "f:1: GitLab token"},
		"UTF-16":                 {"\xff\xfe" + wide.String(), "f:2: private key"},
		"after 12 MB":            {far + "token=" + token + "\n", "f:1000001: GitLab token"},
		"across windows":         {strings.Repeat("x", 4<<20-12) + "\ntoken=" + token + "\n", "f:2: GitLab token"},
		"bytes that are no text": {"\x7fELF\x02\x01\x01\x00\x00\x00\xff\xfe\n" + key, "f:2: private key"},
	} {
		if got := strings.Join(scan(t, c.text), ", "); got != c.want {
			t.Errorf("%s: found %q; want %q", name, got, c.want)
		}
	}
}

// A file full of secrets is reported as far as that helps, and at once.
func TestManyFindings(t *testing.T) {
	t.Parallel()
	found := scan(t, strings.Repeat("url = https://erp:hunter"+"22@db.example.org/x\n", 20_000))
	if len(found) != 100 || found[0] != "f:1: password in a URL" || found[99] != "f:100: password in a URL" {
		t.Errorf("%d findings: %v", len(found), found[:min(len(found), 3)])
	}
}

// The password is put in here, so that this source holds none.
func TestPasswordsOfTheTrade(t *testing.T) {
	t.Parallel()
	put := strings.NewReplacer("<pw>", "tiger1", "<word>", "tiger", "<nl>", "\\\n", "<crnl>", "\\\r\n")
	for _, text := range []string{
		"sqlplus apps/<pw>", "sqlplus -s apps/<pw>@PROD @fix.sql", `sqlplus -L -S "apps/<pw>@//db:1521/x" <<EOF`,
		"$ORACLE_HOME/bin/sqlplus -M \"HTML ON\" -s \\\n  apps/<pw>@PROD", "sqlplus $DB_USER/<pw>@$DB",
		"sqlplus apps/'<pw>'@x", `sqlplus "apps"/"<pw>"@x`,
		"SQLPLUS.EXE APPS/<pw>", "sqlldr userid=apps/<pw> control=x.ctl", "exp userid='system/<pw>'",
		"expdp system/<pw> full=y", "rman target sys/<pw>@x",
		"FNDLOAD apps/<pw> 0 Y UPLOAD $FND_TOP/patch/115/import/afcpprog.lct x.ldt",
		"FNDCPASS apps/$APPS 0 Y system/<pw> SYSTEM APPLSYS x",
		"connect apps/<pw>@PROD", "  CONN sys/<pw> as sysdba",
		"alter user apps identified by <pw>;", "create user x\n  identified by \"<pw>\" account unlock;",
		"CREATE DATABASE LINK l CONNECT TO apps IDENTIFIED BY <pw> USING 'x';",
		"IDENTIFIED BY <pw>", "identified by <pw>;", "CREATE USER 'x'@'h' IDENTIFIED BY '<pw>';",
		"ALTER USER x IDENTIFIED BY VALUES '<pw>';",
		"java XDOLoader UPLOAD -DB_USERNAME apps -DB_PASSWORD <pw> -JDBC_CONNECTION x", "-DB_PASSWORD=<pw>",
		"-db_password '<pw>'",
		`"$ORACLE_HOME/bin/sqlplus" -s apps/<pw>`, "${SQLPLUS:-sqlplus} apps/<pw>", `"${SQLPLUS}" -s apps/<pw>@x`,
		`'/u01/bin/expdp' system/<pw>`,
		"sqlplus 'apps/$<pw>'@db", "sqlplus apps/'$<pw>'@db", `"$OH/bin/sqlplus" -s 'apps/$<pw>'@db`,
		"FNDLOAD 'apps/$<pw>' 0 Y UPLOAD x.lct", "exp userid='apps/$<pw>'", "java x -DB_PASSWORD '$<pw>'",
		"sqlplus apps/<nl><pw>", "sqlplus apps<crnl>/<pw>@x", "sqlplus apps/<crnl><pw>",
		"sqlplus /nolog <<E\nconnect apps/<pw>\nE", "sqlplus /nolog <<E\n  conn apps/<pw>@db\nE", "connect apps/<pw>",
		"Connect apps/<pw>;\r", "connect apps/<pw> -- as the owner", `conn apps/"<pw>"`, "connect apps/<word>;",
		"echo 'connect apps/<word>' | sqlplus /nolog", "set echo on\nconnect apps/<word>\r\n@fix",
		"sqlplus /nolog <<E\nconn apps/<word>\nE", "echo connect apps/<pw> | sqlplus /nolog",
		`echo "conn apps/<pw>@db" | sqlplus /nolog`, `printf 'set echo off\nconnect apps/<pw>\n'`,
		"SQL> connect apps/<pw>", "connect target sys/<pw>@x", "rman <<E\nconnect catalog rman/<pw>\nE",
		"exp apps/<pw>", "  imp apps/<pw> full=y", "exp apps/<word> file=x.dmp", `"$ORACLE_HOME/bin/exp" apps/<pw>`,
		"$ORACLE_HOME/bin/imp \\\n apps/<pw>", "cd /tmp && exp apps/<pw>", "if ! imp apps/<pw>; then",
		"nohup exp apps/<pw> &",
		"NLS_LANG=x exp apps/<pw>", `su - oracle -c "exp apps/<pw>"`, "out=$(imp apps/<pw> show=y)",
		"SQL> host exp apps/<pw>",
		"IDENTIFIED BY <pw> -- comment", "identified by <pw>--comment", "IDENTIFIED BY <pw> /* x */",
		"alter user apps account unlock identified by <word>;", "ALTER USER apps ACCOUNT UNLOCK Identified By <pw>",
		"Identified By <pw>",
		"ALTER USER apps ACCOUNT UNLOCK\r\n IDENTIFIED BY <pw>\r\n/",
		"create user if not exists x identified by <word>", `alter user "My-User" identified by <word>`,
		`sql "alter user \"My-User\" identified by <word>"`,
		"create user x default tablespace users\n quota 10m on users profile p\n identified by <word>\n",
		"alter user 'x'@'h' identified by <word>;",
		"create public database link l authenticated by x identified by <word> using 'y'",
		"grant connect to apps identified by <word>;", "IDENTIFIED BY <word>\r\n/", "set role x identified by <word>",
		"execute immediate 'alter user '||l_user||' identified by <word>';",
	} {
		text = put.Replace(text)
		found := scan(t, "# line\n"+text+"\n")
		if len(found) != 1 || !strings.HasSuffix(found[0], "password of a database user") {
			t.Errorf("%s: found %q", text, found)
		}
	}
	for _, text := range []string{
		`sqlplus "$DB_USER/$DB_PASSWORD@$DB"`, "sqlplus -s ${U}/${PW}@${DB}", `sqlplus -s apps/"$PW"@db`,
		"sqlplus apps/$(cat pw)@db", "sqlplus apps/`cat pw`@db", "sqlplus apps/&pw", "sqlplus apps/&&1@x",
		"sqlplus apps/:pw", "sqlplus apps/%s@%s", "sqlplus apps/%DB_PW%@x", "sqlplus user/<password>@db",
		"sqlplus user/***@db", "sqlplus user/xxxx", "sqlplus user/{{ pw }}", "sqlplus apps/[password]",
		"sqlplus /nolog", `sqlplus "/ as sysdba"`, "sqlplus -s / as sysdba", "sqlplus apps@db",
		"sqlplus -s /@wallet @x/y.sql", `sqlplus -S "$CONN" @artifacts/a/b.sql`, "sqlplus $CONN @$DIR/x.sql",
		"command -v sqlplus >/dev/null && echo a/b", "with sqlplus and/or sqlldr", "sqlplus scripts/fix.sql",
		"sqlplus $HOME/bin/x", `"tools": ["sqlplus", "curl"]`, "rman target /",
		"FNDLOAD apps/$APPS_PWD 0 Y DOWNLOAD $FND_TOP/x.lct", `FNDLOAD "apps/${APPS_PWD}" 0 Y`, "connect client/server",
		"connect &user/&pw@db", "exp userid=$U/$P",
		`alter user x identified by "&pw";`, "alter user x identified by &&pw;", "create user x identified by :pw",
		`sql "alter user x identified by \"$PW\""`, "execute immediate 'alter user x identified by ' || l_pw;",
		`'alter user x identified by "' || l_pw || '" account unlock'`, "identified by '||l_pw||' x",
		"ALTER USER x IDENTIFIED BY <password>;", "IDENTIFIED BY ${PW}", "IDENTIFIED EXTERNALLY", "IDENTIFIED BY ***",
		"-- rows are identified by id", "a user is identified by name", "each is identified by its ledger",
		"docs: `IDENTIFIED BY`, `-DB_PASSWORD`", "-DB_PASSWORD $PW", `-DB_PASSWORD "${PW}"`, "-DB_PASSWORD <password>",
		"-DB_PASSWORD=%DB_PW%",
		`"$ORACLE_HOME/bin/sqlplus" -s "$U/$PW"`, "${SQLPLUS:-sqlplus} apps/${PW}", "sqlplus apps/<nl>$PW",
		"sqlplus apps/<nl><nl>", "sqlplus '<user>/<password>'", "ssh h sqlplus '$U/$PW'", "sqlplus 'apps/${PW}'@db",
		"sqlplus 'apps/&pw'",
		`su - oracle -c "sqlplus 'apps/$PW'@db"`, `sqlplus "apps/'$PW'@db"`, "the `sqlplus` and/or `sqlldr`",
		"(sqlplus) scripts/x.sql",
		"connect host/path in prose", "connect host/path", "connect to/from", "connect\nclient/server",
		"to connect apps/web1 is easy", "Connect a/b, then c/d.", "connect gi0/1", "connect eth0/eth1 to the bridge",
		"  conn a/b/c1", "conn = db/x1",
		"sqlplus /nolog <<E\nconnect $U/$PW\nconn &u/&&p\nconnect apps/:pw\nconnect /@wallet\nconnect " +
			"apps/%s\nconnect u/<password>\nconnect u/***\nconnect / as sysdba\nE",
		`printf 'connect %s/"%s"@%s\n' "$U" "$P" "$D"`, `"connect client/server"`,
		"the old exp and/or imp", "exp/imp", "with exp apps/web1", "what imp a/b does", "# exp apps/web1",
		"exp and/or imp", "exp.go a/b", "y = (exp x/2)", "export apps/web1", "imp lib/module.sh", "exp $U/$PW",
		`"$OH/bin/imp" "$U/$PW"`, "exp <user>/<password>", "exp user/***", "exp a/2", "ssh h 'sqlplus apps/'$PW'@db'",
		"sqlplus /nolog <<E\nconnect apps/'$PW'\nE", "y= exp x/tau", "a; {exp a/web1}",
		"connect client/server; then go on", "(RMAN) backup/restore", "| identified by id1 |",
		"grant access to users identified by email address", "create user accounts identified by their email",
		"alter user apps account unlock identified by &pw;", "Identified By ${PW}",
		"IDENTIFIED BY <password> -- comment", "create user if not exists x identified by :pw",
		`alter user "My-User" identified by "&pw"`, "IDENTIFIED BY ***\r\n/", "identified by %s",
		"Identified by name", "identified by id -- a comment", "objects identified by their name",
		"access to objects identified by URI", "a role is identified by the name",
		"give it to users identified by name;", "the user account identified by name",
	} {
		if found := scan(t, put.Replace(text)+"\n"); found != nil {
			t.Errorf("%s: found %q", text, found)
		}
	}
}

func BenchmarkScan(b *testing.B) {
	dir := b.TempDir()
	text := strings.Repeat("update gl_ledgers set name = 'Vision Operations' where ledger_id = 4711; -- CHG0000001\n",
		40_000)
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if _, err := leaks.Scan(b.Context(), root, []string{"f"}); err != nil {
			b.Fatal(err)
		}
	}
}
