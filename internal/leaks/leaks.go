// Package leaks finds keys, tokens and passwords in the files of a package: private keys, access keys of clouds,
// tokens of well-known services, passwords in URLs and in HTTP headers, and passwords as people write them who work
// with Oracle's database: for sqlplus and similar programs, FNDLOAD, IDENTIFIED BY.
//
// Most rules are those of Google's veles, which know the form of each kind of secret, its prefix or checksum, so that
// false alarms are rare. A password that looks like an ordinary word is found in no other place. Every file is read
// from end to end, whatever its name and contents claim that it is; NULs are ignored, so that text in UTF-16 is text,
// too. Archives are not opened.
package leaks

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/google/osv-scalibr/veles"
	"github.com/google/osv-scalibr/veles/secrets/anthropicapikey"
	"github.com/google/osv-scalibr/veles/secrets/awsaccesskey"
	"github.com/google/osv-scalibr/veles/secrets/azurestorageaccountaccesskey"
	"github.com/google/osv-scalibr/veles/secrets/azuretoken"
	"github.com/google/osv-scalibr/veles/secrets/dockerhubpat"
	"github.com/google/osv-scalibr/veles/secrets/gcpapikey"
	"github.com/google/osv-scalibr/veles/secrets/gcpsak"
	"github.com/google/osv-scalibr/veles/secrets/github"
	"github.com/google/osv-scalibr/veles/secrets/gitlabpat"
	"github.com/google/osv-scalibr/veles/secrets/hashicorpvault"
	"github.com/google/osv-scalibr/veles/secrets/http"
	"github.com/google/osv-scalibr/veles/secrets/jwt"
	"github.com/google/osv-scalibr/veles/secrets/npmjsaccesstoken"
	"github.com/google/osv-scalibr/veles/secrets/openai"
	"github.com/google/osv-scalibr/veles/secrets/privatekey"
	"github.com/google/osv-scalibr/veles/secrets/pypiapitoken"
	"github.com/google/osv-scalibr/veles/secrets/sendgrid"
	"github.com/google/osv-scalibr/veles/secrets/slacktoken"
	"github.com/google/osv-scalibr/veles/secrets/stripeapikeys"
	"github.com/google/osv-scalibr/veles/secrets/urlcreds"
)

// window is how much of a file is searched at once, and overlap how much of that is searched again with what follows:
// more than a secret is long.
const (
	window  = 4 << 20
	overlap = 128 << 10
)

// Finding is a place that looks like a secret. It does not quote the secret.
type Finding struct {
	File string
	Line int // from 1
	Kind string
}

// String gives the finding as "file:line: kind".
func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Kind) }

// rule is a kind of secret. Its detector is called only for texts that contain the words without which it finds
// nothing; this saves most of the time.
type rule struct {
	kind     string
	words    []string // all of them, in lower case
	detector detector
}

// detector returns the places of secrets in a text.
type detector interface {
	Detect(text []byte) ([]veles.Secret, []int)
}

var rules = append([]rule{
	{"private key", []string{"private key-----"}, privatekey.NewDetector()},
	{"password in a URL", []string{"://", "@"}, urlcreds.NewDetector()},
	{"HTTP basic credentials", []string{"authorization", "basic"}, http.NewBasicAuthDetector()},
	{"HTTP bearer token", []string{"authorization", "bearer"}, http.NewBearerDetector()},
	{"JSON web token", []string{"eyj"}, jwt.NewDetector()},
	{"AWS access key", []string{"akia"}, awsaccesskey.NewDetector()},
	{"AWS access key", []string{"asia"}, awsaccesskey.NewDetector()},
	{"Azure token", []string{"eyj"}, azuretoken.NewDetector()},
	{"Azure storage key", []string{"==", "az"}, azurestorageaccountaccesskey.NewDetector()},
	{"Google API key", []string{"aizasy"}, gcpapikey.NewDetector()},
	{"Google service account key", []string{"auth_provider_x509_cert_url"}, gcpsak.NewDetector()},
	{"GitHub token", []string{"ghp_"}, github.NewClassicPATDetector()},
	{"GitHub token", []string{"github_pat_"}, github.NewFineGrainedPATDetector()},
	{"GitHub token", []string{"gho_"}, github.NewOAuthTokenDetector()},
	{"GitHub token", []string{"ghs_"}, github.NewAppS2STokenDetector()},
	{"GitLab token", []string{"glpat-"}, gitlabpat.NewDetector()},
	{"Docker Hub token", []string{"dckr_pat_"}, dockerhubpat.NewDetector()},
	{"HashiCorp Vault token", []string{"hvs."}, hashicorpvault.NewTokenDetector()},
	{"HashiCorp Vault token", []string{"hvb."}, hashicorpvault.NewTokenDetector()},
	{"npm token", []string{"npm_"}, npmjsaccesstoken.NewDetector()},
	{"PyPI token", []string{"pypi-"}, pypiapitoken.NewDetector()},
	{"Slack token", []string{"xapp-"}, slacktoken.NewAppLevelTokenDetector()},
	{"Slack token", []string{"xoxe.xoxp-"}, slacktoken.NewAppConfigAccessTokenDetector()},
	{"Stripe key", []string{"sk_live_"}, stripeapikeys.NewSecretKeyDetector()},
	{"SendGrid key", []string{"sg."}, sendgrid.NewDetector()},
	{"Anthropic key", []string{"sk-ant-"}, anthropicapikey.NewDetector()},
	{"OpenAI key", []string{"t3blbkfj"}, openai.NewDetector()},
}, tradeRules()...)

// most bounds the number of findings.
const most = 100

// Scan searches the named files, and returns at most a hundred findings.
func Scan(ctx context.Context, root *os.Root, names []string) ([]Finding, error) {
	var found []Finding
	var buf bytes.Buffer
	for _, name := range names {
		lines, err := scanFile(ctx, root, name, &buf)
		if err != nil {
			return nil, fmt.Errorf("scan %s for secrets: %w", name, err)
		}
		for _, line := range slices.Sorted(maps.Keys(lines)) {
			found = append(found, Finding{name, line, lines[line]})
		}
		if len(found) >= most {
			return found[:most], nil
		}
	}
	return found, nil
}

// scanFile returns the lines with secrets, and their kinds. The buffer is reused for each file.
func scanFile(ctx context.Context, root *os.Root, name string, text *bytes.Buffer) (map[int]string, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := map[int]string{}
	text.Reset()
	for first := 1; len(lines) < most; {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		n, err := text.ReadFrom(io.LimitReader(f, window))
		if err != nil {
			return nil, err
		}
		readable := text.Bytes()
		if bytes.IndexByte(readable, 0) >= 0 {
			readable = bytes.ReplaceAll(readable, []byte{0}, nil)
		}
		scan(readable, first, lines)
		if n < window {
			return lines, nil
		}
		done := max(0, len(readable)-overlap)
		first += bytes.Count(readable[:done], []byte("\n"))
		text.Reset()
		text.Write(readable[done:])
	}
	return lines, nil
}

// scan applies the rules to a text that begins with a line; it reports a line once, by the first rule that matches.
func scan(text []byte, first int, lines map[int]string) {
	lower := bytes.ToLower(text)
	known := map[string]bool{}
	missing := func(word string) bool {
		if _, looked := known[word]; !looked {
			known[word] = bytes.Contains(lower, []byte(word))
		}
		return !known[word]
	}
	for _, r := range rules {
		if slices.ContainsFunc(r.words, missing) {
			continue
		}
		_, places := r.detector.Detect(text)
		slices.Sort(places)
		line, counted := first, 0
		for _, at := range places {
			line, counted = line+bytes.Count(text[counted:at], []byte("\n")), at
			if lines[line] == "" {
				lines[line] = r.kind
			}
		}
	}
}
