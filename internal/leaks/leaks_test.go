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
	for _, c := range []struct{ name, text, want string }{
		{"private key", "#!/bin/bash\ncat <<E\n" + privateKey(t) + "E\n", "f:3: private key"},
		{"URL", "\ncurl https://erp:hunter" + "22@db.example.org/x\n", "f:2: password in a URL"},
		{"basic", "curl -H 'Authorization: Basic " + "dXNlcjpwYXNzd29yZDEyMw=='\n", "f:1: HTTP basic credentials"},
		{"AWS", "export AWS_ACCESS_KEY_ID=AKIA" + "IOSFODNN7QQQQQQQ\nexport AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG" + "/bPxRfiCYzzzzzzzzzz\n", "f:1: AWS access key"},
		{"Google", "key=AI" + "zaSyD4iE2xVSpkLLOXoyqT-RuPwURN3ddScAI\n", "f:1: Google API key"},
		{"GitLab", "token=glp" + "at-vzDNJu3Lvh4YCCekKsnx\n", "f:1: GitLab token"},
	} {
		if got := strings.Join(scan(t, c.text), ", "); got != c.want {
			t.Errorf("%s: found %q; want %q", c.name, got, c.want)
		}
	}
}

func TestScanLeavesOrdinaryScriptsAlone(t *testing.T) {
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
	if found := scan(t, "\x00binary "+privateKey(t)); found != nil {
		t.Errorf("found %v in a binary file", found)
	}
}

func BenchmarkScan(b *testing.B) {
	dir := b.TempDir()
	text := strings.Repeat("update gl_ledgers set name = 'Vision Operations' where ledger_id = 4711; -- CHG0000001\n", 40_000)
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
