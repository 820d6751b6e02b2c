package pacer

import (
	"math"
	"time"
)

// An adaptation is a rate that was cut and recovers, after the window of CUBIC (RFC 9438):
//
//	w      the effective rate as a fraction of the limit that is set, here in 1/10,000
//	w0     after an event: 0.7*w, but no less than 1/100
//	Wmax   the rate at which the remote had enough: w before the event. Where that has not reached the Wmax of the event before,
//	       w*(1+0.7)/2, so that others get room sooner (fast convergence)
//	K      how long it takes to be back at Wmax: 5 s, or the time of 20 grants at Wmax where that is longer
//	t      the time since the end of the cooldown; while there is one it stands still
//	w(t) = Wmax + (Wmax-w0) * ((t-K)/K)^3
//
// It is steep at first, flat around Wmax, where it is likely to be too fast again, and steep behind that, up to 1, where the
// adaptation ends. It differs from the RFC in that K is given, and the factor C of the cube follows from it: a window of
// segments has a size of its own, a fraction has not, and 5/h is to recover as 5000/s does. There is no slow start, no
// estimate of what Reno would do, and no round trip.
//
// The rate is constant for K/16 at a time, at what w is at the start of it, so that a slot remains exact arithmetic: each step
// is a change of the limit that is known beforehand.
type adaptation struct {
	most  int64 // Wmax; 0: there is none
	least int64 // w0
	start int64 // when t was 0, in ns
	tick  int64 // K/16, in ns
	step  int64 // which is in force: that from start + step*tick
}

const (
	whole      = 10_000 // w = 1
	floor      = whole / 100
	steps      = 16 // of K
	leastK     = 5 * time.Second
	grantsOfK  = 20
	mostTick   = 1 << 52 // some 50 days: no step is past the end of time
	mostSteps  = 1 << 10 // from the floor it takes fewer
	cubicBeta  = 7       // of 10
	convergeTo = 17      // (1+beta)/2, of 20
)

// cut returns the adaptation that an event begins, when the rate was at w.
func (a adaptation) cut(w int64, limit Limit) adaptation {
	most := w
	if w < a.most {
		most = w * convergeTo / 20
	}
	least := max(w*cubicBeta/10, floor)
	most = max(most, least*convergeTo/(2*cubicBeta)) // at the floor, too, there is a way up
	k := max(int64(leastK), mulDiv(mulDiv(grantsOfK*whole, int64(limit.Per), limit.Events), 1, most))
	return adaptation{most: most, least: least, tick: min(k/steps, mostTick)}
}

// at returns w in a step, in 1/10,000.
func (a adaptation) at(step int64) int64 {
	const cube = steps * steps * steps
	d := step - steps
	up := (a.most - a.least) * d * d * d
	if up < 0 {
		up -= cube - 1 // rounded down
	}
	return min(a.most+up/cube, whole)
}

// now returns w in the step that is in force.
func (a adaptation) now() int64 {
	if a.most == 0 {
		return whole
	}
	return a.at(a.step)
}

// next returns the adaptation in its next step, or none behind the last one.
func (a adaptation) next() adaptation {
	a.step++
	if a.now() == whole {
		return adaptation{}
	}
	return a
}

// boundary returns when the next step begins.
func (a adaptation) boundary() int64 { return later(a.start, (a.step+1)*a.tick) }

// scaled returns l at w of its rate, in 1/10,000, rounded down. A burst stays, and a window has room for one at least.
func (l Limit) scaled(w int64) Limit {
	if l.Algorithm == TokenBucket && w < whole {
		l.Burst = l.burst()
	}
	switch {
	case w >= whole:
		return l
	case l.Algorithm.IsWindow():
		l.Events = max(min(l.Events, 1), mulDiv(l.Events, w, whole))
		return l
	case l.Events <= math.MaxInt64/whole && l.Per <= math.MaxInt64/whole:
		l.Events *= w
		l.Per *= whole
		return l.reduced()
	case l.Per > math.MaxInt64/whole:
		per := mulDiv(int64(l.Per), whole, w)
		l.Per = time.Duration(later(per, 1))
		return l
	}
	l.Events = mulDiv(l.Events, w, whole)
	return l
}

// Throttled records at now that an attempt was throttled that had been granted at slot. It reports whether that is a new
// event, and not one that was known when the attempt was granted. Random is a random number, which spreads the cooldown of
// those whom the remote has told nothing.
func (s *Schedule) Throttled(now, slot int64, f Feedback, random uint64) (isNew bool) {
	s.advance(now)
	before := s.until
	isNew = s.throttled(now, slot, f, random)
	if isNew && f.Adaptive && s.adaptable() {
		s.adapt = s.adapt.cut(s.adapt.now(), s.Limits().Slowest())
		s.adapt.start = max(now, s.until)
		s.since = max(s.since, now)
		for i := range s.count {
			s.at(i).scale(now, s.adapt.least)
		}
	}
	if s.until != before {
		s.stand()
	}
	s.plainly()
	return isNew
}

// adaptable reports whether there is a rate to cut.
func (s *Schedule) adaptable() bool {
	bounded := false
	for i := range s.count {
		l := s.at(i).set
		if l.Events <= 0 {
			return false
		}
		bounded = bounded || l.Per > 0
	}
	return bounded
}

// stand has an adaptation go on, where it is, at the end of the cooldown.
func (s *Schedule) stand() {
	if s.adapt.most > 0 {
		s.adapt.start = s.until - s.adapt.step*s.adapt.tick
	}
}

// advance has what is scheduled up to t happen, if nothing is granted in between.
func (s *Schedule) advance(t int64) {
	if s.pending && s.until <= t {
		s.pending = false
		s.since = max(s.since, s.until) // those who had asked before it ended still have their slots behind it
		for i := range s.count {
			g := &s.at(i).gcra
			if l := g.limit; l.Events > 0 && l.Per > 0 { // one unit is there, and no more
				if least := (instant{ns: s.until}).add(l, l.burst()-1); g.tat.before(least) {
					g.tat = least
				}
			}
		}
		s.plainly()
	}
	for s.adapt.most > 0 && s.adapt.boundary() <= t {
		if b := s.adapt.boundary(); s.fullUntil(b) { // the buckets are full, and remain so: go to the last step at once
			for left := (t - b) / s.adapt.tick; left > 0 && s.adapt.at(s.adapt.step+1) < whole; left-- {
				s.adapt.step++
			}
		}
		s.next()
	}
}

func (s *Schedule) fullUntil(b int64) bool {
	for i := range s.count {
		if m := s.at(i); !m.set.Algorithm.IsWindow() && m.gcra.tat.ns >= b {
			return false
		}
	}
	return true
}

// next has the next step begin.
func (s *Schedule) next() {
	at := s.adapt.boundary()
	s.adapt = s.adapt.next()
	s.since = max(s.since, at)
	for i := range s.count {
		s.at(i).scale(at, s.adapt.now())
	}
	s.plainly()
}

// stepped returns the slot of n units by one limit, over the steps of the adaptation.
//
// The units of a bucket are on account now, at the rate in force at t. What they take longer than up to a step they take at the
// rate of that. As they are whole, it makes no difference whether they are put on account before it, or behind. A window has
// room for more, or fewer, from a step on.
func (s *Schedule) stepped(m *meter, t, n int64) int64 {
	c, a := *m, s.adapt // a ring is read only
	at, _ := c.slot(t, n, s.wall)
	bucket := !c.set.Algorithm.IsWindow()
	if bucket {
		c.gcra.account(t, n)
	}
	for a.most > 0 && at > a.boundary() {
		b := a.boundary()
		a = a.next()
		c.scale(b, a.now())
		if bucket {
			at = c.gcra.tat.add(c.gcra.limit, -c.gcra.limit.burst()).ceil()
		} else {
			at, _ = c.slot(max(t, b), n, s.wall)
		}
	}
	return at
}
