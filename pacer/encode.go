package pacer

import (
	"encoding/binary"
	"errors"
	"time"
)

var errNoGCRA = errors.New("not the state of a limit")

// GCRASize is the length of a GCRA as bytes.
const GCRASize = 13 * 8

// AppendBinary appends the state to b as GCRASize bytes. The error is always nil.
func (g *GCRA) AppendBinary(b []byte) ([]byte, error) {
	for _, v := range [...]int64{
		g.limit.Events, int64(g.limit.Per), g.limit.Burst,
		g.tat.ns, g.tat.num,
		g.since, g.last, boolInt(g.any),
		g.debt.ns, g.debt.num,
		g.old.Events, int64(g.old.Per), g.old.Burst,
	} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return b, nil
}

// UnmarshalBinary sets the state to what AppendBinary has made of one. Bytes that can't be one are an error, and leave
// it as it was.
func (g *GCRA) UnmarshalBinary(b []byte) error {
	if len(b) != GCRASize {
		return errNoGCRA
	}
	next := func() int64 {
		v := int64(binary.LittleEndian.Uint64(b))
		b = b[8:]
		return v
	}
	limit := func() Limit { return Limit{Events: next(), Per: time.Duration(next()), Burst: next()} }
	var to GCRA
	to.limit = limit()
	to.tat = instant{next(), next()}
	to.since, to.last = next(), next()
	granted := next()
	to.any = granted == 1
	to.debt = instant{next(), next()}
	to.old = limit()
	if to.limit.Validate() != nil || to.old.Validate() != nil || granted != boolInt(to.any) ||
		!to.tat.of(to.limit) || !to.debt.of(to.old) {
		return errNoGCRA
	}
	*g = to
	return nil
}

// A Schedule of n limits is scheduleHead + n*meterSize bytes, without the runs of sliding windows but the newest.
const (
	scheduleHead = 15 * 8
	meterSize    = 4*8 + zoneMost + meterState
	meterState   = 7 * 8
)

// ScheduleSize returns the length as bytes of a Schedule with so many limits.
func ScheduleSize(limits int) int { return scheduleHead + limits*meterSize }

const (
	flagPending = 1
	flagPaused  = 2
	flagAny     = 4
	flagsKnown  = 7
	countShift  = 8
)

// AppendBinary appends the state to b as ScheduleSize bytes. What a sliding window remembers but its newest run is not part of
// them. The error is always nil.
func (s *Schedule) AppendBinary(b []byte) ([]byte, error) {
	flags := flagPending*boolInt(s.pending) | flagPaused*boolInt(s.paused) | flagAny*boolInt(s.any) | int64(s.count)<<countShift
	for _, v := range [...]int64{
		flags, s.since, s.last, s.wall,
		s.until, s.length, s.event, s.row, int64(s.events),
		s.adapt.most, s.adapt.least, s.adapt.start, s.adapt.tick, s.adapt.step, 0,
	} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	for i := range s.count {
		b = s.at(i).appendBinary(b)
	}
	return b, nil
}

func (m *meter) appendBinary(b []byte) []byte {
	for _, v := range [...]int64{m.set.Events, int64(m.set.Per), m.set.Burst, int64(m.set.Algorithm) | int64(m.set.Align)<<8} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	var zone [zoneMost]byte
	copy(zone[:], m.set.Zone)
	b = append(b, zone[:]...)
	var state [7]int64
	switch r := m.ring; {
	case r != nil:
		state = [...]int64{int64(r.first), int64(r.end), r.total, 0, 0, 0, 0}
		if r.end > r.first {
			state[3], state[4], state[5] = r.newest().at, r.newest().n, r.begin
		}
	case m.set.Algorithm == FixedWindow:
		state = [...]int64{m.win.start, m.win.end, m.win.count, m.win.wall, 0, 0, 0}
	default:
		g := &m.gcra
		state = [...]int64{g.tat.ns, g.tat.num, g.debt.ns, g.debt.num, g.old.Events, int64(g.old.Per), g.old.Burst}
	}
	for _, v := range state {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// A reader reads numbers.
type reader []byte

func (r *reader) next() int64 {
	v := int64(binary.LittleEndian.Uint64(*r))
	*r = (*r)[8:]
	return v
}

// UnmarshalBinary sets the state to what AppendBinary has made of one. Bytes that can't be one are an error, and leave the zero
// Schedule. Where there are sliding windows that remember more than one run, these have to be given back, see Recall.
func (s *Schedule) UnmarshalBinary(b []byte) error {
	if !s.parse(b) {
		*s = Schedule{}
		return errNoGCRA
	}
	s.know()
	return nil
}

func (s *Schedule) parse(b []byte) bool {
	if len(b) < scheduleHead {
		return false
	}
	r := reader(b)
	flags := r.next()
	s.count = int(flags >> countShift)
	if flags < 0 || flags&(1<<countShift-1)&^flagsKnown != 0 || s.count > LimitsMost || len(b) != ScheduleSize(s.count) {
		return false
	}
	s.pending, s.paused, s.any = flags&flagPending != 0, flags&flagPaused != 0, flags&flagAny != 0
	s.since, s.last, s.wall = r.next(), r.next(), r.next()
	s.until, s.length, s.event, s.row, s.events = r.next(), r.next(), r.next(), r.next(), uint64(r.next())
	s.adapt = adaptation{most: r.next(), least: r.next(), start: r.next(), tick: r.next(), step: r.next()}
	if r.next() != 0 || min(s.until, s.length, s.event, s.row) < 0 || !s.any && s.last != 0 || s.adapt != (adaptation{}) && !s.adapt.valid() {
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
	return s.adapt.most == 0 || s.adaptable()
}

// parse reads a meter, and reports whether it can be one of s.
func (m *meter) parse(r *reader, s *Schedule) bool {
	*m = meter{}
	m.set = Limit{Events: r.next(), Per: time.Duration(r.next()), Burst: r.next()}
	tag := r.next()
	m.set.Algorithm, m.set.Align = Algorithm(tag), Align(tag>>8)
	zone := (*r)[:zoneMost]
	*r = (*r)[zoneMost:]
	n := 0
	for n < zoneMost && zone[n] != 0 {
		n++
	}
	if tag>>16 != 0 || !allZero(zone[n:]) {
		return false
	}
	if n > 0 {
		m.set.Zone = string(zone[:n])
	}
	if m.set.Validate() != nil {
		return false
	}
	var v [7]int64
	for i := range v {
		v[i] = r.next()
	}
	m.limit = m.set
	if s.adapt.most > 0 {
		m.limit = m.set.scaled(s.adapt.now())
	}
	switch m.set.Algorithm {
	case SlidingWindow:
		m.ring = &Ring{first: uint64(v[0]), end: uint64(v[1]), total: v[2], begin: v[5]}
		k := m.ring.end - m.ring.first
		if v[6] != 0 || v[2] < 0 || v[0] < 0 || v[1] < v[0] || k > RunsMost || (k == 0) != (v[2] == 0) || v[4] < 0 || v[4] > v[2] ||
			k == 0 && (v[3]|v[4]|v[5]) != 0 || k == 1 && v[4] != v[2] || k > 0 && (v[4] == 0 || v[5] > v[3]) {
			return false
		}
		if k > 0 {
			m.ring.runs = make([]run, 1, 8)
			m.ring.runs[0] = run{v[3], v[4]} // the newest: of a ring with one place every position is it
		}
	case FixedWindow:
		m.cal = newCalendar(m.set)
		m.win = fixed{start: v[0], end: v[1], count: v[2], wall: v[3]}
		if v[2] < 0 || v[4]|v[5]|v[6] != 0 || v[1] < v[0] {
			return false
		}
	default:
		g := &m.gcra
		g.limit = m.limit.bucket()
		g.tat, g.debt = instant{v[0], v[1]}, instant{v[2], v[3]}
		g.old = Limit{Events: v[4], Per: time.Duration(v[5]), Burst: v[6]}
		g.since, g.last, g.any = s.since, s.last, s.any
		if g.old.Validate() != nil || !g.tat.of(g.limit) || !g.debt.of(g.old) {
			return false
		}
	}
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
