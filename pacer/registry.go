package pacer

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"time"
)

// ErrUnknown is what a name that a Registry does not have is.
var ErrUnknown = errors.New("unknown name")

// A Registry has a Pacer for each name: one for each service, user or host. Its methods may be called by any number of goroutines.
// Nobody waits for a grant of another name.
type Registry struct {
	opts   RegistryOptions
	seed   maphash.Seed
	shards [shards]shard
}

// RegistryOptions say how a Registry works. With the zero RegistryOptions a name that was not added is an error.
type RegistryOptions struct {
	// Default are the limits of a name that was not added. Without any, it is an ErrUnknown. If they are not valid, as Limits.Validate
	// says, each Get of such a name is that error. Unlimited() lets all pass.
	Default Limits
	// Idle is how long a Pacer of the Default is kept that nobody uses (0: a minute). It is forgotten then, if nothing but its
	// limits is with it: nobody waits, no grant counts any more, there is no cooldown and no pause. One that was added stays.
	Idle time.Duration
	// Pacer are the options of each Pacer.
	Pacer []Option
}

const shards = 64

type shard struct {
	mu     sync.Mutex
	byName map[string]*entry
	swept  time.Time
	closed bool
}

type entry struct {
	p     *Pacer
	added bool
	used  time.Time
}

// NewRegistry returns a Registry that has no names yet.
func NewRegistry(o RegistryOptions) *Registry {
	if o.Idle <= 0 {
		o.Idle = time.Minute
	}
	r := &Registry{opts: o, seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].byName = map[string]*entry{}
	}
	return r
}

func (r *Registry) shard(name string) *shard {
	return &r.shards[maphash.String(r.seed, name)%shards]
}

// Get returns the Pacer of a name. It is not to be kept for longer than it takes to use it: one that is idle is forgotten. Errors are
// an ErrUnknown and ErrClosed.
func (r *Registry) Get(name string) (*Pacer, error) {
	return r.get(name, func() (*Pacer, error) {
		if len(r.opts.Default) == 0 {
			return nil, fmt.Errorf("%w %q", ErrUnknown, name)
		}
		if err := r.opts.Default.Validate(); err != nil {
			return nil, err
		}
		return NewAll(r.opts.Default, r.opts.Pacer...), nil
	})
}

// GetOr is Get for one who knows what Pacer a name has that was not added: create returns it, and must not use the Registry. It
// is forgotten as one of the Default is. The error is ErrClosed.
func (r *Registry) GetOr(name string, create func() *Pacer) (*Pacer, error) {
	return r.get(name, func() (*Pacer, error) { return create(), nil })
}

// get returns the Pacer of a name, created if need be.
func (r *Registry) get(name string, create func() (*Pacer, error)) (*Pacer, error) {
	s := r.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	now := time.Now()
	e := s.byName[name]
	if e == nil {
		p, err := create()
		if err != nil {
			return nil, err
		}
		r.sweep(s, now)
		e = &entry{p: p}
		s.byName[name] = e
	}
	e.used = now
	return e.p, nil
}

// sweep forgets those who are idle, once in a while.
func (r *Registry) sweep(s *shard, now time.Time) {
	if now.Sub(s.swept) < r.opts.Idle/2 {
		return
	}
	s.swept = now
	for name, e := range s.byName {
		if !e.added && now.Sub(e.used) >= r.opts.Idle && e.p.idle() {
			delete(s.byName, name)
		}
	}
}

// Sweep forgets those of the Default that are idle now. It is done by and by, too, when names come.
func (r *Registry) Sweep() {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		s.swept = time.Time{}
		r.sweep(s, time.Now())
		s.mu.Unlock()
	}
}

// Len returns how many names there are at the moment.
func (r *Registry) Len() (n int) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n += len(s.byName)
		s.mu.Unlock()
	}
	return n
}

// Set gives a name its limits, whether it is there already or not. Those who wait stay, and what was granted counts.
func (r *Registry) Set(name string, limits ...Limit) error {
	s := r.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return r.set(s, name, limits)
}

// set is Set, with the lock of the shard.
func (r *Registry) set(s *shard, name string, limits Limits) error {
	if s.closed {
		return ErrClosed
	}
	if err := limits.Validate(); err != nil {
		return err
	}
	e := s.byName[name]
	if e == nil {
		s.byName[name] = &entry{p: NewAll(limits, r.opts.Pacer...), added: true}
		return nil
	}
	e.added = true
	e.p.SetLimits(limits)
	return nil
}

// Add has a name keep one more limit, or the first one.
func (r *Registry) Add(name string, limit Limit) error {
	s := r.shard(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	var limits Limits
	if e := s.byName[name]; e != nil && e.added {
		limits = e.p.Limits()
	}
	return r.set(s, name, append(limits, limit))
}

// Remove forgets a name, and what was granted to it. Those who wait get ErrClosed. It reports whether there was such a name.
func (r *Registry) Remove(name string) bool {
	s := r.shard(name)
	s.mu.Lock()
	e := s.byName[name]
	delete(s.byName, name)
	s.mu.Unlock()
	if e == nil {
		return false
	}
	e.p.Close()
	return true
}

// Close stops all of them: those who wait get ErrClosed, and so does whoever asks from now on, for any name.
func (r *Registry) Close() {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		s.closed = true
		for _, e := range s.byName {
			e.p.Close()
		}
		clear(s.byName)
		s.mu.Unlock()
	}
}

// Wait waits for a grant of one unit for a name.
func (r *Registry) Wait(ctx context.Context, name string) error {
	p, err := r.Get(name)
	if err != nil {
		return err
	}
	return p.Wait(ctx)
}

// Do waits for a grant for a name and calls f. The error is that of Wait, or that of f.
func (r *Registry) Do(ctx context.Context, name string, f func(context.Context) error) error {
	if err := r.Wait(ctx, name); err != nil {
		return err
	}
	return f(ctx)
}

// idle reports whether nothing but the limits would be forgotten with it.
func (p *Pacer) idle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.settle(now)
	return p.head == nil && p.sched != nil && (p.sched.Idle(now) || p.sched.Forgettable(now) && p.sched.Limit() == Limit{})
}
