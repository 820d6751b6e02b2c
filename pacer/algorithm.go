package pacer

import (
	"fmt"
	"strings"
)

// An Algorithm says how the events of a Limit may lie in time.
type Algorithm uint8

// The algorithms. That of the zero Limit is Paced.
const (
	Paced         Algorithm = iota // evenly spaced, and a burst after idle time: 1 unless more is asked for
	TokenBucket                    // the same arithmetic; the burst is the N of N/UNIT unless another is asked for
	SlidingWindow                  // at most N in any window of Per, which is half-open: event N+1 may come exactly Per after event 1
	FixedWindow                    // N in each window: the first event opens one, or they begin with each minute, hour, day, week, month
)

func algorithmNames() []string {
	return []string{Paced: "paced", TokenBucket: "token-bucket", SlidingWindow: "sliding-window", FixedWindow: "fixed-window"}
}

// String returns the name as ParseAlgorithm takes it.
func (a Algorithm) String() string { return nameOf(algorithmNames(), int(a)) }

// ParseAlgorithm returns the algorithm of a name: paced, token-bucket, sliding-window or fixed-window.
func ParseAlgorithm(name string) (Algorithm, error) {
	i, err := parseName("algorithm", name, algorithmNames())
	return Algorithm(i), err
}

// IsWindow reports whether it counts what lies in a window. Otherwise it is a bucket, which has a burst.
func (a Algorithm) IsWindow() bool { return a == SlidingWindow || a == FixedWindow }

// An Align says when the windows of a FixedWindow begin.
type Align uint8

// What a window begins with. Where that is not the first use it is the calendar of a time zone.
const (
	AtFirstUse Align = iota // a window is opened by the first grant after the end of the one before it
	AtMinute
	AtHour
	AtDay
	AtWeek // on Monday
	AtMonth
)

func alignNames() []string {
	return []string{AtFirstUse: "first-use", AtMinute: "minute", AtHour: "hour", AtDay: "day", AtWeek: "week", AtMonth: "month"}
}

// String returns the name as ParseAlign takes it.
func (a Align) String() string { return nameOf(alignNames(), int(a)) }

// ParseAlign returns the alignment of a name: first-use, minute, hour, day, week or month.
func ParseAlign(name string) (Align, error) {
	i, err := parseName("align", name, alignNames())
	return Align(i), err
}

func nameOf(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("unknown (%d)", i)
}

func parseName(what, name string, names []string) (int, error) {
	for i, n := range names {
		if n == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("unknown %s %q: it is one of %s", what, name, strings.Join(names, ", "))
}
