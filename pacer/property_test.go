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
// first of the queue is granted at the first nanosecond at which its units are there.
type oracle struct {
	limit  pacer.Limit
	now    int64
	tokens *big.Rat
	queue  []*ask
	asks   []*ask
}

type ask struct {
	n       int64
	granted int64
	gone    bool
}

func (o *oracle) rate() *big.Rat { return big.NewRat(o.limit.Events, int64(o.limit.Per)) }

func burst(l pacer.Limit) *big.Rat { return big.NewRat(max(l.Burst, 1), 1) }

// advance lets time pass up to t, and grants what is due.
func (o *oracle) advance(t int64) {
	for len(o.queue) > 0 {
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
	limit := func() pacer.Limit {
		return pacer.Limit{Events: 1 + rng.Int64N(40), Per: time.Duration(1 + rng.Int64N(int64(3*time.Second))), Burst: rng.Int64N(6)}
	}
	start := time.Now()
	first := limit()
	p := pacer.New(first)
	o := &oracle{limit: first, tokens: burst(first)}
	var rs []*pacer.Reservation
	var changes int64
	step := int64(first.Per) / first.Events
	slowest, fastest := step+1, max(step, 1)
	for range 40 {
		time.Sleep(time.Duration(rng.Int64N(2*step + 2)))
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
			o.limit = to
			p.SetLimit(to)
		}
		o.advance(now)
	}
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

func (o *oracle) drop(a *ask) {
	for i, q := range o.queue {
		if q == a {
			o.queue = append(o.queue[:i:i], o.queue[i+1:]...)
			return
		}
	}
}
