package localoci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"cemli-executor/internal/problem"
)

// maxValid is the longest that credentials for another host are valid, which cannot be renewed there.
const maxValid = 7 * 24 * time.Hour

// Settings is the function's configuration with these buckets.
func Settings(b Buckets) map[string]string {
	return map[string]string{
		"CEMLI_PACKAGES_BUCKET": b.Packages, "RESULTS_BUCKET": b.Results, "CEMLI_STATE_BUCKET": b.State,
		"CEMLI_ENVIRONMENT": "local", "CEMLI_SANDBOX": "basic", "CEMLI_TOPIC": TopicID, "CEMLI_VAULT": VaultID,
		"CEMLI_WRITE_LOG": WriteLog,
	}
}

// makeCredentials answers environment and keys of a function that another host runs. What it may
// do is what the function here may.
func (s *Server) makeCredentials(w http.ResponseWriter, body []byte) error {
	var q struct {
		Valid Duration `json:"valid"`
	}
	if err := decodeStrict(body, &q); err != nil {
		return apiError{http.StatusBadRequest, "InvalidParameter", err.Error()}
	}
	valid := time.Duration(q.Valid)
	if valid < time.Minute || valid > maxValid {
		return apiError{http.StatusBadRequest, "InvalidParameter", "Credentials are valid for 1m to 168h."}
	}
	now := s.config.Now()
	session, err := s.authority.NewSession(now, now.Add(valid))
	if err != nil {
		return err
	}
	environment := Settings(s.config.Buckets)
	maps.Copy(environment, map[string]string{
		"CEMLI_ENDPOINT": s.Endpoint(), "OCI_RESOURCE_PRINCIPAL_VERSION": "2.2", "OCI_RESOURCE_PRINCIPAL_REGION": Region,
		"OCI_RESOURCE_PRINCIPAL_RPST": session.Token,
		// The fn CLI takes a value that begins with a hyphen for an option; readers of PEM skip the empty line.
		"OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM": "\n" + string(session.PrivateKey),
	})
	writeJSON(w, http.StatusOK, environment)
	return nil
}

// FetchCredentials asks the local OCI whose state is in dir for environment and keys, by name, of a
// function that another host runs. They are valid for one minute to seven days.
func FetchCredentials(ctx context.Context, dir string, valid time.Duration) (map[string]string, error) {
	if valid < time.Minute || valid > maxValid {
		return nil, problem.New(problem.Problem{
			Code: "usage", Where: "--valid", Message: fmt.Sprintf("credentials cannot be valid for %s", valid), Hint: "give 1m to 168h",
		}, nil)
	}
	environment, err := askForCredentials(ctx, dir, valid)
	if err != nil {
		return nil, problem.New(problem.Problem{
			Code: "config.local_down", Where: dir, Message: "no local OCI is running that has its state in this folder",
			Hint: "start one with cemli local up --dir " + dir + ", or name the folder that it prints as dir",
		}, err)
	}
	return environment, nil
}

func askForCredentials(ctx context.Context, dir string, valid time.Duration) (map[string]string, error) {
	token, errToken := readLine(filepath.Join(dir, tokenFile))
	endpoint, errEndpoint := readLine(filepath.Join(dir, endpointFile))
	if err := errors.Join(errToken, errEndpoint); err != nil {
		return nil, err
	}
	if u, err := url.Parse(endpoint); err != nil || u.Scheme != "http" || !net.ParseIP(u.Hostname()).IsLoopback() {
		return nil, fmt.Errorf("%.100q is not on this machine", endpoint) // the token is for none else
	}
	body, err := json.Marshal(map[string]Duration{"valid": Duration(valid)})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+adminPath+"credentials", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set(adminHeader, token)
	client := http.Client{ // without a proxy
		Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", endpoint, resp.Status)
	}
	return readEnvironment(resp.Body)
}

// ours are the variables that an environment may have: it is handed to a shell.
var ours = regexp.MustCompile(`^(CEMLI_[A-Z_]+|OCI_RESOURCE_PRINCIPAL_[A-Z_]+|RESULTS_BUCKET)$`)

func readEnvironment(from io.Reader) (map[string]string, error) {
	var environment map[string]string
	if err := json.NewDecoder(io.LimitReader(from, 64<<10)).Decode(&environment); err != nil {
		return nil, err
	}
	for name, value := range environment {
		if !ours.MatchString(name) || strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("the answer has a variable %.50q, and is no local OCI's", name)
		}
	}
	return environment, nil
}

// readLine reads a file of one line.
func readLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 1<<10))
	return strings.TrimSpace(string(text)), err
}
