package leaks

import (
	"bytes"
	"iter"
	"regexp"
	"slices"
	"strings"

	"github.com/google/osv-scalibr/veles"
)

// password finds passwords as those write them who work with Oracle's database and E-Business Suite: what
// its expression calls secret, unless that stands for one that is given when it runs.
type password struct {
	*regexp.Regexp
	isMeant func(match) bool // nil if the expression says enough
	words   []string         // those of a line with a password, in lower case; none if it may be spread over many
}

// commands take user/password as an argument, and so do the commands with names that are words elsewhere, too.
var (
	commands      = []string{"sqlplus", "sqlldr", "expdp", "impdp", "rman", "fndload", "fndcpass", "wfload", "concsub"}
	shortCommands = []string{"exp", "imp"}
)

// scripts are words of scripts for SQL*Plus. A line "connect a/b" in one is no prose.
var scripts = []string{"/nolog", "sqlerror", "set define", "set echo", "spool "}

const (
	continued = `(?:\\\r?\n)`
	blank     = `(?:[ \t]|` + continued + `)+` // between words of a command
	// named is what ends the name of a command: "$ORACLE_HOME/bin/sqlplus", ${SQLPLUS:-sqlplus}.
	named = `(?:\.exe)?\\?["'}]{0,2}`
	// option is one that may stand before the user, with its value.
	option = blank + `(?:-[a-z]+(?:` + blank + `(?:"[^"\n]*"|'[^'\n]*'|[0-9][0-9.]*|on|off))?|target|catalog|auxiliary)`
	quoted = `\\?"[^"\n]*"|\\?'[^'\n]*'|`
	user   = `(?P<quote>\\?["']?)(?P<user>[a-z$&{%:#][\w$#{}&%.:-]*)["']?`
	logon  = user + continued + `?/` + continued + `?(?P<secret>` + quoted + `[^\s"'@/;|<>)]+)(?P<after>/?)`
	// begin is what stands before a command of a shell.
	begin = `(?:^(?:sql> *|[$%>] )?|[;&|!]|\{[ \t]|\$\(|-c[ \t]+\\?["']|` +
		`\b(?:then|do|else|if|nohup|time|exec|host)[ \t]|(?-i:\b[A-Z_]{2,})=\S+[ \t])[ \t]*["']?(?:[\w$.{}~-]*/)*`
	// connect is that of SQL*Plus and RMAN, in a file of theirs or as text that a script gives them, and ownLine says
	// that a line begins with it.
	connect = `[ \t]*(?P<clause>conn(?:ect)?)[ \t]+(?:(?:target|catalog)[ \t]+)?` + logon
	inText  = `(?:^|["'>;]|\\n|\becho[ \t])`
	ownLine = `^(?:[ \t]*(?:echo|printf)[ \t]+["']?|sql>)?`
	// done is what ends a statement.
	done = `[ \t\r]*(?:--|/\*|[;"'\\]|$)`
)

const (
	account = `(?:"[^"\n]+"|\\"[^"\n]+\\"|'[^'\n]*'|[\w$#&.{}:%-]+)`
	clause  = `(?:account\s+(?:un)?lock|password\s+expire|(?:profile|(?:default|temporary)\s+tablespace)\s+\S+|` +
		`quota\s+\S+\s+on\s+\S+|container\s*=\s*\w+)`
	statement = `\b(?:(?:create(?:\s+or\s+replace)?|alter)\s+user|(?:create|alter|set)\s+role|` +
		`(?P<grant>connect\s+to|authenticated\s+by|grant\s+(?:[^\s;]+\s+){1,8}?to))\s+` +
		`(?:if\s+(?:not\s+)?exists\s+)?(?P<user>` + account + `(?:@` + account + `)?)\s+(?:` + clause + `\s+)*`
	nextClause = `[ \t]*(?:account|default|temporary|quota|profile|replace|container|using|password)\b`
	identified = `(?im)(?:` + statement + `)?\b(?P<clause>identified\s+by)\s+(?:values\s+)?(?P<secret>` + quoted +
		`(?:-?[^\s;,"')\\-])+)(?P<done>` + done + `|` + nextClause + `)?`
)

// tradeRules are the rules for such passwords.
func tradeRules() []rule {
	const kind = "password of a database user"
	var rules []rule
	add := func(isMeant func(match) bool, expression string, words ...string) {
		rules = append(rules, rule{kind, words, password{regexp.MustCompile(expression), isMeant, words}})
	}
	add(nil, `(?i)\buserid[ \t]*=[ \t]*`+logon, "userid", "/")
	add(nil, `(?i)\bfndcpass`+named+blank+`\S+`+blank+`0`+blank+`y`+blank+logon, "fndcpass", "/")
	add(nil, `(?i)-DB_PASSWORD(?:=|`+blank+`)(?P<secret>`+quoted+`[^\s"';|<>)]+)`, "-db_password")
	for _, command := range commands {
		add(nil, `(?i)\b`+command+named+`(?:`+option+`)*`+blank+logon, command, "/")
	}
	for _, command := range shortCommands {
		add(isWord, `(?im)`+begin+command+named+blank+logon, command, "/")
	}
	add(nil, `(?im)`+inText+connect+`(?:@|[ \t]+as[ \t]+sys)`, "conn", "/")
	add(isConnect, `(?im)`+inText+connect+`(?:(?P<stated>[ \t]*;[ \t\r]*$)|`+done+`|[ \t]*\|)`, "conn", "/")
	inScript := password{regexp.MustCompile(`(?im)` + ownLine + connect + done), nil, []string{"conn", "/"}}
	for _, word := range scripts {
		rules = append(rules, rule{kind, []string{"conn", word}, inScript})
	}
	return append(rules,
		rule{kind, []string{"identified"}, password{regexp.MustCompile(identified), isIdentified, nil}})
}

// match is a place that has the form of a password.
type match struct {
	re   *regexp.Regexp
	text []byte
	at   []int
}

// has reports whether a part of the expression is there; it may be empty.
func (m match) has(name string) bool {
	i := m.re.SubexpIndex(name)
	return i > 0 && m.at[2*i] >= 0
}

func (m match) part(name string) string {
	if !m.has(name) {
		return ""
	}
	return string(m.text[m.place(name):m.at[2*m.re.SubexpIndex(name)+1]])
}

func (m match) place(name string) int { return m.at[2*m.re.SubexpIndex(name)] }

// Detect gives the places where passwords are.
func (d password) Detect(text []byte) ([]veles.Secret, []int) {
	var places []int
	for start, part := range d.parts(text) {
		for _, at := range d.FindAllSubmatchIndex(part, -1) {
			m := match{d.Regexp, part, at}
			if m.isSecret() && (d.isMeant == nil || d.isMeant(m)) {
				places = append(places, start+m.place("secret"))
			}
		}
	}
	return nil, places
}

// parts are the lines with the words, each with those that continue it, and where they begin: the expression is slow,
// and "exp" is in many a text.
func (d password) parts(text []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		if d.words == nil {
			yield(0, text)
			return
		}
		lower := lowerASCII(text)
		for end := 0; ; {
			at := bytes.Index(lower[end:], []byte(d.words[0]))
			if at < 0 {
				return
			}
			start := bytes.LastIndexByte(lower[:end+at], '\n') + 1
			end = endOfLine(text, end+at)
			missing := func(word string) bool { return !bytes.Contains(lower[start:end], []byte(word)) }
			if !slices.ContainsFunc(d.words, missing) && !yield(start, text[start:end]) {
				return
			}
		}
	}
}

// endOfLine is where the line ends that a place is in, or the last of those that continue it.
func endOfLine(text []byte, at int) int {
	for {
		length := bytes.IndexByte(text[at:], '\n')
		if length < 0 {
			return len(text)
		}
		if line := bytes.TrimSuffix(text[at:at+length], []byte("\r")); !bytes.HasSuffix(line, []byte(`\`)) {
			return at + length
		}
		at += length + 1
	}
}

// lowerASCII is a text of the same length, unlike that of bytes.ToLower.
func lowerASCII(text []byte) []byte {
	lower := bytes.Clone(text)
	for i, b := range lower {
		if 'A' <= b && b <= 'Z' {
			lower[i] = b + 'a' - 'A'
		}
	}
	return lower
}

// isSecret reports whether a match is neither a path, nor a sentence, nor what only stands for a password.
func (m match) isSecret() bool {
	secret := m.part("secret")
	return m.part("after") == "" && !isPath(secret) && !isProse(m.part("user"), secret) &&
		(m.isLiteral() || !isPlaceholder(secret))
}

var dollar = regexp.MustCompile(`^'?\$\w`)

// isLiteral reports whether a shell takes a $ as it is: in single quotes, unless other quotes are open there. A user
// with a $, too, is a text for another shell, and SQL has no shell's quotes.
func (m match) isLiteral() bool {
	secret, quote := m.part("secret"), "secret"
	if m.part("quote") == "'" {
		quote = "quote"
	} else if secret[0] != '\'' {
		return false
	}
	return dollar.MatchString(secret) && !m.has("clause") && !strings.HasPrefix(m.part("user"), "$") &&
		!isQuoted(m.text[:m.place(quote)])
}

// isQuoted reports whether quotes are open at the end of a text's last line.
func isQuoted(text []byte) bool {
	line := text[max(0, len(text)-1024):]
	line = line[bytes.LastIndexByte(line, '\n')+1:]
	double := bytes.Count(line, []byte(`"`)) - bytes.Count(line, []byte(`\"`))
	return double%2 == 1 || bytes.Count(line, []byte("'"))%2 == 1
}

var (
	hasLetter = regexp.MustCompile(`[A-Za-z]`)
	hasMark   = regexp.MustCompile(`^\\?["']|[0-9$#!@]`)
	isPlain   = regexp.MustCompile(`^(?:\\?["'].*|\w[\w$#!@]*)$`)
)

// isWord reports whether a password is no number: exp x/2.
func isWord(m match) bool { return hasLetter.MatchString(m.part("secret")) }

// isConnect reports whether "connect a/b" is a statement: "connect client/server" may be a sentence.
func isConnect(m match) bool {
	return isWord(m) && hasMark.MatchString(m.part("secret")) || m.has("stated")
}

// isIdentified reports whether IDENTIFIED BY is SQL: in a statement, or else, since a sentence may say
// it, too, as one writes SQL or with what is no word.
func isIdentified(m match) bool {
	clause, secret := m.part("clause"), m.part("secret")
	if m.has("user") {
		return !m.has("grant") || m.has("done") || hasMark.MatchString(secret)
	}
	return m.has("done") && isPlain.MatchString(secret) &&
		(clause == strings.ToUpper(clause) || hasMark.MatchString(secret))
}

// isPlaceholder reports whether a word stands for a password that is not there: a variable of a shell, of
// SQL*Plus, of Windows or of a template, a name in brackets, a mask.
func isPlaceholder(word string) bool {
	word = strings.Trim(word, `\"'`)
	if word == "" || strings.Contains("$&:%<{[*`@", word[:1]) || strings.Contains(word, "||") {
		return true
	}
	return strings.Trim(word, word[:1]) == "" && strings.Contains("xX.?-_#", word[:1])
}

var file = regexp.MustCompile(`(?i)\.(?:sql|sh|txt|log|ldt|lct|pl[bs]|pk[bs]|ctl|par|xml|csv|lst|zip|md)$`)

// isPath reports whether what follows a slash is rather a file's name.
func isPath(word string) bool { return file.MatchString(word) }

// isProse reports whether this is a sentence about such commands.
func isProse(user, secret string) bool {
	words := []string{
		"and", "or", "is", "are", "was", "were", "be", "being", "been", "can", "must", "not", "who", "that", "which",
		"the", "a", "an", "its", "their", "takes",
	}
	return slices.Contains(words, strings.ToLower(user)) || slices.Contains(words, strings.ToLower(secret))
}
