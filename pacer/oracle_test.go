package pacer_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A judge knows what the limits promise, and all grants there were: it says of any instant whether n units may be granted then.
// It is brute force: it keeps every unit ever granted, and looks at all of them.
//
//	bucket          units come in at the rate, up to the burst; so many are there
//	sliding window  of the units granted after t-W, n fit in beside at most N-n
//	fixed window    the first unit behind the end of a window opens the next one; at most N in each
//
// A cost above what a limit can grant at once is its units, one by one. If another limit has it come later, nothing is left at its slot.
type judge struct {
	limits pacer.Limits // that are set
	w      int64        // the part of them in force, in 1/10,000
	state  []evidence
}

type evidence struct {
	now    int64    // of a bucket
	tokens *big.Rat // units in it
	units  []int64  // when each unit was granted
	opened int64    // of a fixed window: when it was opened; -1: never
	count  int64
}

func newJudge(limits pacer.Limits) *judge {
	j := &judge{limits: limits, w: 10_000}
	for _, l := range limits {
		j.state = append(j.state, evidence{tokens: big.NewRat(burstOf(l), 1), opened: -1})
	}
	return j
}

func window(l pacer.Limit) bool {
	return l.Algorithm == pacer.SlidingWindow || l.Algorithm == pacer.FixedWindow
}

func burstOf(l pacer.Limit) int64 {
	if l.Algorithm == pacer.TokenBucket && l.Burst == 0 {
		return l.Events
	}
	return max(l.Burst, 1)
}

// room is the N of a window in force.
func (j *judge) room(i int) int64 { return max(1, j.limits[i].Events*j.w/10_000) }

func (j *judge) rate(i int) *big.Rat {
	r := big.NewRat(j.limits[i].Events, int64(j.limits[i].Per))
	return r.Mul(r, big.NewRat(j.w, 10_000))
}

// wait lets time pass for limit i up to t, in which a bucket may run over. If somebody waits for it, it does so only up to the last
// nanosecond: the units are taken when they are there, and not when it is full.
func (j *judge) wait(i int, t int64, over bool) {
	l, e := j.limits[i], &j.state[i]
	if window(l) || e.now > t {
		return
	}
	e.tokens.Add(e.tokens, new(big.Rat).Mul(j.rate(i), big.NewRat(t-e.now, 1)))
	e.now = t
	if b := big.NewRat(burstOf(l), 1); over && e.tokens.Cmp(b) > 0 {
		e.tokens.Set(b)
	}
}

// earliest returns the first instant from t on at which n units may be granted by limit i, if nothing else happens.
func (j *judge) earliest(i int, t, n int64) int64 {
	l, e := j.limits[i], &j.state[i]
	if window(l) && n > j.room(i) {
		_, t = j.borrow(i, t, n)
		return t
	}
	switch l.Algorithm {
	case pacer.SlidingWindow:
		for { // nothing but the passing of a unit can help
			in := e.in(t - int64(l.Per))
			over := int64(len(in)) + n - j.room(i)
			if over <= 0 {
				return t
			}
			t = in[over-1] + int64(l.Per)
		}
	case pacer.FixedWindow:
		if end := e.opened + int64(l.Per); e.opened >= 0 && t < end && e.count+n > j.room(i) {
			return end
		}
		return t
	}
	missing := new(big.Rat).Sub(big.NewRat(n, 1), e.tokens)
	if missing.Sign() <= 0 {
		return t
	}
	missing.Quo(missing, j.rate(i))
	ns, rest := new(big.Int).QuoRem(missing.Num(), missing.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		ns.Add(ns, big.NewInt(1))
	}
	return max(t, e.now+ns.Int64())
}

// in returns the units granted after t.
func (e *evidence) in(t int64) []int64 {
	i, _ := slices.BinarySearch(e.units, t+1)
	return e.units[i:]
}

// borrow returns how window i is when it has granted n units one by one, from t on, and when the last of them was.
func (j *judge) borrow(i int, t, n int64) (after evidence, at int64) {
	before := j.state[i]
	j.state[i].units = slices.Clone(before.units)
	for range n {
		t = j.earliest(i, t, 1)
		j.record(i, t, 1, t)
	}
	after, j.state[i] = j.state[i], before
	return after, t
}

// grant records a grant of n units at t, asked for at asked, which has been allowed from the instant own[i] on by limit i.
func (j *judge) grant(asked, t, n int64, own []int64) {
	for i, l := range j.limits {
		e := &j.state[i]
		switch {
		case window(l) && n > j.room(i):
			after, _ := j.borrow(i, asked, n)
			if own[i] == t {
				*e = after
				continue
			}
			e.opened, e.count = after.opened, 0
			j.record(i, t, j.room(i), own[i])
			e.count = j.room(i)
		case !window(l) && n > burstOf(l) && own[i] < t:
			e.now = t
			e.tokens.SetInt64(0)
		default:
			j.record(i, t, n, own[i])
		}
	}
}

// record records a grant by one limit.
func (j *judge) record(i int, t, n, own int64) {
	l, e := j.limits[i], &j.state[i]
	switch l.Algorithm {
	case pacer.SlidingWindow:
		for range n {
			e.units = append(e.units, t)
		}
	case pacer.FixedWindow:
		if e.opened < 0 || t >= e.opened+int64(l.Per) {
			e.opened, e.count = t, 0
		}
		e.count += n
	default:
		e.tokens.Add(e.tokens, new(big.Rat).Mul(j.rate(i), big.NewRat(t-e.now, 1)))
		e.now = t
		if b := big.NewRat(burstOf(l), 1); own < t && e.tokens.Cmp(b) > 0 { // it had to wait for another limit
			e.tokens.Set(b)
		}
		e.tokens.Sub(e.tokens, big.NewRat(n, 1))
	}
}

// set changes the limits at t: of each one the N, the period of a bucket and its burst.
func (j *judge) set(limits pacer.Limits) {
	for i, l := range limits {
		if b := big.NewRat(burstOf(l), 1); !window(l) && j.state[i].tokens.Cmp(b) > 0 {
			j.state[i].tokens.Set(b)
		}
	}
	j.limits, j.w = limits, 10_000
}

// A world is a judge with a queue.
type world struct {
	*judge
	now     int64
	turn    int64 // when the head came to the front
	queue   []*ask
	asks    []*ask
	until   int64
	cooling bool
	paused  bool
	changes []change
	most    int64
}

// advance lets time pass up to t, and makes the grants of what is due.
func (o *world) advance(t int64) {
	for {
		switch {
		case o.cooling && o.until <= t:
			o.upTo(max(o.now, o.until))
			o.cooling = false
			for i, l := range o.limits {
				if one := big.NewRat(1, 1); !window(l) && o.state[i].tokens.Cmp(one) > 0 {
					o.state[i].tokens.Set(one)
				}
			}
		case len(o.changes) > 0 && o.changes[0].at <= t:
			o.upTo(o.changes[0].at)
			o.w = o.changes[0].w
			o.changes = o.changes[1:]
		default:
			o.upTo(t)
			return
		}
	}
}

func (o *world) upTo(t int64) {
	for len(o.queue) > 0 && !o.cooling && !o.paused {
		own := make([]int64, len(o.limits))
		at := o.now
		head := o.queue[0]
		from := max(head.asked, o.turn)
		for i := range own {
			own[i] = o.earliest(i, o.now, head.n)
			if window(o.limits[i]) && head.n > o.room(i) {
				own[i] = o.earliest(i, from, head.n) // its first units may have come already
			}
			at = max(at, own[i])
		}
		if at > t {
			break
		}
		o.grant(from, at, head.n, own)
		head.granted, o.now, o.turn = at, at, at
		o.queue = o.queue[1:]
	}
	for i, l := range o.limits { // what a head in debt waits for has no burst to run over
		o.wait(i, t, window(l) || len(o.queue) == 0 || o.queue[0].n <= burstOf(l))
	}
	o.now = t
}

// event begins an adaptation, from the end of the cooldown on. It returns how many changes there will be.
func (o *world) event() int64 {
	if o.w == 10_000 {
		o.most = 0
	}
	most, before := o.w, o.w
	if most < o.most {
		most = before * 17 / 20
	}
	least := max(before*7/10, 100)
	most = max(most, least*17/14)
	o.most, o.w = most, least
	slowest := o.limits.Slowest()
	k := max(int64(5*time.Second), 20*int64(slowest.Per)*10_000/(slowest.Events*most))
	o.changes = nil
	for j := int64(1); ; j++ {
		part := big.NewRat((j-16)*(j-16)*(j-16), 16*16*16)
		part.Mul(part, big.NewRat(most-least, 1))
		part.Add(part, big.NewRat(most, 1))
		w := min(new(big.Int).Div(part.Num(), part.Denom()).Int64(), 10_000) // Div rounds down
		o.changes = append(o.changes, change{max(o.now, o.until) + j*(k/16), w})
		if w == 10_000 {
			return 1 + int64(len(o.changes))
		}
	}
}

func randomLimit(rng *rand.Rand) pacer.Limit {
	l := pacer.Limit{
		Events: 1 + rng.Int64N(12), Per: time.Duration(1 + rng.Int64N(int64(3*time.Second))), Algorithm: pacer.Algorithm(rng.IntN(4)),
	}
	if !window(l) {
		l.Burst = rng.Int64N(6)
	}
	return l
}

func most(limits pacer.Limits) int64 {
	n := int64(1 << 40)
	for _, l := range limits {
		if window(l) {
			n = min(n, l.Events)
		} else {
			n = min(n, burstOf(l))
		}
	}
	return n
}

// combination runs a random schedule on 1 to 3 random limits, and on the oracle. Grants are never early, and in order. Where the
// limit of a bucket changes it is late by the rounding, of less than a nanosecond of the rate that it had, and otherwise never.
func combination(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 9))
	limits := make(pacer.Limits, 1+rng.IntN(3))
	for i := range limits {
		limits[i] = randomLimit(rng)
	}
	feedback, changing, debt := seed%4 == 1, seed%4 == 2, seed%4 == 3
	start := time.Now()
	var opts []pacer.Option
	if debt {
		opts = append(opts, pacer.WithDebt())
	}
	p := pacer.NewAll(limits, opts...)
	o := &world{judge: newJudge(limits)}
	var rs []*pacer.Reservation
	slowest := limits.Slowest()
	step := int64(slowest.Per) / slowest.Events
	changes := int64(0)
	ratio := func(ls pacer.Limits) (slow, fast int64) {
		fast = 1 << 62
		for _, l := range ls {
			slow, fast = max(slow, int64(l.Per)/l.Events+1), min(fast, max(int64(l.Per)/l.Events, 1))
		}
		return slow, fast
	}
	slow, fast := ratio(limits)
	for range 40 {
		time.Sleep(time.Duration(rng.Int64N(2*step + 2)))
		now := int64(time.Since(start))
		o.advance(now)
		switch action := rng.IntN(20); {
		case action < 13:
			a := &ask{n: 1 + rng.Int64N(most(o.limits)), asked: now, granted: -1}
			if feedback && slices.ContainsFunc(limits, window) {
				a.n = 1 // it must fit into what is left of a window
			}
			if debt {
				a.n = 1 + rng.Int64N(30)
			}
			o.queue, o.asks = append(o.queue, a), append(o.asks, a)
			r, err := p.ReserveN(int(a.n))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			rs = append(rs, r)
		case action < 17 && len(rs) > 0:
			i := rng.IntN(len(rs))
			a := o.asks[i]
			want := a.granted < 0 && !a.gone
			if rs[i].Cancel() != want {
				t.Fatalf("seed %d: at %d cancelling %d does not report %v", seed, now, i, want)
			}
			a.gone = a.gone || want
			if len(o.queue) > 0 && a == o.queue[0] {
				o.turn = now
				for i := range o.limits {
					o.wait(i, now, true)
				}
			}
			o.queue = slices.DeleteFunc(o.queue, func(q *ask) bool { return q == a })
		case action == 17 && changing:
			to := slices.Clone(o.limits)
			i := rng.IntN(len(to))
			to[i].Events = 1 + rng.Int64N(12)
			if len(o.queue) > 0 { // those who wait must still be able to get their cost
				to[i].Events = max(to[i].Events, o.limits[i].Events)
			}
			s, f := ratio(to)
			slow, fast, changes = max(slow, s), min(fast, f), changes+1
			o.set(to)
			p.SetLimits(to)
		}
		o.advance(now)
		if feedback {
			changes += o.hear(rng, p, rs)
			o.advance(now)
		}
		last := time.Time{}
		for i, r := range rs { // the slots of those who wait, as they are said to be
			if slot := r.Slot(); !slot.IsZero() {
				if slot.Before(last) {
					t.Fatalf("seed %d: slot %d is before the one of %d", seed, i, i-1)
				}
				last = slot
			}
		}
	}
	if o.paused {
		o.paused = false
		p.Resume()
	}
	o.advance(o.now)
	said := make([]time.Time, len(rs))
	for i, r := range rs {
		said[i] = r.Slot()
	}
	late := changes * (slow*100/fast + 1)
	o.advance(o.now + int64(time.Hour))
	time.Sleep(time.Hour)
	for i, r := range rs {
		got := int64(-1)
		if s := r.Slot(); !s.IsZero() {
			got = int64(s.Sub(start))
		}
		if want := o.asks[i].granted; got < want || got > want+late {
			t.Fatalf("seed %d, limits %v: grant %d of %d came at %d, the oracle says %d", seed, limits, i, o.asks[i].n, got, want)
		}
		if !r.Slot().Equal(said[i]) {
			t.Fatalf("seed %d, limits %v: slot %d was to be at %d, and is at %d", seed, limits, i, said[i].Sub(start), got)
		}
	}
}

// hear has both hear of something, or not. It returns how often the rate changes by that.
func (o *world) hear(rng *rand.Rand, p *pacer.Pacer, rs []*pacer.Reservation) (changes int64) {
	if len(o.changes) > 0 {
		return 0
	}
	switch action := rng.IntN(20); {
	case action < 4 && len(rs) > 0:
		i := rng.IntN(len(rs))
		if o.asks[i].granted < 0 {
			return 0
		}
		f := pacer.Feedback{Adaptive: rng.IntN(2) == 0, After: time.Duration(1 + rng.Int64N(int64(10*time.Second)))}
		c := rs[i].Throttled(f)
		if until := o.now + int64(f.After); until > o.until {
			o.until, o.cooling = until, true
		}
		if c.New && f.Adaptive {
			changes = o.event()
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
		}
	}
	return changes
}

func TestRandomCombinationsAgainstTheOracle(t *testing.T) {
	combinations := 10_000
	if testing.Short() {
		combinations = 1_000
	}
	for seed := range uint64(combinations) {
		synctest.Test(t, func(t *testing.T) { combination(t, seed) })
		if t.Failed() {
			return
		}
	}
}

// Two limits at once, as an API has them: 120 grants are where the oracle puts them, and one that leaves moves the rest.
func TestTokenThrottlerTwoRatesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := pacer.Limits{pacer.Per(15, time.Minute), pacer.Per(100, time.Hour)}
		for _, a := range []pacer.Algorithm{pacer.Paced, pacer.TokenBucket, pacer.SlidingWindow, pacer.FixedWindow} {
			for i := range limits {
				limits[i] = limits[i].With(a)
			}
			start := time.Now()
			p := pacer.NewAll(limits)
			o := &world{judge: newJudge(limits)}
			rs := queue(t, p, 120)
			for range rs {
				a := &ask{n: 1, granted: -1}
				o.queue, o.asks = append(o.queue, a), append(o.asks, a)
			}
			o.advance(0)
			time.Sleep(90 * time.Second)
			o.advance(int64(90 * time.Second))
			if !rs[60].Cancel() {
				t.Fatal("it has had its grant")
			}
			o.queue = slices.DeleteFunc(o.queue, func(q *ask) bool { return q == o.asks[60] })
			said := fmt.Sprint(rs[119].Slot())
			o.advance(int64(100 * time.Hour))
			time.Sleep(100 * time.Hour)
			for i, r := range rs {
				if i != 60 && int64(r.Slot().Sub(start)) != o.asks[i].granted {
					t.Errorf("%v: grant %d is at %v, want %v", a, i, r.Slot().Sub(start), time.Duration(o.asks[i].granted))
				}
			}
			if fmt.Sprint(rs[119].Slot()) != said {
				t.Errorf("the last slot was to be at %v", said)
			}
			last := time.Duration(o.asks[119].granted)
			if want := map[pacer.Algorithm]time.Duration{
				pacer.Paced: 118 * 36 * time.Second, pacer.TokenBucket: 19 * 36 * time.Second, pacer.SlidingWindow: time.Hour + time.Minute, pacer.FixedWindow: time.Hour + time.Minute,
			}[a]; last != want {
				t.Errorf("%v: the last of 119 grants is at %v, want %v", a, last, want)
			}
		}
	})
}
