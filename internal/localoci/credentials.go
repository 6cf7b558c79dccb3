package localoci

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"time"

	"cemli-executor/internal/localoci/admin"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/faults"
	"cemli-executor/internal/localoci/tenancy"
	"cemli-executor/internal/problem"
)

// Credentials for another host, which cannot renew them.
const (
	shortestValid = time.Minute
	longestValid  = 7 * 24 * time.Hour
)

// credentialsPath is the switch that issues credentials.
const credentialsPath = admin.Path + "credentials"

// credentialsRequest says how long the credentials must be valid.
type credentialsRequest struct {
	Valid faults.Duration `json:"valid"`
}

// Settings is the function's configuration for these buckets. If its steps run apart it has a runner and a bucket for
// jobs, too.
func Settings(b Buckets, apart bool) map[string]string {
	settings := map[string]string{
		"CEMLI_PACKAGES_BUCKET": b.Packages, "RESULTS_BUCKET": b.Results, "CEMLI_STATE_BUCKET": b.State,
		"CEMLI_ENVIRONMENT": "local", "CEMLI_SANDBOX": "basic", "CEMLI_TOPIC": TopicID, "CEMLI_VAULT": VaultID,
		"CEMLI_WRITE_LOG": WriteLog,
	}
	if apart {
		settings["CEMLI_RUNNER"], settings["CEMLI_JOBS_BUCKET"] = "function:"+RunnerID, b.Jobs
	}
	return settings
}

// makeCredentials issues environment and keys for a function that another host runs. It may do what the function here
// may.
func (s switches) makeCredentials(q credentialsRequest) (map[string]string, error) {
	valid := time.Duration(q.Valid)
	if valid < shortestValid || valid > longestValid {
		return nil, answer.Invalid("Credentials are valid for 1m to 168h.")
	}
	now := s.now()
	session, err := s.authority.NewSession(now, now.Add(valid))
	if err != nil {
		return nil, err
	}
	environment := Settings(s.config.Buckets, s.config.Runner != nil)
	maps.Copy(environment, map[string]string{
		"CEMLI_ENDPOINT": s.Endpoint(), "OCI_RESOURCE_PRINCIPAL_VERSION": "2.2",
		"OCI_RESOURCE_PRINCIPAL_REGION": tenancy.Region,
		"OCI_RESOURCE_PRINCIPAL_RPST":   session.Token,
		// The fn CLI would take a value that begins with a hyphen as an option; PEM readers skip the empty line.
		"OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM": "\n" + string(session.PrivateKey),
	})
	return environment, nil
}

// FetchCredentials asks the local OCI whose state is in dir for the environment variables and keys of a function that
// another host runs. They are valid for one minute to seven days.
func FetchCredentials(ctx context.Context, dir string, valid time.Duration) (map[string]string, error) {
	if valid < shortestValid || valid > longestValid {
		return nil, problem.New(problem.Problem{
			Code: "usage", Where: "--valid", Message: fmt.Sprintf("credentials cannot be valid for %s", valid),
			Hint: "give 1m to 168h",
		}, nil)
	}
	text, err := admin.Post(ctx, dir, credentialsPath, credentialsRequest{faults.Duration(valid)})
	var environment map[string]string
	if err == nil {
		environment, err = readEnvironment(text)
	}
	if err != nil {
		return nil, problem.New(problem.Problem{
			Code: "config.local_down", Where: dir, Message: "no local OCI is running that has its state in this folder",
			Hint: "start one with cemli local up --dir " + dir + ", or name the folder that it prints as dir",
		}, err)
	}
	return environment, nil
}

// ours matches the variables that may be in the answer, which is handed to a shell.
var ours = regexp.MustCompile(`^(CEMLI_[A-Z_]+|OCI_RESOURCE_PRINCIPAL_[A-Z_]+|RESULTS_BUCKET)$`)

func readEnvironment(text []byte) (map[string]string, error) {
	var environment map[string]string
	if err := json.Unmarshal(text, &environment); err != nil {
		return nil, err
	}
	for name, value := range environment {
		if !ours.MatchString(name) || strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("the answer has a variable %.50q, and is no local OCI's", name)
		}
	}
	return environment, nil
}
