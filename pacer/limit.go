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

// A Limit allows Events per Per, as the Algorithm says: evenly spaced, unless another is chosen, so one every Per/Events. Burst
// is how many may be granted at one instant after enough idle time. The rate is kept as a fraction of integers, so that it
// never drifts. The zero Limit allows no events. A Limit with Per 0 and Events above 0 allows any number.
type Limit struct {
	Events    int64         // 50 in 50/s; 0 allows none
	Per       time.Duration // 1 s in 50/s; 0 with Events above 0 is no limit
	Burst     int64         // units that may be granted at once; 0 means 1, and Events for a TokenBucket. Windows have none
	Algorithm Algorithm     // Paced, unless another is chosen
	Align     Align         // when the windows of a FixedWindow begin
	Zone      string        // the time zone of an Align, "Europe/Berlin"; "" is UTC
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

// With returns l with another algorithm.
func (l Limit) With(a Algorithm) Limit {
	l.Algorithm = a
	return l
}

// Aligned returns l as a FixedWindow whose windows begin with those of the calendar in a time zone; "" is UTC.
func (l Limit) Aligned(a Align, zone string) Limit {
	l.Algorithm, l.Align, l.Zone = FixedWindow, a, zone
	return l
}

// zoneMost is the length of the longest name of a time zone.
const zoneMost = 32

// Validate returns an error if a field is negative, unknown, or does not go with the algorithm. A Zone must be one that the package time
// knows where the program runs, or that it brings with it (time/tzdata). Local is none, as a limit that is shared would be another one
// in each process.
func (l Limit) Validate() error { return l.validate() }

// validate is Validate without a copy.
func (l *Limit) validate() error {
	if err := l.check(); err != nil {
		return err
	}
	_, err := zoneOf(l.Zone)
	return err
}

// check is validate but for whether the time zone is known here, which may be otherwise elsewhere.
func (l *Limit) check() error {
	switch {
	case l.Events < 0 || l.Per < 0 || l.Burst < 0:
		return fmt.Errorf("limit %d per %v with burst %d: no part may be negative", l.Events, l.Per, l.Burst)
	case l.Algorithm > FixedWindow:
		return fmt.Errorf("limit of %d per %v: unknown algorithm %d", l.Events, l.Per, l.Algorithm)
	case l.Algorithm.IsWindow() && l.Burst > 0:
		return fmt.Errorf("burst=%d does not go with algorithm=%v: all of its %d may be granted at once, %w", l.Burst, l.Algorithm, l.Events, errNoBurst)
	case l.Algorithm != FixedWindow && (l.Align != AtFirstUse || l.Zone != ""):
		return fmt.Errorf("align=%v, zone=%q: they go with algorithm=%v only, not with %v", l.Align, l.Zone, FixedWindow, l.Algorithm)
	case l.Align == AtFirstUse && l.Zone != "":
		return fmt.Errorf("zone=%q goes with align=minute, hour, day, week or month", l.Zone)
	case l.Align > AtMonth:
		return fmt.Errorf("limit of %d per %v: unknown align %d", l.Events, l.Per, l.Align)
	case l.Align != AtFirstUse && !l.Align.lasts(l.Per):
		return fmt.Errorf("align=%v does not go with %d per %v: %w", l.Align, l.Events, l.Per, errAlign)
	case len(l.Zone) > zoneMost:
		return fmt.Errorf("zone %q is no time zone", l.Zone)
	}
	return nil
}

var (
	errNoBurst = errors.New("after idle time and otherwise")
	errAlign   = errors.New("a minute, hour, day or week has its own length, N/m, N/h, N/d or N/7d, and a month N/30d")
)

// lasts reports whether a window of the calendar lasts d.
func (a Align) lasts(d time.Duration) bool {
	switch a {
	case AtMinute:
		return d == time.Minute
	case AtHour:
		return d == time.Hour
	case AtDay:
		return d == day
	case AtWeek:
		return d == 7*day
	case AtMonth:
		return d >= 28*day && d <= 31*day
	}
	return true
}

// Equal reports whether l and m allow the same: 10/s and 100/10s do, unless they are windows, and so do a burst of 0 and of 1.
func (l Limit) Equal(m Limit) bool {
	if l.compareRate(m) != 0 || l.Events <= 0 || l.Per == 0 {
		return l.compareRate(m) == 0
	}
	return l.kin(m) == 3
}

// kin returns how near l and m are: 3 if they allow the same, 2 if they have the same algorithm and period, 1 if they have the
// same algorithm, and 0 otherwise. What keeps a pace and what has a bucket is the same algorithm.
func (l Limit) kin(m Limit) int {
	window := l.Algorithm.IsWindow()
	switch {
	case window != m.Algorithm.IsWindow() || window && l.Algorithm != m.Algorithm:
		return 0
	case !window && l.compareRate(m) == 0 && l.burst() == m.burst() || window && l == m:
		return 3
	case l.Per == m.Per && l.Align == m.Align && l.Zone == m.Zone:
		return 2
	}
	return 1
}

// stricter returns the limit that keeps both l and m, which are bounded and have the same algorithm: the lower rate with the lower
// burst. It is l where l does so.
func (l Limit) stricter(m Limit) Limit {
	strict := l
	if l.compareRate(m) > 0 {
		strict = m
	}
	if l.Algorithm.IsWindow() {
		return strict
	}
	strict.Burst = min(l.burst(), m.burst())
	if strict.burst() == l.burst() && l.Algorithm == Paced {
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

// CheckCost returns a *CostError if one grant of l can't cost n units: n is below 1, or above what l can grant at once, the burst
// or the N of a window, and not in debt.
func (l Limit) CheckCost(n int64, debt bool) error {
	if n < 1 || !debt && l.Per > 0 && n > l.most() && l.Events > 0 {
		return &CostError{Cost: n, Burst: l.most(), Limit: l}
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

func (l Limit) burst() int64 {
	if l.Algorithm == TokenBucket && l.Burst == 0 {
		return max(l.Events, 1)
	}
	return max(l.Burst, 1)
}

// most returns how many units l can grant at once.
func (l Limit) most() int64 {
	if l.Algorithm.IsWindow() {
		return max(l.Events, 1)
	}
	return l.burst()
}

// bucket returns l as its arithmetic has it.
func (l *Limit) bucket() Limit {
	b := Limit{Events: l.Events, Per: l.Per, Burst: l.Burst}
	if l.Algorithm == TokenBucket {
		b.Burst = l.burst()
	}
	return b
}

func (l Limit) reduced() Limit {
	a, b := l.Events, int64(l.Per)
	for b != 0 {
		a, b = b, a%b
	}
	l.Events /= a
	l.Per /= time.Duration(a)
	return l
}

// String returns the limit as ParseLimit takes it: 50/s, 1/1.5s, inf, none, 10/s,burst=3, 100/h,algorithm=sliding-window.
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
	if l.Algorithm != Paced {
		s += ",algorithm=" + l.Algorithm.String()
	}
	if l.Burst > 1 || l.Burst == 1 && l.Algorithm != Paced {
		s += ",burst=" + strconv.FormatInt(l.Burst, 10)
	}
	if l.Align != AtFirstUse {
		s += ",align=" + l.Align.String()
	}
	if l.Zone != "" {
		s += ",zone=" + l.Zone
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

// A CostError says that a cost is above what a limit can ever grant at once.
type CostError struct {
	Cost  int64
	Burst int64 // what the limit can grant at once: its burst, or the N of a window
	Limit Limit
}

func (e *CostError) Error() string {
	switch {
	case e.Cost < 1:
		return fmt.Sprintf("cost %d: a grant costs 1 or more", e.Cost)
	case e.Limit.Algorithm.IsWindow():
		return fmt.Sprintf("cost %d is above the %d of the limit %v, which is the most that one grant can take", e.Cost, e.Burst, e.Limit)
	}
	return fmt.Sprintf("cost %d is above the burst of %d, which is the most that one grant can take", e.Cost, e.Burst)
}

// ErrFull is what a *FullError is.
var ErrFull = errors.New("the queue is full")

// A FullError says that as many wait as may.
type FullError struct{ Most int }

func (e *FullError) Error() string { return fmt.Sprintf("%v: %d wait", ErrFull, e.Most) }

// Is reports whether target is ErrFull.
func (*FullError) Is(target error) bool { return target == ErrFull }

// ErrClosed is returned to those who ask, or still wait, when a Pacer has been stopped.
var ErrClosed = errors.New("pacer is closed")
