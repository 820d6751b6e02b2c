package dynamostore

import (
	"sync"
	"time"
)

// A clock is that of this host, corrected where it is certain that it is wrong.
//
// DynamoDB tells its time with each answer, in whole seconds. With D the time told, s when the request was sent and r when the answer
// was here, both on the clock of the host, the clock of the server is ahead of it by something in [D - r, D + 1 s - s]. What all answers
// have in common is narrower, in the end about a round trip. As long as 0 lies within, nothing is known to be wrong, and hosts that
// synchronize their clocks agree better than this could tell. Otherwise the lower bound is added: such a client is late by as much as
// is not known, and not early.
type clock struct {
	now   func() time.Time // that of the host
	start time.Time

	mu     sync.Mutex
	some   bool
	lo, hi time.Duration // what the server is ahead
	as     time.Time     // as of when
}

// drift is how far clocks may run apart in a second.
const drift = time.Second / 5000

func newClock(now func() time.Time) *clock {
	return &clock{now: now, start: now()}
}

// read returns the time in ns since 1970, and the time of the host which that is.
func (c *clock) read() (ns int64, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at = c.now()
	return c.host(at).Add(c.offset()).UnixNano(), at
}

// host returns the wall clock as of the start and what has passed since, whatever it was set to meanwhile.
func (c *clock) host(at time.Time) time.Time { return c.start.Round(0).Add(at.Sub(c.start)) }

func (c *clock) offset() time.Duration {
	if c.some && (c.lo > 0 || c.hi < 0) {
		return c.lo
	}
	return 0
}

// hear takes in what an answer said.
func (c *clock) hear(date, sent, received time.Time) {
	if date.IsZero() || received.Before(sent) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	lo, hi := date.Sub(c.host(received)), date.Add(time.Second).Sub(c.host(sent))
	if c.some {
		wider := time.Duration(received.Sub(c.as).Seconds() * float64(drift))
		if l, h := max(lo, c.lo-wider), min(hi, c.hi+wider); l <= h { // else one of them was set, or the host was suspended
			lo, hi = l, h
		}
	}
	c.some, c.lo, c.hi, c.as = true, lo, hi, received
}

// skew returns what this host is ahead of the server, at the least and at the most; false if that is not known.
func (c *clock) skew() (least, most time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return -c.hi, -c.lo, c.some
}
