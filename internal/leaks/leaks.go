// Package leaks finds keys and tokens in the files of a package: private keys, access
// keys of clouds, tokens of well-known services, passwords in URLs and in HTTP headers.
//
// The rules are those of Google's veles, which know the form of each kind of secret, its
// prefix or checksum, so that little is reported that is none. A password that looks
// like any other word is not found. Files that are not text are not looked at, and of
// each file the first MaxBytes.
package leaks

import (
	"bytes"
	"context"
	"fmt"
	"io"
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

// MaxBytes is how much of each file is looked at.
const MaxBytes = 4 << 20

// Finding is a place that looks like a secret. It does not quote it.
type Finding struct {
	File string
	Line int // from 1
	Kind string
}

// String gives the finding as "file:line: kind".
func (f Finding) String() string { return fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Kind) }

// rules are the kinds of secret. A detector is asked only about a text that has the words
// without which it finds nothing: that is most of the speed.
var rules = []struct {
	kind     string
	words    []string // all of them, in lower case
	detector veles.Detector
}{
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
}

// Scan looks at the named files, at most a hundred findings long.
func Scan(ctx context.Context, root *os.Root, names []string) ([]Finding, error) {
	const most = 100
	var found []Finding
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			return nil, fmt.Errorf("scan for secrets: %w", err)
		}
		text, err := read(root, name)
		if err != nil {
			return nil, fmt.Errorf("scan %s for secrets: %w", name, err)
		}
		if found = append(found, scan(name, text)...); len(found) >= most {
			return found[:most], nil
		}
	}
	return found, nil
}

func read(root *os.Root, name string) ([]byte, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, MaxBytes))
}

// scan applies the rules to a text; one place is reported once, by the first rule.
func scan(name string, text []byte) []Finding {
	if bytes.IndexByte(text[:min(len(text), 8000)], 0) >= 0 {
		return nil
	}
	lower := bytes.ToLower(text)
	var found []Finding
	for _, r := range rules {
		if slices.ContainsFunc(r.words, func(word string) bool { return !bytes.Contains(lower, []byte(word)) }) {
			continue
		}
		_, places := r.detector.Detect(text)
		for _, at := range places {
			line := 1 + bytes.Count(text[:at], []byte("\n"))
			if !slices.ContainsFunc(found, func(f Finding) bool { return f.Line == line }) {
				found = append(found, Finding{name, line, r.kind})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return a.Line - b.Line })
	return found
}
