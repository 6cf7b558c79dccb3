package trigger

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"github.com/go-json-experiment/json"

	"cemli-executor/internal/intake"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/strictjson"
)

// Bounds of texts, in bytes of UTF-8.
const (
	// maxText bounds an object's name, a reason, an event's id and source.
	maxText = 1024
	// maxName bounds every other text.
	maxName = 256
)

// data has the fields of an event's data that are read.
type data struct {
	ResourceName string  `json:"resourceName"`
	ResourceID   string  `json:"resourceId"`
	BucketName   string  `json:"bucketName"` // an older form
	Details      details `json:"additionalDetails"`
}

type details struct {
	BucketName string `json:"bucketName"`
	ObjectName string `json:"objectName"` // an older form
	Namespace  string `json:"namespace"`
	ETag       string `json:"eTag"`
	VersionID  string `json:"versionId"`
}

// readData reads an event's data, which may be absent. It may have been in base64, and so not have been checked yet.
func readData(doc []byte) (data, error) {
	var d data
	if len(bytes.Trim(doc, strictjson.Space)) == 0 {
		return d, nil
	}
	if err := check(doc); err != nil {
		return d, err
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		return d, unreadable("/data", err)
	}
	return d, nil
}

// place is a part of an event that says which object the event is about, as far as that part tells.
type place struct {
	where                     string
	namespace, bucket, object string
	encoded                   bool // it may be percent-encoded
}

// object finds the object that an event is about, and refuses an event whose parts contradict each other. The details
// come first, because they are not encoded.
func (d data) object(subject string) (intake.Request, error) {
	q := intake.Request{ETag: unquoted(d.Details.ETag), VersionID: d.Details.VersionID}
	id, err := parseResource("/data/resourceId", d.ResourceID)
	if err != nil {
		return q, err
	}
	about, err := parseResource("/subject", subject)
	if err != nil {
		return q, err
	}
	for _, p := range []place{
		{
			where: "/data/additionalDetails", namespace: d.Details.Namespace, bucket: d.Details.BucketName,
			object: d.ResourceName,
		},
		{where: "/data", bucket: d.BucketName, object: d.Details.ObjectName},
		id, about,
	} {
		if err := p.agree(&q); err != nil {
			return q, err
		}
	}
	return q, nil
}

// unquoted is an ETag without the quotes that HTTP adds.
func unquoted(etag string) string {
	if inner, ok := strings.CutPrefix(etag, `"`); ok {
		if inner, ok := strings.CutSuffix(inner, `"`); ok {
			return inner
		}
	}
	return etag
}

// agree adds what the place knows to a request, and refuses a contradiction.
func (p place) agree(q *intake.Request) error {
	for _, part := range []struct {
		said        *string
		value, what string
	}{{&q.Namespace, p.namespace, "namespace"}, {&q.Bucket, p.bucket, "bucket"}, {&q.Object, p.object, "object"}} {
		switch {
		case *part.said == "":
			*part.said = part.value
		case part.value != "" && part.value != *part.said && !(p.encoded && decodesTo(part.value, *part.said)):
			return refuse("trigger.ambiguous", p.where, "it names another "+part.what+" than the rest of the event")
		}
	}
	return nil
}

// decodesTo reports whether value is the percent-encoding of plain.
func decodesTo(value, plain string) bool {
	decoded, err := url.PathUnescape(value)
	return err == nil && decoded == plain
}

// parseResource reads /n/NAMESPACE/b/BUCKET/o/OBJECT, where only the object may contain slashes. Text that does not
// begin like that is no resource id of Object Storage, and is ignored.
func parseResource(where, id string) (place, error) {
	rest, ok := strings.CutPrefix(id, "/n/")
	if !ok {
		return place{}, nil
	}
	parts := strings.SplitN(rest, "/", 5)
	if len(parts) != 5 || parts[0] == "" || parts[1] != "b" || parts[2] == "" || parts[3] != "o" || parts[4] == "" {
		return place{}, refuse("trigger.event", where, fmt.Sprintf("%.200q is not /n/NAMESPACE/b/BUCKET/o/OBJECT", id))
	}
	return place{where: where, namespace: parts[0], bucket: parts[2], object: parts[4], encoded: true}, nil
}

// admit accepts only requests that completely name an object of the packages bucket.
func (b Buckets) admit(q intake.Request) []problem.Problem {
	var missing []string
	if q.Bucket == "" {
		missing = append(missing, "no bucket")
	}
	if q.Object == "" && !q.GoesBack() {
		missing = append(missing, "no object")
	}
	if missing != nil {
		return []problem.Problem{described("trigger.incomplete", "", strings.Join(missing, " and ")+" is named")}
	}
	var problems []problem.Problem
	problems = append(problems, checkText("namespace", q.Namespace, maxName)...)
	problems = append(problems, checkText("bucket", q.Bucket, maxName)...)
	problems = append(problems, checkETag("etag", q.ETag)...)
	problems = append(problems, checkText("version_id", q.VersionID, maxName)...)
	if problems != nil {
		return problems
	}
	if why := b.strange(q); why != "" {
		return []problem.Problem{described("trigger.bucket", q.Bucket, why)}
	}
	return nil
}

// strange says why packages are not run from a request's bucket; "" if they are.
func (b Buckets) strange(q intake.Request) string {
	switch {
	case q.Bucket == b.Results || q.Bucket == b.State:
		return "nothing is ever run from the executor's own buckets"
	case q.Bucket != b.Packages:
		return "packages are taken only from the bucket " + b.Packages
	case q.Namespace != "" && b.Namespace != "" && q.Namespace != b.Namespace:
		return fmt.Sprintf("it is in the namespace %s; packages are taken only from %s", q.Namespace, b.Namespace)
	}
	return ""
}

// checkObject checks an object's name in any form of request.
func checkObject(name string) []problem.Problem {
	err := intake.CheckObject(name)
	if err == nil {
		return nil
	}
	return []problem.Problem{described("trigger.object", fmt.Sprintf("%.200q", name),
		"it cannot be the name of a package: "+err.Error())}
}

// unprintable reports whether a character could make evidence look different from what it says.
func unprintable(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

// checkText checks a text that goes into the evidence or names something.
func checkText(where, value string, most int) []problem.Problem {
	switch {
	case len(value) > most:
		return []problem.Problem{described("trigger.value", where,
			fmt.Sprintf("it has %d bytes; at most %d are allowed", len(value), most))}
	case strings.ContainsFunc(value, unprintable):
		return []problem.Problem{described("trigger.value", where,
			"it has a control or bidirectional-control character")}
	}
	return nil
}

// checkETag refuses what is not one plain ETag: If-Match also takes lists, and an asterisk for any.
func checkETag(where, value string) []problem.Problem {
	other := func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`*,"`, r) }
	if len(value) <= maxName && strings.ContainsFunc(value, other) {
		return []problem.Problem{described("trigger.value", where, "it is not one plain ETag, without quotes")}
	}
	return checkText(where, value, maxName)
}
