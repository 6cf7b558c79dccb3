package objectstorage

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/tenancy"
)

// parAPI serves requests to pre-authenticated requests: to make, show and delete them, not to use them.
type parAPI struct{ Config }

func (a parAPI) routes() part {
	return part{
		all: byMethod{
			http.MethodGet:  {a.list, nil},
			http.MethodPost: {a.create, needs(iam.ParManage)},
		},
		one: byMethod{
			http.MethodGet:    {a.get, nil},
			http.MethodDelete: {a.delete, needs(iam.ParManage)},
		},
	}
}

// access is what a type of pre-authenticated requests grants.
type access struct{ read, write, any bool } // any: of the objects whose names begin with a prefix, which may be empty

var accessTypes = map[string]access{
	"ObjectRead":         {read: true},
	"ObjectWrite":        {write: true},
	"ObjectReadWrite":    {read: true, write: true},
	"AnyObjectRead":      {read: true, any: true},
	"AnyObjectWrite":     {write: true, any: true},
	"AnyObjectReadWrite": {read: true, write: true, any: true},
}

// Whether objects may be listed.
const (
	listObjects = "ListObjects"
	denyListing = "Deny"
)

// granting are the permissions that the creator of a pre-authenticated request needs, also whenever it is used
// (https://docs.oracle.com/en-us/iaas/Content/Object/Tasks/usingpreauthenticatedrequests.htm).
func granting(p buckets.PAR) []iam.Permission {
	needed := needs(iam.ParManage)
	kind := accessTypes[p.AccessType]
	if kind.read {
		needed = append(needed, iam.ObjectRead)
	}
	if kind.write {
		needed = append(needed, iam.ObjectCreate, iam.ObjectOverwrite)
	}
	if p.Listing == listObjects {
		needed = append(needed, iam.ObjectInspect)
	}
	return needed
}

// parRequest is what a client chooses of a pre-authenticated request.
type parRequest struct {
	Name                string     `json:"name"`
	AccessType          string     `json:"accessType"`
	BucketListingAction string     `json:"bucketListingAction"`
	ObjectName          string     `json:"objectName"`
	TimeExpires         *time.Time `json:"timeExpires"`
}

// maxPAR is the most that a pre-authenticated request may have in bytes, the object's name included.
const maxPAR = 3500

// parName is what names may have; Oracle says so of those that are typed into its console.
var parName = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// check refuses what is missing, and what does not go together.
func (q parRequest) check(now time.Time) error {
	kind, known := accessTypes[q.AccessType]
	switch {
	case q.Name == "" || q.AccessType == "" || q.TimeExpires == nil:
		return answer.New(http.StatusBadRequest, "MissingParameter",
			"The name, accessType and timeExpires are required.")
	case !parName.MatchString(q.Name):
		return answer.Invalid("The name may have letters, digits, dashes, underscores and periods.")
	case len(q.Name)+len(q.ObjectName) > maxPAR:
		return answer.Invalid("The pre-authenticated request is longer than 3,500 bytes.")
	case !known:
		return answer.Invalid("The accessType is not known.")
	case !kind.any && q.ObjectName == "":
		return answer.Invalid("The accessType is of one object, and needs an objectName.")
	case !q.TimeExpires.After(now):
		return answer.Invalid("The timeExpires is not in the future.")
	}
	if err := q.checkListing(kind); err != nil {
		return err
	}
	return checkName(q.ObjectName)
}

func (q parRequest) checkListing(kind access) error {
	switch q.BucketListingAction {
	case "", denyListing:
		return nil
	case listObjects:
		if kind.any && kind.read {
			return nil
		}
		return answer.Invalid("Objects can be listed with AnyObjectRead and AnyObjectReadWrite only.")
	}
	return answer.Invalid("The bucketListingAction is Deny or ListObjects.")
}

// create makes a pre-authenticated request, and tells its secret this one time.
func (a parAPI) create(w http.ResponseWriter, r *gateway.Request, to target) error {
	var q parRequest
	if err := r.ReadJSON(&q); err != nil {
		return err
	}
	if err := q.check(a.Now()); err != nil {
		return err
	}
	secret := newSecret()
	p := buckets.PAR{
		ID: buckets.PARDigest(secret), Name: q.Name, AccessType: q.AccessType, Object: q.ObjectName,
		Listing: q.BucketListingAction, Created: a.Now().UTC().Truncate(time.Millisecond), Expires: q.TimeExpires.UTC(),
		Creator: r.Principal,
	}
	if !accessTypes[p.AccessType].any {
		p.ID += ":" + p.Object
	}
	if err := authorize(r, to.bucket, granting(p)...); err != nil {
		return err
	}
	if err := a.Buckets.PARs().Create(to.bucket, p); err != nil {
		return err
	}
	document := describePAR(p)
	document["accessUri"] = accessURI(secret, to.bucket, p)
	document["fullPath"] = "http://" + r.Host + accessURI(secret, to.bucket, p)
	answer.JSON(w, http.StatusOK, document)
	return nil
}

// newSecret makes what a pre-authenticated request is used with: 48 random bytes, as OCI's.
func newSecret() string {
	secret := make([]byte, 48)
	_, _ = rand.Read(secret) // it never fails
	return base64.RawURLEncoding.EncodeToString(secret)
}

// accessURI is where a pre-authenticated request is used; names of objects that have a prefix follow it.
func accessURI(secret, bucket string, p buckets.PAR) string {
	uri := "/p/" + secret + "/n/" + tenancy.Namespace + "/b/" + bucket + "/o/"
	if accessTypes[p.AccessType].any {
		return uri
	}
	return uri + (&url.URL{Path: p.Object}).EscapedPath()
}

// describePAR is a pre-authenticated request as it is answered.
func describePAR(p buckets.PAR) map[string]any {
	return map[string]any{
		"id": p.ID, "name": p.Name, "accessType": p.AccessType, "objectName": orNull(p.Object),
		"bucketListingAction": orNull(p.Listing), "timeCreated": p.Created, "timeExpires": p.Expires,
	}
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// maySee lets those see pre-authenticated requests who may make them, and those who may read the bucket's description.
func maySee(r *gateway.Request, bucket string) error {
	if r.Allows(iam.ParManage, map[string]string{"target.bucket.name": bucket}, iam.BucketRead) {
		return nil
	}
	return buckets.ErrNoBucket(bucket)
}

func (a parAPI) get(w http.ResponseWriter, r *gateway.Request, to target) error {
	if err := maySee(r, to.bucket); err != nil {
		return err
	}
	p, err := a.Buckets.PARs().Get(to.bucket, to.object)
	if err != nil {
		return err
	}
	answer.JSON(w, http.StatusOK, describePAR(p))
	return nil
}

// list answers a page of a bucket's pre-authenticated requests, also those that have expired.
func (a parAPI) list(w http.ResponseWriter, r *gateway.Request, to target) error {
	if err := maySee(r, to.bucket); err != nil {
		return err
	}
	query := r.URL.Query()
	limit, err := limitOf(query.Get("limit"))
	if err != nil {
		return err
	}
	items := []map[string]any{}
	err = a.Buckets.PARs().List(to.bucket, query.Get("page"), func(p buckets.PAR) bool {
		if !strings.HasPrefix(p.Object, query.Get("objectNamePrefix")) {
			return true
		}
		if len(items) == limit {
			digest, _, _ := strings.Cut(p.ID, ":") // a name of an object need not fit into a header
			w.Header().Set("Opc-Next-Page", digest)
			return false
		}
		items = append(items, describePAR(p))
		return true
	})
	if err != nil {
		return err
	}
	answer.JSON(w, http.StatusOK, items)
	return nil
}

func (a parAPI) delete(w http.ResponseWriter, _ *gateway.Request, to target) error {
	if err := a.Buckets.PARs().Delete(to.bucket, to.object); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
