package dynamostore

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

const (
	// lookEvery is how often one who waits looks how things stand, as nobody tells it: as many times longer as lookFirst fit in those
	// before it, lookMost at the most.
	lookEvery = 500 * time.Millisecond
	lookFirst = 8
	lookMost  = time.Second
	// stale is how long after its slot, and after it meant to look, one who slept may find out. One who does later was stopped, or the
	// server was, and maybe all who waited with it: that they all go at once is what a limit is there to prevent.
	stale = time.Second
)

// Wait waits for a grant of one unit, as WaitN does.
func (s *Store) Wait(ctx context.Context) error { return s.WaitN(ctx, 1) }

// WaitN waits for one grant that costs n units, n > 0. Goroutines of a Store are served in the order in which they call it, and
// take turns with other processes: only the first of them has a place in the queue. If ctx ends first the place is given back
// and the cause of ctx returned. A cost above what the limit can grant at once is a *pacer.CostError, unless Options.Debt is set.
// Other errors are ErrNoLimit, ErrFull, ErrClosed, and *ServerError.
func (s *Store) WaitN(ctx context.Context, n int) error {
	_, err := s.Grant(ctx, n)
	return err
}

// Grant is WaitN, and returns the grant.
func (s *Store) Grant(ctx context.Context, n int) (*Reservation, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	select {
	case s.line <- struct{}{}: // nobody is in line
	default:
		if n := int(s.lined.Add(1)); s.opts.Queue != 0 && n >= s.most() { // and the one that they wait for
			s.lined.Add(-1)
			return nil, &pacer.FullError{Most: s.most()}
		}
		defer s.lined.Add(-1)
		select {
		case s.line <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.done:
			return nil, ErrClosed
		}
	}
	defer func() { <-s.line }()
	r, err := s.Reserve(ctx, n)
	if err == nil {
		err = r.Wait(ctx)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Try grants n units if nobody waits and they are due now. If not it writes nothing, and returns how long it would take
// for one who asks now; negative if there's no end to it: the limit allows no events, or the key is paused.
func (s *Store) Try(ctx context.Context, n int) (granted bool, wait time.Duration, err error) {
	within := time.Duration(0)
	select {
	case s.line <- struct{}{}:
		defer func() { <-s.line }()
	default:
		within = -1 // a goroutine of ours waits
	}
	_, err = s.ReserveWithin(ctx, n, within)
	var late *LateError
	if errors.As(err, &late) {
		return false, late.Wait, nil
	}
	return err == nil, 0, err
}

// Reserve takes a place in the queue of the key for n units, at once: it does not stand in the line of those who Wait. Errors are
// those of WaitN.
func (s *Store) Reserve(ctx context.Context, n int) (*Reservation, error) {
	return s.ReserveWithin(ctx, n, math.MaxInt64)
}

// ReserveWithin is Reserve if the slot, as things stand, is no more than d away. If it is, the error is a *LateError and
// nothing was written.
func (s *Store) ReserveWithin(ctx context.Context, n int, d time.Duration) (*Reservation, error) {
	if int64(n) > math.MaxUint32 {
		return nil, &pacer.CostError{Cost: int64(n), Burst: math.MaxUint32}
	}
	st, err := s.ask(ctx, int64(n), d, s.most())
	if err != nil {
		return nil, err
	}
	return &Reservation{s: s, n: int64(n), standing: st}, nil
}

// most returns how many may wait.
func (s *Store) most() int {
	if s.opts.Queue == 0 {
		return queueMost
	}
	return min(max(s.opts.Queue, 0), queueMost)
}

// A standing is how a reservation stands.
type standing struct {
	phase  phase
	number uint64    // of its place
	slot   int64     // on the clock of the key, as of the last look
	some   bool      // whether there is a slot
	due    time.Time // when that is here
	ahead  int       // how many wait before it
	as     time.Time // as of when
}

type phase int

const (
	waiting phase = iota
	granted
	cancelled
)

// ask takes a grant of n units, or else a place in the queue.
func (s *Store) ask(ctx context.Context, n int64, within time.Duration, most int) (st standing, err error) {
	s.mu.Lock()
	s.number++
	number := s.number
	s.mine[number] = &place{}
	s.mu.Unlock()
	err = s.update(ctx, func(t *tx) error {
		now, err := t.ask(n, number, within, most)
		t.after = append(t.after, func() { st = now })
		return err
	})
	var server *ServerError
	switch {
	case err == nil && st.phase == waiting:
		s.await()
		return st, nil
	case err == nil:
		s.forget(number)
		return st, nil
	case IsAway(err), ctx.Err() != nil, errors.Is(err, ErrClosed), errors.As(err, &server): // it may have been heard
		s.giveBack(number)
	default:
		s.forget(number)
	}
	return standing{}, err
}

// ask takes a grant of n units, or else a place in the queue. If that was done before, and the answer lost, it is found.
func (t *tx) ask(n int64, number uint64, within time.Duration, most int) (standing, error) {
	s := t.s
	if i, ok := find(t.granted, s.owner, number); ok {
		return t.grantedAt(number, t.granted[i].at), nil
	}
	if i, ok := find(t.waiting, s.owner, number); ok {
		return t.stands(number, i), nil
	}
	if err := t.join(); err != nil {
		return standing{}, err
	}
	if err := t.alg.CheckCost(n, s.opts.Debt); err != nil {
		return standing{}, err
	}
	if within < math.MaxInt64 {
		switch at, ok := t.fold(t.now, len(t.waiting), n); {
		case !ok:
			return standing{}, &LateError{Wait: -1, Paused: t.alg.Paused()}
		case at-t.own > int64(within) && at > t.now:
			return standing{}, &LateError{Wait: time.Duration(at - t.own), Slot: t.timeOf(at)}
		}
	}
	if t.grab(t.now, n) {
		t.write = true
		return t.grantedAt(number, t.now), nil
	}
	if len(t.waiting) >= most {
		return standing{}, &pacer.FullError{Most: most}
	}
	t.waiting = append(t.waiting, entry{owner: s.owner, number: number, pid: s.pid, cost: n, at: t.now})
	t.write, t.asked = true, true
	return t.stands(number, len(t.waiting)-1), nil
}

func (t *tx) grantedAt(number uint64, slot int64) standing {
	return standing{phase: granted, number: number, slot: slot, some: true, due: t.timeOf(slot), as: t.got}
}

// stands returns how the i-th stands who waits.
func (t *tx) stands(number uint64, i int) standing {
	st := standing{number: number, ahead: i, as: t.got}
	if at, ok := t.fold(t.now, i+1, 0); ok {
		st.slot, st.some, st.due = at, true, t.timeOf(at)
	}
	return st
}

func (s *Store) forget(number uint64) {
	s.mu.Lock()
	delete(s.mine, number)
	s.mu.Unlock()
}

// giveBack gives back a place that nobody has any more, where we do not know whether there is one. It goes on until it is known,
// or the Store closed, which gives back all.
func (s *Store) giveBack(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mine, number)
	if s.closed {
		return
	}
	s.orphans[number] = true
	s.tasks.Add(1)
	go func() {
		defer s.tasks.Done()
		for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
			err := s.update(context.Background(), func(t *tx) error {
				t.leave(func(e entry) bool { return e.owner == s.owner && e.number == number })
				return nil
			})
			if !IsAway(err) {
				break
			}
			if s.sleep(context.Background(), pause) != nil {
				return
			}
		}
		s.mu.Lock()
		delete(s.orphans, number)
		s.mu.Unlock()
	}()
}

// A Reservation is a place in the queue of a key, with the time of its slot. When that has come it is a grant, whether or
// not anybody waits for it. It keeps its place as long as its Store is open, and others hear of that. Its methods may be
// called by several goroutines.
type Reservation struct {
	s *Store
	n int64

	mu sync.Mutex
	standing
}

func (r *Reservation) now() standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.standing
}

// Wait returns nil when the reservation is a grant, also if it has long been one. If ctx ends first the place is given
// back and the cause of ctx returned; so it is with an error of the server, which is a *ServerError. ErrClosed says that the
// Store was closed, or the reservation cancelled.
func (r *Reservation) Wait(ctx context.Context) error {
	for {
		st := r.now()
		switch st.phase {
		case granted:
			return nil
		case cancelled:
			return ErrClosed
		}
		now := r.s.clock.now()
		d := min(lookEvery*time.Duration(1+st.ahead/lookFirst), lookMost) - now.Sub(st.as)
		if st.some {
			d = min(d, st.due.Sub(now))
		}
		var meant time.Time
		if !st.some || st.due.After(now) {
			meant = now.Add(max(d, 0))
		}
		err := r.s.sleep(ctx, d)
		if err == nil {
			err = r.s.patiently(ctx, func() error { return r.look(ctx, meant) })
		}
		if err != nil {
			if !r.Cancel() && r.now().phase == granted {
				return nil
			}
			return err
		}
	}
}

// patiently does something again as long as the server is away, and Options.Away is not over.
func (s *Store) patiently(ctx context.Context, do func() error) error {
	start := time.Now()
	for try := 0; ; try++ {
		err := do()
		if !IsAway(err) || time.Since(start) >= s.opts.Away {
			return err
		}
		if e := s.sleep(ctx, backoff(try)); e != nil {
			return e
		}
	}
}

// look finds out how things stand, and whether it is a grant. One who slept, when the slot was still ahead, and meant to look at a time, has
// lost it if that is long ago, and asks again. A meant of zero is one who did not.
func (r *Reservation) look(ctx context.Context, meant time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.s
	for r.phase == waiting {
		it, err := s.fresh(ctx)
		if err != nil {
			return err
		}
		t, err := s.begin(it)
		if err != nil {
			return err
		}
		t.settle(t.now)
		s.saw(t)
		at, ok := s.keptAt(r.number)
		if i, found := find(t.granted, s.owner, r.number); found && !ok {
			at, ok = t.granted[i].at, true
		}
		if ok && (meant.IsZero() || t.now-at <= int64(stale) || t.got.Sub(meant) <= stale) {
			s.forget(r.number)
			r.standing = t.grantedAt(r.number, at)
			return nil
		}
		if i, found := find(t.waiting, s.owner, r.number); found && !ok {
			// The places of the dead before it are given back by the first who waits, or if it does not do so by the others.
			if t.sweep(min(time.Duration(i)*lookEvery/2, lookMost)) {
				if err := s.update(ctx, func(*tx) error { return nil }); err != nil {
					return err
				}
				continue
			}
			r.standing = t.stands(r.number, i)
			return nil
		}
		// The state was lost, or nobody has heard of us for long, or we have overslept: ask again.
		s.forget(r.number)
		st, err := s.ask(ctx, r.n, math.MaxInt64, queueMost)
		if err == nil {
			r.standing = st
		}
		return err
	}
	return nil
}

// keptAt returns the slot of a place of which it is known that it is a grant.
func (s *Store) keptAt(number uint64) (slot int64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.mine[number]; p != nil && p.kept {
		return p.slot, true
	}
	return 0, false
}

// Cancel gives the place back, so that those behind move up. It reports false if there is nothing to give back, as the
// slot has come or the reservation was cancelled before.
func (r *Reservation) Cancel() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != waiting {
		return false
	}
	s := r.s
	if at, ok := s.keptAt(r.number); ok {
		s.forget(r.number)
		r.standing = standing{phase: granted, number: r.number, slot: at, some: true, due: r.due}
		return false
	}
	var after standing
	ctx, stop := context.WithTimeout(context.Background(), min(s.timeout, closeMost)) // who leaves does not want to wait
	defer stop()
	err := s.update(ctx, func(t *tx) error {
		st := standing{phase: cancelled}
		if i, ok := find(t.granted, s.owner, r.number); ok {
			st = t.grantedAt(r.number, t.granted[i].at)
		}
		mine := func(e entry) bool { return e.owner == s.owner && e.number == r.number }
		t.leave(mine)
		t.after = append(t.after, func() { after = st })
		return nil
	})
	if err != nil {
		s.giveBack(r.number)
		r.standing = standing{phase: cancelled}
		return true
	}
	s.forget(r.number)
	r.standing = after
	return after.phase == cancelled
}

// Throttled says that the attempt which this grant was for was throttled by the remote: nobody has a grant before the
// cooldown is over, in no process of no host, those who wait already included. It returns what came of it. A reservation that is
// no grant has no attempt: nothing comes of it.
func (r *Reservation) Throttled(ctx context.Context, f pacer.Feedback) (pacer.Cooldown, error) {
	st, random := r.now(), rand.Uint64()
	var c pacer.Cooldown
	err := r.s.update(ctx, func(t *tx) error {
		before, _ := t.alg.Until(0)
		events := t.alg.Events()
		var now pacer.Cooldown
		if st.phase == granted {
			now.New = t.alg.Throttled(t.now, st.slot, f, random)
		}
		until, _ := t.alg.Until(0)
		t.write = t.write || until != before || t.alg.Events() != events
		now.Rate = t.alg.Effective(t.now)
		if at, ok := t.alg.Until(t.now); ok {
			now.Until, now.Length = t.timeOf(at), time.Duration(at-t.now)
		}
		t.after = append(t.after, func() { c = now })
		return nil
	})
	if err != nil {
		return pacer.Cooldown{}, err
	}
	return c, nil
}

// Slot returns when the grant is due as things stand, or was due once it is made, on the clock of this host. It is the zero time
// if there is no slot: the limit allows no events, the key is paused, or the reservation was given back.
func (r *Reservation) Slot() time.Time {
	if at := r.Since1970(); at == 0 {
		return time.Time{}
	}
	return r.now().due
}

// Since1970 is Slot on the clock of the key, on which slots are computed, exact to the nanosecond, and which all clients can compare. It is
// 0 if there is no slot.
func (r *Reservation) Since1970() time.Duration {
	ctx, stop := context.WithTimeout(context.Background(), r.s.timeout)
	defer stop()
	_ = r.look(ctx, time.Time{}) // what was known before is good enough
	st := r.now()
	if !st.some {
		return 0
	}
	return time.Duration(st.slot)
}
