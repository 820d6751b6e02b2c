package pacer

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// A Limit allows Events per Per, evenly spaced: one every Per/Events. Burst is how many may be granted at one instant
// after enough idle time; 0 means 1. The rate is kept as a fraction of integers, so that it never drifts.
// The zero Limit allows no events. A Limit with Per 0 and Events above 0 allows any number.
type Limit struct {
	Events int64         // 50 in 50/s; 0 allows none
	Per    time.Duration // 1 s in 50/s; 0 with Events above 0 is no limit
	Burst  int64         // units that may be granted at once; 0 means 1
}

// Every returns the limit of one event every d. A d of 0 or less is no limit.
func Every(d time.Duration) Limit { return Per(1, d) }

// Per returns the limit of n events per d. An n of 0 or less allows none; a d of 0 or less is no limit.
func Per(n int64, d time.Duration) Limit {
	if n <= 0 {
		return Limit{}
	}
	return Limit{Events: n, Per: max(d, 0)}
}

// Unlimited returns the limit that allows any number of events.
func Unlimited() Limit { return Limit{Events: 1} }

// FromRate returns the limit of r events per second, to nine decimals, with a burst.
func FromRate(r rate.Limit, burst int) Limit {
	switch {
	case r == rate.Inf:
		return Unlimited()
	case r <= 0:
		return Limit{}
	}
	n, per := float64(r)*1e9, time.Duration(1e18)
	for n > 1e9 && per > time.Second { // keep Events and Per within an int64
		n, per = n/1e3, per/1e3
	}
	return Limit{Events: max(1, int64(math.Round(n))), Per: per, Burst: int64(burst)}.reduced()
}

// Rate returns the events per second, in the unit of golang.org/x/time/rate.
func (l Limit) Rate() rate.Limit {
	switch {
	case l.Events <= 0:
		return 0
	case l.Per <= 0:
		return rate.Inf
	}
	return rate.Limit(float64(l.Events) / l.Per.Seconds())
}

// WithBurst returns l with a burst of n.
func (l Limit) WithBurst(n int64) Limit {
	l.Burst = n
	return l
}

// IsUnlimited reports whether l allows any number of events.
func (l Limit) IsUnlimited() bool { return l.Events > 0 && l.Per == 0 }

// Validate returns an error if a field is negative.
func (l Limit) Validate() error {
	if l.Events < 0 || l.Per < 0 || l.Burst < 0 {
		return fmt.Errorf("limit %d per %v with burst %d: no part may be negative", l.Events, l.Per, l.Burst)
	}
	return nil
}

// Equal reports whether l and m allow the same: 10/s and 100/10s do, and so do a burst of 0 and of 1.
func (l Limit) Equal(m Limit) bool { return l.compareRate(m) == 0 && l.burst() == m.burst() }

// Stricter returns the limit that keeps both l and m: the lower rate with the lower burst. It is l where l does so.
func (l Limit) Stricter(m Limit) Limit {
	strict := l
	if l.compareRate(m) > 0 {
		strict = m
	}
	if l.burst() > m.burst() {
		strict.Burst = m.Burst
	} else {
		strict.Burst = l.Burst
	}
	return strict
}

// compareRate returns -1, 0 or 1 as the rate of l is below, at or above that of m.
func (l Limit) compareRate(m Limit) int {
	if l.Events <= 0 || m.Events <= 0 {
		return cmp.Compare(max(l.Events, 0), max(m.Events, 0))
	}
	// l.Events/l.Per against m.Events/m.Per
	hi1, lo1 := bits.Mul64(uint64(l.Events), uint64(max(m.Per, 0)))
	hi2, lo2 := bits.Mul64(uint64(m.Events), uint64(max(l.Per, 0)))
	return cmp.Or(cmp.Compare(hi1, hi2), cmp.Compare(lo1, lo2))
}

// CheckCost returns a *CostError if one grant of l can't cost n units: n is below 1, or above the burst and not in debt.
func (l Limit) CheckCost(n int64, debt bool) error {
	if n < 1 || !debt && l.Per > 0 && n > l.burst() {
		return &CostError{Cost: n, Burst: l.burst()}
	}
	return nil
}

// Units returns how many whole intervals of l fit into d: 50 for 50/s and a second. An unlimited l has math.MaxInt64.
func (l Limit) Units(d time.Duration) int64 {
	if l.Per <= 0 {
		if l.Events > 0 {
			return math.MaxInt64
		}
		return 0
	}
	return mulDiv(int64(d), l.Events, int64(l.Per))
}

// Interval returns Per/Events, rounded down to whole nanoseconds; 0 where there is no limit.
func (l Limit) Interval() time.Duration {
	if l.Events <= 0 {
		return math.MaxInt64
	}
	return l.Per / time.Duration(l.Events)
}

func (l Limit) burst() int64 { return max(l.Burst, 1) }

func (l Limit) reduced() Limit {
	a, b := l.Events, int64(l.Per)
	for b != 0 {
		a, b = b, a%b
	}
	l.Events /= a
	l.Per /= time.Duration(a)
	return l
}

// String returns the limit as ParseRate takes it (50/s, 1/1.5s, inf), with the burst where that is above 1.
func (l Limit) String() string {
	var s string
	switch {
	case l.Events <= 0:
		s = "none"
	case l.Per == 0:
		return "inf"
	default:
		s = strconv.FormatInt(l.Events, 10) + "/" + formatPer(l.Per)
	}
	if l.Burst > 1 {
		s += fmt.Sprintf(" burst %d", l.Burst)
	}
	return s
}

func formatPer(d time.Duration) string {
	switch d {
	case time.Second:
		return "s"
	case time.Minute:
		return "m"
	case time.Hour:
		return "h"
	case day:
		return "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// A CostError says that a cost is above what the limit can ever grant at once.
type CostError struct{ Cost, Burst int64 }

func (e *CostError) Error() string {
	return fmt.Sprintf("cost %d is above the burst of %d, which is the most that one grant can take", e.Cost, e.Burst)
}

// ErrClosed is returned to those who ask, or still wait, when a Pacer has been stopped.
var ErrClosed = errors.New("pacer is closed")
