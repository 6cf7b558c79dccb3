package objectstorage

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/gateway"
)

// Bounds of retention rules.
const (
	lockDelay   = 14 * 24 * time.Hour // how far in the future a lock has to be
	maxRules    = 100                 // of a bucket
	maxDuration = 100_000
)

// retentionRequest is the part of a rule that clients choose.
type retentionRequest struct {
	DisplayName string                     `json:"displayName"`
	Duration    *buckets.RetentionDuration `json:"duration"`
	TimeLocked  *time.Time                 `json:"timeRuleLocked"`
}

func (s *Service) readRetention(r *gateway.Request) (retentionRequest, error) {
	var q retentionRequest
	if err := r.ReadJSON(&q); err != nil {
		return q, err
	}
	if d := q.Duration; d != nil && (d.TimeAmount < 1 || d.TimeAmount > maxDuration || d.TimeUnit != "DAYS" && d.TimeUnit != "YEARS") {
		return q, answer.Invalid("The duration must be a number of DAYS or YEARS.")
	}
	if q.TimeLocked != nil && (q.Duration == nil || q.TimeLocked.Before(s.Now().Add(lockDelay))) {
		return q, answer.Invalid("A rule with a duration can be locked, 14 days from now at the earliest.")
	}
	return q, nil
}

func (s *Service) createRetention(w http.ResponseWriter, r *gateway.Request, to target) error {
	q, err := s.readRetention(r)
	if err != nil {
		return err
	}
	now := s.Now().UTC()
	rule := buckets.RetentionRule{
		ID: uuid.NewString(), DisplayName: cmp.Or(q.DisplayName, "retention-rule-"+now.Format("20060102-1504")), ETag: uuid.NewString(),
		TimeCreated: now, TimeModified: now, Duration: q.Duration, TimeLocked: q.TimeLocked,
	}
	_, err = s.Buckets.UpdateBucket(to.bucket, func(b *buckets.Bucket) error {
		switch {
		case b.Versioning != "" && b.Versioning != buckets.VersioningOff:
			return answer.Error{Status: http.StatusConflict, Code: "InvalidBucketState", Message: "A bucket with versioning cannot have retention rules."}
		case len(b.Retention) >= maxRules:
			return answer.Error{Status: http.StatusBadRequest, Code: "TooManyRetentionRules", Message: "A bucket can have 100 retention rules."}
		}
		b.Retention = append(b.Retention, rule)
		return nil
	})
	if err != nil {
		return err
	}
	answerRule(w, rule)
	return nil
}

func answerRule(w http.ResponseWriter, rule buckets.RetentionRule) {
	w.Header().Set("Etag", rule.ETag)
	answer.JSON(w, http.StatusOK, rule)
}

func (s *Service) listRetention(w http.ResponseWriter, _ *gateway.Request, to target) error {
	b, err := s.Buckets.Bucket(to.bucket)
	if err != nil {
		return err
	}
	answer.JSON(w, http.StatusOK, map[string]any{"items": append([]buckets.RetentionRule{}, b.Retention...)})
	return nil
}

func (s *Service) getRetention(w http.ResponseWriter, _ *gateway.Request, to target) error {
	b, err := s.Buckets.Bucket(to.bucket)
	if err != nil {
		return err
	}
	i, err := b.RetentionRule(to.object)
	if err != nil {
		return err
	}
	answerRule(w, b.Retention[i])
	return nil
}

func (s *Service) updateRetention(w http.ResponseWriter, r *gateway.Request, to target) error {
	q, err := s.readRetention(r)
	if err != nil {
		return err
	}
	var rule buckets.RetentionRule
	_, err = s.Buckets.UpdateBucket(to.bucket, func(b *buckets.Bucket) error {
		i, err := b.RetentionRule(to.object)
		if err != nil {
			return err
		}
		if rule, err = q.change(b.Retention[i], s.Now().UTC()); err != nil {
			return err
		}
		b.Retention[i] = rule
		return nil
	})
	if err != nil {
		return err
	}
	answerRule(w, rule)
	return nil
}

// change is a rule as it is asked for, unless that weakens a locked one.
func (q retentionRequest) change(rule buckets.RetentionRule, now time.Time) (buckets.RetentionRule, error) {
	if rule.Locked(now) && (q.Duration == nil || q.Duration.Until(now).Before(rule.Duration.Until(now))) {
		return rule, lockedError("The rule is locked: its duration can only be increased.")
	}
	rule.Duration, rule.TimeModified, rule.ETag = q.Duration, now, uuid.NewString()
	rule.DisplayName = cmp.Or(q.DisplayName, rule.DisplayName)
	if q.TimeLocked != nil {
		rule.TimeLocked = q.TimeLocked
	}
	return rule, nil
}

func (s *Service) deleteRetention(w http.ResponseWriter, _ *gateway.Request, to target) error {
	_, err := s.Buckets.UpdateBucket(to.bucket, func(b *buckets.Bucket) error {
		i, err := b.RetentionRule(to.object)
		if err != nil {
			return err
		}
		if b.Retention[i].Locked(s.Now()) {
			return lockedError("The rule is locked: it goes with its bucket.")
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

func lockedError(message string) error {
	return answer.Error{Status: http.StatusConflict, Code: "RetentionRuleLocked", Message: message}
}
