package pacer

import (
	"encoding/binary"
	"errors"
	"time"
)

var errNoSchedule = errors.New("not the state of a limit")

// A Schedule is its head, what was said where anything was, and its limits, each with its zone and state. What most have
// not is left out, so that what is written at each grant is short. Of a sliding window there is no run but the newest.
const (
	scheduleHead = 4 * 8
	saidSize     = 10 * 8
	meterHead    = 4 * 8
	meterMost    = meterHead + 7*8 // of a bucket whose rate was zero, or of a window with its zone
)

// What the first number of a Schedule says.
const (
	flagPending = 1
	flagPaused  = 2
	flagAny     = 4
	flagSaid    = 8 // there is a part for what was said
	flagsKnown  = 15
	countShift  = 8
)

// What the last number in the head of a limit says.
const (
	alignShift = 8
	flagZone   = 1 << 16
	flagOld    = 1 << 17 // of a bucket: its rate is zero, and there is what it was before
	tagMost    = 1<<18 - 1
)

// AppendBinary appends the state to b: 112 bytes, and 88 for each limit, at the most. What a sliding window remembers but its newest run
// is not part of them. The error is always nil.
func (s *Schedule) AppendBinary(b []byte) ([]byte, error) {
	said := s.said()
	flags := flagPending*boolInt(s.pending) | flagPaused*boolInt(s.paused) | flagAny*boolInt(s.any) | int64(s.count)<<countShift
	if said != [len(said)]int64{} {
		flags |= flagSaid
	}
	b = appendInts(b, flags, s.since, s.last, s.wall)
	if flags&flagSaid != 0 {
		b = appendInts(b, said[:]...)
	}
	for i := range s.count {
		b = s.at(i).appendBinary(b)
	}
	return b, nil
}

// said returns what was said.
func (s *Schedule) said() [saidSize / 8]int64 {
	return [...]int64{
		s.until, s.length, s.event, s.row, int64(s.events),
		s.adapt.most, s.adapt.least, s.adapt.start, s.adapt.tick, s.adapt.step,
	}
}

func (m *meter) appendBinary(b []byte) []byte {
	g := &m.gcra
	tag := int64(m.set.Algorithm) | int64(m.set.Align)<<alignShift
	if m.set.Zone != "" {
		tag |= flagZone
	}
	if m.hasOld() {
		tag |= flagOld
	}
	b = appendInts(b, m.set.Events, int64(m.set.Per), m.set.Burst, tag)
	if m.set.Zone != "" {
		var zone [zoneMost]byte
		copy(zone[:], m.set.Zone)
		b = append(b, zone[:]...)
	}
	switch r := m.ring; {
	case r != nil && r.end > r.first:
		return appendInts(b, int64(r.first), int64(r.end), r.total, r.newest().at, r.newest().n, r.begin)
	case r != nil:
		return appendInts(b, int64(r.first), int64(r.end), r.total, 0, 0, 0)
	case m.set.Algorithm == FixedWindow:
		return appendInts(b, m.win.start, m.win.end, m.win.count, m.win.wall)
	}
	b = appendInts(b, g.tat.ns, g.tat.num)
	if m.hasOld() {
		b = appendInts(b, g.debt.ns, g.debt.num, g.old.Events, int64(g.old.Per), g.old.Burst)
	}
	return b
}

// hasOld reports whether it is a bucket that remembers a rate it had before.
func (m *meter) hasOld() bool {
	return !m.set.Algorithm.IsWindow() && (m.gcra.debt != instant{} || m.gcra.old != Limit{})
}

func appendInts(b []byte, ints ...int64) []byte {
	for _, v := range ints {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// A reader reads numbers. Behind the end there are zeros, and it is short.
type reader struct {
	b     []byte
	short bool
}

func (r *reader) next() int64 {
	if len(r.b) < 8 {
		r.short = true
		return 0
	}
	v := int64(binary.LittleEndian.Uint64(r.b))
	r.b = r.b[8:]
	return v
}

// text reads a text of so many bytes, which ends with the first zero. It is not ok if anything else is behind that.
func (r *reader) text(size int) (text string, ok bool) {
	if len(r.b) < size {
		r.short = true
		return "", false
	}
	b := r.b[:size]
	r.b = r.b[size:]
	n := 0
	for n < size && b[n] != 0 {
		n++
	}
	return string(b[:n]), allZero(b[n:])
}

// UnmarshalBinary sets the state to what AppendBinary has made of one. Bytes that can't be one are an error, and leave the zero
// Schedule. Where there are sliding windows that remember more than one run, these have to be given back, see Recall. A time zone that
// is not known here is no such error, but that of Err.
func (s *Schedule) UnmarshalBinary(b []byte) error {
	if !s.parse(b) {
		*s = Schedule{}
		return errNoSchedule
	}
	s.know()
	return nil
}

func (s *Schedule) parse(b []byte) bool {
	r := reader{b: b}
	flags := r.next()
	s.count = int(flags >> countShift)
	if flags < 0 || flags&(1<<countShift-1)&^flagsKnown != 0 || s.count > LimitsMost {
		return false
	}
	s.since, s.last, s.wall, s.any = r.next(), r.next(), r.next(), flags&flagAny != 0
	s.cooling = cooling{pending: flags&flagPending != 0, paused: flags&flagPaused != 0}
	s.adapt = adaptation{}
	if flags&flagSaid != 0 {
		s.until, s.length, s.event, s.row, s.events = r.next(), r.next(), r.next(), r.next(), uint64(r.next())
		s.adapt = adaptation{most: r.next(), least: r.next(), start: r.next(), tick: r.next(), step: r.next()}
		if s.until|s.length|s.event|s.row|int64(s.events) == 0 && s.adapt == (adaptation{}) {
			return false
		}
	}
	if min(s.until, s.length, s.event, s.row) < 0 || !s.any && s.last != 0 || s.adapt != (adaptation{}) && !s.adapt.valid() {
		return false
	}
	s.more = nil
	if s.count > 1 {
		s.more = make([]meter, s.count-1)
	}
	for i := range s.count {
		if !s.at(i).parse(&r, s) {
			return false
		}
	}
	return !r.short && len(r.b) == 0 && (s.adapt.most == 0 || s.adaptable())
}

// parse reads a meter, and reports whether it can be one of s.
func (m *meter) parse(r *reader, s *Schedule) bool {
	*m = meter{}
	m.set.Events, m.set.Per, m.set.Burst = r.next(), time.Duration(r.next()), r.next()
	tag := r.next()
	if tag < 0 || tag > tagMost {
		return false
	}
	m.set.Algorithm, m.set.Align = Algorithm(tag), Align(tag>>alignShift)
	if tag&flagZone != 0 {
		var ok bool
		if m.set.Zone, ok = r.text(zoneMost); !ok || m.set.Zone == "" {
			return false
		}
		_, err := zoneOf(m.set.Zone)
		m.void = err != nil
	}
	if r.short || m.set.check() != nil || tag&flagOld != 0 && m.set.Algorithm.IsWindow() {
		return false
	}
	m.limit = m.set
	if s.adapt.most > 0 {
		m.limit = m.set.scaled(s.adapt.now())
	}
	switch m.set.Algorithm {
	case SlidingWindow:
		return m.parseRing(r)
	case FixedWindow:
		m.cal = newCalendar(m.set)
		m.win = fixed{start: r.next(), end: r.next(), count: r.next(), wall: r.next()}
		return m.win.count >= 0 && m.win.end >= m.win.start
	}
	g := &m.gcra
	g.limit = m.limit.bucket()
	g.tat.ns, g.tat.num = r.next(), r.next()
	g.since, g.last, g.any = s.since, s.last, s.any
	if tag&flagOld != 0 {
		g.debt.ns, g.debt.num = r.next(), r.next()
		g.old = Limit{Events: r.next(), Per: time.Duration(r.next()), Burst: r.next()}
		if g.old.Validate() != nil || !g.debt.of(g.old) || !m.hasOld() {
			return false
		}
	}
	return g.tat.of(g.limit)
}

// parseRing reads what is known of a sliding window: how much there is in it, and its newest run.
func (m *meter) parseRing(r *reader) bool {
	ring := &Ring{first: uint64(r.next()), end: uint64(r.next()), total: r.next()}
	newest := run{r.next(), r.next()}
	ring.begin = r.next()
	k := ring.end - ring.first
	switch {
	case int64(ring.first) < 0, int64(ring.end) < 0, ring.end < ring.first, k > RunsMost, ring.total < 0, (k == 0) != (ring.total == 0):
		return false
	case k == 0 && (newest != run{} || ring.begin != 0):
		return false
	case k > 0 && (newest.n <= 0 || newest.n > ring.total || ring.begin > newest.at), k == 1 && newest.n != ring.total:
		return false
	}
	if k > 0 {
		ring.runs = make([]run, 1, 8)
		ring.runs[0] = newest // of a ring with one place every position is it
	}
	m.ring = ring
	return true
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// valid reports whether a may be an adaptation.
func (a adaptation) valid() bool {
	return floor <= a.least && a.least < a.most && a.most <= whole &&
		0 < a.tick && a.tick <= mostTick && 0 <= a.step && a.step < mostSteps && a.at(a.step) < whole && a.start >= -a.step*a.tick
}

// of reports whether i has a fraction that l can count.
func (i instant) of(l Limit) bool { return i.num >= 0 && i.num < max(l.Events, 1) }

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
