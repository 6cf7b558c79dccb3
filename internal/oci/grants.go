package oci

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/store"
)

// Tried is a call that a principal without grants cannot make, and how it ended: nil says that it was granted.
type Tried struct {
	What string
	Err  error
}

// ErrUntried says that a service was not reached, or did not answer.
var ErrUntried = errors.New("the service was not reached")

// TryGrants makes calls of each service that an executor uses: to list buckets, objects, secrets and the vaults of
// keys, and to invoke a function, which is this one. None changes anything, and all should be refused. Nil: there are
// no credentials to make them with.
func (c *Client) TryGrants(ctx context.Context, function string) []Tried {
	if _, err := c.current(); err != nil {
		return nil
	}
	t := trial{c, ctx, c.Claim("res_compartment")}
	return []Tried{
		{"list buckets", t.storage("")},
		{"list objects of cemli-packages", t.storage("cemli-packages")},
		{"list objects of cemli-state", t.storage("cemli-state")},
		{"list objects of cemli-jobs", t.storage("cemli-jobs")},
		{"list secrets", t.list("vaults", "https://vaults.{region}.oci.{secondLevelDomain}", "/20180608/secrets")},
		{"list vaults", t.list("kms", "https://kms.{region}.{secondLevelDomain}", "/20180608/vaults")},
		{"invoke itself", t.invoke(function)},
	}
}

// trial makes calls that should be refused.
type trial struct {
	*Client
	ctx         context.Context
	compartment string
}

// invoke invokes the function without running it.
func (t trial) invoke(function string) error {
	_, err := t.Client.invoke(t.ctx, dryRun(function), nil)
	return untried(err)
}

// untried tells a service that was not reached from one that refuses.
func untried(err error) error {
	if status, _ := serviceAnswer(err); err != nil && (passing(status) || errors.Is(err, store.ErrUnavailable)) {
		return fmt.Errorf("%w: %w", ErrUntried, brief(err))
	}
	return err
}

// storage lists a bucket's objects, or the buckets of the compartment.
func (t trial) storage(bucket string) error {
	namespace, err := t.Namespace(t.ctx)
	if err != nil {
		return untried(err)
	}
	_, err = t.call(t.ctx, func(ctx context.Context, p *principal) error {
		if bucket == "" {
			_, err := p.storage.ListBuckets(ctx, objectstorage.ListBucketsRequest{
				NamespaceName: &namespace, CompartmentId: &t.compartment,
			})
			return err
		}
		_, err := p.storage.ListObjects(ctx, objectstorage.ListObjectsRequest{
			NamespaceName: &namespace, BucketName: &bucket, Limit: common.Int(1),
		})
		return err
	})
	return untried(err)
}

// list lists what a service has in the compartment.
func (t trial) list(service, template, path string) error {
	_, err := t.call(t.ctx, func(ctx context.Context, p *principal) error {
		region, err := p.provider.Region()
		if err != nil {
			return credentialsError(err)
		}
		api, err := common.NewClientWithConfig(p.provider)
		if err != nil {
			return credentialsError(err)
		}
		t.configure(&api)
		if api.Host == "" {
			api.Host = common.StringToRegion(region).EndpointForTemplate(service, template)
		}
		request := common.MakeDefaultHTTPRequest(http.MethodGet, path)
		request.URL.RawQuery = url.Values{"compartmentId": {t.compartment}, "limit": {"1"}}.Encode()
		response, err := api.Call(ctx, &request)
		if response != nil && response.Body != nil {
			_ = response.Body.Close() // only whether it was granted is of interest
		}
		return err
	})
	return untried(err)
}
