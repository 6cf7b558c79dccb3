package executor

import (
	"context"

	"cemli-executor/internal/followup"
)

// followUp does what follows the result, and says in the claim how the run has ended. What fails
// is found by the sweep.
func (r *run) followUp(ctx context.Context) {
	if r.claim == nil { // a request that was refused as it stands: its sender may mend it and ask again
		r.exec.follower.Tell(ctx, r.result)
		return
	}
	end := r.exec.follower.Do(ctx, r.claim, r.result, r.digest, r.doing, r.history)
	if followup.Recorded(end) {
		r.leave(ctx) // else the next of the group would not know of this run
	}
	r.exec.follower.Conclude(ctx, r.claim, end)
}

// leave gives the group up, and notes who is to be started now.
func (r *held) leave(ctx context.Context) {
	if r.group == nil {
		return
	}
	g, err := r.group.Leave(ctx)
	if err != nil {
		r.log.Error("the concurrency group could not be left; it is free when the lease ends", "group", r.group.Name, "error", err.Error())
		return
	}
	if g.First() != nil {
		r.released = append(r.released, g.Name)
	}
	r.group = nil
}
