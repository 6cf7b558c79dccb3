package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/functions"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
)

// Invoke calls a runner and waits for its answer, which has at most that many bytes: as long as ctx allows, and no
// longer. It sends the call once, and again only where a rotation of credentials had it refused: a call that may have
// been delivered is never repeated here. Undelivered tells which error is that of a call that was not.
//
// The error's code is runner.invoke where somebody has to mend something, and else runner.unavailable.
func (c *Client) Invoke(ctx context.Context, function string, body []byte, most int64) ([]byte, error) {
	endpoint, err := c.invokeEndpoint(ctx, function)
	if err != nil {
		return nil, runnerError(function, undelivered{err})
	}
	var answer []byte
	send := func() error {
		answer, err = c.deliver(ctx, endpoint, function, body, most)
		return err
	}
	if err := send(); err != nil {
		if status, _ := serviceAnswer(err); status == http.StatusUnauthorized {
			c.dropCredentials()
			err = send()
		}
		if err != nil {
			return nil, runnerError(function, err)
		}
	}
	return answer, nil
}

// deliver sends a call, once.
func (c *Client) deliver(
	ctx context.Context, endpoint, function string, body []byte, most int64,
) (answer []byte, err error) {
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	err = c.attempt(traced, func(ctx context.Context, p *principal) error {
		answer, err = c.send(ctx, p, endpoint, functions.InvokeFunctionRequest{FunctionId: &function}, body, most)
		return err
	})
	if err != nil && (!connected.Load() || refuses(err)) {
		return nil, undelivered{err}
	}
	return answer, err
}

// undelivered is the error of a call that has not reached its function.
type undelivered struct{ error }

func (u undelivered) Unwrap() error { return u.error }

// Undelivered reports whether the error is that of a call that did not reach the function: no connection was made, or
// the service refused it. All others may have. It is the service's word; what a job does is decided in its mailbox.
func Undelivered(err error) bool {
	_, ok := errors.AsType[undelivered](err)
	return ok
}

// refuses reports whether the service's answer says that it has not passed on the call.
func refuses(err error) bool {
	status, _ := serviceAnswer(err)
	return status >= 400 && status < 500 && status != http.StatusRequestTimeout && status != http.StatusConflict
}

// InvokeRunnerDetached asks for a detached invocation of a runner, and returns when the service has accepted it. It is
// sent again where the service may accept it the next time, so a call may come more than once. Its errors are those of
// Invoke.
func (c *Client) InvokeRunnerDetached(ctx context.Context, function string, body []byte) error {
	seen, err := c.invoke(ctx, detached(function), body)
	if err != nil && !seen.uncertain && refuses(err) {
		err = undelivered{err}
	}
	return runnerError(function, err)
}

// MayInvokeRunner asks whether this principal may invoke a runner, without running it.
func (c *Client) MayInvokeRunner(ctx context.Context, function string) error {
	_, err := c.invoke(ctx, dryRun(function), nil)
	return runnerError(function, err)
}

// InvokeDetached asks for a detached invocation of the function itself, and returns when the service has accepted it.
func (c *Client) InvokeDetached(ctx context.Context, function string, body []byte) error {
	_, err := c.invoke(ctx, detached(function), body)
	return invokeError(function, err)
}

// MayInvoke asks whether the function may invoke itself, without running it.
func (c *Client) MayInvoke(ctx context.Context, function string) error {
	_, err := c.invoke(ctx, dryRun(function), nil)
	return invokeError(function, err)
}

func detached(function string) functions.InvokeFunctionRequest {
	return functions.InvokeFunctionRequest{
		FunctionId: &function, FnInvokeType: functions.InvokeFunctionFnInvokeTypeDetached,
	}
}

func dryRun(function string) functions.InvokeFunctionRequest {
	return functions.InvokeFunctionRequest{FunctionId: &function, IsDryRun: common.Bool(true)}
}

// invoke sends what has an empty answer, repeated as every call is.
func (c *Client) invoke(ctx context.Context, request functions.InvokeFunctionRequest, body []byte) (tries, error) {
	endpoint, err := c.invokeEndpoint(ctx, *request.FunctionId)
	if err != nil {
		return tries{}, err
	}
	return c.call(ctx, func(ctx context.Context, p *principal) error {
		_, err := c.send(ctx, p, endpoint, request, body, 0)
		return err
	})
}

// errAnswerSize is that of an answer with more bytes than allowed.
var errAnswerSize = errors.New("the answer is too large")

// send sends one invocation, and reads at most that many bytes of its answer.
func (c *Client) send(
	ctx context.Context, p *principal, endpoint string, request functions.InvokeFunctionRequest, body []byte,
	most int64,
) ([]byte, error) {
	api, err := functions.NewFunctionsInvokeClientWithConfigurationProvider(p.provider, endpoint)
	if err != nil {
		return nil, credentialsError(err)
	}
	c.configure(&api.BaseClient)
	if most > 0 { // it is the function that answers, and not the service
		api.HTTPClient = c.patient
	}
	request.InvokeFunctionBody = io.NopCloser(bytes.NewReader(body))
	answer, err := api.InvokeFunction(ctx, request)
	if answer.Content == nil {
		return nil, err
	}
	defer answer.Content.Close()
	if err != nil || most == 0 {
		return nil, err
	}
	doc, err := io.ReadAll(io.LimitReader(answer.Content, most+1))
	if err == nil && int64(len(doc)) > most {
		err = errAnswerSize
	}
	return doc, err
}

// runnerError says what is wrong with a runner that could not be called.
func runnerError(function string, err error) error {
	if err == nil || errors.Is(err, errCredentials) {
		return err
	}
	p := problem.Problem{Code: "runner.unavailable", Where: function}
	status, code := serviceAnswer(err)
	switch {
	case !passing(status):
		p.Code, p.Message = "runner.invoke", fmt.Sprintf("the runner may not be invoked: %d %s", status, code)
	case status == 0:
		p.Message = "the runner gave no answer that can be read"
	default:
		p.Message = fmt.Sprintf("the runner could not be reached, or did not answer: %d %s", status, code)
	}
	p.Hint = codes.Of(p.Code).Cure
	cause := brief(err)
	if Undelivered(err) {
		cause = undelivered{cause}
	}
	return problem.New(p, cause)
}

// invokeError converts the error of a refused invocation of the function by itself, and says whether a later one may
// be accepted.
func invokeError(function string, err error) error {
	status, code := serviceAnswer(err)
	switch {
	case err == nil || errors.Is(err, errCredentials):
		return err
	case passing(status):
		return problem.New(problem.Problem{
			Code: "request.handover", Where: function,
			Message: "the function could not ask for another invocation of itself",
			Hint:    codes.Of("request.handover").Cure,
		}, brief(err))
	}
	return problem.New(problem.Problem{
		Code: "config.invoke", Where: function,
		Message: fmt.Sprintf(
			"the function may not ask for another invocation of itself, which a run of this length needs: %d %s",
			status, code,
		),
		Hint: codes.Of("config.invoke").Cure,
	}, brief(err))
}

// invokeEndpoint is the host that serves invocations of a function; it is asked for only once.
func (c *Client) invokeEndpoint(ctx context.Context, function string) (string, error) {
	c.mu.Lock()
	known := c.invoked[function]
	c.mu.Unlock()
	if known != "" {
		return known, nil
	}
	var answer functions.GetFunctionResponse
	_, err := c.call(ctx, func(ctx context.Context, p *principal) error {
		api, err := functions.NewFunctionsManagementClientWithConfigurationProvider(p.provider)
		if err != nil {
			return credentialsError(err)
		}
		c.configure(&api.BaseClient)
		answer, err = api.GetFunction(ctx, functions.GetFunctionRequest{FunctionId: &function})
		return err
	})
	if err != nil {
		return "", err
	}
	endpoint := value(answer.InvokeEndpoint)
	if endpoint == "" {
		return "", errors.New("it has no endpoint for invocations")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.invoked[function] = endpoint
	return endpoint, nil
}
