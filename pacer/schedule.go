package pacer

import (
	"math"
	"time"
)

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
// Like a GCRA it knows no clock. What is due by now must have been taken before anything else is done to it. A copy of it
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
	s.plain = s.count == 1 && !l.Algorithm.isWindow() && l.Events > 0 && !s.void && !s.paused && !s.pending && s.adapt.most == 0
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

// Ring returns what the i-th limit remembers, if it is a sliding window, otherwise nil.
func (s *Schedule) Ring(i int) *Ring { return s.at(i).ring }

// HasRing reports whether a limit is a sliding window.
func (s *Schedule) HasRing() bool {
	for i := range s.count {
		if s.at(i).ring != nil {
			return true
		}
	}
	return false
}

// Recall gives the ring of the i-th limit its runs, where UnmarshalBinary has left the newest only: from known, which was its ring
// before, and may be nil. Known is no longer to be used. It returns the positions that are missing still.
func (s *Schedule) Recall(i int, known *Ring) (from, to uint64) {
	r := s.at(i).ring
	if r.end-r.first < 2 {
		return 0, 0
	}
	newest := r.newest()
	from, to = r.first, r.end-1
	if known != nil && known.first <= r.first && r.first < known.end && known.end <= r.end {
		from = known.end - 1 // the newest may have got more units since, or have been another one
		r.runs = known.runs
		have := known.end - r.first
		if places := placesFor(r.end - r.first); places > uint64(len(r.runs)) {
			runs := make([]run, places)
			for at := r.first; at < r.first+have; at++ {
				runs[at&(places-1)] = known.run(at)
			}
			r.runs = runs
		}
		if known.end == r.end {
			from = to
		}
	} else {
		r.runs = make([]run, placesFor(r.end-r.first))
	}
	r.set(r.end-1, newest)
	return from, to
}

// Forget has the i-th limit, a sliding window, remember nothing.
func (s *Schedule) Forget(i int) { s.at(i).ring = &Ring{} }

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
		return s.one.gcra.Slot(max(t, s.since), n)
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
			if at, _ := g.Slot(now, n); at > now {
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
	if s.count == 1 && !s.one.set.Algorithm.isWindow() { // units come in one run
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

// stepped returns the slot of n units by one limit, over the steps of the adaptation.
//
// The units of a bucket are on account now, at the rate in force at t. What they take longer than up to a step they take at the
// rate of that. As they are whole, it makes no difference whether they are put on account before it, or behind. A window has
// room for more, or fewer, from a step on.
func (s *Schedule) stepped(m *meter, t, n int64) int64 {
	c, a := *m, s.adapt // a ring is read only
	at, _ := c.slot(t, n, s.wall)
	bucket := !c.set.Algorithm.isWindow()
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
		if m := s.at(i); !m.set.Algorithm.isWindow() {
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
		if m.set.Algorithm.isWindow() {
			m.take(step, n, at, s.wall)
		} else {
			m.take(t, n, at, s.wall)
		}
	}
	s.last, s.any = at, true
	return at, true
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
		if m := s.at(i); !m.set.Algorithm.isWindow() && m.gcra.tat.ns >= b {
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

// Empty leaves nothing at t: each limit is as if all that it can grant at once had been granted then. It never fills one.
func (s *Schedule) Empty(t int64) {
	for i := range s.count {
		s.at(i).empty(t, s.wall)
	}
	if !s.any || s.last < t {
		s.last, s.any = t, true
	}
}

// SetLimit makes it the only limit, as SetLimits does.
func (s *Schedule) SetLimit(now int64, to Limit) { s.SetLimits(now, Limits{to}) }

// SetLimits changes the limits at now. It ends an adaptation: who sets a limit wants that one. A cooldown stays.
//
// What has been granted stays granted. A limit takes over what one of the same algorithm has counted, of the same period
// rather than of another: a bucket keeps its units, up to the new burst, and a window what lies in it, so that one that is
// raised has room at once, and one that is lowered has none until enough has left it. For a limit that is new among them
// counts what is remembered of the last grants.
func (s *Schedule) SetLimits(now int64, to Limits) {
	s.advance(now)
	s.adapt = adaptation{}
	s.set(now, to)
}

// Restrict is SetLimits, and an adaptation goes on: each limit in force becomes the same part of the new limit as it is of the
// old one.
func (s *Schedule) Restrict(now int64, to Limits) {
	s.advance(now)
	s.set(now, to)
	switch {
	case s.adapt.most == 0:
	case s.adaptable():
		for i := range s.count {
			s.at(i).scale(now, s.adapt.now())
		}
	default:
		s.adapt = adaptation{}
	}
	s.plainly()
}

// set makes to the limits. One that is not in force as a whole is so afterwards.
func (s *Schedule) set(now int64, to Limits) {
	if s.count == 1 && len(to) == 1 && s.one.set.kin(to[0]) > 0 {
		if s.one.limit != to[0] {
			s.since = max(s.since, now)
		}
		s.one.adopt(now, to[0], s.wall)
		s.know()
		return
	}
	old := make([]*meter, s.count)
	var known []run
	units := int64(0)
	for i := range old {
		m := s.at(i).fork()
		if m.ring != nil {
			m.ring = s.at(i).ring
		}
		old[i] = &m
		runs := m.remembered(now, s.last)
		n := int64(0)
		for _, r := range runs {
			n += r.n
		}
		if n > units {
			known, units = runs, n
		}
	}
	if s.any && units == 0 {
		known = []run{{s.last, 1}}
	}
	s.since = max(s.since, now)
	s.become(to)
	taken := make([]bool, len(to))
	for kin := 3; kin > 0; kin-- {
		for i := range taken {
			for k, m := range old {
				if !taken[i] && m != nil && m.set.kin(to[i]) == kin {
					*s.at(i) = *m
					s.at(i).adopt(now, to[i], s.wall)
					taken[i], old[k] = true, nil
				}
			}
		}
	}
	for i := range taken {
		if !taken[i] {
			s.at(i).remember(known, now, s.wall)
			s.at(i).gcra.since = now
		}
	}
	s.know()
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
	s.plainly()
}

// SetPaused pauses, or resumes. What comes into the bucket meanwhile stays in it.
func (s *Schedule) SetPaused(now int64, paused bool) {
	if s.paused && !paused {
		s.since = max(s.since, now)
	}
	s.paused = paused
	s.plainly()
}

// Restart makes the state one of another clock, on which it is known only that the last grant was at at or before. A bucket counts
// as empty as of then, and a window has all of its grants that much later than they may have been. The rate is no longer cut.
// The cooldown, of which that much is left at now, stays, and so does a pause.
func (s *Schedule) Restart(now, at int64, left time.Duration) {
	to := NewSchedule(s.Limits()...)
	to.wall = s.wall
	for i := range s.count {
		from, m := s.at(i), to.at(i)
		switch d := at - s.last; {
		case !m.set.Algorithm.isWindow():
			m.gcra.Empty(at)
		case !s.any:
		case m.ring != nil:
			m.ring = &Ring{}
			*m.ring = *from.ring
			m.ring.Rebase(0) // it is another one
			m.ring.shift(d)
		case m.cal != nil && from.win.end > 0: // the calendar goes on
			m.win = from.win
			m.win.end = min(max(from.win.wall-s.wall, now), now+from.win.end-from.win.start)
			m.win.start = min(at, now, m.win.end)
		case from.win.end > 0:
			m.win = from.win
			m.win.start, m.win.end = from.win.start+d, max(from.win.end+d, 1)
		}
	}
	to.last, to.any = at, true
	to.cooling = cooling{row: s.row, events: s.events, paused: s.paused, length: s.length}
	if d := min(int64(left), s.length); d > 0 {
		to.hold(later(now, d), s.length)
	}
	to.plainly()
	*s = to
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

// A Usage is how much of a limit is used up.
type Usage struct {
	Limit     Limit         // in force
	Quota     int64         // what can be granted at once, when nothing is used up: the burst, or the N of a window; 0: any number
	Remaining int64         // of that, now
	Reset     time.Duration // until there is more than that; 0 if nothing is used up
}

// Usage returns how much of each limit is used up at now. Those who wait are no part of it.
func (s *Schedule) Usage(now int64) []Usage {
	c := s.Clone()
	c.advance(now)
	usage := make([]Usage, c.count)
	for i := range usage {
		if s.void { // nothing is left: nothing is granted
			usage[i] = Usage{Limit: c.at(i).limit, Quota: c.at(i).limit.most()}
			continue
		}
		usage[i] = c.at(i).usage(now, c.wall)
	}
	return usage
}

func (m *meter) usage(now, wall int64) Usage {
	u := Usage{Limit: m.limit}
	if m.limit.Events <= 0 || m.open() {
		return u
	}
	u.Quota = m.limit.most()
	lo, hi := int64(0), u.Quota // so many can be granted now
	for lo < hi {
		n := lo + (hi-lo+1)/2
		if at, _ := m.slot(now, n, wall); at <= now {
			lo = n
		} else {
			hi = n - 1
		}
	}
	u.Remaining = lo
	if lo < u.Quota {
		at, _ := m.slot(now, lo+1, wall)
		u.Reset = time.Duration(at - now)
	}
	return u
}
