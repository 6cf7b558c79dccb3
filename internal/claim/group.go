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
)

// maxQueue bounds how many runs wait in a group.
const maxQueue = 2000

// Place is a run's place in its group: by the creation of its object, then by package and version, and last by name,
// ETag and parameter set.
type Place struct {
	Created time.Time `json:"created"`
	// Package and Version are empty in queues that earlier versions wrote.
	Package string `json:"package,omitempty"`
	Version string `json:"version,omitempty"`
	Object  string `json:"object"`
	ETag    string `json:"etag"`
	Set     string `json:"set,omitempty"`
}

// Compare orders places. Invalid versions come before all others and are equal to each other.
func (p Place) Compare(q Place) int {
	return cmp.Or(p.Created.Compare(q.Created), cmp.Compare(p.Package, q.Package),
		semver.Compare("v"+p.Version, "v"+q.Version),
		cmp.Compare(p.Object, q.Object), cmp.Compare(p.ETag, q.ETag), cmp.Compare(p.Set, q.Set))
}

// Waiting is a run that waits for its group.
type Waiting struct {
	Place
	Key     string `json:"key"`
	Pending string `json:"mark"` // the run's pending request
	// Need is the time that the run needs, in milliseconds; 0: unknown.
	Need int64 `json:"need_ms,omitempty"`
}

// Holder is the run that is in a group.
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
	// Fence increases with every run that enters. It is at least the time in seconds, so that it also increases after
	// the record was lost, unless runs had entered more often than once a second.
	Fence  int64     `json:"fence"`
	Holder *Holder   `json:"holder,omitempty"`
	Last   *Place    `json:"last,omitempty"` // the latest place that has entered
	Queue  []Waiting `json:"queue"`          // in the order of places

	book Book
	etag string
	// entered is the run that entered through this value, and fence the number that it was given.
	entered string
	fence   int64
}

// groupObject escapes the name, so that two groups never share a record.
func groupObject(environment, name string) string {
	return "groups/" + environment + "/" + url.PathEscape(name) + ".json"
}

// Group reads a concurrency group; one that does not exist is free.
func (b Book) Group(ctx context.Context, name string) (*Group, error) {
	g := &Group{Environment: b.Environment, Name: name, Fence: b.now().Unix(), book: b}
	where := groupObject(b.Environment, name)
	etag, err := load(ctx, b.State, where, g)
	switch {
	case err != nil:
		return nil, err
	case g.Environment != b.Environment || g.Name != name || g.Fence < 1:
		return nil, corrupt(b.State, where, nil)
	case g.Holder != nil:
		if err := plausible(b.State, where, g.Holder.Lease, b.now()); err != nil {
			return nil, err
		}
	}
	g.etag = etag
	return g, nil
}

// Occupied reports whether a run other than that of key may be running in the group: its lease has not ended, and its
// claim is not concluded.
func (g *Group) Occupied(ctx context.Context, key string) (bool, error) {
	if !g.leased(key) {
		return false, nil
	}
	held, err := g.book.Find(ctx, g.Holder.Key)
	return held == nil || held.State != Done, err
}

func (g *Group) leased(key string) bool {
	return g.Holder != nil && g.Holder.Key != key && !g.book.now().After(g.Holder.Lease.Add(MaxSkew))
}

// Former returns the claim of the previous run of the group if that did not leave it; nil if there is none. What that
// run has done must be known before the next run enters.
func (g *Group) Former(ctx context.Context, key string) (*Held, error) {
	if g.Holder == nil || g.Holder.Key == key {
		return nil, nil //nolint:nilnil // there is none
	}
	if err := g.book.CheckClock(ctx); err != nil {
		return nil, err
	}
	return g.book.Find(ctx, g.Holder.Key)
}

// IsTurnOf reports whether no run in the queue comes before this one.
func (g *Group) IsTurnOf(who Waiting) bool {
	first := g.First()
	return first == nil || first.Key == who.Key || who.Place.Compare(first.Place) < 0
}

// Turn returns the run whose turn it is in a group; nil if none can be started. It removes finished runs from the
// queue.
func (b Book) Turn(ctx context.Context, name string) (*Waiting, error) {
	g, err := b.Group(ctx, name)
	for err == nil {
		first := g.First()
		if first == nil {
			return nil, nil //nolint:nilnil // nobody waits
		}
		if occupied, err := g.Occupied(ctx, first.Key); occupied || err != nil {
			return nil, err
		}
		var held *Held
		held, err = b.Find(ctx, first.Key)
		switch {
		case err != nil || held != nil && held.Expired(b.now()):
			return first, err
		case held != nil && held.State != Done:
			return nil, nil //nolint:nilnil // somebody is starting it
		}
		g, err = g.Forget(ctx, first.Key)
	}
	return nil, err
}

// First is the first run in the queue; nil if none waits.
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

// Enter makes a run the group's holder; late says that a run with a later place has been in it before. It returns ok
// false if the group has changed meanwhile.
func (g *Group) Enter(ctx context.Context, who Waiting, runID string, lease time.Time) (late, ok bool, err error) {
	late = g.Last != nil && who.Place.Compare(*g.Last) < 0
	if !late {
		g.Last = &who.Place
	}
	g.Fence++
	g.Holder = &Holder{Key: who.Key, RunID: runID, Lease: lease}
	g.entered, g.fence = who.Key, g.Fence
	g.without(who.Key)
	ok, err = g.swap(ctx)
	return late, ok, err
}

// Wait puts a run into the queue. It returns false if the group has changed meanwhile.
func (g *Group) Wait(ctx context.Context, who Waiting) (ok bool, err error) {
	if g.Waits(who.Key) {
		return true, nil
	}
	if len(g.Queue) >= maxQueue {
		return false, problem.New(problem.Problem{
			Code: "state.queue", Where: g.Name,
			Message: fmt.Sprintf("%d runs wait for the group already", len(g.Queue)),
			Hint: "send the request again when the queue is shorter, or keep independent packages in groups of " +
				"their own",
		}, nil)
	}
	at, _ := slices.BinarySearchFunc(g.Queue, who.Place, func(w Waiting, p Place) int { return w.Place.Compare(p) })
	g.Queue = slices.Insert(g.Queue, at, who)
	return g.swap(ctx)
}

// With names the run that is in the group, to end a sentence; "" if there is none.
func (g *Group) With() string {
	if g.Holder == nil {
		return ""
	}
	return ", with the run " + g.Holder.RunID
}

// Busy returns the error for a run that would have to wait for the group, and does not.
func (g *Group) Busy() error {
	return problem.New(problem.Problem{
		Code: "state.busy", Where: "/concurrency",
		Message: fmt.Sprintf("the concurrency group %s is busy%s, and the package does not wait", g.Name, g.With()),
		Hint:    "upload the package again when that run has ended, or let it wait with on_busy: queue",
	}, nil)
}

// Renew extends the lease of the run that entered. It returns false if another run is in the group by now.
func (g *Group) Renew(ctx context.Context, lease time.Time) (bool, error) {
	renewed, key, fence := false, g.entered, g.fence
	fresh, err := g.retry(ctx, func(g *Group) bool {
		renewed = g.isHeldBy(key, fence)
		if renewed {
			g.Holder.Lease = lease
		}
		return renewed
	})
	*g = *fresh
	g.entered, g.fence = key, fence
	return renewed, err
}

// Leave ends the use of the group by the run that entered, and returns the group as it is then. It changes nothing if
// another run is in the group by now.
func (g *Group) Leave(ctx context.Context) (*Group, error) {
	key, fence := g.entered, g.fence
	return g.retry(ctx, func(g *Group) bool {
		mine := g.isHeldBy(key, fence)
		if mine {
			g.Holder = nil
		}
		return mine
	})
}

func (g *Group) isHeldBy(key string, fence int64) bool {
	return g.Holder != nil && g.Holder.Key == key && g.Fence == fence
}

// Forget removes a run that will never enter from the queue.
func (g *Group) Forget(ctx context.Context, key string) (*Group, error) {
	return g.retry(ctx, func(g *Group) bool { return g.without(key) })
}

func (g *Group) without(key string) bool {
	before := len(g.Queue)
	g.Queue = slices.DeleteFunc(g.Queue, func(w Waiting) bool { return w.Key == key })
	return len(g.Queue) < before
}

// retry makes a change, and reads the group again if others have written it meanwhile. If change returns false, there
// is nothing to change.
func (g *Group) retry(ctx context.Context, change func(*Group) bool) (*Group, error) {
	for range attempts {
		if !change(g) {
			return g, nil
		}
		if ok, err := g.swap(ctx); ok || err != nil {
			return g, err
		}
		fresh, err := g.book.Group(ctx, g.Name)
		if err != nil {
			return g, err
		}
		g = fresh
	}
	return g, conflict(g.book.State, groupObject(g.Environment, g.Name), nil)
}

func (g *Group) swap(ctx context.Context) (bool, error) {
	if g.Queue == nil {
		g.Queue = []Waiting{}
	}
	info, err := write(ctx, g.book.State, groupObject(g.Environment, g.Name), g.etag, g)
	if err == nil {
		g.etag = info.ETag
	}
	if lostRace(err) {
		return false, nil
	}
	return err == nil, err
}
