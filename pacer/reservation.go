package pacer

import (
	"context"
	"math/rand/v2"
	"time"
)

type state int

const (
	waiting state = iota
	granted
	cancelled
	released // by Close
)

// A Reservation is a place in the queue of a Pacer, with the time of its slot. When that has come it is a grant,
// whether or not anybody waits for it. Its methods may be called by several goroutines.
type Reservation struct {
	p          *Pacer
	n          int64
	asked      int64 // when, in ns after the epoch
	granted    int64 // the slot, once it is a grant
	state      state
	prev, next *Reservation
	done       chan struct{} // closed when it no longer waits; nil if it never did
}

func (r *Reservation) end(s state) {
	r.state = s
	close(r.done)
}

// Wait returns nil when the reservation is a grant, also if it has long been one. If ctx ends first the place is given
// back and the cause of ctx returned; ErrClosed says that the Pacer was closed, or the reservation cancelled.
func (r *Reservation) Wait(ctx context.Context) error {
	if r.done == nil {
		return nil
	}
	select {
	case <-r.done:
		return r.result()
	default:
	}
	select {
	case <-r.done:
		return r.result()
	case <-ctx.Done():
	}
	if !r.Cancel() {
		return r.result()
	}
	return context.Cause(ctx)
}

// result is called once done is closed.
func (r *Reservation) result() error {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	if r.state == granted {
		return nil
	}
	return ErrClosed
}

// Cancel gives the place back, so that those behind move up. It reports false if there is nothing to give back, as the
// slot has come or the reservation was cancelled before.
func (r *Reservation) Cancel() bool {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	now := r.p.now()
	r.p.settle(now)
	if r.state != waiting {
		return false
	}
	if r.p.head == r {
		r.p.turn = now
	}
	r.p.remove(r)
	r.end(cancelled)
	r.p.settle(now)
	return true
}

// Slot returns when the grant is due as things stand, or was due once it is made. It is the zero time if there is no
// slot: the limit allows no events, the Pacer is paused, or the reservation was given back.
func (r *Reservation) Slot() time.Time {
	r.p.mu.Lock()
	defer r.p.mu.Unlock()
	now := r.p.now()
	r.p.settle(now)
	switch r.state {
	case granted:
		return r.p.epoch.Add(time.Duration(r.granted))
	case waiting:
		if at, ok := r.p.slotBehind(r, now, 0); ok {
			return r.p.epoch.Add(time.Duration(at))
		}
	}
	return time.Time{}
}

// Throttled says that the attempt which this grant was for was throttled by the remote: nobody has a grant before the
// cooldown is over, those who wait already included. It returns what came of it. A reservation that is no grant has no
// attempt: nothing comes of it.
func (r *Reservation) Throttled(f Feedback) Cooldown {
	p := r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.settle(now)
	if r.state != granted {
		return p.cooldown(now)
	}
	return p.throttled(now, r.granted, f)
}

// Throttled says that an attempt was throttled which another Pacer has granted at slot, in place of which this one is now: as that of a
// Reservation does.
func (p *Pacer) Throttled(slot time.Time, f Feedback) Cooldown {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.settle(now)
	return p.throttled(now, int64(slot.Sub(p.epoch)), f)
}

func (p *Pacer) throttled(now, slot int64, f Feedback) Cooldown {
	isNew := p.lim.Throttled(now, slot, f, rand.Uint64())
	p.settle(now)
	c := p.cooldown(now)
	c.New = isNew
	return c
}

// cooldown returns what holds now.
func (p *Pacer) cooldown(now int64) Cooldown {
	c := Cooldown{Rate: p.lim.Effective(now)}
	if at, ok := p.lim.Until(now); ok {
		c.Until, c.Length = p.until(now), time.Duration(at-now)
	}
	return c
}
