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

// ScheduleSize is the length of a Schedule as bytes.
const ScheduleSize = GCRASize + 14*8

const (
	flagPending = 1
	flagPaused  = 2
)

// AppendBinary appends the state to b as ScheduleSize bytes. The error is always nil.
func (s *Schedule) AppendBinary(b []byte) ([]byte, error) {
	b, err := s.gcra.AppendBinary(b)
	for _, v := range [...]int64{
		s.limit.Events, int64(s.limit.Per), s.limit.Burst,
		s.until, s.length, s.event, s.row, int64(s.events), flagPending*boolInt(s.pending) | flagPaused*boolInt(s.paused),
		s.adapt.most, s.adapt.least, s.adapt.start, s.adapt.tick, s.adapt.step,
	} {
		b = binary.LittleEndian.AppendUint64(b, uint64(v))
	}
	return b, err
}

// UnmarshalBinary sets the state to what AppendBinary has made of one. Bytes that can't be one are an error, and leave it
// as it was.
func (s *Schedule) UnmarshalBinary(b []byte) error {
	if len(b) != ScheduleSize {
		return errNoGCRA
	}
	var to Schedule
	if err := to.gcra.UnmarshalBinary(b[:GCRASize]); err != nil {
		return err
	}
	b = b[GCRASize:]
	next := func() int64 {
		v := int64(binary.LittleEndian.Uint64(b))
		b = b[8:]
		return v
	}
	to.limit = Limit{Events: next(), Per: time.Duration(next()), Burst: next()}
	to.cooling = cooling{until: next(), length: next(), event: next(), row: next(), events: uint64(next())}
	flags := next()
	to.pending, to.paused = flags&flagPending != 0, flags&flagPaused != 0
	to.adapt = adaptation{most: next(), least: next(), start: next(), tick: next(), step: next()}
	if to.limit.Validate() != nil || flags&^(flagPending|flagPaused) != 0 || min(to.until, to.length, to.event, to.row) < 0 ||
		!to.adapt.of(to.limit) || to.gcra.limit != to.limit.scaled(to.adapt.now()) {
		return errNoGCRA
	}
	*s = to
	return nil
}

// of reports whether a may be an adaptation of a limit, or none.
func (a adaptation) of(l Limit) bool {
	if a.most == 0 {
		return a == adaptation{}
	}
	return l.Events > 0 && l.Per > 0 && floor <= a.least && a.least < a.most && a.most <= whole &&
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
