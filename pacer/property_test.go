package pacer_test

import (
	"math/big"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// An oracle grants by the contract alone, in exact fractions: units come in at the rate in force, up to the burst; the
// first of the queue is granted at the first nanosecond at which its units are there. In a cooldown, or while it is paused,
// nothing is granted, and when a cooldown ends there is one unit at most.
type oracle struct {
	limit  pacer.Limit // in force
	now    int64
	tokens *big.Rat
	queue  []*ask
	asks   []*ask

	set     pacer.Limit
	until   int64
	cooling bool
	paused  bool
	changes []change // of the limit, to come
	w, most int64    // the part of the limit in force, in 1/10,000, and that before the last event; 0: no adaptation
}

type change struct {
	at, w int64
}

type ask struct {
	n       int64
	asked   int64 // when; of those of a world
	granted int64
	gone    bool
}

func (o *oracle) rate() *big.Rat { return big.NewRat(o.limit.Events, int64(o.limit.Per)) }

func burst(l pacer.Limit) *big.Rat { return big.NewRat(max(l.Burst, 1), 1) }

// advance lets time pass up to t, and grants what is due.
func (o *oracle) advance(t int64) {
	for {
		switch {
		case o.cooling && o.until <= t:
			o.upTo(max(o.now, o.until))
			o.cooling = false
			if one := big.NewRat(1, 1); o.tokens.Cmp(one) > 0 {
				o.tokens = one
			}
		case len(o.changes) > 0 && o.changes[0].at <= t:
			o.upTo(o.changes[0].at)
			o.cut(o.changes[0].w)
			o.changes = o.changes[1:]
		default:
			o.upTo(t)
			return
		}
	}
}

// cut makes the limit in force a part of the one that is set.
func (o *oracle) cut(w int64) {
	o.w = w
	o.limit = o.set
	if w < 10_000 {
		o.limit.Events *= w
		o.limit.Per *= 10_000
	}
}

// event begins an adaptation, from the end of the cooldown on. It returns how many changes there will be.
func (o *oracle) event() int64 {
	if o.w == 0 || o.w == 10_000 {
		o.w, o.most = 10_000, 0
	}
	most := o.w
	if most < o.most {
		most = o.w * 17 / 20
	}
	least := max(o.w*7/10, 100)
	most = max(most, least*17/14)
	o.most = most
	o.cut(least)
	k := max(int64(5*time.Second), 20*int64(o.set.Per)*10_000/(o.set.Events*most))
	o.changes = nil
	for j := int64(1); o.w < 10_000; j++ {
		part := big.NewRat((j-16)*(j-16)*(j-16), 16*16*16)
		part.Mul(part, big.NewRat(most-least, 1))
		part.Add(part, big.NewRat(most, 1))
		w := min(new(big.Int).Div(part.Num(), part.Denom()).Int64(), 10_000) // Div rounds down
		o.changes = append(o.changes, change{max(o.now, o.until) + j*(k/16), w})
		if w == 10_000 {
			break
		}
	}
	return 1 + int64(len(o.changes))
}

// postpone has what is left of an adaptation go on at the end of the cooldown.
func (o *oracle) postpone(tick int64) {
	for i := range o.changes {
		o.changes[i].at = o.until + int64(i+1)*tick
	}
}

// upTo lets time pass up to t, with nothing in between but grants.
func (o *oracle) upTo(t int64) {
	for len(o.queue) > 0 && !o.cooling && !o.paused {
		missing := new(big.Rat).Sub(big.NewRat(o.queue[0].n, 1), o.tokens)
		at := o.now
		if missing.Sign() > 0 {
			wait := missing.Quo(missing, o.rate())
			ns, rest := new(big.Int).QuoRem(wait.Num(), wait.Denom(), new(big.Int))
			if rest.Sign() > 0 {
				ns.Add(ns, big.NewInt(1))
			}
			at += ns.Int64()
		}
		if at > t {
			break
		}
		o.accrue(at) // the units are taken when they are there, before the nanosecond is full: the burst does not cut them
		o.tokens.Sub(o.tokens, big.NewRat(o.queue[0].n, 1))
		o.queue[0].granted = at
		o.queue = o.queue[1:]
	}
	o.pass(t)
}

func (o *oracle) accrue(t int64) {
	o.tokens.Add(o.tokens, new(big.Rat).Mul(o.rate(), big.NewRat(t-o.now, 1)))
	o.now = t
}

func (o *oracle) pass(t int64) {
	o.accrue(t)
	if b := burst(o.limit); o.tokens.Cmp(b) > 0 {
		o.tokens.Set(b)
	}
}

func TestRandomSchedulesAgainstTheOracle(t *testing.T) {
	schedules := 10_000
	if testing.Short() {
		schedules = 1_000
	}
	for seed := range uint64(schedules) {
		synctest.Test(t, func(t *testing.T) { schedule(t, seed) })
		if t.Failed() {
			return
		}
	}
}

func schedule(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	feedback := seed%2 == 1
	limit := func() pacer.Limit {
		return pacer.Limit{Events: 1 + rng.Int64N(40), Per: time.Duration(1 + rng.Int64N(int64(3*time.Second))), Burst: rng.Int64N(6)}
	}
	start := time.Now()
	first := limit()
	p := pacer.New(first)
	o := &oracle{limit: first, set: first, tokens: burst(first)}
	var rs []*pacer.Reservation
	var changes int64
	step := int64(first.Per) / first.Events
	slowest, fastest := step+1, max(step, 1)
	for range 40 {
		time.Sleep(time.Duration(rng.Int64N(2*step + 2)))
		if feedback && rng.IntN(8) == 0 {
			time.Sleep(time.Duration(rng.Int64N(int64(5 * time.Second))))
		}
		now := int64(time.Since(start))
		o.advance(now)
		switch action := rng.IntN(20); {
		case action < 13:
			a := &ask{n: 1 + rng.Int64N(max(o.limit.Burst, 1)), granted: -1}
			o.queue, o.asks = append(o.queue, a), append(o.asks, a)
			r, err := p.ReserveN(int(a.n))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			rs = append(rs, r)
			o.advance(now)
		case action < 17 && len(rs) > 0:
			i := rng.IntN(len(rs))
			a := o.asks[i]
			want := a.granted < 0 && !a.gone
			if rs[i].Cancel() != want {
				t.Fatalf("seed %d: at %d cancelling %d does not report %v", seed, now, i, want)
			}
			a.gone = a.gone || want
			o.drop(a)
		case action < 19 && len(o.queue) == 0 || action == 19:
			to := limit()
			if len(o.queue) > 0 { // those who wait must still be able to get their cost
				to.Burst = max(to.Burst, o.limit.Burst)
			}
			if b := burst(to); o.tokens.Cmp(b) > 0 {
				o.tokens.Set(b)
			}
			changes++
			slowest, fastest = max(slowest, int64(to.Per)/to.Events+1), min(fastest, max(int64(to.Per)/to.Events, 1))
			o.set, o.limit, o.changes, o.w = to, to, nil, 0
			p.SetLimit(to)
		}
		o.advance(now)
		if feedback {
			changes += o.say(t, rng, p, rs)
			o.advance(now)
		}
	}
	if o.paused {
		o.paused = false
		p.Resume()
	}
	slowest *= 100 // at a hundredth of the rate
	o.advance(o.now + int64(time.Hour))
	time.Sleep(time.Hour)
	for i, r := range rs {
		got := int64(-1)
		if s := r.Slot(); !s.IsZero() {
			got = int64(s.Sub(start))
		}
		// A changed limit rounds what is missing up, by less than a nanosecond of the rate it had: never early, and late by
		// no more than that is at the slowest rate. Without a change the slots are the same.
		if want := o.asks[i].granted; got < want || got > want+changes*(slowest/fastest+1) {
			t.Fatalf("seed %d: grant %d came at %d, the oracle says %d", seed, i, got, o.asks[i].granted)
		}
	}
}

// say has the pacer and the oracle hear of something, or not. It returns how often the rate changes by that.
func (o *oracle) say(t *testing.T, rng *rand.Rand, p *pacer.Pacer, rs []*pacer.Reservation) (changes int64) {
	tick := int64(0)
	if len(o.changes) > 1 {
		tick = o.changes[1].at - o.changes[0].at
	} else if len(o.changes) == 1 {
		return 0 // how long its steps are is known no more
	}
	switch action := rng.IntN(20); {
	case action < 4 && len(rs) > 0:
		i := rng.IntN(len(rs))
		if o.asks[i].granted < 0 {
			return 0
		}
		f := pacer.Feedback{Adaptive: rng.IntN(2) == 0, Backoff: time.Duration(rng.Int64N(int64(time.Second)))}
		if rng.IntN(2) == 0 {
			f.After = time.Duration(rng.Int64N(int64(10 * time.Second)))
		}
		c := rs[i].Throttled(f)
		before := o.until
		if !c.Until.IsZero() {
			o.until = max(o.until, o.now+int64(c.Length))
		}
		if f.After > 0 && o.until != max(before, o.now+int64(f.After)) {
			t.Fatalf("asked for %v at %d, it is cooling until %d, and was until %d", f.After, o.now, o.until, before)
		}
		if o.until > before {
			o.cooling = true
		}
		if c.New && f.Adaptive {
			changes = o.event()
		} else if o.until > before {
			o.postpone(tick)
		}
	case action == 4:
		o.paused = !o.paused
		if o.paused {
			p.Pause()
		} else {
			p.Resume()
		}
	case action == 5:
		d := rng.Int64N(int64(5*time.Second)) * rng.Int64N(2)
		p.SetCooldown(time.Duration(d))
		if d > 0 || o.until > o.now {
			o.until, o.cooling = o.now+d, true
			o.postpone(tick)
		}
	}
	return changes
}

// The slot of one who waits is where the grants before it leave it, whatever happens to the rate meanwhile.
func TestASlotIsTheFoldOfTheGrantsBeforeIt(t *testing.T) {
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 4))
		limit := pacer.Limit{Events: 1 + rng.Int64N(40), Per: time.Duration(1000 + rng.Int64N(int64(30*time.Second))), Burst: rng.Int64N(6)}
		s := pacer.NewSchedule(limit)
		now := int64(time.Hour)
		for range 1 + rng.IntN(4) {
			s.Take(now, 1+rng.Int64N(max(limit.Burst, 1)))
			last, _ := s.Last()
			s.Throttled(last, last, pacer.Feedback{After: time.Duration(1 + rng.Int64N(int64(10*time.Second))), Adaptive: true}, 0)
			until, _ := s.Until(last)
			now = until + rng.Int64N(int64(20*time.Second))
		}
		turn, fold, units := now, s.Clone(), int64(0)
		for range 60 {
			n := 1 + rng.Int64N(max(limit.Burst, 1))
			units += n
			want, _ := s.Slot(now, units)
			got, ok := fold.Slot(turn, n)
			fold.Take(turn, n)
			if last, _ := fold.Last(); got != want || last != want || !ok {
				t.Fatalf("seed %d: after %d units the slot is %d, and %d by the grants one by one", seed, units, want, got)
			}
			turn = got
		}
	}
}

func (o *oracle) drop(a *ask) {
	for i, q := range o.queue {
		if q == a {
			o.queue = append(o.queue[:i:i], o.queue[i+1:]...)
			return
		}
	}
}
