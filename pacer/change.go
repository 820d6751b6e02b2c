package pacer

import "time"

// SetLimits changes the limits at now. It ends an adaptation: who sets a limit wants that one. A cooldown stays. Of limits that are not
// valid there is no slot, see Err.
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

// Empty leaves nothing at t: each limit is as if all that it can grant at once had been granted then. It never fills one.
func (s *Schedule) Empty(t int64) {
	for i := range s.count {
		s.at(i).empty(t, s.wall)
	}
	if !s.any || s.last < t {
		s.last, s.any = t, true
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
		case !m.set.Algorithm.IsWindow():
			m.gcra.empty(at)
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
