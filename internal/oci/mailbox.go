package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"cemli-executor/internal/store"
)

// Mailbox is the objects of a bucket whose names begin with one random prefix, read and written without credentials
// through a pre-authenticated request: whoever has its address has what it grants. So the address, and what is secret
// in it, are in no error, and printing a Mailbox does not tell them. Names are those after the prefix.
//
// Errors are those of a store, the bucket being "mailbox". Whatever ends the request (its time, its deletion, a right
// that its creator has lost) is store.ErrDenied. It is safe for concurrent use.
type Mailbox struct {
	options Options
	http    *http.Client
	address func(name string) string // functions, which nothing prints
	hide    func(text string) string // takes out what is secret
}

// maxMessage bounds what is kept of what a refusal says.
const maxMessage = 300

// mailbox stands for the bucket in errors.
const mailbox = "mailbox"

var (
	mailboxPath = regexp.MustCompile(`^/p/([A-Za-z0-9_-]{16,})/n/[A-Za-z0-9._-]+/b/[A-Za-z0-9._-]+/o/[0-9a-f]{32}/$`)
	mailName    = regexp.MustCompile(`^[a-z0-9]+([./][a-z0-9]+)*$`)
)

// OpenMailbox makes the client of a mailbox from its address, which a MailboxGrant has. It is refused unless it has the
// form of one, over TLS or at the endpoint in the options. Nothing is sent.
func OpenMailbox(address string, options Options) (*Mailbox, error) {
	secret, ok := secretIn(address, options.Endpoint)
	if !ok {
		return nil, store.Error(store.ErrRefused, "open", mailbox, "", errors.New("the address is not a mailbox's"))
	}
	options = options.withDefaults()
	return &Mailbox{
		options: options, http: newHTTP(options),
		address: func(name string) string { return address + name },
		hide:    func(text string) string { return strings.ReplaceAll(text, secret, "***") },
	}, nil
}

// secretIn is what is secret in the address of a mailbox, over TLS or at an endpoint.
func secretIn(address, endpoint string) (secret string, ok bool) {
	u, err := url.Parse(address)
	if err != nil {
		return "", false // its text has the address
	}
	match := mailboxPath.FindStringSubmatch(u.Path)
	base := u.Scheme + "://" + u.Host
	trusted := u.Scheme == "https" || base == strings.TrimRight(endpoint, "/")
	if match == nil || u.Host == "" || !trusted || address != base+u.Path {
		return "", false
	}
	return match[1], true
}

// checkMail refuses names that would have to be escaped, and those that lead out of the prefix where somebody
// normalises them.
func checkMail(op, name string) error {
	if len(name) > 256 || !mailName.MatchString(name) {
		return store.Error(store.ErrName, op, mailbox, "", nil)
	}
	return nil
}

// Put writes size bytes of body, from its current position, with the checksum that the service verifies. With
// ifNoneMatch it creates, or fails with store.ErrExists; what an attempt without an answer has created counts.
//
// It returns when the service answered by the service's clock, in whole seconds, cut off; zero if it did not say.
func (m *Mailbox) Put(
	ctx context.Context, name string, body io.ReadSeeker, size int64, ifNoneMatch bool,
) (at time.Time, err error) {
	if err := checkMail("put", name); err != nil {
		return time.Time{}, err
	}
	start, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return time.Time{}, fmt.Errorf("put %s: %w", name, err)
	}
	sum, err := checksum(body, size)
	if err != nil {
		return time.Time{}, fmt.Errorf("put %s: %w", name, err)
	}
	header := http.Header{"Content-Md5": {sum}, "Content-Type": {"application/octet-stream"}}
	if ifNoneMatch {
		header.Set("If-None-Match", "*")
	}
	seen, err := repeat(ctx, m.options.Backoff, nil, func() error {
		if _, err := body.Seek(start, io.SeekStart); err != nil {
			return err
		}
		resp, err := m.send(ctx, http.MethodPut, name, header, io.LimitReader(body, size), size)
		if err != nil {
			return err
		}
		at = dateOf(resp)
		return resp.Body.Close()
	})
	if status, _ := serviceAnswer(err); status == http.StatusPreconditionFailed {
		return m.taken(ctx, name, size, sum, seen, err)
	}
	return at, m.fail("put", name, err)
}

// dateOf is when an answer was given, by the clock of who gave it; zero if it does not say.
func dateOf(resp *http.Response) time.Time {
	at, _ := http.ParseTime(resp.Header.Get("Date"))
	return at
}

// taken decides what it means that a name is taken: an attempt before may have taken it.
func (m *Mailbox) taken(
	ctx context.Context, name string, size int64, sum string, seen tries, cause error,
) (time.Time, error) {
	kind := store.ErrExists
	if seen.uncertain {
		stored, at, err := m.head(ctx, name)
		if err == nil && stored.Size == size && stored.MD5 == sum {
			return at, nil
		}
		if err != nil {
			kind = store.ErrUnavailable // whose it is cannot be told
		}
	}
	return time.Time{}, store.Error(kind, "put", mailbox, name, brief(cause))
}

func (m *Mailbox) head(ctx context.Context, name string) (info store.Info, at time.Time, err error) {
	_, err = repeat(ctx, m.options.Backoff, nil, func() error {
		resp, err := m.send(ctx, http.MethodHead, name, http.Header{}, nil, 0)
		if err != nil {
			return err
		}
		info, at = describe(name, resp), dateOf(resp)
		return resp.Body.Close()
	})
	return info, at, err
}

// Get opens an object from an offset on, at most length bytes of it; 0: to its end. An offset at the end or past it is
// store.ErrRange, but for an empty object read from 0. The reader goes on with the same version where the connection
// breaks, ends with what was promised, and fails if that does not come. The caller closes it.
func (m *Mailbox) Get(ctx context.Context, name string, offset, length int64) (io.ReadCloser, store.Info, error) {
	if err := checkMail("get", name); err != nil {
		return nil, store.Info{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	resp, err := m.open(ctx, name, "", offset, length)
	if err != nil {
		cancel(nil)
		return nil, store.Info{}, err
	}
	info := describe(name, resp)
	return &download{
		ctx: ctx, cancel: cancel, options: m.options, bucket: mailbox, name: name,
		next: offset, left: resp.ContentLength, body: resp.Body,
		again: func(from, length int64) (io.ReadCloser, int64, error) {
			resp, err := m.open(ctx, name, info.ETag, from, length)
			if err != nil {
				return nil, 0, err
			}
			return resp.Body, resp.ContentLength, nil
		},
	}, info, nil
}

// open asks for a part of an object, repeated as every call is, and holds the answer to what was asked for.
func (m *Mailbox) open(ctx context.Context, name, ifMatch string, offset, length int64) (*http.Response, error) {
	header := http.Header{"Accept-Encoding": {"identity"}} // else net/http would unpack more than was promised
	if ifMatch != "" {
		header.Set("If-Match", ifMatch)
	}
	if offset > 0 || length > 0 {
		header.Set("Range", rangeHeader(offset, length))
	}
	var resp *http.Response
	send := func() (err error) {
		resp, err = m.send(ctx, http.MethodGet, name, header, nil, 0)
		return err
	}
	_, err := repeat(ctx, m.options.Backoff, nil, send)
	if status, _ := serviceAnswer(err); status == http.StatusRequestedRangeNotSatisfiable && offset == 0 {
		header.Del("Range") // no range of an empty object can be satisfied
		_, err = repeat(ctx, m.options.Backoff, nil, send)
	}
	if err != nil {
		return nil, m.fail("get", name, err)
	}
	if !answers(resp, header.Get("Range") != "", offset, length) {
		_ = resp.Body.Close() // it is not what was asked for
		cause := fmt.Errorf("asked for %d bytes from %d on, offered %d", length, offset, resp.ContentLength)
		return nil, store.Error(store.ErrCorrupt, "get", mailbox, name, cause)
	}
	return resp, nil
}

// answers reports whether an answer is of the part that was asked for, and says how long that is.
func answers(resp *http.Response, partial bool, offset, length int64) bool {
	switch {
	case resp.ContentLength < 0, length > 0 && resp.ContentLength > length:
		return false
	case !partial:
		return resp.StatusCode == http.StatusOK
	}
	return resp.StatusCode == http.StatusPartialContent &&
		strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", offset))
}

// describe reads what the headers say of an object.
func describe(name string, resp *http.Response) store.Info {
	info := store.Info{
		Name: name, Size: resp.ContentLength, ETag: resp.Header.Get("Etag"), VersionID: resp.Header.Get("Version-Id"),
		MD5: resp.Header.Get("Content-Md5"),
	}
	info.Created, _ = http.ParseTime(resp.Header.Get("Last-Modified"))
	if ranged := resp.Header.Get("Content-Range"); ranged != "" {
		if total, ok := rangeTotal(&ranged); ok {
			info.Size = total
		}
	}
	return info
}

// send sends a request once. An answer that is no success is a refusal.
func (m *Mailbox) send(
	ctx context.Context, method, name string, header http.Header, body io.Reader, size int64,
) (*http.Response, error) {
	if size == 0 {
		body = http.NoBody // else its length would count as unknown
	}
	r, err := http.NewRequestWithContext(detach(ctx), method, m.address(name), body)
	if err != nil {
		return nil, m.silence(err)
	}
	r.Header, r.ContentLength = header.Clone(), size
	resp, err := m.http.Do(r)
	if err != nil {
		return nil, m.silence(err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, m.refusal(resp)
}

// silence takes the address out of an error: net/http puts it there, and a server may send it back.
func (m *Mailbox) silence(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		err = outer.Err
	}
	if text := m.hide(err.Error()); text != err.Error() {
		return errors.New(text)
	}
	return err
}

// fail gives an error its place in the contract.
func (m *Mailbox) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	kind := kindOf(err)
	if errors.Is(kind, store.ErrNoBucket) {
		kind = store.ErrDenied // so OCI answers where the creator's right is missing
	}
	return store.Error(kind, op, mailbox, name, brief(err))
}

// refusal is an answer that is no success.
type refusal struct {
	status  int
	request string
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (m *Mailbox) refusal(resp *http.Response) error {
	r := refusal{status: resp.StatusCode, request: m.hide(resp.Header.Get("Opc-Request-Id"))}
	text, err := io.ReadAll(resp.Body) // its size is bounded: see boundedErrors
	if err == nil {
		_ = json.Unmarshal([]byte(m.hide(string(text))), &r) // the status is enough
	}
	r.Code, r.Message = m.hide(r.Code), m.hide(r.Message) // also where it was escaped
	r.Message = r.Message[:min(len(r.Message), maxMessage)]
	return r
}

func (r refusal) Error() string           { return brief(r).Error() }
func (r refusal) GetHTTPStatusCode() int  { return r.status }
func (r refusal) GetMessage() string      { return r.Message }
func (r refusal) GetCode() string         { return r.Code }
func (r refusal) GetOpcRequestID() string { return r.request }
