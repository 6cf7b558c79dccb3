package localoci

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
	bolt "go.etcd.io/bbolt"

	"cemli-executor/internal/iam"
)

// retentionRule keeps the objects of a bucket from being changed.
type retentionRule struct {
	ID           string             `json:"id"`
	DisplayName  string             `json:"displayName"`
	ETag         string             `json:"etag"`
	TimeCreated  time.Time          `json:"timeCreated"`
	TimeModified time.Time          `json:"timeModified"`
	Duration     *retentionDuration `json:"duration,omitempty"` // nil: until the rule is deleted
	TimeLocked   *time.Time         `json:"timeRuleLocked,omitempty"`
}

type retentionDuration struct {
	TimeAmount int64  `json:"timeAmount"`
	TimeUnit   string `json:"timeUnit"` // DAYS or YEARS
}

// until is when an object that was written at a time is free.
func (d retentionDuration) until(written time.Time) time.Time {
	if d.TimeUnit == "YEARS" {
		return written.AddDate(int(d.TimeAmount), 0, 0)
	}
	return written.AddDate(0, 0, int(d.TimeAmount))
}

// retains refuses to change an object that a rule keeps. OCI's code for this is not
// documented; clients see the status.
func (b bucketRecord) retains(o objectRecord, now time.Time) error {
	for _, rule := range b.Retention {
		if rule.Duration == nil || now.Before(rule.Duration.until(o.Created)) {
			return apiError{http.StatusForbidden, "ObjectRetained", fmt.Sprintf("The object is kept by the retention rule %s.", rule.DisplayName)}
		}
	}
	return nil
}

// locked reports whether the rule itself can no longer be weakened.
func (r retentionRule) locked(now time.Time) bool {
	return r.TimeLocked != nil && !now.Before(*r.TimeLocked)
}

// lockDelay is how far in the future a lock has to be.
const lockDelay = 14 * 24 * time.Hour

// retentionRequest is the part of a rule that clients choose.
type retentionRequest struct {
	DisplayName string             `json:"displayName"`
	Duration    *retentionDuration `json:"duration"`
	TimeLocked  *time.Time         `json:"timeRuleLocked"`
}

func (s *Server) readRetention(r *request) (retentionRequest, error) {
	var q retentionRequest
	body, err := r.body.all()
	if err != nil {
		return q, err
	}
	if err := json.Unmarshal(body, &q); err != nil {
		return q, apiError{http.StatusBadRequest, "InvalidJson", "The request body is not valid JSON."}
	}
	if d := q.Duration; d != nil && (d.TimeAmount < 1 || d.TimeAmount > 100_000 || d.TimeUnit != "DAYS" && d.TimeUnit != "YEARS") {
		return q, apiError{http.StatusBadRequest, "InvalidParameter", "The duration must be a number of DAYS or YEARS."}
	}
	if q.TimeLocked != nil && (q.Duration == nil || q.TimeLocked.Before(s.config.Now().Add(lockDelay))) {
		return q, apiError{http.StatusBadRequest, "InvalidParameter", "A rule with a duration can be locked, 14 days from now at the earliest."}
	}
	return q, nil
}

// changeBucket changes a bucket's record in one transaction.
func (s *Server) changeBucket(name string, change func(tx *bolt.Tx, b *bucketRecord) error) error {
	return s.storage.db.Update(func(tx *bolt.Tx) error {
		b, err := getBucket(tx, name)
		if err != nil {
			return err
		}
		if err := change(tx, &b); err != nil {
			return err
		}
		return putRecord(tx, tableBuckets, []byte(name), b)
	})
}

func (s *Server) createRetention(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.RetentionManage); err != nil {
		return err
	}
	q, err := s.readRetention(r)
	if err != nil {
		return err
	}
	now := s.config.Now().UTC()
	rule := retentionRule{
		ID: uuid.NewString(), DisplayName: q.DisplayName, ETag: uuid.NewString(), TimeCreated: now, TimeModified: now, Duration: q.Duration, TimeLocked: q.TimeLocked,
	}
	if rule.DisplayName == "" {
		rule.DisplayName = "retention-rule-" + now.Format("20060102-1504")
	}
	err = s.changeBucket(to.bucket, func(_ *bolt.Tx, b *bucketRecord) error {
		switch {
		case b.Versioning != "" && b.Versioning != versioningOff:
			return apiError{http.StatusConflict, "InvalidBucketState", "A bucket with versioning cannot have retention rules."}
		case len(b.Retention) >= 100:
			return apiError{http.StatusBadRequest, "TooManyRetentionRules", "A bucket can have 100 retention rules."}
		}
		b.Retention = append(b.Retention, rule)
		return nil
	})
	if err != nil {
		return err
	}
	w.Header().Set("Etag", rule.ETag)
	writeJSON(w, http.StatusOK, rule)
	return nil
}

var errNoRule = apiError{http.StatusNotFound, "RetentionRuleNotFound", "The retention rule was not found."}

func (b bucketRecord) rule(id string) (int, error) {
	i := slices.IndexFunc(b.Retention, func(r retentionRule) bool { return r.ID == id })
	if i < 0 {
		return i, errNoRule
	}
	return i, nil
}

func (s *Server) listRetention(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.BucketRead); err != nil {
		return err
	}
	b, err := s.storage.bucket(to.bucket)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{"items": append([]retentionRule{}, b.Retention...)})
	return nil
}

func (s *Server) getRetention(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.BucketRead); err != nil {
		return err
	}
	b, err := s.storage.bucket(to.bucket)
	if err != nil {
		return err
	}
	i, err := b.rule(to.object)
	if err != nil {
		return err
	}
	w.Header().Set("Etag", b.Retention[i].ETag)
	writeJSON(w, http.StatusOK, b.Retention[i])
	return nil
}

func (s *Server) updateRetention(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.RetentionManage); err != nil {
		return err
	}
	q, err := s.readRetention(r)
	if err != nil {
		return err
	}
	var rule retentionRule
	now := s.config.Now().UTC()
	err = s.changeBucket(to.bucket, func(_ *bolt.Tx, b *bucketRecord) error {
		i, err := b.rule(to.object)
		if err != nil {
			return err
		}
		rule = b.Retention[i]
		if rule.locked(now) && (q.Duration == nil || q.Duration.until(now).Before(rule.Duration.until(now))) {
			return apiError{http.StatusConflict, "RetentionRuleLocked", "The rule is locked: its duration can only be increased."}
		}
		rule.Duration, rule.TimeModified, rule.ETag = q.Duration, now, uuid.NewString()
		if q.DisplayName != "" {
			rule.DisplayName = q.DisplayName
		}
		if q.TimeLocked != nil {
			rule.TimeLocked = q.TimeLocked
		}
		b.Retention[i] = rule
		return nil
	})
	if err != nil {
		return err
	}
	w.Header().Set("Etag", rule.ETag)
	writeJSON(w, http.StatusOK, rule)
	return nil
}

func (s *Server) deleteRetention(w http.ResponseWriter, r *request, to route) error {
	if err := s.authorize(r, to.bucket, iam.RetentionManage); err != nil {
		return err
	}
	err := s.changeBucket(to.bucket, func(_ *bolt.Tx, b *bucketRecord) error {
		i, err := b.rule(to.object)
		if err != nil {
			return err
		}
		if b.Retention[i].locked(s.config.Now()) {
			return apiError{http.StatusConflict, "RetentionRuleLocked", "The rule is locked: it goes with its bucket."}
		}
		b.Retention = slices.Delete(b.Retention, i, i+1)
		return nil
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
