package pacer

import (
	"math"
	"time"
)

// Feedback is what is known when the remote has throttled an attempt: it answered that it wants fewer.
type Feedback struct {
	After    time.Duration // how long the remote asks to be left alone (Retry-After, the time of a reset); 0: it did not say
	Backoff  time.Duration // the cooldown of a first event where it did not say; doubles with each that follows soon (0: 1 s)
	Most     time.Duration // bounds the cooldown, whatever the remote says (0: 1 h)
	Adaptive bool          // cut the rate of the key, too; it recovers by itself
}

// A Cooldown is what came of a Feedback.
type Cooldown struct {
	Until  time.Time     // no grants before; the zero time: none
	Length time.Duration // from now
	New    bool          // whether it was a new event, and not known already when the attempt that was throttled was granted
	Rate   Limit         // the limit in force after it: the one that was set, unless that is cut
}

// What a Feedback that does not say has.
const (
	defaultBackoff = time.Second
	defaultMost    = time.Hour
)

// A cooling is what the remote has said, and what a person has: the part of a Schedule that knows no rate.
//
//	event    attempts are throttled: the first that is reported, and all that had been granted by then
//	row      events that follow each other: the next begins no later after the end of a cooldown than that was long
//	length   After, or Backoff*2^(n-1) at the n-th event of a row, half of it fixed and half random; at most Most
//	until    max(until, now + length): of several reports the longest holds, and not their sum
//
// Nothing is reported when an attempt goes well. So a grant costs no more than without feedback, and what was said wears
// off by time alone.
type cooling struct {
	until   int64  // no grants before, in ns; 0 is none
	length  int64  // how long the cooldown was when until was set, in ns
	event   int64  // when the last event was recorded
	row     int64  // how many events the row has
	events  uint64 // how many there have been
	pending bool   // no grant was made since until was set: the bucket was not yet emptied then
	paused  bool
}

// known reports whether an attempt that was granted at slot could not know of the last event.
func (c *cooling) known(slot int64) bool { return c.events > 0 && slot <= c.event }

// throttled records that an attempt was throttled that had been granted at slot. It reports whether that is a new event. One of
// an event that is known can prolong its cooldown if the remote said for how long, and no more: fifty attempts that were
// under way together are one event.
func (c *cooling) throttled(now, slot int64, f Feedback, random uint64) (isNew bool) {
	most := orElse(f.Most, defaultMost)
	isNew = !c.known(slot)
	if isNew {
		if c.row == 0 || now-c.until > c.length {
			c.row = 0
		}
		c.row++
		c.events++
		c.event = now
	}
	length := int64(0)
	switch {
	case f.After > 0:
		length = int64(min(f.After, most))
	case isNew:
		d := int64(most)
		if backoff, shift := int64(orElse(f.Backoff, defaultBackoff)), c.row-1; shift < 62 && backoff <= d>>shift {
			d = backoff << shift
		}
		length = d - d/2 + int64(random%uint64(d/2+1))
	}
	if until := later(now, length); until > max(c.until, now) {
		c.hold(until, length)
	}
	return isNew
}

func (c *cooling) hold(until, length int64) { c.until, c.length, c.pending = until, length, true }

// cool makes the cooldown end d from now, whatever it was. A d of 0 ends it, and the row.
func (c *cooling) cool(now, d int64) {
	switch {
	case d > 0:
		c.hold(later(now, d), d)
	case c.until > now:
		c.hold(now, 0)
		c.row = 0
	default:
		c.row = 0
	}
}

// Until returns when the cooldown ends, and false if there is none at now.
func (c *cooling) Until(now int64) (at int64, ok bool) { return c.until, c.until > now }

// Paused reports whether there are no grants until somebody resumes.
func (c *cooling) Paused() bool { return c.paused }

// Events returns how many events there have been.
func (c *cooling) Events() uint64 { return c.events }

func orElse(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// later returns a + b, or the end of time where that is later, for b >= 0.
func later(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
