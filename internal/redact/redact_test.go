package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"cemli-executor/internal/redact"
)

var secrets = []string{
	"hunter2", "p@ss w/rd'\"\\<&>é😀!",
	"-----BEGIN KEY-----\nMIIEowIBAAKCAQEAn1/x+abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMN\n" +
		"last-line-of-it==\n-----END KEY-----\n",
	strings.Repeat("abcdefgh", 40), "aaaaaa",
}

// forms are ways in which a secret appears in an output.
func forms(secret string) map[string]string {
	quoted, err := json.Marshal(secret)
	if err != nil {
		panic(err)
	}
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(secret)
	m := map[string]string{
		"plain": secret, "JSON": string(quoted), "JSON without HTML": plain.String(), "query": url.QueryEscape(secret),
		"path": url.PathEscape(secret),
		"hex":  hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))),
	}
	for before := range 5 {
		for after := range 4 {
			text := strings.Repeat("x", before) + secret + strings.Repeat("y", after)
			m[fmt.Sprintf("base64 %d %d", before, after)] = base64.StdEncoding.EncodeToString([]byte(text))
			m[fmt.Sprintf("base64 URL %d %d", before, after)] = base64.URLEncoding.EncodeToString([]byte(text))
		}
	}
	return m
}

// readable fails if a text still has the secret in any form that can be undone: eight characters in a row of it, or
// of a form of it.
func readable(t *testing.T, name, secret, form, masked string) {
	t.Helper()
	if !strings.Contains(masked, redact.Mask) {
		t.Errorf("%s of %.20q: nothing is masked in %.80q", name, secret, masked)
	}
	const window = 8
	for i := 0; i+window <= len(form); i++ {
		piece := form[i : i+window]
		if strings.Contains(masked, piece) && !strings.Contains("xxxxxxxxyyyyyyyy", piece) {
			t.Errorf("%s of %.20q: %q is left in %.80q", name, secret, piece, masked)
			return
		}
	}
}

func TestEveryForm(t *testing.T) {
	t.Parallel()
	m := redact.New(secrets)
	for _, secret := range secrets {
		for name, form := range forms(secret) {
			readable(t, name, secret, form, m.String("before "+form+" after"))
			masked := m.String("before " + form + " after")
			if !strings.HasPrefix(masked, "before ") || !strings.HasSuffix(masked, " after") {
				t.Errorf("%s: what is around it is gone: %q", name, masked)
			}
		}
	}
}

func TestInPieces(t *testing.T) {
	t.Parallel()
	m := redact.New(secrets)
	for _, secret := range secrets {
		for name, form := range forms(secret) {
			want := m.String("a" + form + "b")
			for _, size := range []int{1, 2, 3, 7, 64} {
				var out bytes.Buffer
				w := m.Writer(&out)
				text := []byte("a" + form + "b")
				for len(text) > 0 {
					n := min(size, len(text))
					if _, err := w.Write(text[:n]); err != nil {
						t.Fatal(err)
					}
					text = text[n:]
				}
				if err := w.Close(); err != nil || out.String() != want {
					t.Errorf("%s in pieces of %d: %.60q; whole %.60q (%v)", name, size, out.String(), want, err)
				}
			}
		}
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	m := redact.New(secrets)
	for _, line := range strings.Split(strings.TrimSpace(secrets[2]), "\n") {
		if masked := m.String("got " + line + "\n"); masked != "got ***\n" {
			t.Errorf("line %q: %q", line, masked)
		}
	}
}

// What the tools themselves print, with their line breaks.
func TestTools(t *testing.T) {
	t.Parallel()
	m := redact.New(secrets)
	for _, secret := range secrets {
		for _, tool := range [][]string{{"base64"}, {"openssl", "base64"}} {
			cmd := exec.Command(tool[0], tool[1:]...)
			cmd.Stdin = strings.NewReader(secret)
			out, err := cmd.Output()
			if err != nil {
				t.Skipf("needs %s", tool[0])
			}
			masked := m.String(string(out))
			decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(masked), ""))
			if err == nil && strings.Contains(string(decoded), secret) {
				t.Errorf("%v of %.20q can be read", tool, secret)
			}
			for _, line := range strings.Split(string(out), "\n") {
				if len(line) >= 16 && strings.Contains(masked, line) {
					t.Errorf("%v of %.20q: the line %q is left", tool, secret, line)
				}
			}
		}
	}
}

func TestWhatIsNoSecretStays(t *testing.T) {
	t.Parallel()
	m := redact.New([]string{"hunter2", "hunter22hunter", "short", "", "hunter"})
	for text, want := range map[string]string{
		"hunt the hun":      "hunt the hun",
		"hunter2":           "***",
		"xhunter22hunterx":  "x***x",
		"hunter2hunter2 ok": "*** ok",
		"short":             "short",
		"hunte":             "hunte",
		"":                  "",
	} {
		if got := m.String(text); got != want {
			t.Errorf("%q: %q; want %q", text, got, want)
		}
	}
	var none *redact.Masker
	if none.String("hunter2") != "hunter2" || redact.New([]string{"five5"}).String("five5") != "five5" {
		t.Error("a secret that is too short is masked")
	}
}

// What cannot become part of a secret is passed on at once, so that people who follow a log see the line.
func TestLinesAreNotHeldBack(t *testing.T) {
	t.Parallel()
	m := redact.New([]string{"Tiger-4711", "other-secret"})
	var out bytes.Buffer
	w := m.Writer(&out)
	for _, line := range []string{
		"pw: Tiger-4711\n", "\"Tiger-4711\"\n", "loaded 4711 rows\n", "it is other-secret.\n", "done\n",
		"Tiger-4711 other-secret\r\n",
	} {
		before := out.Len()
		_, _ = w.Write([]byte(line))
		if got, want := out.String()[before:], m.String(line); got != want {
			t.Errorf("%q: %q is passed on; want %q", line, got, want)
		}
	}
}

// A secret that is added is masked from then on, even if its first bytes have already arrived.
func TestAdd(t *testing.T) {
	t.Parallel()
	for _, first := range [][]string{nil, {"hunter2"}} {
		m := redact.New(first)
		var out bytes.Buffer
		w := m.Writer(&out)
		_, _ = w.Write([]byte("token-4711 hunter2 hunt"))
		m.Add("token-4711", "short", "hunter3")
		_, _ = w.Write([]byte("er3 token-"))
		m.Add("token-4711")
		_, _ = w.Write([]byte("4711 "))
		m.Add("last-one")
		_, _ = w.Write([]byte("last-one short"))
		m.Add("in-the-end")
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		want := "token-4711 *** *** *** *** short"
		if first == nil {
			want = "token-4711 hunter2 hunter3 *** *** short"
		}
		if out.String() != want {
			t.Errorf("%q; want %q", out.String(), want)
		}
		if size := m.Size(); size != len("token-4711hunter3last-onein-the-end")+len(strings.Join(first, "")) {
			t.Errorf("size %d", size)
		}
	}
}

// Quotes and backslashes at the beginning or end of a secret belong to it.
func TestQuotesAtTheEnds(t *testing.T) {
	t.Parallel()
	m := redact.New([]string{`"'Tiger-4711\\"`})
	for text, want := range map[string]string{
		`x "'Tiger-4711\\" y`:                                        "x *** y",
		`{"p": 1, "q": [` + `"\"'Tiger-4711\\\\\""` + `]}`:           `{"p": 1, "q": [***]}`,
		url.QueryEscape(`x "'Tiger-4711\\" y`):                       "x+***+y",
		base64.StdEncoding.EncodeToString([]byte(`"'Tiger-4711\\"`)): "Ii***",
	} {
		if got := m.String(text); got != want {
			t.Errorf("%s: %s; want %s", text, got, want)
		}
	}
}

func TestFound(t *testing.T) {
	t.Parallel()
	m := redact.New([]string{"hunter2"})
	for text, want := range map[string]bool{
		strings.Repeat("x", 40000) + "hunter2": true, "hunter": false, "": false,
		base64.StdEncoding.EncodeToString([]byte("a hunter2!")): true,
	} {
		if got, err := m.Found(strings.NewReader(text)); got != want || err != nil {
			t.Errorf("%.20q: %t, %v", text, got, err)
		}
	}
}

// FuzzPieces: the result is the same for a text in pieces as for the whole text, and does not have the secret.
func FuzzPieces(f *testing.F) {
	f.Add("some text with hunter2 and aHVudGVyMg==", 3)
	f.Add("aaaaaaaaaaaaaaaa", 1)
	m := redact.New(secrets)
	f.Fuzz(func(t *testing.T, text string, size int) {
		want := m.String(text)
		if size < 1 || size > len(text) {
			return
		}
		var out bytes.Buffer
		w := m.Writer(&out)
		for rest := text; len(rest) > 0; rest = rest[min(size, len(rest)):] {
			_, _ = w.Write([]byte(rest[:min(size, len(rest))]))
		}
		_ = w.Close()
		if out.String() != want {
			t.Errorf("%q in pieces of %d: %q; whole %q", text, size, out.String(), want)
		}
		for _, s := range secrets {
			if !strings.Contains(s, redact.Mask) && strings.Contains(want, s) {
				t.Errorf("%q is left in %q", s, want)
			}
		}
	})
}

// FuzzSpelled: no spelling of a secret survives, in any context.
func FuzzSpelled(f *testing.F) {
	names := slices.Sorted(maps.Keys(spellings))
	for i := range names {
		f.Add("S3cret'\"\\n%41&lt;+é\n\tx", i, "{\"x\\ny\":", "}\n")
	}
	f.Fuzz(func(t *testing.T, secret string, i int, before, after string) {
		if !utf8.ValidString(secret) || len(ordinary(secret)) < 12 || strings.ContainsFunc(secret, unwritable) ||
			i < 0 || i >= len(names) {
			return
		}
		secret = "k" + secret + "9"
		m := redact.New([]string{secret})
		spelled := spellings[names[i]](secret)
		masked := m.String(before + " " + spelled + " " + after)
		body := strings.Trim(spelled, "$'\"")
		if strings.Contains(masked, body) && !strings.Contains(redact.Mask, body) {
			t.Errorf("%s of %q: %q", names[i], secret, masked)
		}
	})
}

// unwritable is what XML cannot express.
func unwritable(r rune) bool {
	return r < ' ' && r != '\n' && r != '\t' || r >= 0xfffe && r <= 0xffff || r == utf8.RuneError
}

// ordinary is what is left of a secret in its form, and not masked anyway.
func ordinary(secret string) string {
	return strings.Trim(strings.NewReplacer("'", "", `"`, "", "\\", "", "\n", "", "*", "").Replace(secret), " ")
}

// Secrets that are encoded together with other text, and broken into lines.
func TestWrappedBase64(t *testing.T) {
	t.Parallel()
	m := redact.New(secrets)
	for _, secret := range secrets {
		for before := range 80 {
			text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("u", before) + secret + "tail"))
			for _, width := range []int{64, 76} {
				var wrapped strings.Builder
				for i, c := range text {
					if i > 0 && i%width == 0 {
						wrapped.WriteString("\r\n")
					}
					wrapped.WriteRune(c)
				}
				masked := m.String(wrapped.String())
				decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(masked), ""))
				if err == nil {
					t.Fatalf("%.20q after %d bytes in lines of %d: %q", secret, before, width, decoded)
				}
				inner := base64.RawStdEncoding.EncodeToString([]byte(secret))
				if len(inner) > 20 && before%3 == 0 &&
					strings.Contains(strings.Join(strings.Fields(masked), ""), inner[:len(inner)-3]) {
					t.Fatalf("%.20q after %d bytes in lines of %d is left", secret, before, width)
				}
			}
		}
	}
}
