package main

import (
	"context"
	"net/http"
	"regexp"

	fdk "github.com/fnproject/fdk-go"

	"cemli-executor/internal/evidence"
	"cemli-executor/internal/problem"
)

// caller is what the platform says about a call's sender.
type caller struct {
	header http.Header
	callID string
	// hidden says that the caller has replaced the platform's headers by its own.
	hidden bool
}

// The headers in which the platform says who signed an invocation.
const (
	subjectID   = "Oci-Subject-Id"
	subjectType = "Oci-Subject-Type"
)

// platform returns what the platform says about the call. The FDK panics if the context is not its own.
//
// A call whose Fn-Intent is httprequest, which any caller can send, has the headers that the caller sent as
// Fn-Http-H-*, and none of the platform's. They are not used to identify the caller.
func platform(ctx context.Context) (c caller) {
	defer func() {
		if recover() != nil {
			c = caller{header: http.Header{}}
		}
	}()
	call := fdk.GetContext(ctx)
	c = caller{header: call.Header(), callID: call.CallID()}
	if _, c.hidden = call.(fdk.HTTPContext); c.hidden {
		c.header = c.header.Clone()
		c.header.Del(subjectID)
		c.header.Del(subjectType)
	}
	return c
}

// anonymous refuses a caller who hides its identity if that must be verified.
func anonymous() error {
	return problem.New(problem.Problem{
		Code: "trigger.subject", Where: "Fn-Intent",
		Message: "the call replaces the platform's headers by its own, so that nobody can tell who signed it",
		Hint:    "invoke the function without the header Fn-Intent: httprequest, and not by an API gateway",
	}, nil)
}

// What a subject's id and type look like.
var (
	anID  = regexp.MustCompile(`^[!-~]{1,256}$`)
	aType = regexp.MustCompile(`^[a-z_-]{1,64}$`)
)

// maxSubjects bounds how many subjects of one call are recorded.
const maxSubjects = 4

// requesters is who is calling, according to the platform. It counts as verified if the operator vouches for the
// platform, unless a header occurs twice, so that one may be the caller's own, or has a value that the platform never
// writes.
func requesters(header http.Header, trusted bool) []evidence.Requester {
	ids, types := header.Values(subjectID), header.Values(subjectType)
	alone := len(ids) == 1 && len(types) <= 1
	kind := header.Get(subjectType)
	if !alone || !aType.MatchString(kind) {
		alone, kind = alone && kind == "", ""
	}
	var list []evidence.Requester
	for _, id := range ids[:min(len(ids), maxSubjects)] {
		if anID.MatchString(id) {
			list = append(list,
				evidence.Requester{Subject: id, Type: kind, Source: subjectID, Verified: trusted && alone})
		}
	}
	return list
}
