package lockfile

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

const (
	// lookEvery is how often one who sleeps looks at the file, so that the places of the dead are given back, and that it
	// is noticed if the file was removed, or the host suspended.
	lookEvery = 500 * time.Millisecond
	// pollEvery is how often the first of those who wait look whether they were moved, where nobody can wake them: there is no futex,
	// or as many sleep on one in this process as may. PollFirst is how many those are; others do it less often the further behind
	// they are. Where many do in one process it is once in pollShare for all of them: a twentieth of a core.
	pollEvery = 10 * time.Millisecond
	pollFirst = 8
	pollShare = 100 * time.Microsecond
	// distantEvery is pollEvery where the file may be on another host, so that it takes its lock to read what is in it now.
	distantEvery = 50 * time.Millisecond
)

// Wait waits for a grant of one unit. Goroutines of a File are served in the order in which they call it, and take turns
// with other processes: only the first of them has a place in the queue of the file. If ctx ends first the place is given
// back and the cause of ctx returned.
func (f *File) Wait(ctx context.Context) error { return f.WaitN(ctx, 1) }

// WaitN is Wait for one grant that costs n units, n > 0. A cost above the burst is a *pacer.CostError, unless
// Options.Debt is set. Other errors are ErrNoLimit, ErrFull, ErrClosed, and *fs.PathError.
func (f *File) WaitN(ctx context.Context, n int) error {
	_, err := f.Grant(ctx, n)
	return err
}

// Grant is WaitN, and returns the grant.
func (f *File) Grant(ctx context.Context, n int) (*Reservation, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	most := anyNumber
	if f.opts.Queue != 0 {
		most = f.most()
	}
	if err := f.line.enter(ctx, f.done, most); err != nil {
		return nil, err
	}
	defer f.line.leave()
	r, err := f.Reserve(ctx, n)
	if err == nil && r.phase != granted { // nobody but us has it yet
		f.line.wait()
		err = r.Wait(ctx)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Try grants n units if nobody waits and they are due now. If not it writes nothing, and returns how long it would take
// for one who asks now; negative if there's no end to it: the limit allows no events, or the key is paused.
func (f *File) Try(ctx context.Context, n int) (granted bool, wait time.Duration, err error) {
	within := time.Duration(0)
	switch err := f.line.enter(ctx, f.done, 0); {
	case err == nil:
		defer f.line.leave()
	case errors.Is(err, ErrFull):
		within = -1 // a goroutine of ours waits
	default:
		return false, 0, err
	}
	_, err = f.ReserveWithin(ctx, n, within)
	var late *LateError
	if errors.As(err, &late) {
		return false, late.Wait, nil
	}
	return err == nil, 0, err
}

// Reserve takes a place in the queue of the file for n units, at once: it does not stand in the line of those who Wait.
// The end of ctx ends the waiting for the lock only. Errors are those of WaitN.
func (f *File) Reserve(ctx context.Context, n int) (*Reservation, error) {
	return f.ReserveWithin(ctx, n, math.MaxInt64)
}

// ReserveWithin is Reserve if the slot, as things stand, is no more than d away. If it is, the error is a *LateError and
// nothing was written.
func (f *File) ReserveWithin(ctx context.Context, n int, d time.Duration) (*Reservation, error) {
	if int64(n) > math.MaxUint32 {
		return nil, &pacer.CostError{Cost: int64(n), Burst: math.MaxUint32}
	}
	r := &Reservation{f: f, n: uint32(max(n, 0))}
	err := f.update(ctx, func(t *tx) (err error) {
		if err := t.join(); err != nil {
			return err
		}
		if err := t.alg.CheckCost(int64(n), f.opts.Debt); err != nil {
			return err
		}
		if d < math.MaxInt64 {
			switch at, ok := t.slotBehind(t.now, int64(n)); {
			case !ok:
				return &LateError{Wait: -1, Paused: t.alg.Paused()}
			case at-t.now > int64(d):
				return &LateError{Wait: time.Duration(at - t.now), Slot: f.timeOf(at)}
			}
		}
		r.standing, err = t.ask(r.n, f.most())
		return err
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// A standing is how a reservation stands.
type standing struct {
	phase phase
	place        // of one that waits
	slot  int64  // on the boot clock, as of the last look; of one that waits, no later than that
	some  bool   // whether there is a slot
	ahead int    // how many wait before it
	wake  uint32 // the wake counter as of the last look
	waker waker

	distant bool // the file may be on another host
}

type phase int

const (
	waiting phase = iota
	granted
	cancelled
)

// most returns how many may wait.
func (f *File) most() int {
	if f.opts.Queue == 0 {
		return queueMost
	}
	return max(f.opts.Queue, 0)
}

// ask takes a grant of n units, or else a place in the queue, if so many may wait.
func (t *tx) ask(n uint32, most int) (standing, error) {
	t.write = true
	if at, ok := t.grant(t.now, int64(n)); ok {
		return standing{phase: granted, slot: at, some: true}, nil
	}
	if len(t.waiting) >= most {
		return standing{}, &pacer.FullError{Most: most}
	}
	if err := t.f.claim(&t.state); err != nil {
		return standing{}, err
	}
	t.failed = t.next
	ticket, err := t.enqueue(t.now, n, t.f.owner, uint32(os.Getpid()))
	if err != nil {
		return standing{}, err
	}
	t.f.mine[ticket] = struct{}{}
	return t.stands(place{ticket, t.f.owner}, len(t.waiting)-1)
}

// stands returns the standing of the i-th who waits.
func (t *tx) stands(p place, i int) (standing, error) {
	if err := t.f.openWaker(); err != nil {
		return standing{}, err
	}
	s := standing{place: p, ahead: i, wake: t.wake, waker: t.f.waker, distant: t.f.distant}
	s.slot, s.some = t.slot(i)
	return s, nil
}

// A Reservation is a place in the queue of a key, with the time of its slot. When that has come it is a grant, whether or
// not anybody waits for it. It keeps its place as long as its File is open. Its methods may be called by several
// goroutines.
type Reservation struct {
	f *File
	n uint32

	mu sync.Mutex // taken before that of the File
	standing
}

// Wait returns nil when the reservation is a grant, also if it has long been one. If ctx ends first the place is given
// back and the cause of ctx returned; so it is with an error of the file, which is a *fs.PathError. ErrClosed says that the
// File was closed, or the reservation cancelled.
func (r *Reservation) Wait(ctx context.Context) error {
	for {
		s := r.now()
		switch s.phase {
		case granted:
			return nil
		case cancelled:
			return ErrClosed
		}
		ahead := s.some && s.slot > r.f.clock.now()
		err := r.f.sleep(ctx, s)
		if err == nil {
			err = r.look(ctx, ahead, false)
		}
		if err != nil {
			if !r.Cancel() && r.now().phase == granted {
				return nil
			}
			return err
		}
	}
}

func (r *Reservation) now() standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.standing
}

// stale is how long after its slot one who slept may wake up. One who wakes later was stopped, or the host suspended, and
// maybe all who waited with it: that they all go at once is what a limit is there to prevent.
const stale = time.Second

// look finds out how things stand, and collects the grant if it is one. One who slept, when the slot was still ahead, and
// overslept it has lost it and asks again.
func (r *Reservation) look(ctx context.Context, slept, exact bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != waiting {
		return nil
	}
	var s standing
	err := r.f.update(ctx, func(t *tx) (err error) {
		if at, ok := t.collect(r.place); ok {
			t.write, t.left = true, r.ticket
			if slept && t.now-at > int64(stale) {
				s, err = t.ask(r.n, queueMost)
				return err
			}
			s = standing{phase: granted, slot: at, some: true}
			return nil
		}
		if i, ok := find(t.waiting, r.place); ok && r.f.owns(t.waiting[i]) {
			s, err = t.stands(r.place, i)
			if exact {
				s.slot, s.some = t.exact(i)
			}
			return err
		}
		// The file was damaged, or replaced by another, where this ticket may be somebody else's: ask again.
		if err := t.join(); err != nil {
			return err
		}
		if r.owner == r.f.owner {
			delete(r.f.mine, r.ticket)
		}
		s, err = t.ask(r.n, queueMost)
		return err
	})
	if err == nil {
		r.standing = s
	}
	return err
}

// Cancel gives the place back, so that those behind move up. It reports false if there is nothing to give back, as the
// slot has come or the reservation was cancelled before.
func (r *Reservation) Cancel() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != waiting {
		return false
	}
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	s := standing{phase: cancelled}
	err := r.f.update(ctx, func(t *tx) error {
		if r.owner == r.f.owner {
			t.left, t.failed = r.ticket, r.ticket // where this can't be written, the place is that of a dead one for us
		}
		if at, ok := t.collect(r.place); ok {
			s = standing{phase: granted, slot: at, some: true}
			t.write = true
		} else if t.leave(t.now, r.place) {
			t.settle(t.now, r.f.alive)
			t.write, t.moved = true, true
		}
		return nil
	})
	if err != nil {
		s = standing{phase: cancelled}
		go r.f.giveBack(r.place)
	}
	r.standing = s
	return s.phase == cancelled
}

// giveBack gives a place back that could not be given back: the lock was not free, or the file can't be written. As long as
// the file is open nobody else can tell that one of several who wait in it has left.
func (f *File) giveBack(p place) {
	for {
		select {
		case <-f.done:
			return
		case <-time.After(sweepEvery):
		}
		ctx, stop := context.WithTimeout(context.Background(), patience)
		err := f.update(ctx, func(t *tx) error {
			if p.owner != f.owner { // the file is gone, and the place with it
				return nil
			}
			t.left = p.ticket
			_, collected := t.collect(p)
			if left := t.leave(t.now, p); left || collected {
				t.settle(t.now, f.alive)
				t.write, t.moved = true, t.moved || left
			}
			return nil
		})
		stop()
		if err == nil {
			return
		}
	}
}

// Throttled says that the attempt which this grant was for was throttled by the remote: nobody has a grant before the
// cooldown is over, in no process, those who wait already included. It returns what came of it. A reservation that is no
// grant has no attempt: nothing comes of it.
func (r *Reservation) Throttled(ctx context.Context, f pacer.Feedback) (pacer.Cooldown, error) {
	s, random := r.now(), rand.Uint64()
	var c pacer.Cooldown
	err := r.f.update(ctx, func(t *tx) error {
		before, _ := t.alg.Until(0)
		events := t.alg.Events()
		if s.phase == granted {
			c.New = t.alg.Throttled(t.now, s.slot, f, random)
		}
		until, _ := t.alg.Until(0)
		t.write = t.write || until != before || t.alg.Events() != events // those who wait have later slots, and need not be woken for that
		c.Rate = t.alg.Effective(t.now)
		if at, ok := t.alg.Until(t.now); ok {
			c.Until, c.Length = r.f.timeOf(at), time.Duration(at-t.now)
		}
		return nil
	})
	if err != nil {
		return pacer.Cooldown{}, err
	}
	return c, nil
}

// Slot returns when the grant is due as things stand, or was due once it is made. It is the zero time if there is no
// slot: the limit allows no events, the key is paused, or the reservation was given back.
func (r *Reservation) Slot() time.Time {
	at, ok := r.at()
	if !ok {
		return time.Time{}
	}
	return r.f.timeOf(at)
}

// SinceBoot is Slot in the time since the host was booted, time in suspend included: the clock on which slots are
// computed, exact to the nanosecond, which all processes of a host can compare. It is 0 if there is no slot.
func (r *Reservation) SinceBoot() time.Duration {
	at, _ := r.at()
	return time.Duration(at)
}

func (r *Reservation) at() (int64, bool) {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	_ = r.look(ctx, false, true) // what was known before is good enough
	s := r.now()
	return s.slot, s.some
}

// sleep returns nil when it is time to look how things stand, ErrClosed, or the cause of ctx.
func (f *File) sleep(ctx context.Context, s standing) error {
	d := lookEvery
	if s.some {
		d = min(d, time.Duration(s.slot-f.clock.now()))
	}
	if d <= 0 {
		return context.Cause(ctx)
	}
	if s.waker != nil {
		if woken := s.waker.sleep(s.wake, d); woken != nil {
			return f.until(ctx, woken, nil)
		}
	}
	return f.poll(ctx, s, d)
}

// pollers is how many reservations of this process poll.
var pollers atomic.Int32 //nolint:gochecknoglobals // a core belongs to the process

// poll is sleep for d where nobody can wake us.
func (f *File) poll(ctx context.Context, s standing, d time.Duration) error {
	pollers.Add(1)
	defer pollers.Add(-1)
	every := pollEvery
	if s.distant {
		every = distantEvery
	}
	every *= time.Duration(1 + s.ahead/pollFirst)
	end := time.Now().Add(d)
	t := time.NewTimer(d)
	defer t.Stop()
	for ; d > 0 && !f.stirred(ctx, s); d = time.Until(end) {
		t.Reset(min(d, max(every, pollShare*time.Duration(pollers.Load()))))
		if err := f.until(ctx, nil, t.C); err != nil || s.distant {
			return err
		}
	}
	return nil
}

// until waits for one or the other, unless the File is closed before, or ctx ends.
func (f *File) until(ctx context.Context, woken <-chan struct{}, elapsed <-chan time.Time) error {
	select {
	case <-woken:
	case <-elapsed:
	case <-f.done:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// stirred reports whether those who wait have been moved since. It reads the wake counter, and takes no lock of the file.
func (f *File) stirred(ctx context.Context, s standing) bool {
	select {
	case f.mu <- struct{}{}:
	case <-ctx.Done():
		return true
	}
	defer func() { <-f.mu }()
	if f.owner != s.owner { // it is another file, or none
		return true
	}
	var b [4]byte
	n, err := f.h.readAt(b[:], wakeAt)
	return err != nil || n < len(b) || binary.LittleEndian.Uint32(b[:]) != s.wake
}
