package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"time"

	"cemli-executor/executor"
	"cemli-executor/internal/container"
	"cemli-executor/internal/jobs"
	"cemli-executor/internal/oci"
)

// probe is what a runner finds of itself. If asked for a verdict, it answers yes or no, and logs the rest.
func (h runnerRole) probe(ctx context.Context, q executor.Request) any {
	token, credentials := h.tryToken(ctx)
	run := executor.New(h.executor())
	found := run.ProbeMachine(ctx, executor.Probing{
		Problems: h.problems, Credentials: h.config.Credentials, Checks: h.ofRunner(),
	})
	if told(h.log, found.Lines, q.CallID); q.Verdict {
		return found.OK && credentials != jobs.CredentialsGranted
	}
	answer := jobs.Probed{
		Action: string(executor.ActionProbe), OK: true, Version: found.Version, Image: h.config.Identity.Image,
		Credentials: credentials,
	}
	answer.Level, answer.Gaps = run.Confinement()
	for _, line := range append(found.Lines, token...) {
		answer.OK = answer.OK && line.OK
		answer.Lines = append(answer.Lines, jobs.ProbedLine(line))
	}
	return answer
}

// ofRunner are the checks that a runner has besides those of its machine. They say what is open, and all of it may be:
// what follows from that is for those who send jobs.
func (h runnerRole) ofRunner() []executor.ProbeCheck {
	return []executor.ProbeCheck{
		{What: "container", Try: func(context.Context) (string, error) { return placeOf(h.container), nil }},
		{What: "init", Try: func(context.Context) (string, error) { return h.concealed(), nil }},
		{What: "user_namespaces", Try: userNamespaces},
		{What: "metadata", Try: metadata},
	}
}

// placeOf says whose a container is.
func placeOf(c *container.Container) string {
	if own, why := c.Own(); !own {
		return "shared, so only a run's own folder is cleaned, and only what the kernel hides is hidden: " + why
	}
	return "the function's own: scripts leave nothing in it"
}

// concealed says whether a script can wait in another process for the next job.
func (h runnerRole) concealed() string {
	err := h.container.Conceal()
	_, gaps := executor.New(h.executor()).Confinement()
	for _, gap := range gaps {
		if gap == "init" {
			return fmt.Sprintf("scripts can write the memory of other processes of their user, so that jobs with "+
				"secrets need a policy that accepts it; hiding it by ptrace: %v", said(err))
		}
	}
	return fmt.Sprintf("scripts cannot write the memory of other processes; hiding it by ptrace: %v", said(err))
}

func said(err error) string {
	if err != nil {
		return err.Error()
	}
	return "done, as far as it was needed"
}

// userNamespaces tries to make one, which scripts are kept from.
func userNamespaces(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("unshare"); err != nil {
		return "not tried, as there is no unshare", nil //nolint:nilerr // which is no fault
	}
	if err := exec.CommandContext(ctx, "unshare", "--user", "true").Run(); err != nil {
		return "the kernel makes none for this user", nil //nolint:nilerr // which is well
	}
	return "the kernel makes them for this user; the sandbox keeps scripts from it", nil
}

// metadataAddress is where compute instances are told who they are.
const metadataAddress = "169.254.169.254:80"

// metadata looks whether that address can be reached. Nothing is asked of it.
func metadata(ctx context.Context) (string, error) {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	connection, err := dialer.DialContext(ctx, "tcp", metadataAddress)
	if err != nil {
		return metadataAddress + " cannot be reached", nil //nolint:nilerr // which is well
	}
	return metadataAddress + " can be reached, by scripts too", connection.Close()
}

// tokenTime bounds all that is tried with the token.
const tokenTime = 20 * time.Second

// tryToken tries with this function's own identity what it must not be able to do: scripts have it, too.
func (h runnerRole) tryToken(ctx context.Context) (lines []executor.ProbeLine, credentials string) {
	ctx, cancel := context.WithTimeout(ctx, tokenTime)
	defer cancel()
	all := h.client.TryGrants(ctx, h.config.Identity.FunctionID)
	if all == nil {
		none := executor.ProbeLine{What: "token", OK: true, Says: "none: there is no identity that scripts could take"}
		return []executor.ProbeLine{none}, jobs.CredentialsNone
	}
	credentials = jobs.CredentialsUngranted
	for _, tried := range all {
		line := executor.ProbeLine{What: "token: " + tried.What, OK: true}
		switch {
		case tried.Err == nil:
			credentials = jobs.CredentialsGranted
			line.OK, line.Code, line.Says = false, "runner.granted", "it was granted, and scripts can do it, too"
			line.Cure = "take the runner out of every policy and dynamic group that matches it"
		case errors.Is(tried.Err, oci.ErrUntried):
			line.Says = "it could not be tried: " + tried.Err.Error()
		default:
			line.Says = "refused"
		}
		lines = append(lines, line)
	}
	return lines, credentials
}
