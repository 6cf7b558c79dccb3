// Package container keeps a container fit for the next run. A container serves later runs, and a script has the
// function's user: what one script leaves behind, the next one's secrets may reach.
//
//   - Before the first script of a run the memory of every other process of the user is hidden, as that of the
//     container's init, which outlives the script.
//   - After the last one no process is left, and no file in the folders that scripts can write to: what is new there is
//     removed.
//   - Where that cannot be said, there is a doubt: nothing more may be run, and the program is to end, so that the
//     platform starts a fresh container.
//
// All but the last is done only in a container of the function's own: on a machine with other programs, as a laptop
// with a local OCI, processes and files of the user are not the function's to touch.
package container

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"cemli-executor/internal/conceal"
	"cemli-executor/internal/problem"
	"cemli-executor/internal/sandbox"
)

// Container is the one that this program runs in.
type Container struct {
	shared string // why it is not this program's alone; empty: it is
	places places
	known  map[int]bool // processes of this user that were there before any script

	mu     sync.Mutex
	doubts []string
}

// Own reports whether the container is this program's alone, and if not, why.
func (c *Container) Own() (own bool, why string) { return c.shared == "", c.shared }

// Run runs a command in the sandbox, and doubts what is left of one whose processes could not be ended.
func (c *Container) Run(ctx context.Context, command sandbox.Command) (sandbox.Outcome, error) {
	outcome, err := sandbox.Run(ctx, command)
	c.Note(err)
	return outcome, err
}

// Note takes a command's failure, which may be several, as a reason for doubt, if it is one.
func (c *Container) Note(failure error) {
	if several, ok := failure.(interface{ Unwrap() []error }); ok { //nolint:errorlint // what is within is looked at
		for _, err := range several.Unwrap() {
			c.Note(err)
		}
		return
	}
	var p *problem.Error
	if !errors.As(failure, &p) {
		return
	}
	for _, found := range p.Problems {
		if found.Code == "sandbox.survivor" {
			c.Doubt("%s", found.Message)
		}
	}
}

// Conceal hides the memory of the other processes of this user. That it cannot be is no doubt: scripts' layers say so.
func (c *Container) Conceal() error {
	if c.shared != "" {
		return nil
	}
	return conceal.All()
}

// Enter prepares for the first script of a run. The returned function cleans up after the last.
func (c *Container) Enter() (leave func()) {
	if c.shared != "" {
		return func() {}
	}
	before, err := c.places.look()
	if err != nil {
		c.Doubt("what was there before a run is not known: %v", err)
		return func() {}
	}
	return func() {
		c.endOthers()
		for _, problem := range c.places.clean(before) {
			c.Doubt("%s", problem)
		}
	}
}

// maxDoubts bounds how many reasons are kept.
const maxDoubts = 20

// Doubt notes a reason for which nothing more may be run here.
func (c *Container) Doubt(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.doubts) < maxDoubts {
		c.doubts = append(c.doubts, fmt.Sprintf(format, args...))
	}
}

// Doubtful returns why nothing more may be run here; nil if it may.
func (c *Container) Doubtful() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.doubts) == 0 {
		return nil
	}
	return problem.New(problem.Problem{
		Code: "sandbox.doubt", Message: "nothing more is run in this container: " + strings.Join(c.doubts, "; "),
		Hint: "nothing has to be done: the platform starts another one, in which the request is tried again",
	}, nil)
}
