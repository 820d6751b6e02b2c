package pacer

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// zones has those that were loaded, by name: the package time reads the file of one each time, and they are needed at each grant.
var zones sync.Map //nolint:gochecknoglobals // what a name means is the same for all

var errLocal = errors.New(`zone "Local" is another one for each process that has the limit: give its name, such as Europe/Berlin`)

// zoneOf returns the time zone of a name; "" is UTC.
func zoneOf(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	if name == "Local" {
		return nil, errLocal
	}
	if zone, ok := zones.Load(name); ok {
		return zone.(*time.Location), nil //nolint:forcetypeassert // there is nothing else in it
	}
	zone, err := time.LoadLocation(name)
	if err != nil { // which is not kept, as there is no end to names that are none
		return nil, fmt.Errorf("zone %q is not known here: it is the name of a time zone, such as Europe/Berlin", name)
	}
	zones.Store(name, zone)
	return zone, nil
}

// A calendar says when windows begin that are those of clocks and calendars in a time zone.
type calendar struct {
	align Align
	zone  *time.Location
}

// newCalendar returns the calendar of a limit, or nil if it has none.
func newCalendar(l Limit) *calendar {
	if l.Algorithm != FixedWindow || l.Align == AtFirstUse {
		return nil
	}
	zone, err := zoneOf(l.Zone)
	if err != nil {
		zone = time.UTC // for the arithmetic: of a Schedule with such a limit there is no slot
	}
	return &calendar{l.Align, zone}
}

// next returns the first instant after t, in ns since 1970, at which a window begins.
//
// An hour or a minute begins whenever a clock in the zone shows a whole one, also if it does so again as it was put back. A
// day, a week and a month begin once: a day has 23, 24 or 25 hours, and begins later than at midnight where there is none.
func (c *calendar) next(t int64) int64 {
	at := time.Unix(0, t).In(c.zone)
	before := c.index(at)
	for range 8 { // changes of the clock until then: one, as a rule
		_, offset := at.Zone()
		candidate := c.start(before + 1).Add(-time.Duration(offset) * time.Second)
		_, changed := at.ZoneBounds()
		if changed.IsZero() || candidate.Before(changed) {
			return candidate.UnixNano()
		}
		at = changed.In(c.zone)
		switch index := c.index(at); {
		case index > before:
			return at.UnixNano()
		case c.align <= AtHour && c.start(index).Equal(local(at)): // it was put back to a whole one
			return at.UnixNano()
		case c.align <= AtHour:
			before = index
		}
	}
	return at.UnixNano()
}

// local returns what a clock shows at t, as a time in UTC.
func local(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// index returns the number of the window that t is in, counted from any one on.
func (c *calendar) index(t time.Time) int64 {
	l := local(t)
	switch c.align {
	case AtMonth:
		return int64(l.Year())*12 + int64(l.Month()) - 1
	case AtWeek:
		return floorDiv(l.Unix()+3*86400, 7*86400) // 1970 began on a Thursday
	case AtDay:
		return floorDiv(l.Unix(), 86400)
	case AtHour:
		return floorDiv(l.Unix(), 3600)
	}
	return floorDiv(l.Unix(), 60)
}

// start returns what a clock shows at the start of a window, as a time in UTC.
func (c *calendar) start(index int64) time.Time {
	switch c.align {
	case AtMonth:
		return time.Date(int(floorDiv(index, 12)), time.Month(index-floorDiv(index, 12)*12+1), 1, 0, 0, 0, 0, time.UTC)
	case AtWeek:
		return time.Unix(index*7*86400-3*86400, 0).UTC()
	case AtDay:
		return time.Unix(index*86400, 0).UTC()
	case AtHour:
		return time.Unix(index*3600, 0).UTC()
	}
	return time.Unix(index*60, 0).UTC()
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
