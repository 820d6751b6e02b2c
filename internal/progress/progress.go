// Package progress shows how a batch stands: as a bar on the last line of a terminal, or as lines where there is none.
//
// The bar is drawn here and not by a library. What is hard about it is to share the terminal with the output of jobs,
// byte for byte, lines that have not ended included, and that is what they do not do: in schollz/progressbar and
// cheggaaa/pb others may not write, and vbauerster/mpb holds back what others write until it draws, and takes it for
// whole lines. They are heavy too: 2.5, 1.9 and 0.7 MB of binary, and up to 2 ms at each start of the program, which
// throttle exec has once a call. What is left are the width of text (clipperhouse/displaywidth: 0.1 MB, nothing at the
// start) and the size of the terminal (golang.org/x/sys).
package progress

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/throttle-cli/throttle/internal/tally"
	"github.com/throttle-cli/throttle/pacer"
)

// A State is how a batch stands, and what it goes by.
type State struct {
	tally.Snapshot
	Wanted    pacer.Limit   // what was asked for
	Effective pacer.Limit   // what is in force: less, when others want less or the remote does
	Usage     []pacer.Usage // what is left of each limit; nil if that is not known
	Cost      int           // of each grant, in the units of Usage; 0 is 1
	Next      time.Time     // slot that is waited for; zero if there is none
	Cooldown  time.Time     // until when there are no grants; zero if there is none
	Paused    bool
	Unknown   bool // whether it is not known what the limits allow, as lines have limits of their own
	Jobs      int  // how many may run at once
}

func (s State) now() time.Time { return s.Began.Add(s.Elapsed) }

// left returns how long it is until t, 0 if that is over.
func (s State) left(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(t.Sub(s.now()), 0)
}

// percent returns how much of the total is over, rounded down, or -1.
func (s State) percent() int64 {
	switch {
	case s.Total < 0:
		return -1
	case s.Total == 0:
		return 100
	}
	return min(int64(float64(s.Finished())/float64(s.Total)*100), 100)
}

// longRun is how long a batch must have run for what was measured to be believed more than what the limit allows.
const longRun = 30 * time.Second

// ETA returns how long the rest of the batch will take, if that can be known. With
//
//	g  grants that are left: one for each job that has not started, times the attempts a job has had so far, and one for
//	   each job that waits to be run again
//	G  the time that the limits take for g grants: of a bucket, what is not in it at its rate in force; of a window, what
//	   does not fit into it any more, window by window; of several the longest
//	u  attempts that are left to be run to their end
//	t  mean time that an attempt runs
//	m  starts per second as measured, over the last seconds or since the batch began, whichever is more
//
// it is the longest of G + t, u·t/Jobs, and, once the batch has run for 30 s or where G is not known, g/m; and what is left of a cooldown.
func (s State) ETA() (time.Duration, bool) {
	unfinished := s.Total - s.Finished()
	if s.Total < 0 || s.Paused && unfinished > 0 {
		return 0, false
	}
	if unfinished <= 0 {
		return 0, true
	}
	attempts := 1.0 // of a job
	if s.Started > 0 {
		attempts = float64(s.Attempts) / float64(s.Started)
	}
	grants := attempts*float64(max(s.Total-s.Skipped-s.Started, 0)) + float64(s.Waiting)
	run := s.Run.Mean.Seconds()
	seconds := run
	if grants > 0 {
		seconds += s.granting(grants)
	}
	if s.Jobs > 0 {
		seconds = max(seconds, (grants+float64(s.InFlight))*run/float64(s.Jobs))
	}
	if measured := max(s.MeanRate, s.RateNow); (s.Elapsed >= longRun || s.Unknown) && grants > 0 {
		seconds = max(seconds, grants/measured)
	}
	seconds += s.left(s.Cooldown).Seconds()
	if seconds >= math.MaxInt64/float64(time.Second) { // a limit that allows nothing
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// granting returns how many seconds the limits take for so many grants.
func (s State) granting(grants float64) (seconds float64) {
	if s.Usage == nil {
		return grants / float64(s.Effective.Rate())
	}
	for _, u := range s.Usage {
		missing := grants*float64(max(s.Cost, 1)) - float64(u.Remaining)
		if u.Limit.IsUnlimited() || missing <= 0 {
			continue
		}
		takes := missing / float64(u.Limit.Rate())
		if u.Limit.Algorithm.IsWindow() {
			takes = u.Reset.Seconds() + math.Floor((missing-1)/float64(u.Quota))*u.Limit.Per.Seconds()
		}
		seconds = max(seconds, takes)
	}
	return seconds
}

// Line returns the state as one line, without its end:
//
//	122/500 jobs (24%), 2 failed, 4 in flight, 19.8/s of 20/s, elapsed 6s, ETA 19s
func (s State) Line() string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	count := func(n int64, word string) {
		if n > 0 {
			add("%d %s", n, word)
		}
	}
	if p := s.percent(); p < 0 {
		add("%d/? jobs", s.Finished())
	} else {
		add("%d/%d jobs (%d%%)", s.Finished(), s.Total, p)
	}
	count(s.Failed, "failed")
	count(s.Skipped, "skipped")
	count(s.InFlight, "in flight")
	count(s.Waiting, "to be run again")
	count(s.Retried, "retried")
	count(s.Throttled, "throttled")
	count(s.TimedOut, "timed out")
	rate := s.rate()
	if limit := s.limit(); limit != "" {
		rate += " " + limit
	}
	if wanted := s.wanted(); wanted != "" {
		rate += " " + wanted
	}
	add("%s", rate)
	if h := s.hold(); h != "" {
		add("%s", h)
	}
	if n := s.next(); n != "" {
		add("%s", n)
	}
	add("elapsed %s", clock(s.Elapsed))
	if eta, ok := s.ETA(); ok && s.Finished() != s.Total {
		add("ETA %s", clock(eta))
	}
	return strings.Join(parts, ", ")
}

// hold says what holds up all starts.
func (s State) hold() string {
	if s.Paused {
		return "PAUSED"
	}
	if d := s.left(s.Cooldown); d > 0 {
		return "cooldown " + countdown(d)
	}
	return ""
}

// next says when the next slot is, if that is long enough away to be read.
func (s State) next() string {
	if d := s.left(s.Next); d >= time.Second && !s.Paused {
		return "next in " + countdown(d)
	}
	return ""
}

// unit returns in which unit of time rates are shown: that of the limit asked for, or the one below.
func (s State) unit() (per time.Duration, name string) {
	switch d := s.Wanted.Per; {
	case d >= 24*time.Hour:
		return 24 * time.Hour, "/d"
	case d >= time.Hour:
		return time.Hour, "/h"
	case d >= time.Minute:
		return time.Minute, "/m"
	}
	return time.Second, "/s"
}

func (s State) perUnit(perSecond float64) string {
	per, name := s.unit()
	return tally.Number(perSecond*per.Seconds()) + name
}

func (s State) rate() string { return s.perUnit(s.RateNow) }

// limit says what the limit in force is, if there is one.
func (s State) limit() string {
	if s.Effective.IsUnlimited() {
		return ""
	}
	return "of " + s.perUnit(float64(s.Effective.Rate()))
}

// wanted says what was asked for, if that is more than what is in force.
func (s State) wanted() string {
	if s.Wanted.IsUnlimited() || s.Wanted.Rate() <= s.Effective.Rate() {
		return ""
	}
	return "(" + s.perUnit(float64(s.Wanted.Rate())) + " wanted)"
}

// clock returns a time to the second.
func clock(d time.Duration) string { return tally.Duration(d.Round(time.Second)) }

// countdown returns a time to the second above it.
func countdown(d time.Duration) string {
	return tally.Duration((d + time.Second - 1).Truncate(time.Second))
}
