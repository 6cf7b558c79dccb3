package objectstorage

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/answer"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/gateway"
)

// Limits of retention rules.
const (
	lockDelay   = 14 * 24 * time.Hour // how far in the future a lock must be
	maxRules    = 100                 // for each bucket
	maxDuration = 100_000
)

// retentionAPI serves requests to the retention rules of a bucket.
type retentionAPI struct{ Config }

func (a retentionAPI) routes() part {
	return part{
		all: byMethod{
			http.MethodGet:  {a.list, needs(iam.BucketRead)},
			http.MethodPost: {a.create, needs(iam.RetentionManage)},
		},
		one: byMethod{
			http.MethodGet:    {a.get, needs(iam.BucketRead)},
			http.MethodPut:    {a.update, needs(iam.RetentionManage)},
			http.MethodDelete: {a.delete, needs(iam.RetentionManage)},
		},
	}
}

// retentionRequest is the part of a rule that clients choose.
type retentionRequest struct {
	DisplayName string                     `json:"displayName"`
	Duration    *buckets.RetentionDuration `json:"duration"`
	TimeLocked  *time.Time                 `json:"timeRuleLocked"`
}

func (a retentionAPI) read(r *gateway.Request) (retentionRequest, error) {
	var q retentionRequest
	if err := r.ReadJSON(&q); err != nil {
		return q, err
	}
	if q.Duration != nil && !valid(*q.Duration) {
		return q, answer.Invalid("The duration must be a number of DAYS or YEARS.")
	}
	if q.TimeLocked != nil && (q.Duration == nil || q.TimeLocked.Before(a.Now().Add(lockDelay))) {
		return q, answer.Invalid("A rule with a duration can be locked, 14 days from now at the earliest.")
	}
	return q, nil
}

func valid(d buckets.RetentionDuration) bool {
	return d.TimeAmount >= 1 && d.TimeAmount <= maxDuration && (d.TimeUnit == "DAYS" || d.TimeUnit == "YEARS")
}

func (a retentionAPI) create(w http.ResponseWriter, r *gateway.Request, to target) error {
	q, err := a.read(r)
	if err != nil {
		return err
	}
	now := a.Now().UTC()
	rule := buckets.RetentionRule{
		ID: uuid.NewString(), DisplayName: cmp.Or(q.DisplayName, "retention-rule-"+now.Format("20060102-1504")),
		ETag:        uuid.NewString(),
		TimeCreated: now, TimeModified: now, Duration: q.Duration, TimeLocked: q.TimeLocked,
	}
	_, err = a.Buckets.UpdateBucket(to.bucket, func(b *buckets.Bucket) error {
		switch {
		case b.Versioning != "" && b.Versioning != buckets.VersioningOff:
			return answer.New(http.StatusConflict, "InvalidBucketState",
				"A bucket with versioning cannot have retention rules.")
		case len(b.Retention) >= maxRules:
			return answer.New(http.StatusBadRequest, "TooManyRetentionRules", "A bucket can have 100 retention rules.")
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

func (a retentionAPI) list(w http.ResponseWriter, _ *gateway.Request, to target) error {
	b, err := a.Buckets.Bucket(to.bucket)
	if err != nil {
		return err
	}
	answer.JSON(w, http.StatusOK, map[string]any{"items": append([]buckets.RetentionRule{}, b.Retention...)})
	return nil
}

func (a retentionAPI) get(w http.ResponseWriter, _ *gateway.Request, to target) error {
	b, err := a.Buckets.Bucket(to.bucket)
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

func (a retentionAPI) update(w http.ResponseWriter, r *gateway.Request, to target) error {
	q, err := a.read(r)
	if err != nil {
		return err
	}
	var rule buckets.RetentionRule
	_, err = a.Buckets.UpdateBucket(to.bucket, func(b *buckets.Bucket) error {
		i, err := b.RetentionRule(to.object)
		if err != nil {
			return err
		}
		if rule, err = q.change(b.Retention[i], a.Now().UTC()); err != nil {
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

// change is the rule as requested, unless that weakens a locked one.
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

func (a retentionAPI) delete(w http.ResponseWriter, _ *gateway.Request, to target) error {
	_, err := a.Buckets.UpdateBucket(to.bucket, func(b *buckets.Bucket) error {
		i, err := b.RetentionRule(to.object)
		if err != nil {
			return err
		}
		if b.Retention[i].Locked(a.Now()) {
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
	return answer.New(http.StatusConflict, "RetentionRuleLocked", message)
}
