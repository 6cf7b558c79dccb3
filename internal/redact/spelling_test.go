package redact_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"io/fs"
	"math/rand/v2"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"cemli-executor/internal/redact"
)

// randomSecrets makes secrets with all kinds of characters: of ASCII, more often those that need quoting somewhere,
// of other alphabets, and secrets of several lines.
func randomSecrets(r *rand.Rand, n int) []string {
	const ascii = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&()*+,-./:;<=>?@[]^_`{|}~ "
	others := []rune("äöüßéèñçø€łŻжЩ漢字かな😀🔑")
	secrets := make([]string, n)
	for i := range secrets {
		var s strings.Builder
		for range 10 + r.IntN(30) {
			switch k := r.IntN(100); {
			case k < 8:
				s.WriteByte("'\"\\%&"[r.IntN(5)])
			case i%4 == 1 && k < 30:
				s.WriteRune(others[r.IntN(len(others))])
			case i%8 == 2 && k < 14:
				s.WriteString("\n")
			case i%8 == 3 && k < 14:
				s.WriteByte("\t\x1b\x7f"[r.IntN(3)])
			default:
				s.WriteByte(ascii[r.IntN(len(ascii))])
			}
		}
		secrets[i] = "k" + strings.Trim(s.String(), "\n") + "9" // what is quoted at the ends has a test of its own
	}
	return secrets
}

// spellings are the forms in which a secret is found.
var spellings = map[string]func(string) string{
	"as it is":            func(s string) string { return s },
	"URL query":           url.QueryEscape,
	"URL path":            url.PathEscape,
	"encodeURIComponent":  func(s string) string { return percent(s, "-_.!~*'()", "%%%02X") },
	"jq @uri":             func(s string) string { return percent(s, "-_.~", "%%%02X") },
	"Python quote":        func(s string) string { return percent(s, "-_.~/", "%%%02X") },
	"URL in lower case":   func(s string) string { return percent(s, "", "%%%02x") },
	"URL twice":           func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
	"JSON":                func(s string) string { return inJSON(s, true) },
	"JSON without HTML":   func(s string) string { return inJSON(s, false) },
	"JSON, slash escaped": func(s string) string { return strings.ReplaceAll(inJSON(s, false), "/", `\/`) },
	"JSON in ASCII":       asciiJSON,
	"JSON by .NET":        dotnetJSON,
	"JSON in JSON":        func(s string) string { return inJSON(inJSON(s, true), false) },
	"JSON five deep": func(s string) string {
		return inJSON(inJSON(inJSON(inJSON(inJSON(s, true), false), true), false), true)
	},
	"ASCII JSON in JSON": func(s string) string { return asciiJSON(dotnetJSON(s)) },
	"XML":                inXML,
	"XML by name":        func(s string) string { return html.EscapeString(s) },
	"XML in decimal":     func(s string) string { return numeric(s, "&#%d;") },
	"XML in hexadecimal": func(s string) string { return numeric(s, "&#x%X;") },
	"XML in XML":         func(s string) string { return inXML(inXML(s)) },
	"SQL":                func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" },
	"single quotes":      func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" },
	"shlex.quote":        func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'" },
	"printf %q":          backslashed,
	"$''":                dollarQuoted,
	"double quotes":      func(s string) string { return `"` + escapeEach(s, "\"$`\\") + `"` },
	"repr":               func(s string) string { return repr(s, false) },
	"ascii":              func(s string) string { return repr(s, true) },
	"base64":             func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 at one":      func(s string) string { return base64.StdEncoding.EncodeToString([]byte("u" + s)) },
	"base64 at two":      func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("us" + s + "!")) },
	"base64 in lines": func(s string) string {
		return lines(base64.StdEncoding.EncodeToString([]byte("{"+s)), 20, "\r\n")
	},
	"hex":      func(s string) string { return hex.EncodeToString([]byte(s)) },
	"HEX":      func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"UTF-16LE": func(s string) string { return wide(s, 0) },
	"UTF-16BE": func(s string) string { return wide(s, 1) },
}

func percent(text, bare, format string) string {
	var out strings.Builder
	for i := range len(text) {
		switch c := text[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte(bare, c) >= 0:
			out.WriteByte(c)
		default:
			fmt.Fprintf(&out, format, c)
		}
	}
	return out.String()
}

func inJSON(text string, html bool) string {
	var doc bytes.Buffer
	enc := json.NewEncoder(&doc)
	enc.SetEscapeHTML(html)
	_ = enc.Encode(text)
	return strings.TrimSpace(doc.String())
}

// asciiJSON escapes everything beyond ASCII, as Python and many others do.
func asciiJSON(text string) string {
	var out strings.Builder
	for _, r := range inJSON(text, false) {
		out.WriteString(unicodeEscape(r, func(r rune) bool { return r < 0x80 }))
	}
	return out.String()
}

// dotnetJSON escapes everything that may have a meaning anywhere, as .NET and Gson do.
func dotnetJSON(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch r {
		case '\\':
			out.WriteString(`\\`)
		case '\n':
			out.WriteString(`\n`)
		default:
			out.WriteString(unicodeEscape(r,
				func(r rune) bool { return r >= ' ' && r < 0x7f && !strings.ContainsRune("'\"<>&+`=", r) }))
		}
	}
	return `"` + out.String() + `"`
}

func unicodeEscape(r rune, plain func(rune) bool) string {
	switch {
	case plain(r):
		return string(r)
	case r > 0xffff:
		high, low := utf16.EncodeRune(r)
		return fmt.Sprintf(`\u%04x\u%04x`, high, low)
	}
	return fmt.Sprintf(`\u%04X`, r)
}

func inXML(text string) string {
	var out bytes.Buffer
	for i, part := range strings.Split(text, "\x1b") {
		if i > 0 {
			out.WriteString("&#27;") // which XML 1.0 would not have
		}
		_ = xml.EscapeText(&out, []byte(part))
	}
	return out.String()
}

func numeric(text, format string) string {
	var out strings.Builder
	for _, r := range text {
		if r >= 'a' && r <= 'z' {
			out.WriteRune(r)
		} else {
			fmt.Fprintf(&out, format, r)
		}
	}
	return out.String()
}

func escapeEach(text, special string) string {
	var out strings.Builder
	for _, r := range text {
		if strings.ContainsRune(special, r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}

func hasControl(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0
}

// backslashed is the form in which bash's printf %q prints a text.
func backslashed(text string) string {
	if hasControl(text) {
		return dollarQuoted(text)
	}
	return escapeEach(text, " !\"#$&'()*,;<>?[\\]^`{|}~")
}

// dollarQuoted is the form in which bash prints a text that needs it, in a locale with ASCII only.
func dollarQuoted(text string) string {
	var out strings.Builder
	for _, c := range []byte(text) {
		switch at := strings.IndexByte("\a\b\t\n\v\f\r\x1b\\'", c); {
		case at >= 0:
			out.WriteString(`\` + string(`abtnvfrE\'`[at]))
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&out, `\%03o`, c)
		default:
			out.WriteByte(c)
		}
	}
	return "$'" + out.String() + "'"
}

// repr is the form in which Python prints a text.
func repr(text string, ascii bool) string {
	quote := '\''
	if strings.Contains(text, "'") && !strings.Contains(text, `"`) {
		quote = '"'
	}
	var out strings.Builder
	out.WriteRune(quote)
	for _, r := range text {
		switch {
		case r == '\n':
			out.WriteString(`\n`)
		case r == '\t':
			out.WriteString(`\t`)
		case r == quote || r == '\\':
			out.WriteString(`\` + string(r))
		case r < ' ' || r >= 0x7f && r < 0xa0 || ascii && r < 0x100 && r >= 0x7f:
			fmt.Fprintf(&out, `\x%02x`, r)
		case ascii && r >= 0x10000:
			fmt.Fprintf(&out, `\U%08x`, r)
		case ascii && r >= 0x100:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	return out.String() + string(quote)
}

func lines(text string, width int, end string) string {
	var out strings.Builder
	for len(text) > width {
		out.WriteString(text[:width] + end)
		text = text[width:]
	}
	return out.String() + text
}

// wide is ASCII text in UTF-16, and any other text unchanged.
func wide(text string, at int) string {
	out := make([]byte, 2*len(text))
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return text
		}
		out[2*i+at] = text[i]
	}
	return string(out)
}

// hidden fails if more is left of a spelling than what surrounds a secret.
func hidden(t *testing.T, name, secret, spelled, masked string) {
	t.Helper()
	left := strings.ReplaceAll(masked, redact.Mask, "")
	if !strings.Contains(masked, redact.Mask) || len(strings.Trim(left, "\x00\r\n'\"\\$=")) > 4 {
		t.Errorf("%s of %q: %q is left of %q", name, secret, masked, spelled)
	}
}

func TestSecretsInEverySpelling(t *testing.T) {
	t.Parallel()
	secrets := randomSecrets(rand.New(rand.NewPCG(14, 400)), 400)
	m := redact.New(secrets)
	for name, spell := range spellings {
		for _, s := range secrets {
			hidden(t, name, s, spell(s), m.String(spell(s)))
			around := `{"x": "y` + "\n" + `z", "path": "C:\\new", "v": ` + spell(s) + "\n, tail}"
			masked := m.String(around)
			if !strings.HasPrefix(masked, `{"x": "y`) || !strings.HasSuffix(masked, ", tail}") {
				t.Errorf("%s of %q: what is around it is masked: %q", name, s, masked)
			} else if strings.Count(masked, "\n") < 2 {
				t.Errorf("%s of %q: ends of lines are gone: %q", name, s, masked)
			}
		}
	}
	t.Logf("%d secrets in %d spellings", len(secrets), len(spellings))
}

// What the tools themselves write. Each reads all secrets, separated by NULs, and writes as many texts.
func TestSecretsSpelledByTools(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts the tools")
	}
	secrets := randomSecrets(rand.New(rand.NewPCG(14, 401)), 400)
	m := redact.New(secrets)
	const each = `while IFS= read -r -d '' s; do %s; printf '\0'; done`
	const python = `import sys,shlex,json,base64,html,urllib.parse as u,xml.sax.saxutils as x
out=lambda f:sys.stdout.buffer.write(b"".join((lambda r:r if isinstance(r,bytes) else r.encode())(f(s))+b"\0" for s in sys.stdin.buffer.read().decode().split("\0")[:-1]))
`
	for name, c := range map[string]struct {
		tool []string
		env  string
	}{
		"printf %q":       {[]string{"bash", "-c", fmt.Sprintf(each, `printf %q "$s"`)}, "LC_ALL=C.UTF-8"},
		"printf %q in C":  {[]string{"bash", "-c", fmt.Sprintf(each, `printf %q "$s"`)}, "LC_ALL=C"},
		"declare -p":      {[]string{"bash", "-c", fmt.Sprintf(each, `declare -p s`)}, "LC_ALL=C.UTF-8"},
		"declare -p in C": {[]string{"bash", "-c", fmt.Sprintf(each, `export s; declare -p s`)}, "LC_ALL=C"},
		"export -p": {[]string{
			"bash", "-c", fmt.Sprintf(each, `env -i s="$s" bash -c "unset PWD OLDPWD SHLVL _; export -p"`),
		}, "LC_ALL=C"},
		"@Q": {[]string{"bash", "-c", fmt.Sprintf(each, `printf %s "${s@Q}"`)}, "LC_ALL=C.UTF-8"},
		"set -x": {[]string{
			"bash", "-c", fmt.Sprintf(each, `{ set -x; : "$s"; set +x; } 2>&1 | head -n -1`),
		}, "LC_ALL=C.UTF-8"},
		"dash export -p": {[]string{
			"bash", "-c", fmt.Sprintf(each, `env -i s="$s" dash -c 'unset PWD; export -p'`),
		}, "LC_ALL=C"},
		"shlex.quote":       {[]string{"python3", "-c", python + `out(shlex.quote)`}, ""},
		"repr":              {[]string{"python3", "-c", python + `out(repr)`}, ""},
		"repr of bytes":     {[]string{"python3", "-c", python + `out(lambda s:repr(s.encode()))`}, ""},
		"ascii":             {[]string{"python3", "-c", python + `out(ascii)`}, ""},
		"urllib quote":      {[]string{"python3", "-c", python + `out(u.quote)`}, ""},
		"urllib quote_plus": {[]string{"python3", "-c", python + `out(u.quote_plus)`}, ""},
		"urlencode":         {[]string{"python3", "-c", python + `out(lambda s:u.urlencode({"":s}))`}, ""},
		"json.dumps":        {[]string{"python3", "-c", python + `out(json.dumps)`}, ""},
		"json.dumps thrice": {[]string{
			"python3", "-c", python + `out(lambda s:json.dumps(json.dumps(json.dumps(s))))`,
		}, ""},
		"html.escape": {[]string{"python3", "-c", python + `out(html.escape)`}, ""},
		"quoteattr":   {[]string{"python3", "-c", python + `out(x.quoteattr)`}, ""},
		"charref": {[]string{
			"python3", "-c", python + `out(lambda s:x.escape(s).encode("ascii","xmlcharrefreplace"))`,
		}, ""},
		"encodebytes": {[]string{
			"python3", "-c", python + `out(lambda s:base64.encodebytes(("us"+s).encode()))`,
		}, ""},
		"hex":        {[]string{"python3", "-c", python + `out(lambda s:s.encode().hex())`}, ""},
		"jq @uri":    {[]string{"jq", "-Rsj", `split("\u0000")[]|select(.!="")|@uri+"\u0000"`}, ""},
		"jq @sh":     {[]string{"jq", "-Rsj", `split("\u0000")[]|select(.!="")|@sh+"\u0000"`}, ""},
		"jq @html":   {[]string{"jq", "-Rsj", `split("\u0000")[]|select(.!="")|@html+"\u0000"`}, ""},
		"jq @csv":    {[]string{"jq", "-Rsj", `split("\u0000")[]|select(.!="")|([.]|@csv)+"\u0000"`}, ""},
		"jq tojson":  {[]string{"jq", "-Rsj", `split("\u0000")[]|select(.!="")|(tojson|tojson)+"\u0000"`}, ""},
		"jq @base64": {[]string{"jq", "-Rsj", `split("\u0000")[]|select(.!="")|("u"+.|@base64)+"\u0000"`}, ""},
		"encodeURIComponent": {[]string{
			"node", "-e",
			`process.stdout.write(require("fs").readFileSync(0,"utf8").split("\0").slice(0,` +
				`-1).map(s=>encodeURIComponent(s)+"\0").join(""))`,
		}, ""},
		"JSON.stringify": {[]string{
			"node", "-e",
			`process.stdout.write(require("fs").readFileSync(0,"utf8").split("\0").slice(0,` +
				`-1).map(s=>JSON.stringify(JSON.stringify(s))+"\0").join(""))`,
		}, ""},
		"base64":         {[]string{"bash", "-c", fmt.Sprintf(each, `printf %s "us$s" | base64`)}, ""},
		"openssl base64": {[]string{"bash", "-c", fmt.Sprintf(each, `printf %s "$s" | openssl base64`)}, ""},
		"xxd -p":         {[]string{"bash", "-c", fmt.Sprintf(each, `printf %s "$s" | xxd -p`)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, tool := range []string{
				c.tool[0],
				map[string]string{"dash export -p": "dash", "openssl base64": "openssl", "xxd -p": "xxd"}[name],
			} {
				if _, err := exec.LookPath(tool); tool != "" && err != nil {
					t.Skipf("needs %s", tool)
				}
			}
			secrets := secrets
			if c.tool[0] == "bash" {
				secrets = secrets[:100] // it starts processes for each
			}
			cmd := exec.Command(c.tool[0], c.tool[1:]...)
			cmd.Stdin = strings.NewReader(strings.Join(secrets, "\x00") + "\x00")
			cmd.Env = append(os.Environ(), c.env)
			out, err := cmd.Output()
			if err != nil {
				t.Skipf("%s does not do that here: %v", c.tool[0], err)
			}
			spelled := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
			if len(spelled) != len(secrets) {
				t.Fatalf("%d texts of %d secrets", len(spelled), len(secrets))
			}
			for i, s := range secrets {
				text := spelled[i]
				for _, before := range []string{"declare -- s=", "declare -x s=", "export s=", "+ : "} {
					text = strings.TrimPrefix(text, before)
				}
				hidden(t, name, s, text, strings.TrimPrefix(m.String(text), "b'"))
			}
		})
	}
}

// A text without any of many secrets is not masked.
func TestOrdinaryTextStays(t *testing.T) {
	t.Parallel()
	m := redact.New(randomSecrets(rand.New(rand.NewPCG(14, 402)), 400))
	const most = 24 << 20
	size := 0
	root, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	if err != nil {
		t.Skip("there is no go command, whose sources are ordinary text")
	}
	for _, dir := range []string{"../../docs", filepath.Join(strings.TrimSpace(string(root)), "src")} {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || size > most {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			size += len(text)
			if masked := m.String(string(text)); masked != string(text) {
				t.Errorf("%s is masked", path)
			}
			return nil
		})
	}
	if size < 1<<20 {
		t.Skip("there is not enough text here")
	}
	t.Logf("%d MB", size>>20)
}
