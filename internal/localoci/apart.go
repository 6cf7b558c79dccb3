package localoci

import (
	"fmt"

	"cemli-executor/internal/localoci/tenancy"
	statements "cemli-executor/terraform/modules/iam"
)

// apart are the statements by which the function has steps run by the runner: it makes mailboxes in the jobs bucket
// and uses what is in them, and it finds and invokes that one function. None is the runner's.
func apart(b Buckets) []statements.Statement {
	if b.Jobs == "" {
		return nil
	}
	allow := "Allow dynamic-group " + tenancy.FunctionGroup
	jobs := fmt.Sprintf(" in compartment id %s where all {target.bucket.name='%s', ", Compartment, b.Jobs)
	runner := fmt.Sprintf(" in compartment id %s where target.function.id='%s'",
		tenancy.RunnerCompartment, tenancy.RunnerID)
	return []statements.Statement{
		{
			Name: "make_mailboxes", Why: "a job's mailbox is a prefix of the jobs bucket behind a pre-authenticated request",
			Statement: allow + " to manage buckets" + jobs + "request.permission='PAR_MANAGE'}",
		},
		{
			Name: "use_mailboxes", Why: "pre-authenticated requests act with the permissions of who made them",
			Statement: allow + " to manage objects" + jobs + "any {request.permission='OBJECT_INSPECT', " +
				"request.permission='OBJECT_READ', request.permission='OBJECT_CREATE', " +
				"request.permission='OBJECT_OVERWRITE', request.permission='OBJECT_DELETE'}}",
		},
		{
			Name: "find_runner", Why: "where the runner is invoked is asked for",
			Statement: allow + " to read fn-function" + runner,
		},
		{
			Name: "invoke_runner", Why: "the runner runs the steps of packages",
			Statement: allow + " to use fn-invocation" + runner,
		},
	}
}
