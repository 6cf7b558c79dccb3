package localoci_test

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// A signature that is right in itself is refused for anything unusual around it.
func TestUnusualAuthorizations(t *testing.T) {
	s := start(t)
	p := personOf(t, s)
	alter := func(from, to string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), from, to, 1))
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*http.Request)
		want  int
	}{
		{"as it is", func(*http.Request) {}, 200},
		{"spaces between parameters", alter(`",`, `" , `), 200},
		{"upper case algorithm", alter("rsa-sha256", "RSA-SHA256"), 200},
		{"another scheme", alter("Signature ", "Bearer "), 401},
		{"another version", alter(`version="1"`, `version="2"`), 401},
		{"no version", alter(`version="1",`, ``), 401},
		{"another algorithm", alter("rsa-sha256", "hmac-sha256"), 401},
		{"a parameter twice", alter(`version="1"`, `version="1",version="1"`), 401},
		{"words between parameters", alter(`version="1",`, `version="1", and `), 401},
		{"words after them", func(r *http.Request) { r.Header.Set("Authorization", r.Header.Get("Authorization")+" x") }, 401},
		{"a signed header twice", func(r *http.Request) { r.Header.Add("Date", r.Header.Get("Date")) }, 401},
		{"a newer date that is not signed", func(r *http.Request) { r.Header.Set("X-Date", time.Now().UTC().Format(http.TimeFormat)) }, 200},
		{"a header that is signed and missing", alter("(request-target)", "(request-target) x-none"), 401},
		{"no date", func(r *http.Request) { r.Header.Del("Date") }, 401},
		{"a date that is none", func(r *http.Request) { r.Header.Set("Date", "today") }, 401},
	} {
		resp, doc := p.send(t, "GET", s.Endpoint()+"/n/localns/b/packages", "", c.spoil)
		if resp.StatusCode != c.want {
			t.Errorf("%s: status %d %v; want %d", c.name, resp.StatusCode, doc, c.want)
		}
	}
}

// An upload that is refused is answered although nobody reads its body, and the same
// connection or another serves the next request.
func TestALargeUploadThatIsRefusedIsAnswered(t *testing.T) {
	s := start(t)
	p := personOf(t, s)
	body := strings.Repeat("x", 16<<20)
	for range 5 {
		resp, doc := p.send(t, "PUT", object(s, "packages", "x"), body, func(r *http.Request) { r.Header.Del("Authorization") })
		if resp.StatusCode != 401 || doc["code"] != "NotAuthenticated" {
			t.Errorf("status %d %v; want 401", resp.StatusCode, doc)
		}
	}
}
