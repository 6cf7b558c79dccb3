package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"
)

// Tried is a call that a principal without grants cannot make, and how it ended: nil says that it was granted.
type Tried struct {
	What string
	Err  error
}

// ErrUntried says that a service was not reached, or did not answer.
var ErrUntried = errors.New("the service was not reached")

// HasCredentials reports whether there is an identity to make calls with.
func (c *Client) HasCredentials() bool {
	_, err := c.current()
	return err == nil
}

// TryGrants makes calls of each service that an executor uses: to list buckets, objects, secrets and keys' vaults, and to
// invoke a function, which is this one. None changes anything, and all should be refused.
func (c *Client) TryGrants(ctx context.Context, function string) []Tried {
	compartment := c.Claim("res_compartment")
	tries := []struct {
		what string
		make func() error
	}{
		{"list buckets", func() error { return c.tryStorage(ctx, "", compartment) }},
		{"list objects of cemli-packages", func() error { return c.tryStorage(ctx, "cemli-packages", "") }},
		{"list objects of cemli-state", func() error { return c.tryStorage(ctx, "cemli-state", "") }},
		{"list objects of cemli-jobs", func() error { return c.tryStorage(ctx, "cemli-jobs", "") }},
		{"list secrets", func() error {
			return c.tryList(ctx, "vaults", "https://vaults.{region}.oci.{secondLevelDomain}", "/20180608/secrets", compartment)
		}},
		{"list vaults", func() error {
			return c.tryList(ctx, "kms", "https://kms.{region}.{secondLevelDomain}", "/20180608/vaults", compartment)
		}},
		{"invoke itself", func() error { return c.MayInvoke(ctx, function) }},
	}
	var all []Tried
	for _, t := range tries {
		all = append(all, Tried{t.what, untried(t.make())})
	}
	return all
}

// untried tells a service that was not reached from one that refuses.
func untried(err error) error {
	if status, _ := serviceAnswer(err); err != nil && passing(status) {
		return fmt.Errorf("%w: %w", ErrUntried, brief(err))
	}
	return err
}

// tryStorage lists a bucket's objects, or the buckets of a compartment.
func (c *Client) tryStorage(ctx context.Context, bucket, compartment string) error {
	namespace, err := c.Namespace(ctx)
	if err != nil {
		return err
	}
	_, err = c.call(ctx, func(ctx context.Context, p *principal) error {
		if bucket == "" {
			_, err := p.storage.ListBuckets(ctx, objectstorage.ListBucketsRequest{
				NamespaceName: &namespace, CompartmentId: &compartment,
			})
			return err
		}
		_, err := p.storage.ListObjects(ctx, objectstorage.ListObjectsRequest{
			NamespaceName: &namespace, BucketName: &bucket, Limit: common.Int(1),
		})
		return err
	})
	return err
}

// tryList lists what a service has in a compartment.
func (c *Client) tryList(ctx context.Context, service, template, path, compartment string) error {
	_, err := c.call(ctx, func(ctx context.Context, p *principal) error {
		region, err := p.provider.Region()
		if err != nil {
			return credentialsError(err)
		}
		api, err := common.NewClientWithConfig(p.provider)
		if err != nil {
			return credentialsError(err)
		}
		c.configure(&api)
		if api.Host == "" {
			api.Host = common.StringToRegion(region).EndpointForTemplate(service, template)
		}
		request := common.MakeDefaultHTTPRequest(http.MethodGet, path)
		request.URL.RawQuery = url.Values{"compartmentId": {compartment}, "limit": {"1"}}.Encode()
		response, err := api.Call(ctx, &request)
		if response != nil && response.Body != nil {
			_ = response.Body.Close() // only whether it was granted is of interest
		}
		return err
	})
	return err
}
