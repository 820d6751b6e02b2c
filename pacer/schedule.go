package pacer

import (
	"time"
)

// A Schedule is the state of a key: its limit as a GCRA, and what the remote, or a person, has said since. The slots it
// returns are after the cooldown, at the rate in force then; there are none while it is paused.
//
//   - A cooldown: no slot before its end. From then on slots are paced, and no burst is there, whatever the bucket had.
//   - An adaptation: the limit in force is a part of the limit that is set, and changes by steps that are known beforehand.
//   - A pause: no slot until somebody resumes, and none before that.
//
// Like a GCRA it is a plain value of fixed size that knows no clock. What is due by now must have been taken before
// anything else is done to it.
type Schedule struct {
	gcra  GCRA  // its limit is the one in force as of the last grant, or change
	limit Limit // the one that is set
	cooling
	adapt adaptation
}

// NewSchedule returns the state of an idle limit.
func NewSchedule(limit Limit) Schedule { return Schedule{gcra: NewGCRA(limit), limit: limit} }

// Limit returns the limit that is set.
func (s *Schedule) Limit() Limit { return s.limit }

// Last returns the slot of the last grant, and false if there has been none.
func (s *Schedule) Last() (at int64, ok bool) { return s.gcra.Last() }

// Effective returns the limit in force at now: the one that is set, or a part of it.
func (s *Schedule) Effective(now int64) Limit {
	if s.adapt.most == 0 {
		return s.limit
	}
	c := *s
	c.advance(now)
	return c.gcra.limit
}

// Slot returns the earliest instant at or after t at which n units may be granted, as that of a GCRA, or false if there is none
// for as long as nobody changes something.
func (s *Schedule) Slot(t, n int64) (at int64, ok bool) {
	switch {
	case s.paused:
		return 0, false
	case !s.pending && s.adapt.most == 0:
		return s.gcra.Slot(t, n)
	}
	c := *s
	if !c.take(t, n) {
		return 0, false
	}
	return c.gcra.last, true
}

// Take makes a grant of n units, asked for at t, at its slot. There must be one.
func (s *Schedule) Take(t, n int64) { s.take(t, n) }

func (s *Schedule) take(t, n int64) bool {
	g := &s.gcra
	if s.pending {
		t = max(t, s.until)
	}
	t = max(t, g.since)
	s.advance(t)
	at, ok := g.Slot(t, n)
	if !ok {
		return false
	}
	g.Take(t, n)
	// The units are on account now, at the rate in force at t. What they take longer than up to a step they take at the rate of
	// that. As they are whole, it makes no difference whether they are put on account before it, or behind.
	for s.adapt.most > 0 && at > s.adapt.boundary() {
		s.next()
		at = g.tat.add(g.limit, -g.limit.burst()).ceil()
	}
	g.last = at
	return true
}

// advance has what is scheduled up to t happen, if nothing is granted in between.
func (s *Schedule) advance(t int64) {
	g := &s.gcra
	if s.pending && s.until <= t {
		s.pending = false
		if l := g.limit; l.Events > 0 && l.Per > 0 { // one unit is there, and no more
			if least := (instant{ns: s.until}).add(l, l.burst()-1); g.tat.before(least) {
				g.tat = least
			}
		}
	}
	for s.adapt.most > 0 && s.adapt.boundary() <= t {
		if b := s.adapt.boundary(); g.tat.ns < b { // the bucket is full, and remains so: go to the last step at once
			for left := (t - b) / s.adapt.tick; left > 0 && s.adapt.at(s.adapt.step+1) < whole; left-- {
				s.adapt.step++
			}
		}
		s.next()
	}
}

// next has the next step begin.
func (s *Schedule) next() {
	at := s.adapt.boundary()
	s.adapt.step++
	w := s.adapt.at(s.adapt.step)
	s.gcra.SetLimit(at, s.limit.scaled(w))
	if w == whole {
		s.adapt = adaptation{}
	}
}

// Empty leaves nothing in the bucket at t, as that of a GCRA does.
func (s *Schedule) Empty(t int64) { s.gcra.Empty(t) }

// SetLimit changes the limit at now, as that of a GCRA does. It ends an adaptation: who sets a limit wants that one. A
// cooldown stays.
func (s *Schedule) SetLimit(now int64, to Limit) {
	s.advance(now)
	s.limit, s.adapt = to, adaptation{}
	s.gcra.SetLimit(now, to)
}

// Restrict is SetLimit, and an adaptation goes on: the limit in force becomes the same part of the new limit as it is of the
// old one.
func (s *Schedule) Restrict(now int64, to Limit) {
	s.advance(now)
	if s.adapt.most == 0 || to.Events <= 0 || to.Per == 0 {
		s.SetLimit(now, to)
		return
	}
	s.limit = to
	s.gcra.SetLimit(now, to.scaled(s.adapt.now()))
}

// Throttled records at now that an attempt was throttled that had been granted at slot. It reports whether that is a new
// event, and not one that was known when the attempt was granted. Random is a random number, which spreads the cooldown of
// those whom the remote has told nothing.
func (s *Schedule) Throttled(now, slot int64, f Feedback, random uint64) (isNew bool) {
	s.advance(now)
	before := s.until
	isNew = s.throttled(now, slot, f, random)
	if isNew && f.Adaptive && s.limit.Events > 0 && s.limit.Per > 0 {
		s.adapt = s.adapt.cut(s.adapt.now(), s.limit)
		s.adapt.start = max(now, s.until)
		s.gcra.SetLimit(now, s.limit.scaled(s.adapt.least))
	}
	if s.until != before {
		s.stand()
	}
	return isNew
}

// stand has an adaptation go on, where it is, at the end of the cooldown.
func (s *Schedule) stand() {
	if s.adapt.most > 0 {
		s.adapt.start = s.until - s.adapt.step*s.adapt.tick
	}
}

// Cool makes the cooldown end d after now, whatever it was. A d of 0 ends it.
func (s *Schedule) Cool(now int64, d time.Duration) {
	s.advance(now)
	before := s.until
	s.cool(now, int64(d))
	if s.until != before {
		s.stand()
	}
}

// SetPaused pauses, or resumes. What comes into the bucket meanwhile stays in it.
func (s *Schedule) SetPaused(now int64, paused bool) {
	if s.paused && !paused {
		s.gcra.since = max(s.gcra.since, now)
	}
	s.paused = paused
}

// Restart makes the state one of another clock, on which what has been granted is not known: the bucket counts as empty as of
// at, and the rate is no longer cut. The cooldown, of which that much is left at now, stays, and so does a pause.
func (s *Schedule) Restart(now, at int64, left time.Duration) {
	to := NewSchedule(s.limit)
	to.Empty(at)
	to.cooling = cooling{row: s.row, events: s.events, paused: s.paused, length: s.length}
	if d := min(int64(left), s.length); d > 0 {
		to.hold(later(now, d), s.length)
	}
	*s = to
}

// Forgettable reports whether nobody has said anything that holds at now: there is no cooldown, and no pause.
func (s *Schedule) Forgettable(now int64) bool { return !s.paused && s.until <= now }

// Idle reports whether nothing but the limit would be forgotten with the state.
func (s *Schedule) Idle(now int64) bool {
	if !s.Forgettable(now) {
		return false
	}
	c := *s
	c.advance(now)
	full, ok := c.gcra.Slot(now, s.limit.burst())
	return c.adapt.most == 0 && ok && full <= now
}
