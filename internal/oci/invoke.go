package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/functions"

	"cemli-executor/internal/codes"
	"cemli-executor/internal/problem"
)

// InvokeDetached asks for a detached invocation of a function, and returns when the service has accepted it. The
// endpoint is asked for only once.
func (c *Client) InvokeDetached(ctx context.Context, function string, body []byte) error {
	return c.invoke(ctx, functions.InvokeFunctionRequest{
		FunctionId: &function, FnInvokeType: functions.InvokeFunctionFnInvokeTypeDetached,
	}, body)
}

// MayInvoke asks whether this principal may invoke a function, without running it.
func (c *Client) MayInvoke(ctx context.Context, function string) error {
	return c.invoke(ctx, functions.InvokeFunctionRequest{FunctionId: &function, IsDryRun: common.Bool(true)}, nil)
}

func (c *Client) invoke(ctx context.Context, request functions.InvokeFunctionRequest, body []byte) error {
	endpoint, err := c.invokeEndpoint(ctx, *request.FunctionId)
	if err != nil {
		return err
	}
	_, err = c.call(ctx, func(ctx context.Context, p *principal) error {
		api, err := functions.NewFunctionsInvokeClientWithConfigurationProvider(p.provider, endpoint)
		if err != nil {
			return credentialsError(err)
		}
		c.configure(&api.BaseClient)
		request.InvokeFunctionBody = io.NopCloser(bytes.NewReader(body))
		answer, err := api.InvokeFunction(ctx, request)
		if answer.Content != nil {
			_ = answer.Content.Close() // it is empty
		}
		return err
	})
	if err != nil {
		return invokeError(*request.FunctionId, err)
	}
	return nil
}

// invokeError converts the error of a refused invocation, and says whether a later one may be accepted.
func invokeError(function string, err error) error {
	status, code := serviceAnswer(err)
	switch {
	case errors.Is(err, errCredentials):
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

// invokeEndpoint is the host that serves invocations of a function.
func (c *Client) invokeEndpoint(ctx context.Context, function string) (string, error) {
	c.mu.Lock()
	known := c.invoked
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
	if err == nil && value(answer.InvokeEndpoint) == "" {
		err = errors.New("it has no endpoint for invocations")
	}
	if err != nil {
		return "", invokeError(function, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.invoked = *answer.InvokeEndpoint
	return c.invoked, nil
}
