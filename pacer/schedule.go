package pacer

import "math"

// A Schedule is the state of a key: that of its limits, and what the remote, or a person, has said since. A grant is made when
// all limits allow it, and counts for all of them. The slots are after the cooldown, at the rate in force then; there are none
// while it is paused.
//
//   - A cooldown: no slot before its end. From then on what comes from a bucket is paced, and no burst is there, whatever the
//     bucket had. For a window what was granted counts, and nothing else.
//   - An adaptation: each limit in force is a part of the limit that is set, and changes by steps that are known beforehand. A
//     window has room for one unit at least.
//   - A pause: no slot until somebody resumes, and none before that.
//
// Like a gcra it knows no clock. What is due by now must have been taken before anything else is done to it. A copy of it
// shares parts with it: Clone makes one that does not.
type Schedule struct {
	one   meter   // the first limit
	more  []meter // the others
	count int     // how many there are
	most  int64   // what one grant can take without debt
	unit  instant // what a unit takes of the only limit, a bucket
	plain bool    // there is one limit, a bucket, and nobody has said anything
	void  bool    // the limits are not valid: there is no slot
	since int64   // no slot of those who wait lies before it
	last  int64   // the slot of the last grant
	any   bool    // whether there has been a grant
	wall  int64   // the wall clock minus the clock of slots, for windows of a calendar
	cooling
	adapt adaptation
}

// NewSchedule returns the state of idle limits. Of limits that are not valid there is no slot, see Err.
func NewSchedule(limits ...Limit) Schedule {
	var s Schedule
	s.become(limits)
	return s
}

// become makes limits those that it has, with nothing granted.
func (s *Schedule) become(limits Limits) {
	s.count, s.more = len(limits), nil
	if len(limits) > 1 {
		s.more = make([]meter, len(limits)-1)
	}
	for i, l := range limits {
		*s.at(i) = newMeter(l)
	}
	s.know()
}

// know computes what follows from its limits.
func (s *Schedule) know() {
	s.most = limitsMost(s)
	s.void = s.count == 0 || s.count > LimitsMost
	for i := 0; i < s.count && !s.void; i++ {
		s.void = s.at(i).void
	}
	s.plainly()
}

// Err returns what is wrong with the limits, as Limits.Validate has it. As long as that is not nil there is no slot. Of limits that
// UnmarshalBinary has read it is a time zone that is not known here.
func (s *Schedule) Err() error {
	if !s.void {
		return nil
	}
	return s.Limits().Validate()
}

func limitsMost(s *Schedule) int64 {
	most := int64(math.MaxInt64)
	for i := range s.count {
		if l := &s.at(i).set; l.Per > 0 && l.Events > 0 {
			most = min(most, l.most())
		}
	}
	return most
}

// plainly finds out whether the short way will do.
func (s *Schedule) plainly() {
	l := &s.one.limit
	s.plain = s.count == 1 && !l.Algorithm.IsWindow() && l.Events > 0 && !s.void && !s.paused && !s.pending && s.adapt.most == 0
	if s.plain && l.Per > 0 {
		s.unit = instant{}.add(s.one.gcra.limit, 1)
	}
}

func (s *Schedule) at(i int) *meter {
	if i == 0 {
		return &s.one
	}
	return &s.more[i-1]
}

// Clone returns a copy that can be changed. What is large is shared: the original must not be changed as long as it is used.
func (s *Schedule) Clone() Schedule {
	c := *s
	c.one = s.one.fork()
	if len(s.more) > 0 {
		c.more = make([]meter, len(s.more))
		for i := range s.more {
			c.more[i] = s.more[i].fork()
		}
	}
	return c
}

// Limits returns the limits that are set.
func (s *Schedule) Limits() Limits {
	limits := make(Limits, s.count)
	for i := range limits {
		limits[i] = s.at(i).set
	}
	return limits
}

// Has reports whether these are its limits, in their order.
func (s *Schedule) Has(limits Limits) bool {
	if len(limits) != s.count {
		return false
	}
	for i := range limits {
		if s.at(i).set != limits[i] {
			return false
		}
	}
	return true
}

// Limit returns the limit that is set; of several that with the lowest rate. It is the zero Limit if there is none.
func (s *Schedule) Limit() Limit {
	if s.count == 1 {
		return s.one.set
	}
	return s.Limits().Slowest()
}

// Last returns the slot of the last grant, and false if there has been none.
func (s *Schedule) Last() (at int64, ok bool) { return s.last, s.any }

// SetWall says what the wall clock minus the clock of slots is, in ns, for windows of a calendar.
func (s *Schedule) SetWall(offset int64) { s.wall = offset }

// HasCalendar reports whether a limit has windows of a calendar, so that SetWall matters.
func (s *Schedule) HasCalendar() bool {
	for i := range s.count {
		if s.at(i).cal != nil {
			return true
		}
	}
	return false
}

// Len returns how many limits there are.
func (s *Schedule) Len() int { return s.count }

// Effective returns the limit in force at now: the one that is set, or a part of it; of several that with the lowest rate.
func (s *Schedule) Effective(now int64) Limit {
	if s.adapt.most == 0 {
		return s.Limit()
	}
	return s.EffectiveLimits(now).Slowest()
}

// EffectiveLimits returns the limits in force at now.
func (s *Schedule) EffectiveLimits(now int64) Limits {
	limits := s.Limits()
	if s.adapt.most == 0 {
		return limits
	}
	c := s.Clone()
	c.advance(now)
	for i := range limits {
		limits[i] = c.at(i).limit
	}
	return limits
}

// CheckCost returns a *CostError if one grant can't cost n units: n is below 1, or above what a limit can grant at once and not
// in debt.
func (s *Schedule) CheckCost(n int64, debt bool) error {
	if n >= 1 && (debt || n <= s.most) {
		return nil
	}
	return s.Limits().CheckCost(n, debt)
}

// Slot returns the earliest instant at or after t at which n units may be granted, or false if there is none for as long as
// nobody changes something. It changes nothing. An n above what a limit can grant at once has the slot that the last of its
// units would have if they were asked for one by one.
func (s *Schedule) Slot(t, n int64) (at int64, ok bool) {
	switch {
	case s.paused || s.void:
		return 0, false
	case s.plain:
		return s.one.gcra.slot(max(t, s.since), n)
	case !s.pending && s.adapt.most == 0:
		return s.own(max(t, s.since), n)
	}
	c := *s
	if s.count > 1 || s.one.ring != nil {
		c = s.Clone()
	}
	return c.prepare(t, n)
}

// Grab makes a grant of n units, asked for at now, if they are due now.
func (s *Schedule) Grab(now, n int64) bool {
	if s.plain && s.since <= now {
		g := &s.one.gcra
		switch {
		case g.limit.Per == 0:
		case n == 1 && g.tat.ns < now: // the bucket is full
			g.tat = instant{ns: later(now, s.unit.ns), num: s.unit.num}
		default:
			if at, _ := g.slot(now, n); at > now {
				return false
			}
			g.account(now, n)
		}
		g.last, g.any = now, true
		s.last, s.any = now, true
		return true
	}
	if at, ok := s.Slot(now, n); !ok || at > now {
		return false
	}
	s.take(now, n)
	return true
}

// Bound returns an instant that is no later than the slot of the last of several grants that were asked for before the slot of the
// first: n is the sum of their costs, and t that of the first of them. It is the slot, if there is one limit and it is a
// bucket, or each grant costs one unit.
func (s *Schedule) Bound(t, n int64) (at int64, ok bool) { return s.Slot(t, n) }

// Fold returns the slot of the last of several grants, one after the other, the first of which is asked for at t, and the others
// before its slot. There is no end to costs that makes it panic: of none the slot is t.
func (s *Schedule) Fold(t int64, costs func(yield func(n int64) bool)) (at int64, ok bool) {
	if s.count == 1 && !s.one.set.Algorithm.IsWindow() { // units come in one run
		units := int64(0)
		costs(func(n int64) bool {
			units += n
			return true
		})
		if units == 0 {
			return t, true
		}
		return s.Slot(t, units)
	}
	c := s.Clone()
	at, ok = t, !s.paused && !s.void
	if !ok {
		return 0, false
	}
	costs(func(n int64) bool {
		at, ok = c.take(at, n)
		return ok
	})
	return at, ok
}

// Take makes a grant of n units, asked for at t, at its slot. There must be one.
func (s *Schedule) Take(t, n int64) { s.take(t, n) }

// own returns the slot of n units asked for at t, by the limits as they are now.
func (s *Schedule) own(t, n int64) (at int64, ok bool) {
	if s.count == 0 {
		return 0, false
	}
	at = t
	for i := range s.count {
		x, ok := s.at(i).slot(t, n, s.wall)
		if !ok {
			return 0, false
		}
		at = max(at, x)
	}
	return at, true
}

// prepare has what is scheduled happen that comes before the grant of n units, asked for at t, and returns their slot.
func (s *Schedule) prepare(t, n int64) (at int64, ok bool) {
	t = s.earliest(t)
	s.advance(t)
	at, ok = s.own(t, n)
	if !ok || s.adapt.most == 0 || at <= s.adapt.boundary() {
		return at, ok
	}
	at = t
	for i := range s.count {
		at = max(at, s.stepped(s.at(i), t, n))
	}
	return at, true
}

// earliest returns the earliest instant from t on at which there may be a grant.
func (s *Schedule) earliest(t int64) int64 {
	if s.pending {
		t = max(t, s.until)
	}
	return max(t, s.since)
}

func (s *Schedule) take(t, n int64) (at int64, ok bool) {
	if s.paused || s.void {
		return 0, false
	}
	t = s.earliest(t)
	at, ok = s.prepare(t, n)
	if !ok {
		return 0, false
	}
	for i := range s.count {
		if m := s.at(i); !m.set.Algorithm.IsWindow() {
			m.gcra.account(t, n)
		}
	}
	step := t
	for s.adapt.most > 0 && at >= s.adapt.boundary() { // at the step itself a window may have room by it
		step = max(step, s.adapt.boundary())
		s.next()
	}
	for i := range s.count {
		m := s.at(i)
		if m.set.Algorithm.IsWindow() {
			m.take(step, n, at, s.wall)
		} else {
			m.take(t, n, at, s.wall)
		}
	}
	s.last, s.any = at, true
	return at, true
}

// Forgettable reports whether nobody has said anything that holds at now: there is no cooldown, and no pause.
func (s *Schedule) Forgettable(now int64) bool { return !s.paused && s.until <= now }

// Idle reports whether nothing but the limits would be forgotten with the state.
func (s *Schedule) Idle(now int64) bool {
	if !s.Forgettable(now) || s.void {
		return false
	}
	c := s.Clone()
	c.advance(now)
	for i := range c.count {
		if !c.at(i).full(now, s.wall) {
			return false
		}
	}
	return c.adapt.most == 0
}
