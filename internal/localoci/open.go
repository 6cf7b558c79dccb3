package localoci

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"cemli-executor/internal/iam"
	"cemli-executor/internal/localoci/admin"
	"cemli-executor/internal/localoci/buckets"
	"cemli-executor/internal/localoci/events"
	"cemli-executor/internal/localoci/faults"
	"cemli-executor/internal/localoci/functions"
	"cemli-executor/internal/localoci/gateway"
	"cemli-executor/internal/localoci/index"
	"cemli-executor/internal/localoci/logging"
	"cemli-executor/internal/localoci/notifications"
	"cemli-executor/internal/localoci/objectstorage"
	"cemli-executor/internal/localoci/tenancy"
	"cemli-executor/internal/localoci/vault"
	conditions "cemli-executor/terraform/modules/events"
	statements "cemli-executor/terraform/modules/iam"
)

// Open opens the state in config.Dir, and creates it the first time.
func Open(config Config) (*Server, error) {
	if config.Now == nil {
		config.Now = time.Now
	}
	policy, err := newPolicy(config.Buckets, config.Statements)
	if err != nil {
		return nil, err
	}
	rules, err := events.ParseRules(
		cmp.Or(config.Rule, conditions.Condition(config.Buckets.Packages)),
		conditions.TriggerCondition(conditions.NewSecretVersion, "*"), // the policy's triggers decide what it starts
	)
	if err != nil {
		return nil, err
	}
	s := &Server{config: config}
	s.ctx, s.stop = context.WithCancel(context.Background())
	if err := s.openState(rules); err != nil {
		return nil, dirError(config.Dir, err)
	}
	s.admin = admin.New(config.Dir, switches{s}.calls(), config.Log)
	s.policy.Store(&policy)
	s.gateway = s.newGateway()
	return s, nil
}

// openState opens the keys, the index, and the services that store something in it.
func (s *Server) openState(rules events.Rules) (err error) {
	dir := s.config.Dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if s.authority, err = tenancy.Open(filepath.Join(dir, "oci")); err != nil {
		return err
	}
	s.db, err = index.Open(filepath.Join(dir, "index.db"),
		buckets.Tables, events.Tables, notifications.Tables, vault.Tables, logging.Tables)
	if err != nil {
		return err
	}
	if err := s.openServices(rules); err != nil {
		_ = s.db.Close() // the first error says more
		return err
	}
	return nil
}

// openServices makes the services, in order of dependency.
func (s *Server) openServices(rules events.Rules) (err error) {
	s.functions = functions.New(functions.Config{
		Functions: s.allFunctions(), Observe: s.observeInvocation, Faults: s.faults.Get, Log: s.config.Log,
	})
	s.events = events.New(events.Config{
		DB: s.db, Rules: rules, Deliver: s.deliver, Observe: func(detail string) { s.observe("event", detail, nil) },
		Faults: s.faults.Get, Log: s.config.Log,
	})
	full := func() bool { return s.faults.Get().DiskFull }
	if s.buckets, err = buckets.Open(s.config.Dir, s.db, s.events, s.config.Now, full); err != nil {
		return err
	}
	if err := s.makeBuckets(); err != nil {
		return err
	}
	packages, err := s.buckets.Bucket(s.config.Buckets.Packages)
	if err != nil {
		return err
	}
	s.logging, err = logging.Open(logging.Config{
		DB: s.db, Bucket: packages.Name, BucketID: packages.ID, Faults: s.faults.Get, Now: s.now, Log: s.config.Log,
	})
	s.vault = vault.New(s.db, s.events, s.now)
	s.notifications = notifications.New(s.db, s.now, func(title string) { s.observe("message", title, nil) })
	return err
}

// allFunctions are those that there are: the executor, and the runner where there is one.
func (s *Server) allFunctions() []functions.Function {
	list := []functions.Function{{
		ID: tenancy.FunctionID, Name: "cemli-executor", AppID: tenancy.AppID, Compartment: tenancy.Compartment,
		Run: s.config.Invoke, Called: faults.Executor,
	}}
	if s.config.Runner == nil {
		return list
	}
	return append(list, functions.Function{
		ID: tenancy.RunnerID, Name: "cemli-runner", AppID: tenancy.RunnerAppID, Compartment: tenancy.RunnerCompartment,
		Run: s.config.Runner, Called: faults.Runner,
	})
}

// makeBuckets creates the function's buckets as Terraform does: the results bucket retains objects, which excludes
// versions, what is in the jobs bucket is for a run alone, and the others keep versions.
func (s *Server) makeBuckets() error {
	b, kept := s.config.Buckets, ""
	if s.config.Versioned {
		kept = buckets.VersioningOn
	}
	for _, bucket := range []struct {
		name       string
		events     bool
		versioning string
	}{
		{b.Packages, true, kept},
		{b.Results, false, ""},
		{b.State, false, kept},
		{b.Policies, false, kept},
		{b.Jobs, false, ""},
	} {
		if bucket.name == "" {
			continue
		}
		if err := s.buckets.EnsureBucket(bucket.name, bucket.events, bucket.versioning); err != nil {
			return err
		}
	}
	return nil
}

// newGateway puts the services behind one server.
func (s *Server) newGateway() *gateway.Gateway {
	storage := objectstorage.New(objectstorage.Config{
		Buckets: s.buckets, Now: s.now, Observe: func(kind, detail string) { s.observe(kind, detail, nil) },
		Wrote: func(r *gateway.Request, w objectstorage.Write) { s.logging.Note(r, logging.Write(w)) },
	})
	return &gateway.Gateway{
		Authority: s.authority, Policy: func() iam.Policy { return *s.policy.Load() },
		Services: []gateway.Service{s.functions, s.notifications, s.vault, s.logging, storage},
		Unsigned: s.admin, Faults: s.faults.Get, Now: s.now,
		Denied: func(detail string) { s.observe("denied", detail, nil) }, Log: s.config.Log,
	}
}

// deliver delivers an event to the function.
func (s *Server) deliver(ctx context.Context, event []byte) error {
	_, err := s.functions.Invoke(ctx, FunctionID,
		Invocation{Body: event, Header: http.Header{"Content-Type": {"application/json"}}})
	return err
}

// Statements are the policy statements that Terraform deploys for the function, with the ids of a local OCI.
func Statements(b Buckets) ([]statements.Statement, error) {
	values := map[string]string{
		"function_group": tenancy.FunctionGroup, "compartment_id": Compartment, "secrets_compartment_id": Compartment,
		"packages_bucket": b.Packages, "results_bucket": b.Results, "state_bucket": b.State,
		"policies_bucket": b.Policies,
		"topic_id":        TopicID, "function_id": FunctionID, "write_log_group_id": logging.GroupID,
		"jobs_bucket": b.Jobs, "runner_compartment_id": "", "runner_function_id": "",
	}
	if b.Jobs != "" {
		values["runner_compartment_id"], values["runner_function_id"] = tenancy.RunnerCompartment, tenancy.RunnerID
	}
	return statements.Statements(values)
}

// SetStatements replaces the policy of the function's principal from now on, as somebody who takes it rights or gives
// it some; nil: those that Terraform deploys.
func (s *Server) SetStatements(texts []string) error {
	policy, err := newPolicy(s.config.Buckets, texts)
	if err == nil {
		s.policy.Store(&policy)
	}
	return err
}

// newPolicy reads the statements that functions and instances are held to; nil: those that Terraform deploys.
func newPolicy(b Buckets, texts []string) (iam.Policy, error) {
	if texts == nil {
		list, err := Statements(b)
		if err != nil {
			return iam.Policy{}, err
		}
		for _, s := range list {
			texts = append(texts, s.Statement)
		}
	}
	p, err := iam.Parse(texts)
	if err != nil {
		return iam.Policy{}, fmt.Errorf("read the function's policy: %w", err)
	}
	return p, nil
}
