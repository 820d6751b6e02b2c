package pacer

import (
	"math"
	"math/big"
	"math/bits"
	"time"
)

// A gcra is the state of one limit, and the arithmetic on it: the generic cell rate algorithm in its virtual scheduling
// form (ITU-T I.371, annex A), which is a token bucket, and with a burst of 1 evenly spaced grants.
//
//	T    = Per/Events      the interval of one unit, a fraction of nanoseconds
//	B                      the burst, in units
//	c                      the cost of a grant, in units
//	t                      when the grant was asked for, or the slot of the one before it, if later
//	TAT                    the theoretical arrival time: when the bucket will be full again
//	base = max(TAT, t)
//	slot = max(t, base + (c-B)*T)
//	TAT' = base + c*T      once the slot is a grant
//
// t is not when somebody woke up, so lateness does not add up; TAT keeps the fraction of a nanosecond, so rounding does
// not either. A slot is rounded up: it is never early.
//
// Those who wait are not part of it: as long as each of them asked before the slot of the first, their units come in one
// run, and the slot of any of them is slot(t, sum of the costs up to and with its own), t being that of the first.
//
// Times are whole nanoseconds, 0 or more, on a clock that never steps; which one is up to the caller, who passes them
// in. A gcra is a plain value of fixed size: a copy of it is a snapshot. It knows no locks. The zero gcra is that of the zero
// Limit, which grants nothing.
type gcra struct {
	limit Limit
	tat   instant
	since int64   // when the limit was set, in ns: no slot of those who wait lies before it
	last  int64   // the slot of the last grant, in ns
	any   bool    // whether there has been a grant
	debt  instant // TAT - now at the time when the limit became zero
	old   Limit   // the limit that debt was counted in
}

// newGCRA returns the state of an idle limit: its bucket is full.
func newGCRA(limit Limit) gcra { return gcra{limit: limit.bucket()} }

// An instant is ns + num/Events nanoseconds after the epoch of a Pacer, 0 <= num < Events.
type instant struct{ ns, num int64 }

// slot returns the earliest instant at or after t at which n units may be granted, or false if there is none as the limit
// allows no events. It changes nothing. An n above the burst has the slot that the last of its units would have if they
// were asked for one by one.
func (g *gcra) slot(t, n int64) (at int64, ok bool) {
	t = max(t, g.since)
	switch {
	case g.limit.Events <= 0:
		return 0, false
	case g.limit.Per == 0:
		return t, true
	}
	base := g.base(t)
	due := base.add(g.limit, n-g.limit.burst())
	return max(t, due.ceil()), true
}

// account puts n units on account that are asked for at t, and finish makes the grant of them: at an instant that is no
// earlier than their slot. In between the limit may change.
func (g *gcra) account(t, n int64) {
	if g.limit.Events > 0 && g.limit.Per > 0 {
		g.tat = g.base(max(t, g.since)).add(g.limit, n)
	}
}

func (g *gcra) finish(t, n, at int64) {
	g.last, g.any = at, true
	if g.limit.Events <= 0 || g.limit.Per == 0 {
		return
	}
	own := g.tat.add(g.limit, -g.limit.burst()).ceil()
	if at <= max(t, own) {
		return
	}
	// Another limit has had it come later: the bucket has run over meanwhile.
	if least := (instant{ns: at}).add(g.limit, min(n, g.limit.burst())); g.tat.before(least) {
		g.tat = least
	}
}

func (g *gcra) base(t int64) instant {
	if g.tat.ns < t {
		return instant{ns: t}
	}
	return g.tat
}

// empty leaves nothing in the bucket at t, as if the whole burst had been granted then: the next unit comes at t + T at
// the earliest. It never fills the bucket. It is how what was granted, but is not known any more, is made up for.
func (g *gcra) empty(t int64) {
	if !g.any || g.last < t {
		g.last, g.any = t, true
	}
	switch {
	case g.limit.Events <= 0:
		g.old, g.debt = Limit{}, instant{} // what was left is gone, too; last counts instead
	case g.limit.Per > 0:
		if full := (instant{ns: t}).add(g.limit, g.limit.burst()); g.tat.before(full) {
			g.tat = full
		}
	}
}

// setLimit changes the limit at now. What has been granted stays granted: the units that are left in the bucket are as
// many as before, at most the new burst. A higher burst brings no units by itself.
func (g *gcra) setLimit(now int64, to Limit) {
	to = to.bucket()
	from := g.limit
	if from == to {
		return
	}
	g.limit, g.since = to, now
	var debt instant // TAT - now, in units of from
	switch {
	case from.Events <= 0 && g.old.Events > 0:
		from, debt = g.old, g.debt
	case from.Events <= 0 || from.Per == 0:
		// What was granted without a limit counts as the last grants: the bucket was empty then.
		g.tat = instant{}
		if g.any && to.Per > 0 {
			g.tat = instant{ns: g.last}.add(to, to.burst())
		}
		g.old, g.debt = Limit{}, instant{}
		return
	default:
		if g.tat.ns >= now {
			debt = instant{ns: g.tat.ns - now, num: g.tat.num}
		}
	}
	g.old, g.debt = from, debt
	if to.Events <= 0 || to.Per == 0 {
		g.tat = instant{}
		return
	}
	g.tat = instant{ns: now}.plus(to, convert(debt, from, to))
}

// convert returns a debt counted in T of from as a number of 1/Events ns of to, rounded up.
//
//	units = (ns*Events + num) / Per, in from, plus the units by which the burst grows
func convert(debt instant, from, to Limit) *big.Int {
	units := new(big.Int).Mul(big.NewInt(debt.ns), big.NewInt(from.Events))
	units.Add(units, big.NewInt(debt.num))
	grown := new(big.Int).Mul(big.NewInt(to.burst()-from.burst()), big.NewInt(int64(from.Per)))
	units.Add(units, grown) // over from.Per
	if units.Sign() <= 0 {
		return new(big.Int)
	}
	units.Mul(units, big.NewInt(int64(to.Per)))
	per := big.NewInt(int64(from.Per))
	units.Add(units, new(big.Int).Sub(per, big.NewInt(1)))
	return units.Quo(units, per)
}

// plus returns i + num/Events ns.
func (i instant) plus(l Limit, num *big.Int) instant {
	total := new(big.Int).Mul(big.NewInt(i.ns), big.NewInt(l.Events))
	total.Add(total, num)
	ns, rest := new(big.Int).DivMod(total, big.NewInt(l.Events), new(big.Int))
	if !ns.IsInt64() {
		return instant{ns: math.MaxInt64}
	}
	return instant{ns: ns.Int64(), num: rest.Int64()}
}

// add returns i + n*T, or the end of time where that is later.
func (i instant) add(l Limit, n int64) instant {
	negative := n < 0
	hi, lo := bits.Mul64(uint64(max(n, -n)), uint64(l.Per))
	num := i.num
	if negative {
		num = -num // i - |n|*T = ns - (|n|*Per - num)/Events
		var borrow uint64
		lo, borrow = bits.Sub64(lo, uint64(-num), 0)
		hi -= borrow
		if int64(hi) < 0 { // num is more than |n|*Per, which is less than Events: the same nanosecond
			return instant{ns: i.ns, num: int64(-lo)}
		}
	} else {
		var carry uint64
		lo, carry = bits.Add64(lo, uint64(num), 0)
		hi += carry
	}
	if hi >= uint64(l.Events) {
		if negative {
			return instant{ns: math.MinInt64}
		}
		return instant{ns: math.MaxInt64}
	}
	q, r := bits.Div64(hi, lo, uint64(l.Events))
	if negative {
		if q >= math.MaxInt64 || i.ns < math.MinInt64+int64(q)+1 {
			return instant{ns: math.MinInt64}
		}
		if r == 0 {
			return instant{ns: i.ns - int64(q)}
		}
		return instant{ns: i.ns - int64(q) - 1, num: l.Events - int64(r)}
	}
	if q > math.MaxInt64 || i.ns > math.MaxInt64-int64(q) {
		return instant{ns: math.MaxInt64}
	}
	return instant{ns: i.ns + int64(q), num: int64(r)}
}

func (i instant) before(j instant) bool { return i.ns < j.ns || i.ns == j.ns && i.num < j.num }

// ceil returns the first whole nanosecond that is not before i.
func (i instant) ceil() int64 {
	if i.num > 0 && i.ns < math.MaxInt64 {
		return i.ns + 1
	}
	return i.ns
}

// mulDiv returns a*b/c rounded down, at most math.MaxInt64, for a, b >= 0 and c > 0.
func mulDiv(a, b, c int64) int64 {
	hi, lo := bits.Mul64(uint64(max(a, 0)), uint64(max(b, 0)))
	if hi >= uint64(c) {
		return math.MaxInt64
	}
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(min(q, math.MaxInt64))
}

// far is how far ahead the timer is armed at the most.
const far = time.Hour
