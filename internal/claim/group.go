package claim

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	"golang.org/x/mod/semver"

	"cemli-executor/internal/problem"
	"cemli-executor/internal/store"
)

// maxQueue bounds how many runs wait in a group.
const maxQueue = 2000

// Place is where a run stands in the order of its group: by the creation of its object, then by the
// package and its version, where times do not decide, then by name, ETag and parameter set.
type Place struct {
	Created time.Time `json:"created"`
	// Package and Version are empty in what earlier versions have queued.
	Package string `json:"package,omitempty"`
	Version string `json:"version,omitempty"`
	Object  string `json:"object"`
	ETag    string `json:"etag"`
	Set     string `json:"set,omitempty"`
}

// Compare orders places. Versions that are none are before all others, and alike.
func (p Place) Compare(q Place) int {
	return cmp.Or(p.Created.Compare(q.Created), cmp.Compare(p.Package, q.Package), semver.Compare("v"+p.Version, "v"+q.Version),
		cmp.Compare(p.Object, q.Object), cmp.Compare(p.ETag, q.ETag), cmp.Compare(p.Set, q.Set))
}

// Waiting is a run that waits for its group.
type Waiting struct {
	Place
	Key  string `json:"key"`
	Mark string `json:"mark"` // the accepted request that the run is of
	// Need is the time that the run has to be given, in milliseconds; 0: not said.
	Need int64 `json:"need_ms,omitempty"`
}

// Holder is who runs in a group.
type Holder struct {
	Key   string    `json:"key"`
	RunID string    `json:"run_id"`
	Lease time.Time `json:"lease"`
}

// Group is a concurrency group of an environment.
type Group struct {
	header
	Environment string `json:"environment"`
	Name        string `json:"name"`
	// Fence is larger for every run that enters. It begins with the time, in seconds, so that it is
	// larger also after the record was lost, unless a run had entered each second.
	Fence  int64     `json:"fence"`
	Holder *Holder   `json:"holder,omitempty"`
	Last   *Place    `json:"last,omitempty"` // the latest place that has entered
	Queue  []Waiting `json:"queue"`          // in the order of places

	state store.Bucket
	etag  string
}

// groupObject escapes the name, so that two groups never share a record.
func groupObject(environment, name string) string {
	return "groups/" + environment + "/" + url.PathEscape(name) + ".json"
}

// ReadGroup reads a group; one that does not exist is free.
func ReadGroup(ctx context.Context, state store.Bucket, environment, name string, now time.Time) (*Group, error) {
	g := &Group{Environment: environment, Name: name, Fence: now.Unix(), state: state}
	where := groupObject(environment, name)
	etag, err := load(ctx, state, where, g)
	switch {
	case err != nil:
		return nil, err
	case g.Environment != environment || g.Name != name || g.Fence < 1:
		return nil, corrupt(state, where, nil)
	case g.Holder != nil:
		if err := plausible(state, where, g.Holder.Lease, now); err != nil {
			return nil, err
		}
	}
	g.etag = etag
	return g, nil
}

// Busy reports whether another run than that of key may be running.
func (g *Group) Busy(now time.Time, key string) bool {
	return g.Holder != nil && g.Holder.Key != key && !now.After(g.Holder.Lease.Add(MaxSkew))
}

// First is the run whose turn it is; nil if none waits.
func (g *Group) First() *Waiting {
	if len(g.Queue) == 0 {
		return nil
	}
	return &g.Queue[0]
}

// Waits reports whether a run is in the queue.
func (g *Group) Waits(key string) bool {
	return slices.ContainsFunc(g.Queue, func(w Waiting) bool { return w.Key == key })
}

// Enter makes a run the group's holder; late says that a run with a later place has been. False:
// the group has changed meanwhile.
func (g *Group) Enter(ctx context.Context, who Waiting, runID string, lease time.Time) (late, ok bool, err error) {
	late = g.Last != nil && who.Place.Compare(*g.Last) < 0
	if !late {
		g.Last = &who.Place
	}
	g.Fence++
	g.Holder = &Holder{Key: who.Key, RunID: runID, Lease: lease}
	g.without(who.Key)
	ok, err = g.swap(ctx)
	return late, ok, err
}

// Wait puts a run into the queue. False: the group has changed meanwhile.
func (g *Group) Wait(ctx context.Context, who Waiting) (ok bool, err error) {
	if g.Waits(who.Key) {
		return true, nil
	}
	if len(g.Queue) >= maxQueue {
		return false, problem.New(problem.Problem{
			Code: "state.queue", Where: g.Name, Message: fmt.Sprintf("%d runs wait for the group already", len(g.Queue)),
			Hint: "send the request again when the queue is shorter, or keep independent packages in groups of their own",
		}, nil)
	}
	at, _ := slices.BinarySearchFunc(g.Queue, who.Place, func(w Waiting, p Place) int { return w.Place.Compare(p) })
	g.Queue = slices.Insert(g.Queue, at, who)
	return g.swap(ctx)
}

// Renew gives the run of key, which entered with fence, a longer lease. False: the group is another run's by
// now.
func (g *Group) Renew(ctx context.Context, key string, fence int64, now, lease time.Time) (bool, error) {
	renewed := false
	fresh, err := g.retry(ctx, now, func(g *Group) bool {
		renewed = g.Holder != nil && g.Holder.Key == key && g.Fence == fence
		if renewed {
			g.Holder.Lease = lease
		}
		return renewed
	})
	*g = *fresh
	return renewed, err
}

// Leave gives the group up after the run of key, which entered with fence, and returns the group
// as it is then. A group that is another run's by now stays as it is.
func (g *Group) Leave(ctx context.Context, key string, fence int64, now time.Time) (*Group, error) {
	return g.retry(ctx, now, func(g *Group) bool {
		mine := g.Holder != nil && g.Holder.Key == key && g.Fence == fence
		if mine {
			g.Holder = nil
		}
		return mine
	})
}

// Forget takes a run out of the queue that will not come any more.
func (g *Group) Forget(ctx context.Context, key string, now time.Time) (*Group, error) {
	return g.retry(ctx, now, func(g *Group) bool { return g.without(key) })
}

func (g *Group) without(key string) bool {
	before := len(g.Queue)
	g.Queue = slices.DeleteFunc(g.Queue, func(w Waiting) bool { return w.Key == key })
	return len(g.Queue) < before
}

// retry makes a change, reading the group again as often as others write it meanwhile. A change
// that has nothing to change says false.
func (g *Group) retry(ctx context.Context, now time.Time, change func(*Group) bool) (*Group, error) {
	for range attempts {
		if !change(g) {
			return g, nil
		}
		if ok, err := g.swap(ctx); ok || err != nil {
			return g, err
		}
		fresh, err := ReadGroup(ctx, g.state, g.Environment, g.Name, now)
		if err != nil {
			return g, err
		}
		g = fresh
	}
	return g, conflict(g.state, groupObject(g.Environment, g.Name), nil)
}

func (g *Group) swap(ctx context.Context) (bool, error) {
	if g.Queue == nil {
		g.Queue = []Waiting{}
	}
	info, err := write(ctx, g.state, groupObject(g.Environment, g.Name), g.etag, g)
	if err == nil {
		g.etag = info.ETag
	}
	if lostRace(err) {
		return false, nil
	}
	return err == nil, err
}
