// Package pacer makes goroutines keep a rate, strictly first come, first served.
//
// A Pacer grants units of a Limit. Whoever asks is put at the end of one queue, and each grant comes at its slot: the
// earliest instant that the limit allows, exact to the nanosecond, computed in integers. A slot counts from the slot
// before it and not from when a sleeper woke, so a rate does not drift. Idle time saves up no more than the burst. A
// reservation that is cancelled gives its place back, wherever it stands in the queue, and a changed limit moves
// everybody who waits.
//
// The package knows no file, no network and no flags. The unit of rate of golang.org/x/time/rate is also ours, and Over
// puts the queue in front of a limiter of that package.
package pacer

import (
	"context"
	"math"
	"sync"
	"time"
)

// A limiter says when units may be granted, as Schedule has it. Times are nanoseconds after the epoch of the Pacer.
type limiter interface {
	Slot(t, n int64) (at int64, ok bool)
	Fold(t int64, costs func(yield func(n int64) bool)) (at int64, ok bool)
	Grab(now, n int64) bool
	Take(t, n int64)
	CheckCost(n int64, debt bool) error
	SetLimits(now int64, to Limits)
	Restrict(now int64, to Limits)
	Limit() Limit
	Limits() Limits
	Effective(now int64) Limit
	EffectiveLimits(now int64) Limits
	Usage(now int64) []Usage
	SetWall(offset int64)
	HasCalendar() bool
	Throttled(now, slot int64, f Feedback, random uint64) (isNew bool)
	Cool(now int64, d time.Duration)
	Until(now int64) (at int64, ok bool)
	SetPaused(now int64, paused bool)
	Paused() bool
}

var _ limiter = (*Schedule)(nil)

// A Timer calls the function that it was made with each time it is armed and its time has come. A *time.Timer made by
// time.AfterFunc is one. A call too many does no harm.
type Timer interface {
	Reset(d time.Duration) bool
	Stop() bool
}

// An Option changes how a Pacer works.
type Option func(*Pacer)

// WithTimer has the Pacer wake up by a timer that newTimer returns, disarmed. Without it that is time.AfterFunc.
func WithTimer(newTimer func(fire func()) Timer) Option {
	return func(p *Pacer) { p.newTimer = newTimer }
}

// WithDebt lets a grant cost more than a limit can grant at once, its burst or the N of a window. It then comes at the slot that
// the last of its units would have if they had been asked for one by one, and counts as those: it borrows from the future. If
// another limit has it come later still, nothing is left of the burst, or the window, at its slot.
func WithDebt() Option { return func(p *Pacer) { p.debt = true } }

// WithQueue lets n wait at the most: who asks for a grant that is not due gets a *FullError then. So a Paced limit is a leaky
// bucket as a queue. Without it there is no end to the queue; with an n of 0 nobody waits.
func WithQueue(n int) Option { return func(p *Pacer) { p.most = max(n, 0) } }

// A Pacer grants units of a limit in the order in which they are asked for. Its methods may be called by any number of
// goroutines. It needs no stopping: one that nobody waits for holds nothing but memory.
type Pacer struct {
	newTimer func(fire func()) Timer
	debt     bool
	most     int // how many may wait
	epoch    time.Time

	mu     sync.Mutex
	lim    limiter
	sched  *Schedule    // the same, unless that is another limiter
	dated  bool         // windows begin by the calendar
	head   *Reservation // the queue
	tail   *Reservation
	length int
	turn   int64 // when the head came to the front: the slot of the grant before it, or when that one was cancelled
	timer  Timer
	armed  int64 // the instant that it is set to; 0 is none
	closed bool
	empty  chan struct{} // when draining: closed once the queue is empty
}

// New returns a Pacer of a limit, idle, so that its first grants, up to the burst, come at once. If the limit is not valid, as its Validate
// says, nothing is granted.
func New(limit Limit, opts ...Option) *Pacer { return NewAll(Limits{limit}, opts...) }

// NewAll returns a Pacer of several limits, which all hold: a grant comes at the earliest instant that each of them allows, and
// counts for each of them. If they are not valid, as Limits.Validate says, nothing is granted.
func NewAll(limits Limits, opts ...Option) *Pacer {
	s := NewSchedule(limits...)
	p := newPacer(&s, opts)
	p.sched = &s
	return p
}

func newPacer(lim limiter, opts []Option) *Pacer {
	p := &Pacer{lim: lim, epoch: time.Now(), newTimer: afterFunc, most: math.MaxInt}
	if lim != nil {
		p.dated = lim.HasCalendar()
	}
	for _, opt := range opts {
		opt(p)
	}
	return p
}

func afterFunc(fire func()) Timer {
	t := time.AfterFunc(far, fire)
	t.Stop()
	return t
}

// now is called with the lock held: a clock read before it may be older than what the state says.
func (p *Pacer) now() int64 {
	if p.dated {
		return p.date()
	}
	return int64(time.Since(p.epoch))
}

// date is now, and tells the limits what the wall clock says.
func (p *Pacer) date() int64 {
	t := time.Now()
	now := int64(t.Sub(p.epoch))
	p.lim.SetWall(t.UnixNano() - now)
	return now
}

// Wait waits for a grant of one unit. If ctx ends first the place is given back and the cause of ctx returned.
func (p *Pacer) Wait(ctx context.Context) error { return p.WaitN(ctx, 1) }

// WaitN waits for one grant that costs n units, n > 0. A cost above what a limit can grant at once is a *CostError, unless the
// Pacer was made WithDebt. Other errors are a *FullError and ErrClosed.
func (p *Pacer) WaitN(ctx context.Context, n int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.mu.Lock()
	if p.head == nil && p.sched != nil && !p.closed && n > 0 && int64(n) <= p.sched.most { // the short way
		if now := p.now(); p.sched.Grab(now, int64(n)) {
			p.turn = now
			p.mu.Unlock()
			return nil
		}
	}
	if err := p.admit(n); err != nil {
		p.mu.Unlock()
		return err
	}
	now := p.now()
	p.settle(now)
	if p.grantNow(now, int64(n)) {
		p.mu.Unlock()
		return nil
	}
	r, err := p.enqueue(now, int64(n))
	p.mu.Unlock()
	if err != nil {
		return err
	}
	return r.Wait(ctx)
}

// Do waits for a grant and calls f. The error is that of Wait, or that of f.
func (p *Pacer) Do(ctx context.Context, f func(context.Context) error) error {
	if err := p.Wait(ctx); err != nil {
		return err
	}
	return f(ctx)
}

// Grant is WaitN, and returns the grant, for one who may have feedback on it.
func (p *Pacer) Grant(ctx context.Context, n int) (*Reservation, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	r, err := p.ReserveN(n)
	if err != nil {
		return nil, err
	}
	if err := r.Wait(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// Try grants one unit if nobody waits and it is due now. If not it changes nothing, and returns how long it would take
// for one who asks now.
func (p *Pacer) Try() (granted bool, wait time.Duration) {
	granted, wait, err := p.TryN(1)
	return err == nil && granted, wait
}

// TryN is Try for a cost of n units. The wait is negative where there's no end to it: the limit allows no events, or the
// Pacer is paused.
func (p *Pacer) TryN(n int) (granted bool, wait time.Duration, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.admit(n); err != nil {
		return false, 0, err
	}
	now := p.now()
	p.settle(now)
	if p.grantNow(now, int64(n)) {
		return true, 0, nil
	}
	at, ok := p.slotBehind(nil, now, int64(n))
	if !ok {
		return false, -1, nil
	}
	return false, time.Duration(at - now), nil
}

// Reserve takes a place in the queue for one unit.
func (p *Pacer) Reserve() (*Reservation, error) { return p.ReserveN(1) }

// ReserveN takes a place in the queue for n units. Errors are those of WaitN.
func (p *Pacer) ReserveN(n int) (*Reservation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.admit(n); err != nil {
		return nil, err
	}
	now := p.now()
	p.settle(now)
	if p.grantNow(now, int64(n)) {
		return &Reservation{p: p, n: int64(n), asked: now, granted: p.turn, state: granted}, nil
	}
	return p.enqueue(now, int64(n))
}

// SetLimit changes the limit, from now on and for those who wait already: it is the only one then. The units in a bucket stay,
// up to the new burst; what is missing for the next grant comes in at the new rate. What lies in a window stays there. A rate
// that was cut by feedback is so no more; a cooldown stays. Nothing is granted as long as the limit is one that is not valid, as its
// Validate says.
func (p *Pacer) SetLimit(limit Limit) { p.SetLimits(Limits{limit}) }

// SetLimits is SetLimit for several limits, as Limits.Validate says which are valid.
func (p *Pacer) SetLimits(limits Limits) {
	p.change(func(now int64) {
		p.date()
		p.lim.SetLimits(now, limits)
		p.dated = p.lim.HasCalendar()
	})
}

// Restrict has the Pacer keep limits together with those that it has, from now on and for those who wait already: those of
// Limits.Stricter. A rate that was cut by feedback stays cut. If limits are not valid, or there would be too many, that is an error, and
// nothing has changed.
func (p *Pacer) Restrict(limits Limits) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sched != nil && p.sched.Has(limits) {
		return nil
	}
	if err := limits.Validate(); err != nil {
		return err
	}
	has := p.lim.Limits()
	strict := has.Stricter(limits)
	if err := strict.Validate(); err != nil || strict.Equal(has) {
		return err
	}
	now := p.now()
	p.settle(now)
	p.date()
	p.lim.Restrict(now, strict)
	p.dated = p.lim.HasCalendar()
	p.settle(now)
	return nil
}

// Limit returns the limit that is set; of several that with the lowest rate.
func (p *Pacer) Limit() Limit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lim.Limit()
}

// Limits returns the limits that are set.
func (p *Pacer) Limits() Limits {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lim.Limits()
}

// Effective returns the limit in force: the one that is set, or a part of it where feedback has cut it; of several that with
// the lowest rate.
func (p *Pacer) Effective() Limit {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.settle(now)
	return p.lim.Effective(now)
}

// EffectiveLimits returns the limits in force.
func (p *Pacer) EffectiveLimits() Limits {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.settle(now)
	return p.lim.EffectiveLimits(now)
}

// Usage returns how much of each limit is used up. Those who wait are no part of it.
func (p *Pacer) Usage() []Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.settle(now)
	return p.lim.Usage(now)
}

// Cooldown returns until when there are no grants, as the remote has asked for; the zero time if there are.
func (p *Pacer) Cooldown() (until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.until(p.now())
}

func (p *Pacer) until(now int64) time.Time {
	if at, ok := p.lim.Until(now); ok {
		return p.epoch.Add(time.Duration(at))
	}
	return time.Time{}
}

// SetCooldown makes the cooldown end d from now, whatever it was, for those who wait already, too. A d of 0 ends it.
func (p *Pacer) SetCooldown(d time.Duration) { p.change(func(now int64) { p.lim.Cool(now, d) }) }

// Pause stops the grants: those who wait keep their places, and whoever asks gets one, until Resume. A slot that has come is
// a grant, as always.
func (p *Pacer) Pause() { p.change(func(now int64) { p.lim.SetPaused(now, true) }) }

// Resume ends a pause. Grants go on as after idle time.
func (p *Pacer) Resume() { p.change(func(now int64) { p.lim.SetPaused(now, false) }) }

// Paused reports whether the Pacer is paused.
func (p *Pacer) Paused() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lim.Paused()
}

// change does something to the limiter, between what is due by now and what follows.
func (p *Pacer) change(do func(now int64)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	p.settle(now)
	do(now)
	p.settle(now)
}

// Len returns how many wait.
func (p *Pacer) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle(p.now())
	return p.length
}

// Drain is the soft stop: from now on whoever asks gets ErrClosed, and those who wait get their grants at their slots.
// It returns when none are left, or with the cause of ctx.
func (p *Pacer) Drain(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	if p.empty == nil {
		p.empty = make(chan struct{})
	}
	empty := p.empty
	p.settle(p.now())
	p.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close is the hard stop: those who wait, and whoever asks from now on, get ErrClosed at once.
func (p *Pacer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.settle(p.now())
	for r := p.head; r != nil; r = p.head {
		p.remove(r)
		r.end(released)
	}
	p.arm(0, 0)
}

// admit says whether n units may be asked for.
func (p *Pacer) admit(n int) error {
	if p.closed {
		return ErrClosed
	}
	return p.lim.CheckCost(int64(n), p.debt)
}

// grantNow grants n units to one who asks now, if that keeps nobody waiting.
func (p *Pacer) grantNow(now, n int64) bool {
	if p.head != nil || !p.lim.Grab(now, n) {
		return false
	}
	p.turn = now
	return true
}

// slotBehind returns the slot of a waiting r, or if that is nil, of n units asked for now.
func (p *Pacer) slotBehind(r *Reservation, now, n int64) (at int64, ok bool) {
	t := now
	if p.head != nil {
		t = max(p.head.asked, p.turn) // all who wait have asked before the head's slot
	}
	return p.lim.Fold(t, func(yield func(n int64) bool) {
		for q := p.head; q != nil; q = q.next {
			if !yield(q.n) || q == r {
				return
			}
		}
		if r == nil {
			yield(n)
		}
	})
}

// settle makes a grant of every slot that has come, in order, and arms the timer for the next one. Whether the owner of
// a slot is awake does not matter.
func (p *Pacer) settle(now int64) {
	for r := p.head; r != nil; r = p.head {
		t := max(r.asked, p.turn)
		at, ok := p.lim.Slot(t, r.n)
		if !ok || at > now {
			if !ok {
				at = 0
			}
			p.arm(at, now)
			return
		}
		p.lim.Take(t, r.n)
		p.turn = at
		r.granted = at
		p.remove(r)
		r.end(granted)
	}
	p.arm(0, 0)
	if p.empty != nil {
		select {
		case <-p.empty:
		default:
			close(p.empty)
		}
	}
}

// arm sets the timer to settle at an instant, or never if that is 0. One that is set to it already is left alone, since to
// set it may be a system call.
func (p *Pacer) arm(at, now int64) {
	if at != 0 {
		at = min(at, now+int64(far))
	}
	if at == p.armed {
		return
	}
	p.armed = at
	if at == 0 {
		p.timer.Stop()
		return
	}
	if p.timer == nil {
		p.timer = p.newTimer(p.fire)
	}
	p.timer.Reset(time.Duration(at - now))
}

func (p *Pacer) fire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = 0
	p.settle(p.now())
}

func (p *Pacer) enqueue(now, n int64) (*Reservation, error) {
	if p.length >= p.most {
		return nil, &FullError{Most: p.most}
	}
	r := &Reservation{p: p, n: n, asked: now, prev: p.tail, done: make(chan struct{})}
	if p.tail == nil {
		p.head = r
	} else {
		p.tail.next = r
	}
	p.tail = r
	p.length++
	if p.head == r {
		p.settle(now)
	}
	return r, nil
}

func (p *Pacer) remove(r *Reservation) {
	if r.prev == nil {
		p.head = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		p.tail = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
	p.length--
}
