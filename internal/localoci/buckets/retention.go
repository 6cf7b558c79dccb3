package buckets

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"cemli-executor/internal/localoci/answer"
)

// RetentionRule keeps the objects of a bucket from being changed.
type RetentionRule struct {
	ID           string             `json:"id"`
	DisplayName  string             `json:"displayName"`
	ETag         string             `json:"etag"`
	TimeCreated  time.Time          `json:"timeCreated"`
	TimeModified time.Time          `json:"timeModified"`
	Duration     *RetentionDuration `json:"duration,omitempty"` // nil: until the rule is deleted
	TimeLocked   *time.Time         `json:"timeRuleLocked,omitempty"`
}

// RetentionDuration is how long a rule retains an object.
type RetentionDuration struct {
	TimeAmount int64  `json:"timeAmount"`
	TimeUnit   string `json:"timeUnit"` // DAYS or YEARS
}

// Until is when an object written at this time may be changed.
func (d RetentionDuration) Until(written time.Time) time.Time {
	if d.TimeUnit == "YEARS" {
		return written.AddDate(int(d.TimeAmount), 0, 0)
	}
	return written.AddDate(0, 0, int(d.TimeAmount))
}

// Locked reports whether the rule itself can no longer be weakened.
func (r RetentionRule) Locked(now time.Time) bool {
	return r.TimeLocked != nil && !now.Before(*r.TimeLocked)
}

// retains refuses to change an object that a rule retains. OCI's code for this is not documented; clients see the
// status.
func (b Bucket) retains(o Object, now time.Time) error {
	for _, rule := range b.Retention {
		if rule.Duration == nil || now.Before(rule.Duration.Until(o.Created)) {
			return answer.New(http.StatusForbidden, "ObjectRetained",
				fmt.Sprintf("The object is kept by the retention rule %s.", rule.DisplayName))
		}
	}
	return nil
}

// RetentionRule returns the index of a rule in Retention.
func (b Bucket) RetentionRule(id string) (int, error) {
	i := slices.IndexFunc(b.Retention, func(r RetentionRule) bool { return r.ID == id })
	if i < 0 {
		return i, answer.New(http.StatusNotFound, "RetentionRuleNotFound", "The retention rule was not found.")
	}
	return i, nil
}
