package pacer

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Limits are the limits of one key, which all hold: a grant is made when each of them allows it, and counts for each of them.
type Limits []Limit

// LimitsMost is how many limits a key may have.
const LimitsMost = 8

var errNoLimits = errors.New("there is no limit: one that allows everything is inf")

// Validate returns an error if there are none or too many, or one of them is not valid.
func (l Limits) Validate() error {
	switch {
	case len(l) == 0:
		return errNoLimits
	case len(l) > LimitsMost:
		return fmt.Errorf("%d limits at once: there may be %d", len(l), LimitsMost)
	}
	for _, limit := range l {
		if err := limit.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// String returns the limits as ParseLimit takes them, with " and " between.
func (l Limits) String() string {
	names := make([]string, len(l))
	for i, limit := range l {
		names[i] = limit.String()
	}
	return strings.Join(names, " and ")
}

// CheckCost returns a *CostError if one grant can't cost n units: that of the limit that can grant the fewest at once.
func (l Limits) CheckCost(n int64, debt bool) error {
	var worst *CostError
	for _, limit := range l {
		var err *CostError
		if errors.As(limit.CheckCost(n, debt), &err) && (worst == nil || err.Burst < worst.Burst) {
			worst = err
		}
	}
	switch {
	case worst != nil:
		return worst
	case n < 1:
		return &CostError{Cost: n}
	}
	return nil
}

// Slowest returns the limit with the lowest rate, the zero Limit if there is none.
func (l Limits) Slowest() Limit {
	if len(l) == 0 {
		return Limit{}
	}
	slowest := l[0]
	for _, limit := range l[1:] {
		if limit.compareRate(slowest) < 0 {
			slowest = limit
		}
	}
	return slowest
}

// IsUnlimited reports whether they allow any number of events.
func (l Limits) IsUnlimited() bool {
	for _, limit := range l {
		if !limit.IsUnlimited() {
			return false
		}
	}
	return len(l) > 0
}

// Equal reports whether l and m allow the same, in any order.
func (l Limits) Equal(m Limits) bool { return l.covers(m) && m.covers(l) }

// covers reports whether each of m is one of l.
func (l Limits) covers(m Limits) bool {
	for _, limit := range m {
		if l.find(limit) < 0 {
			return false
		}
	}
	return true
}

func (l Limits) find(limit Limit) int {
	for i := range l {
		if l[i].Equal(limit) {
			return i
		}
	}
	return -1
}

// Stricter returns limits that keep both l and m. A bucket and a bucket, if each has one only, and windows of the same kind and
// length become one: that with the lower rate, with the lower burst. All others hold together. One that is unlimited is none,
// unless there are no others. It is l where l keeps both.
func (l Limits) Stricter(m Limits) Limits {
	strict, others := l.bounded(), m.bounded()
	switch {
	case len(strict)+len(others) > 0:
	case len(l) > 0:
		return slices.Clone(l)
	default:
		return slices.Clone(m)
	}
	own, single := len(strict), strict.buckets() == 1 && others.buckets() == 1
	for _, limit := range others {
		at := strict.find(limit)
		for i := 0; i < own && at < 0; i++ {
			if mergeable(strict[i], limit, single) {
				at = i
				strict[i] = strict[i].stricter(limit)
			}
		}
		if at < 0 {
			strict = append(strict, limit)
		}
	}
	return strict
}

// mergeable reports whether one limit can take the place of two of different keepers. Single says that there are no other buckets.
func mergeable(a, b Limit, single bool) bool {
	if a.Algorithm.IsWindow() {
		return a.kin(b) == 2
	}
	return single && a.kin(b) > 0
}

// bounded returns those that are not unlimited, as a copy.
func (l Limits) bounded() Limits {
	return slices.DeleteFunc(slices.Clone(l), Limit.IsUnlimited)
}

func (l Limits) buckets() (n int) {
	for _, limit := range l {
		if !limit.Algorithm.IsWindow() {
			n++
		}
	}
	return n
}

// Share returns what one of n has of the limits, so that all of them together keep the limits whatever each does: an n-th of the rate, and
// of the burst, but for a burst of 1, which each has. A window that has fewer units than n is one of 1 in a longer time; of a calendar it
// is one that slides.
func (l Limits) Share(n int) Limits {
	part := slices.Clone(l)
	for i := range part {
		part[i] = part[i].share(int64(max(n, 1)))
	}
	return part
}

func (l Limit) share(n int64) Limit {
	switch {
	case n == 1 || l.Events <= 0 || l.Per == 0:
	case !l.Algorithm.IsWindow():
		l.Burst = l.most()
		if l.Burst == 1 && l.Algorithm == Paced {
			l.Burst = 0
		} else {
			l.Burst = max(l.Burst/n, 1)
		}
		if l.Events%n == 0 {
			l.Events /= n
			break
		}
		l.Per = longer(l.Per, n)
	case l.Events >= n:
		l.Events /= n
	default:
		l = Limit{Events: 1, Per: longer(l.Per, (n+l.Events-1)/l.Events), Algorithm: SlidingWindow}
	}
	return l
}

// longer returns n times d, or the longest time.
func longer(d time.Duration, n int64) time.Duration {
	if int64(d) > math.MaxInt64/n {
		return math.MaxInt64
	}
	return d * time.Duration(n)
}
