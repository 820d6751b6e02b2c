package pacer

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// Over returns a Pacer in front of a limiter of golang.org/x/time/rate, which others may use too: it adds the order and
// the cancelling that gives a place back. The limiter computes in floating point, and may grant up to a nanosecond
// early; a Pacer made by New does not. Feedback makes a cooldown, and does not cut the rate: it is not ours alone.
func Over(lim *rate.Limiter, opts ...Option) *Pacer {
	p := newPacer(nil, opts)
	p.lim = &xrate{lim: lim, epoch: p.epoch}
	p.debt = false // x/time/rate has no grant above the burst
	return p
}

type xrate struct {
	lim   *rate.Limiter
	epoch time.Time
	since int64 // when the last pause ended
	cooling
}

var _ limiter = (*xrate)(nil)

func (x *xrate) time(t int64) time.Time { return x.epoch.Add(time.Duration(t)) }

func (x *xrate) Slot(t, n int64) (at int64, ok bool) {
	t = x.from(t)
	limit := x.lim.Limit()
	switch {
	case x.paused || limit <= 0:
		return 0, false
	case limit == rate.Inf:
		return t, true
	}
	tokens := x.lim.TokensAt(x.time(t))
	if x.pending {
		tokens = min(tokens, 1)
	}
	missing := float64(n) - tokens
	if missing <= 0 {
		return t, true
	}
	wait := math.Ceil(missing / float64(limit) * 1e9)
	if wait > math.MaxInt64/2 {
		return math.MaxInt64, true
	}
	return t + int64(wait), true
}

func (x *xrate) Take(t, n int64) {
	at, _ := x.Slot(t, n)
	if t = x.from(t); x.pending {
		x.pending = false
		if saved := int(x.lim.TokensAt(x.time(t))) - 1; saved > 0 {
			x.lim.ReserveN(x.time(t), saved)
		}
	}
	x.lim.ReserveN(x.time(at), int(n))
}

func (x *xrate) Grab(now, n int64) bool {
	if at, ok := x.Slot(now, n); !ok || at > now {
		return false
	}
	x.Take(now, n)
	return true
}

func (x *xrate) Fold(t int64, costs func(yield func(n int64) bool)) (at int64, ok bool) {
	units := int64(0) // they come in one run
	costs(func(n int64) bool {
		units += n
		return true
	})
	return x.Slot(t, units)
}

// from returns the earliest instant from t on at which there may be a grant.
func (x *xrate) from(t int64) int64 {
	if x.pending {
		t = max(t, x.until)
	}
	return max(t, x.since)
}

func (x *xrate) Effective(int64) Limit { return x.Limit() }

func (x *xrate) EffectiveLimits(int64) Limits { return x.Limits() }

func (x *xrate) CheckCost(n int64, debt bool) error { return x.Limit().CheckCost(n, debt) }

func (x *xrate) Usage(now int64) []Usage {
	limit := x.Limit()
	u := Usage{Limit: limit, Quota: limit.most()}
	if limit.Events <= 0 || limit.IsUnlimited() {
		return []Usage{{Limit: limit}}
	}
	tokens := x.lim.TokensAt(x.time(now))
	u.Remaining = min(int64(max(tokens, 0)), u.Quota)
	if u.Remaining < u.Quota {
		u.Reset = time.Duration(math.Ceil((float64(u.Remaining+1) - tokens) / float64(x.lim.Limit()) * 1e9))
	}
	return []Usage{u}
}

func (*xrate) SetWall(int64) {}

func (*xrate) HasCalendar() bool { return false }

func (x *xrate) Throttled(now, slot int64, f Feedback, random uint64) (isNew bool) {
	return x.throttled(now, slot, f, random)
}

func (x *xrate) Cool(now int64, d time.Duration) { x.cool(now, int64(d)) }

func (x *xrate) SetPaused(now int64, paused bool) {
	if x.paused && !paused {
		x.since = now
	}
	x.paused = paused
}

// SetLimits sets the slowest of several: a limiter of that package has one.
func (x *xrate) SetLimits(now int64, limits Limits) {
	to := limits.Slowest()
	if limits.Validate() != nil {
		to = Limit{}
	}
	x.lim.SetLimitAt(x.time(now), to.Rate())
	x.lim.SetBurstAt(x.time(now), int(to.burst()))
}

// Restrict is SetLimits: nothing cuts its rate.
func (x *xrate) Restrict(now int64, limits Limits) { x.SetLimits(now, limits) }

func (x *xrate) Limits() Limits { return Limits{x.Limit()} }

func (x *xrate) Limit() Limit { return FromRate(x.lim.Limit(), x.lim.Burst()) }
