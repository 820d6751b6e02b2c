package pacer

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// Over returns a Pacer in front of a limiter of golang.org/x/time/rate, which others may use too: it adds the order and
// the cancelling that gives a place back. The limiter computes in floating point, and may grant up to a nanosecond
// early; a Pacer made by New does not.
func Over(lim *rate.Limiter, opts ...Option) *Pacer {
	p := newPacer(nil, opts)
	p.lim = &xrate{lim: lim, epoch: p.epoch}
	p.debt = false // x/time/rate has no grant above the burst
	return p
}

type xrate struct {
	lim   *rate.Limiter
	epoch time.Time
}

var _ limiter = (*xrate)(nil)

func (x *xrate) time(t int64) time.Time { return x.epoch.Add(time.Duration(t)) }

func (x *xrate) Slot(t, n int64) (at int64, ok bool) {
	limit := x.lim.Limit()
	if limit == rate.Inf {
		return t, true
	}
	if limit <= 0 {
		return 0, false
	}
	missing := float64(n) - x.lim.TokensAt(x.time(t))
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
	x.lim.ReserveN(x.time(at), int(n))
}

func (x *xrate) SetLimit(now int64, to Limit) {
	x.lim.SetLimitAt(x.time(now), to.Rate())
	x.lim.SetBurstAt(x.time(now), int(to.burst()))
}

func (x *xrate) Limit() Limit { return FromRate(x.lim.Limit(), x.lim.Burst()) }
