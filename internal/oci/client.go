// Package oci is the object store contract on Oracle Cloud Infrastructure, and the
// only importer of its SDK.
//
// The SDK's own retries, circuit breaker and 60-second client timeout are off: they
// hide whether an earlier attempt may have been carried out, which a conditional
// write has to know, and they end a long download in its middle. Instead:
//
//   - a call is repeated on network errors, 408, 409, 429 and 5xx, up to five times
//     with jittered exponential backoff, bounded by the caller's context;
//   - a 404 BucketNotFound is repeated once, because the service sometimes answers
//     it falsely;
//   - on 401 the credentials are read anew, once, because a rotation can pair the
//     new token with the old key;
//   - after an attempt whose fate is unknown, a refusal is compared with what is stored
//     before it counts as a conflict; where that cannot be seen the store is unavailable;
//   - what would be refused the next time, too, is store.ErrRefused and no outage;
//   - a download that breaks or stalls goes on where it stopped, from the same ETag.
//
// A Mailbox, which needs no credentials, does not use the SDK and keeps to the same. A call of a function that answers
// is sent once: what it does is not to be done twice.
//
// On OCI the caller is a resource principal; people use a configuration file.
package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/common/auth"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"cemli-executor/internal/problem"
)

// maxErrorBody bounds what is read of an answer that is not a success.
const maxErrorBody = 64 << 10

// Options configure a client, apart from its credentials.
type Options struct {
	// Endpoint replaces the region's endpoints for all services, without a path or trailing slash; empty on OCI.
	Endpoint string
	// Timeouts; zero means 10 s to connect, 30 s from the end of a request to the first byte of its answer, and 30 s
	// without a byte of a body. If the caller's time is bounded, the latter two are at most a quarter of what is
	// left.
	Connect, Answer, Stall time.Duration
	// Backoff is the longest wait before the first repetition; zero means 200 ms. It doubles with each repetition.
	Backoff time.Duration
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&o.Connect, 10*time.Second)
	set(&o.Answer, 30*time.Second)
	set(&o.Stall, 30*time.Second)
	set(&o.Backoff, 200*time.Millisecond)
	return o
}

// Client talks to OCI as one principal. It is safe for concurrent use.
type Client struct {
	options     Options
	credentials func() (common.ConfigurationProvider, error)
	http        *http.Client
	patient     *http.Client // for answers that take as long as the caller waits

	mu        sync.Mutex
	principal *principal // nil before first use, and after its credentials were dropped
	namespace string
	invoked   map[string]string // the endpoints for invocations, by function
}

// storageClient is the SDK's client of Object Storage.
type storageClient = objectstorage.ObjectStorageClient

// principal is what requests are sent with: credentials, and a client of Object Storage that uses them.
type principal struct {
	provider common.ConfigurationProvider
	storage  *storageClient
}

// ResourcePrincipal makes the client of a function on OCI, from the environment that the platform sets. It reads
// nothing before the first call, so that bad credentials fail a call with a reason, and not the process.
func ResourcePrincipal(options Options) *Client {
	return newClient(options, func() (common.ConfigurationProvider, error) {
		return auth.ResourcePrincipalConfigurationProvider()
	})
}

// ConfigFile makes a person's client, from a profile of an OCI configuration file.
func ConfigFile(path, profile string, options Options) *Client {
	return newClient(options, func() (common.ConfigurationProvider, error) {
		// The SDK forgets which file it could not read.
		if _, err := os.Stat(path); err != nil {
			return nil, err
		}
		return common.ConfigurationProviderFromFileWithProfile(path, profile, "")
	})
}

func newClient(options Options, credentials func() (common.ConfigurationProvider, error)) *Client {
	options = options.withDefaults()
	patient := options
	patient.Answer = 0
	return &Client{
		options: options, credentials: credentials, http: newHTTP(options), patient: newHTTP(patient),
		invoked: map[string]string{},
	}
}

// newHTTP is what requests are sent with. Without a time for the answer they wait as long as their caller does.
func newHTTP(options Options) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: options.Connect, KeepAlive: 30 * time.Second}).DialContext
	transport.TLSHandshakeTimeout = options.Connect
	transport.ResponseHeaderTimeout = options.Answer
	transport.MaxIdleConnsPerHost = 8
	if options.Endpoint != "" {
		transport.Proxy = nil // a loopback endpoint is never behind a proxy
	}
	return &http.Client{
		Transport: callerContext{boundedErrors{transport}, options.Answer},
		// A redirect would carry a signature to a place it was not made for.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// callerContext ends requests when the caller's context ends, and those whose answer takes too much of the caller's
// time. The SDK gets a context that never ends (see detach): when that ends, it returns while the request still runs
// in another goroutine, and both write the result.
type callerContext struct {
	next   http.RoundTripper
	answer time.Duration
}

type callerKey struct{}

// detach hides the end of a context from the SDK, and keeps it for the transport.
func detach(ctx context.Context) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), callerKey{}, ctx)
}

func (c callerContext) RoundTrip(r *http.Request) (*http.Response, error) {
	caller, ok := r.Context().Value(callerKey{}).(context.Context)
	if !ok {
		return c.next.RoundTrip(r)
	}
	ctx, cancel := context.WithCancel(caller)
	var answered atomic.Bool
	written := func(httptrace.WroteRequestInfo) {
		if c.answer == 0 {
			return
		}
		time.AfterFunc(part(caller, c.answer), func() {
			if !answered.Load() {
				cancel()
			}
		})
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: written})
	resp, err := c.next.RoundTrip(r.WithContext(ctx))
	answered.Store(true)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = endingBody{resp.Body, cancel}
	return resp, nil
}

// endingBody ends its request when it is closed.
type endingBody struct {
	io.ReadCloser
	end context.CancelFunc
}

func (b endingBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// part is how long to wait for one request: a part of the caller's time, so that another try, and whatever follows,
// has some as well.
func part(ctx context.Context, most time.Duration) time.Duration {
	end, ok := ctx.Deadline()
	if !ok {
		return most
	}
	return min(most, max(time.Until(end)/4, time.Second))
}

// boundedErrors limits the bodies of failures, which the SDK reads entirely.
type boundedErrors struct{ next http.RoundTripper }

func (b boundedErrors) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.next.RoundTrip(r)
	if err == nil && resp.StatusCode >= 300 {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxErrorBody), resp.Body}
	}
	return resp, err
}

// current returns the principal, reading its credentials on first use and after they were dropped.
func (c *Client) current() (current *principal, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.principal != nil {
		return c.principal, nil
	}
	// The SDK panics on a session token without an expiry.
	defer func() {
		if p := recover(); p != nil {
			current, err = nil, credentialsError(fmt.Errorf("unusable credentials: %v", p))
		}
	}()
	provider, err := c.credentials()
	if err != nil {
		return nil, credentialsError(err)
	}
	made, err := objectstorage.NewObjectStorageClientWithConfigurationProvider(provider)
	if err != nil {
		return nil, credentialsError(err)
	}
	c.configure(&made.BaseClient)
	c.principal = &principal{provider, &made}
	return c.principal, nil
}

// configure sets up a client of the SDK by the package's rules.
func (c *Client) configure(api *common.BaseClient) {
	api.HTTPClient = c.http
	api.Configuration.CircuitBreaker = nil
	none := common.NoRetryPolicy()
	api.Configuration.RetryPolicy = &none
	if c.options.Endpoint != "" {
		api.Host = strings.TrimRight(c.options.Endpoint, "/")
	}
}

// dropCredentials makes the next call read the credentials again.
func (c *Client) dropCredentials() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.principal = nil
}

// errCredentials marks failures to read or use credentials; repeating a call does not help.
var errCredentials = errors.New("credentials")

func credentialsError(err error) error {
	return problem.New(problem.Problem{
		Code: "config.credentials", Message: "cannot read the OCI credentials",
		Hint: "on OCI, check that the function is in a dynamic group and wait up to 15 minutes; " +
			"on a laptop, check the configuration file and its key_file",
	}, fmt.Errorf("%w: %w", errCredentials, err))
}

// Namespace returns the tenancy's Object Storage namespace; it is asked for only once.
func (c *Client) Namespace(ctx context.Context) (string, error) {
	c.mu.Lock()
	known := c.namespace
	c.mu.Unlock()
	if known != "" {
		return known, nil
	}
	var answer objectstorage.GetNamespaceResponse
	_, err := c.call(ctx, func(ctx context.Context, p *principal) (err error) {
		answer, err = p.storage.GetNamespace(ctx, objectstorage.GetNamespaceRequest{})
		return err
	})
	if err == nil && (answer.Value == nil || *answer.Value == "") {
		err = errors.New("empty answer")
	}
	if err != nil {
		return "", asStoreError("read namespace", "", "", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.namespace = *answer.Value
	return c.namespace, nil
}

// Claim returns a claim of the resource principal's session token as text, such as "res_tenant"; empty if there is
// none.
func (c *Client) Claim(name string) string {
	p, err := c.current()
	if err != nil {
		return ""
	}
	holder, ok := p.provider.(auth.ClaimHolder)
	if !ok {
		return ""
	}
	value, err := holder.GetClaim(name)
	if err != nil {
		return ""
	}
	text, _ := value.(string)
	return text
}
