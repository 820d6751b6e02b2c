package pacer

import (
	"encoding/binary"
	"errors"
	"time"
)

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

var errNoGCRA = errors.New("not the state of a limit")

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

// of reports whether i has a fraction that l can count.
func (i instant) of(l Limit) bool { return i.num >= 0 && i.num < max(l.Events, 1) }

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
