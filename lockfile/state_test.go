package lockfile

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// An oracle grants by the contract alone, in exact fractions: units come in at the rate in force, up to the burst; the
// first of the queue is granted at the first nanosecond at which its units are there. It knows who is dead, and when that
// is found out: the first of the queue each time somebody looks, the others with a sweep. In a cooldown, or while it is
// paused, nothing is granted, and when a cooldown ends there is one unit at most.
type oracle struct {
	limit  pacer.Limit
	now    int64
	tokens *big.Rat
	queue  []*ask

	until   int64
	cooling bool
	paused  bool
}

type ask struct {
	ticket uint64
	n      int64
	slot   int64 // -1 as long as it is no grant
	dead   bool
	gone   bool // cancelled, or given up
}

func burstOf(l pacer.Limit) *big.Rat { return big.NewRat(max(l.Burst, 1), 1) }

// due returns when the i-th of the queue is granted if none of the queue leaves, and math.MaxInt64 for never.
func (o *oracle) due(i int) int64 {
	need := int64(0)
	for _, a := range o.queue[:i+1] {
		need += a.n
	}
	c := *o
	c.tokens = new(big.Rat).Set(o.tokens)
	if c.paused {
		return math.MaxInt64
	}
	if c.cooling {
		c.accrue(c.until)
	}
	missing := big.NewRat(need, 1)
	missing.Sub(missing, c.tokens)
	if missing.Sign() <= 0 {
		return c.now
	}
	wait := missing.Quo(missing, big.NewRat(c.limit.Events, int64(c.limit.Per)))
	ns, rest := new(big.Int).QuoRem(wait.Num(), wait.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		ns.Add(ns, big.NewInt(1))
	}
	return c.now + ns.Int64()
}

// accrue lets units come in up to t. It runs over while nobody may have them.
func (o *oracle) accrue(t int64) {
	if o.cooling && o.until <= t {
		o.come(o.until)
		o.cooling = false
		if one := big.NewRat(1, 1); o.tokens.Cmp(one) > 0 {
			o.tokens = one
		}
	}
	o.come(t)
}

func (o *oracle) come(t int64) {
	o.tokens.Add(o.tokens, new(big.Rat).Mul(big.NewRat(o.limit.Events, int64(o.limit.Per)), big.NewRat(t-o.now, 1)))
	o.now = t
	if o.cooling || o.paused {
		o.spill()
	}
}

func (o *oracle) spill() {
	if b := burstOf(o.limit); o.tokens.Cmp(b) > 0 {
		o.tokens.Set(b)
	}
}

// pass lets time pass while the first of the queue, if any, is not waited for any more: the bucket runs over.
func (o *oracle) pass(t int64) {
	o.accrue(t)
	o.spill()
}

// look is what somebody finds who looks at now.
func (o *oracle) look(now int64, sweep bool) {
	for len(o.queue) > 0 {
		head, at := o.queue[0], o.due(0)
		if head.dead {
			if len(o.queue) > 1 { // the next one has no slot in the past, but what was its slot it keeps
				if front := min(now, o.due(1)); front > o.now {
					o.pass(front)
				}
			}
			head.gone = true
			o.queue = o.queue[1:]
			continue
		}
		if at > now {
			break
		}
		o.accrue(at) // its units are taken when they are there: the burst does not cut them
		o.tokens.Sub(o.tokens, big.NewRat(head.n, 1))
		head.slot = at
		o.queue = o.queue[1:]
	}
	if len(o.queue) == 0 {
		o.pass(now)
	}
	if sweep {
		kept := o.queue[:0:0]
		for _, a := range o.queue {
			if a.dead {
				a.gone = true
			} else {
				kept = append(kept, a)
			}
		}
		o.queue = kept
	}
}

// leave takes one of the queue out at now.
func (o *oracle) leave(now int64, a *ask) {
	for i, q := range o.queue {
		if q != a {
			continue
		}
		if i == 0 && len(o.queue) > 1 {
			o.pass(now)
		}
		o.queue = append(o.queue[:i:i], o.queue[i+1:]...)
		a.gone = true
		if len(o.queue) == 0 {
			o.pass(now)
		}
		return
	}
}

func TestRandomSchedulesAgainstTheOracle(t *testing.T) {
	schedules := 10_000
	if testing.Short() {
		schedules = 1_000
	}
	for seed := range uint64(schedules) {
		if err := schedule(seed); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// schedule runs a random schedule on a state, which goes through its bytes after each step, and on the oracle.
func schedule(seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 2))
	limit := func() pacer.Limit {
		return pacer.Limit{Events: 1 + rng.Int64N(40), Per: time.Duration(1 + rng.Int64N(int64(3*time.Second))), Burst: rng.Int64N(6)}
	}
	const start = int64(time.Hour)
	s := newState([16]byte{1})
	first := limit()
	s.setLimit(start, first)
	o := &oracle{limit: first, now: start, tokens: burstOf(first)}
	feedback := seed%2 == 1
	asks := map[uint64]*ask{} // of those in the queue of the state
	var all []*ask
	alive := func(e entry) bool { return !asks[e.ticket].dead }
	step := max(int64(first.Per)/first.Events, 1)
	slowest, fastest, changes := step+1, step, int64(0)
	now := start
	pick := func() *ask {
		if len(all) == 0 {
			return nil
		}
		return all[len(all)-1-rng.IntN(min(len(all), 8))]
	}
	for range 40 {
		now += rng.Int64N(2*step + 2)
		if rng.IntN(12) == 0 {
			if a := pick(); a != nil && !a.gone {
				a.dead = true // nobody looks: it dies in the dark
			}
			continue
		}
		sweep := len(s.granted)+len(s.waiting) > 0 && now-s.swept >= sweepEvery
		_, moved := s.settle(now, alive)
		before := len(o.queue)
		o.look(now, sweep)
		if left := len(s.waiting); left != len(o.queue) {
			return fmt.Errorf("at %d, %d wait, the oracle has %d (moved %v, of %d)", now, left, len(o.queue), moved, before)
		}
		switch action := rng.IntN(20); {
		case action < 13:
			a := &ask{n: 1 + rng.Int64N(max(o.limit.Burst, 1)), slot: -1}
			all = append(all, a)
			at, ok := s.grant(now, a.n)
			if !ok {
				ticket, err := s.enqueue(now, uint32(a.n), 1, 1)
				if err != nil {
					return err
				}
				a.ticket = ticket
				asks[ticket] = a
			}
			o.queue = append(o.queue, a)
			o.look(now, false)
			if ok && a.slot != at || !ok && a.slot >= 0 {
				return fmt.Errorf("at %d granted at %d (%v), the oracle says %d", now, at, ok, a.slot)
			}
		case action < 16:
			if a := pick(); a != nil && !a.dead && a.ticket != 0 {
				want := a.slot < 0 && !a.gone
				if got := s.leave(now, place{a.ticket, 1}); got != want {
					return fmt.Errorf("at %d leaving %d reports %v", now, a.ticket, got)
				}
				o.leave(now, a)
				s.settle(now, alive)
				o.look(now, false)
			}
		case action < 18:
			if a := pick(); a != nil && !a.dead && a.ticket != 0 {
				if at, ok := s.collect(place{a.ticket, 1}); ok && (at < a.slot || at > a.slot+changes*(slowest/fastest+1)) {
					return fmt.Errorf("collected %d at %d, the oracle says %d", a.ticket, at, a.slot)
				}
			}
		case action == 18 && len(o.queue) == 0 || action == 19:
			to := limit()
			if len(o.queue) > 0 { // those who wait must still be able to get their cost
				to.Burst = max(to.Burst, o.limit.Burst)
			}
			o.accrue(now)
			if b := burstOf(to); o.tokens.Cmp(b) > 0 {
				o.tokens.Set(b)
			}
			changes++
			T := int64(to.Per) / to.Events
			slowest, fastest = max(slowest, T+1), min(fastest, max(T, 1))
			o.limit = to
			s.setLimit(now, to)
			s.settle(now, alive)
			o.look(now, false)
		}
		if feedback && rng.IntN(6) == 0 {
			o.say(&s, rng, now)
			s.settle(now, alive)
			o.look(now, false)
		}
		if err := same(&s, o, changes*(slowest/fastest+1)); err != nil {
			return fmt.Errorf("at %d: %w", now, err)
		}
		if err := through(&s, now); err != nil {
			return err
		}
	}
	return nil
}

// say has the state and the oracle hear of something. That a rate is cut and recovers is left to the oracle of package pacer.
func (o *oracle) say(s *state, rng *rand.Rand, now int64) {
	o.accrue(now)
	d := rng.Int64N(3*int64(o.limit.Per)/o.limit.Events + 2)
	switch rng.IntN(4) {
	case 0:
		o.paused = !o.paused
		s.alg.SetPaused(now, o.paused)
	case 1:
		s.alg.Cool(now, time.Duration(d))
		if d > 0 || o.until > now {
			o.until, o.cooling = now+d, true
		}
	default:
		s.alg.Throttled(now, now, pacer.Feedback{After: time.Duration(d + 1)}, 0)
		if now+d+1 > o.until {
			o.until, o.cooling = now+d+1, true
		}
	}
}

// same checks that the state and the oracle have the same queue with the same slots. A changed limit rounds what is
// missing up, by less than a nanosecond of the rate it had: never early, and late by no more than late. Without a change the
// slots are the same.
func same(s *state, o *oracle, late int64) error {
	if len(s.waiting) != len(o.queue) {
		return fmt.Errorf("%d wait, the oracle has %d", len(s.waiting), len(o.queue))
	}
	for i, a := range o.queue {
		if s.waiting[i].ticket != a.ticket {
			return fmt.Errorf("ticket %d is in the place of %d", s.waiting[i].ticket, a.ticket)
		}
		if at, ok := s.slot(i); ok == o.paused || ok && (at < o.due(i) || at > o.due(i)+late) {
			return fmt.Errorf("the slot of %d is %d, the oracle says %d", a.ticket, at, o.due(i))
		}
	}
	return nil
}

// through makes the state bytes, and those a state again.
func through(s *state, now int64) error {
	s.bootAt = now
	waiting := putWaiting(s)
	b, granted := s.put(make([]byte, recordRoom), 7, nil)
	var r record
	if err := r.parseAll(b, granted, waiting); err != nil {
		return err
	}
	w := putWaiting(&r.state)
	if again, g := r.put(make([]byte, recordRoom), 7, nil); string(again) != string(b) || string(g) != string(granted) || string(w) != string(waiting) {
		return fmt.Errorf("a state is other bytes after it was read")
	}
	*s = r.state
	return nil
}

func putWaiting(s *state) (b []byte) {
	for i := range s.waiting {
		b = s.waiting[i].put(b)
	}
	return b
}

// parseAll reads a record with its entries.
func (r *record) parseAll(b, granted, waiting []byte) error {
	if !sound(b) || r.parse(b) != nil {
		return errDamaged
	}
	for i := range r.alg.Len() {
		if r := r.alg.Ring(i); r != nil {
			if first, end := r.Span(); end-first > 1 { // what it remembers is elsewhere
				return errDamaged
			}
		}
	}
	gs, err := r.parseGranted(granted)
	if err != nil {
		return err
	}
	ws, err := parseEntries(nil, waiting)
	if err != nil || len(ws)*entrySize != len(waiting) {
		return errDamaged
	}
	return r.setEntries(gs, ws)
}
