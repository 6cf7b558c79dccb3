package objectstorage

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/gateway"
)

// listing is a page of names.
type listing struct {
	Objects       []map[string]any `json:"objects"`
	Prefixes      []string         `json:"prefixes,omitempty"`
	NextStartWith string           `json:"nextStartWith,omitempty"`
}

func (a objectAPI) list(w http.ResponseWriter, r *gateway.Request, to target) error {
	l, err := newLister(r.URL.RawQuery)
	if err != nil {
		return err
	}
	if err := a.Buckets.Objects(to.bucket, l.from, func(name string, o buckets.Object) bool {
		return l.visit(name, name, func() map[string]any { return listed(o, name, l.fields) })
	}); err != nil {
		return err
	}
	answer.JSON(w, http.StatusOK, listing{l.items, l.folders, l.next})
	return nil
}

// maxListed is the most that a page has, names and folders together.
const maxListed = 1000

// newLister reads what a listing must contain.
func newLister(rawQuery string) (*lister, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, answer.Invalid("The query cannot be read.")
	}
	l := &lister{
		prefix: query.Get("prefix"), end: query.Get("end"), after: query.Get("startAfter"),
		delimiter: query.Get("delimiter"), items: []map[string]any{}, folders: []string{},
	}
	l.from = max(l.prefix, query.Get("start"), l.after)
	if l.delimiter != "" && l.delimiter != "/" {
		return nil, answer.Invalid("The only delimiter is /.")
	}
	if l.limit, err = limitOf(query.Get("limit")); err != nil {
		return nil, err
	}
	l.fields, err = fieldsOf(query.Get("fields"))
	return l, err
}

// limitOf reads how much a page is to have at most.
func limitOf(text string) (int, error) {
	if text == "" {
		return maxListed, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxListed {
		return 0, answer.Invalid("The limit must be a number from 1 to 1000.")
	}
	return limit, nil
}

// fieldsOf reads which fields of objects a listing is to have; names are always there.
func fieldsOf(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	fields := strings.Split(text, ",")
	for i, field := range fields {
		fields[i] = strings.TrimSpace(field)
		if !slices.Contains(listable, fields[i]) {
			return nil, answer.New(http.StatusBadRequest, "InvalidParameter",
				"The fields may be "+strings.Join(listable, ", ")+".")
		}
	}
	return fields, nil
}

var listable = []string{"name", "size", "etag", "md5", "timeCreated", "timeModified", "storageTier", "archivalState"}

// lister collects one page.
type lister struct {
	prefix, end, after, delimiter string
	from                          string // the first name that can be listed
	limit                         int
	fields                        []string

	items   []map[string]any
	folders []string
	next    string // where the following page begins; "" if there is none
}

// visit takes one object or version, in order; it returns false when the page is full and the next one begins at key.
func (l *lister) visit(name, key string, item func() map[string]any) bool {
	if !strings.HasPrefix(name, l.prefix) {
		return name < l.prefix
	}
	if name == l.after && l.after != "" {
		return true
	}
	if l.end != "" && name >= l.end {
		return false
	}
	folder := ""
	if l.delimiter != "" {
		if i := strings.Index(name[len(l.prefix):], l.delimiter); i >= 0 {
			folder = name[:len(l.prefix)+i+1]
		}
	}
	if n := len(l.folders); folder != "" && n > 0 && l.folders[n-1] == folder {
		return true
	}
	if len(l.items)+len(l.folders) == l.limit {
		l.next = key
		return false
	}
	if folder != "" {
		l.folders = append(l.folders, folder)
	} else {
		l.items = append(l.items, item())
	}
	return true
}

// listed is an object in a listing: its name and the requested fields. Times have milliseconds, while the headers of
// an object have seconds.
func listed(o buckets.Object, name string, fields []string) map[string]any {
	all := map[string]any{
		"size": o.Size, "etag": o.ETag, "md5": o.MD5, "timeCreated": o.Created, "timeModified": o.Created,
		"storageTier": "Standard", // archivalState is only for objects in the archive tier
	}
	found := map[string]any{"name": name}
	for _, field := range fields {
		if value, ok := all[field]; ok {
			found[field] = value
		}
	}
	return found
}
