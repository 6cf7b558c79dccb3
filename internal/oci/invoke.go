package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/oracle/oci-go-sdk/v65/functions"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"
)

// InvokeDetached asks for an invocation of a function that nobody waits for, and returns when the
// service has accepted it. Where the function is invoked is asked for once.
func (c *Client) InvokeDetached(ctx context.Context, function string, body []byte) error {
	endpoint, err := c.invokeEndpoint(ctx, function)
	if err != nil {
		return err
	}
	_, err = c.call(ctx, func(ctx context.Context, _ *objectstorage.ObjectStorageClient) error {
		api, err := functions.NewFunctionsInvokeClientWithConfigurationProvider(c.current(), endpoint)
		if err != nil {
			return credentialsError(err)
		}
		c.configure(&api.BaseClient)
		answer, err := api.InvokeFunction(ctx, functions.InvokeFunctionRequest{
			FunctionId: &function, InvokeFunctionBody: io.NopCloser(bytes.NewReader(body)), FnInvokeType: functions.InvokeFunctionFnInvokeTypeDetached,
		})
		if answer.Content != nil {
			_ = answer.Content.Close() // it is empty
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("invoke the function: %w", brief(err))
	}
	return nil
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
	_, err := c.call(ctx, func(ctx context.Context, _ *objectstorage.ObjectStorageClient) error {
		api, err := functions.NewFunctionsManagementClientWithConfigurationProvider(c.current())
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
		return "", fmt.Errorf("find the function: %w", brief(err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.invoked = *answer.InvokeEndpoint
	return c.invoked, nil
}
