package leaks

import (
	"regexp"
	"slices"
	"strings"

	"github.com/google/osv-scalibr/veles"
)

// password finds passwords as those write them who work with Oracle's database and E-Business Suite: what
// its expression calls secret, unless that stands for one that is given when it runs.
type password struct{ *regexp.Regexp }

// commands take user/password as an argument.
var commands = []string{"sqlplus", "sqlldr", "expdp", "impdp", "rman", "fndload", "fndcpass", "wfload", "concsub"}

const (
	blank = `(?:[ \t]|\\\r?\n)+` // between words of a command
	// option is one that may stand before the user, with its value.
	option = blank + `(?:-[a-z]+(?:` + blank + `(?:"[^"\n]*"|'[^'\n]*'|[0-9][0-9.]*|on|off))?|target|catalog|auxiliary)`
	quoted = `\\?"[^"\n]*"|\\?'[^'\n]*'|`
	user   = `\\?["']?(?P<user>[a-z$&{%:#][\w$#{}&%.:-]*)["']?`
	logon  = user + `/(?P<secret>` + quoted + `[^\s"'@/;|<>)]+)(?P<after>/?)`
)

// tradeRules are the rules for such passwords.
func tradeRules() []rule {
	const (
		kind   = "password of a database user"
		clause = `(?:account|default|temporary|quota|profile|replace|container|using|password)\b`
		stop   = `[ \t]*(?:[;"'\\]|$|(?i:` + clause + `))`
	)
	rules := []rule{
		{kind, []string{"userid"}, compile(`(?i)\buserid[ \t]*=[ \t]*` + logon)},
		{kind, []string{"fndcpass"}, compile(`(?i)\bfndcpass` + blank + `\S+` + blank + `0` + blank + `y` + blank + logon)},
		{kind, []string{"conn"}, compile(`(?im)^[ \t]*conn(?:ect)?[ \t]+` + logon + `(?:@|[ \t]+as[ \t]+sys)`)},
		{kind, []string{"identified"}, compile(`(?i)\b(?:user|role|to)\s+"?(?P<user>[\w$#&.{}:]+)"?\s+identified\s+by\s+(?:values\s+)?(?P<secret>` + quoted + `[^\s;,"')]+)`)},
		// Without a user a sentence may say this, too.
		{kind, []string{"identified"}, compile(`(?m)\bIDENTIFIED\s+BY\s+(?:VALUES\s+)?(?P<secret>` + quoted + `\w[\w$#!@]*)` + stop)},
		{kind, []string{"identified"}, compile(`(?m)\bidentified\s+by\s+(?:values\s+)?(?P<secret>` + quoted + `\w*[0-9$#!@][\w$#!@]*)` + stop)},
		{kind, []string{"-db_password"}, compile(`(?i)-DB_PASSWORD(?:=|` + blank + `)(?P<secret>` + quoted + `[^\s"';|<>)]+)`)},
	}
	for _, command := range commands {
		rules = append(rules, rule{kind, []string{command}, compile(`(?i)\b` + command + `(?:\.exe)?(?:` + option + `)*` + blank + logon)})
	}
	return rules
}

func compile(expression string) password { return password{regexp.MustCompile(expression)} }

// Detect gives the places where passwords are.
func (d password) Detect(text []byte) ([]veles.Secret, []int) {
	var places []int
	for _, m := range d.FindAllSubmatchIndex(text, -1) {
		part := func(name string) string {
			if i := d.SubexpIndex(name); i > 0 {
				return string(text[m[2*i]:m[2*i+1]])
			}
			return ""
		}
		secret := part("secret")
		if part("after") == "" && !isPath(secret) && !isPlaceholder(secret) && !isProse(part("user"), secret) {
			places = append(places, m[2*d.SubexpIndex("secret")])
		}
	}
	return nil, places
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
	words := []string{"and", "or", "is", "are", "was", "were", "be", "being", "been", "can", "must", "not", "who", "that", "which", "the", "takes"}
	return slices.Contains(words, strings.ToLower(user)) || slices.Contains(words, strings.ToLower(secret))
}
