package pacer

import "time"

// A meter is the state of one limit of a Schedule.
type meter struct {
	set   Limit // as it was set
	limit Limit // in force: what is left of it where feedback has cut it
	gcra  gcra  // that of a bucket
	ring  *Ring // that of a sliding window, otherwise nil
	win   fixed // that of a fixed window
	cal   *calendar
	void  bool // the limit is not valid, or its time zone not known here
}

func newMeter(l Limit) meter {
	m := meter{set: l, limit: l, cal: newCalendar(l), void: l.validate() != nil}
	switch l.Algorithm {
	case SlidingWindow:
		m.ring = &Ring{}
	case FixedWindow:
	default:
		m.gcra = newGCRA(l)
	}
	return m
}

// fork returns a copy that can be changed and shares what is large.
func (m *meter) fork() meter {
	c := *m
	if m.ring != nil {
		c.ring = m.ring.fork()
	}
	return c
}

// open reports whether it holds nobody up, whatever is granted.
func (m *meter) open() bool { return m.limit.IsUnlimited() }

func (m *meter) frame(wall int64) *frame {
	return &frame{room: m.limit.Events, per: m.limit.Per, cal: m.cal, wall: wall}
}

// slot returns the earliest instant at or after t at which n units may be granted by this limit alone, as it is now. An n above
// what it can grant at once has the slot that the last of its units would have.
func (m *meter) slot(t, n, wall int64) (at int64, ok bool) {
	switch {
	case !m.set.Algorithm.IsWindow():
		return m.gcra.slot(t, n)
	case m.limit.Events <= 0:
		return 0, false
	case m.open():
		return t, true
	case m.ring != nil:
		return m.ring.slot(t, n, m.limit.Events, m.limit.Per), true
	}
	at, _ = m.win.after(t, n, m.frame(wall))
	return at, true
}

// take makes a grant of n units, asked for at t, at an instant that is no earlier than their slot. The units of a bucket are on
// account already.
func (m *meter) take(t, n, at, wall int64) {
	switch {
	case !m.set.Algorithm.IsWindow():
		m.gcra.finish(t, n, at)
	case m.open() || m.limit.Events <= 0:
	case m.ring != nil:
		m.ring.take(t, n, at, m.limit.Events, m.limit.Per)
	default:
		m.win.take(t, n, at, m.frame(wall))
	}
}

// scale makes the limit in force a part of the one that is set, in 1/10,000, from at on.
func (m *meter) scale(at, w int64) {
	m.limit = m.set.scaled(w)
	if !m.set.Algorithm.IsWindow() {
		m.gcra.setLimit(at, m.limit)
	}
}

// full reports whether nothing that was granted holds anybody up at now, nor will.
func (m *meter) full(now, wall int64) bool {
	if m.set.Algorithm.IsWindow() && (m.ring == nil && now < m.win.end || m.ring != nil && m.ring.total > 0 && m.ring.newest().at > now-int64(m.limit.Per)) {
		return false
	}
	at, ok := m.slot(now, m.set.most(), wall)
	return ok && at <= now
}

// empty leaves nothing at t, as if all that can be granted at once had been granted then.
func (m *meter) empty(t, wall int64) {
	switch {
	case !m.set.Algorithm.IsWindow():
		m.gcra.empty(t)
	case m.limit.Events <= 0 || m.open():
	case m.ring != nil:
		t = m.ring.from(t)
		if missing := m.limit.Events - m.ring.total; missing > 0 {
			m.ring.push(t, missing, m.limit.Events, m.limit.Per)
		}
	default:
		if t >= m.win.end {
			m.win = m.win.open(t, m.frame(wall))
		}
		m.win.count = max(m.win.count, m.limit.Events)
	}
}

// remembered returns what is known of what was granted, as runs in order: those that may still hold somebody up at now.
func (m *meter) remembered(now, last int64) (runs []run) {
	switch {
	case !m.set.Algorithm.IsWindow():
		if !m.gcra.any {
			return nil
		}
		if l := m.gcra.limit; l.Events > 0 && l.Per > 0 && m.gcra.tat.ns >= last {
			debt := instant{ns: m.gcra.tat.ns - last, num: m.gcra.tat.num}
			runs = append(runs, run{last, max(1, mulDiv(debt.ceil(), l.Events, int64(l.Per)))})
		} else {
			runs = append(runs, run{last, 1})
		}
	case m.ring != nil:
		for at := m.ring.first; at < m.ring.end; at++ {
			runs = append(runs, m.ring.run(at))
		}
	case now < m.win.end:
		runs = append(runs, run{max(last, m.win.start), m.win.count})
	}
	return runs
}

// remember has what was granted under another limit count for this one.
func (m *meter) remember(runs []run, now, wall int64) {
	for _, r := range runs {
		r.at = min(r.at, now)
		r.n = min(r.n, m.set.most())
		switch l := m.limit; {
		case l.Events <= 0 || l.Per == 0:
		case m.ring != nil:
			m.ring.push(m.ring.from(r.at), r.n, l.Events, l.Per)
		case m.set.Algorithm == FixedWindow:
			if r.at >= m.win.end {
				m.win = m.win.open(r.at, m.frame(wall))
			}
			m.win.count += r.n
		default:
			m.gcra.account(r.at, r.n)
			if most := (instant{ns: r.at}).add(m.gcra.limit, m.gcra.limit.burst()); most.before(m.gcra.tat) {
				m.gcra.tat = most
			}
		}
		m.gcra.last, m.gcra.any = r.at, true
	}
}

// adopt makes the meter one of another limit of the same algorithm, at now.
func (m *meter) adopt(now int64, to Limit, wall int64) {
	from := m.set
	m.set, m.limit, m.void = to, to, to.validate() != nil
	switch {
	case !to.Algorithm.IsWindow():
		m.gcra.setLimit(now, to)
	case m.ring == nil && (from.Per != to.Per || from.Align != to.Align || from.Zone != to.Zone):
		m.cal = newCalendar(to)
		if m.win.end > 0 && to.Per > 0 { // it began when it did, and ends as the new one says
			start, count := m.win.start, m.win.count
			m.win = (&fixed{}).open(start, m.frame(wall))
			m.win.count = count
		}
	}
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
