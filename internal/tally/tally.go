// Package tally counts what becomes of the jobs of a batch, and measures how long they wait and run. An event takes one
// lock for less than a microsecond, and memory does not grow with the number of jobs.
package tally

import (
	"math"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Unknown is the total of a batch whose input has not been counted.
const Unknown = -1

// A Verdict says what an attempt means for its job.
type Verdict int

// The verdicts.
const (
	Done        Verdict = iota // the job has succeeded
	Failed                     // the job has failed
	Again                      // the job waits, beside the queue, to be run again
	Interrupted                // the job was interrupted, so that it has neither succeeded nor failed
)

// An Ending says how an attempt ended.
type Ending struct {
	Verdict   Verdict
	Run       time.Duration // from its start to its end
	Throttled bool          // the remote said so
	TimedOut  bool
}

// A Tally counts the jobs of one batch. Its methods may be called by several goroutines.
type Tally struct {
	start time.Time

	mu        sync.Mutex
	n         counts
	first     time.Duration // attempt, since start
	last      time.Duration
	gaps      gaps
	wait, run times
	recent    ring
}

// gaps are the intervals between starts, summed up by the method of Welford (Technometrics 4, 1962).
type gaps struct {
	n, mean, squares float64 // squares: of the distances from the mean
}

func (g *gaps) add(d time.Duration) {
	g.n++
	off := float64(d) - g.mean
	g.mean += off / g.n
	g.squares += off * (float64(d) - g.mean)
}

// spread returns the standard deviation.
func (g *gaps) spread() float64 { return math.Sqrt(g.squares / max(g.n, 1)) }

// counts are what a Snapshot has of the events.
type counts struct {
	total       int64
	started     int64
	done        int64
	failed      int64
	interrupted int64
	skipped     int64
	attempts    int64
	retried     int64
	throttled   int64
	timedOut    int64
	inFlight    int64
	waiting     int64
}

// New returns the Tally of a batch that begins now. Its total is Unknown.
func New() *Tally {
	return &Tally{start: time.Now(), n: counts{total: Unknown}, wait: newTimes(), run: newTimes()}
}

// SetTotal says how many jobs there are in all, those that are skipped included. It may be called again.
func (t *Tally) SetTotal(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n.total = n
}

// Start says that an attempt starts, and how long it has waited for its grant. The first attempt of a job is the start
// of the job; another one ends its wait beside the queue.
func (t *Tally) Start(first bool, waited time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if first {
		t.n.started++
	} else {
		t.n.waiting--
	}
	now := time.Since(t.start)
	if t.n.attempts == 0 {
		t.first = now
	} else {
		t.gaps.add(now - t.last)
	}
	t.last = now
	t.n.attempts++
	t.n.inFlight++
	t.wait.add(waited)
	t.recent.add(t.last, t.n.attempts)
}

// End says that an attempt, which has started, has ended.
func (t *Tally) End(e Ending) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n.inFlight--
	t.run.add(e.Run)
	if e.Throttled {
		t.n.throttled++
	}
	if e.TimedOut {
		t.n.timedOut++
	}
	switch e.Verdict {
	case Done:
		t.n.done++
	case Failed:
		t.n.failed++
	case Interrupted:
		t.n.interrupted++
	case Again:
		t.n.waiting++
		if !e.Throttled {
			t.n.retried++
		}
	}
}

// Leave says that n jobs which waited beside the queue will not be run again after all.
func (t *Tally) Leave(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n.waiting -= n
}

// Skip says that n jobs were done before, and are not run.
func (t *Tally) Skip(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n.skipped += n
}

// Snapshot returns how the batch stands.
func (t *Tally) Snapshot() Snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	elapsed := time.Since(t.start)
	s := Snapshot{
		Began:       t.start,
		Elapsed:     elapsed,
		Total:       t.n.total,
		Started:     t.n.started,
		Done:        t.n.done,
		Failed:      t.n.failed,
		Interrupted: t.n.interrupted,
		Skipped:     t.n.skipped,
		Attempts:    t.n.attempts,
		Retried:     t.n.retried,
		Throttled:   t.n.throttled,
		TimedOut:    t.n.timedOut,
		InFlight:    t.n.inFlight,
		Waiting:     t.n.waiting,
		RateNow:     t.recent.rate(elapsed, t.n.attempts),
		Wait:        t.wait.distribution(),
		Run:         t.run.distribution(),
	}
	s.Interval, s.IntervalSD = time.Duration(t.gaps.mean), time.Duration(t.gaps.spread())
	if span := t.last - t.first; span > 0 {
		s.MeanRate = float64(s.Attempts-1) / span.Seconds() // a gap less than there are attempts
	}
	return s
}

// The range of what is measured. A shorter time counts as the shortest, a longer one as the longest.
const (
	shortest = time.Microsecond
	longest  = 100 * 24 * time.Hour
	// digits are significant: a quantile is off by less than 1 %, or by a microsecond. That takes 41 KiB.
	digits = 2
)

// times are measured times. Their mean and the longest are exact.
type times struct {
	histogram *hdrhistogram.Histogram
	sum       float64 // seconds: with many that wait for days it is more than a Duration holds
	most      time.Duration
}

func newTimes() times {
	return times{histogram: hdrhistogram.New(int64(shortest), int64(longest), digits)}
}

func (t *times) add(d time.Duration) {
	d = max(d, 0)
	t.sum += d.Seconds()
	t.most = max(t.most, d)
	_ = t.histogram.RecordValue(int64(min(d, longest))) // which is in its range
}

func (t *times) distribution() Distribution {
	n := t.histogram.TotalCount()
	if n == 0 {
		return Distribution{}
	}
	return Distribution{
		Count: n,
		Mean:  time.Duration(t.sum / float64(n) * float64(time.Second)),
		P50:   min(time.Duration(t.histogram.ValueAtPercentile(50)), t.most),
		P99:   min(time.Duration(t.histogram.ValueAtPercentile(99)), t.most),
		Max:   t.most,
	}
}

const (
	// window is how far back the rate now looks, unless fewer than few have started in it.
	window = 5 * time.Second
	few    = 4
	// apart is how far apart the marks of a ring are at least: 64 of them go back further than the window.
	apart = 100 * time.Millisecond
)

// A ring has the last starts, one by one for those that are rare, and marks of more for those that are not.
type ring struct {
	last  [few + 1]time.Duration
	marks [64]mark
	n     int // of marks made in all
}

// A mark says how many had started by an instant, the one at that instant included.
type mark struct {
	at    time.Duration
	count int64
}

// add takes down a start, the count-th.
func (r *ring) add(at time.Duration, count int64) {
	r.last[count%int64(len(r.last))] = at
	if r.n > 0 && at-r.back(0).at < apart {
		return
	}
	r.marks[r.n%len(r.marks)] = mark{at, count}
	r.n++
}

// back returns the i-th last mark, from 0 on.
func (r *ring) back(i int) mark { return r.marks[(r.n-1-i)%len(r.marks)] }

// rate returns the starts per second, of which count were by now.
func (r *ring) rate(now time.Duration, count int64) float64 {
	if count > few {
		if d := now - r.last[(count-few)%int64(len(r.last))]; d > window {
			return few / d.Seconds()
		}
	}
	var since mark // the first start, or the last mark that is not in the window
	for i := range min(r.n, len(r.marks)) {
		if since = r.back(i); now-since.at >= window {
			break
		}
	}
	if now-since.at < apart {
		return 0 // too early to tell
	}
	return float64(count-since.count) / (now - since.at).Seconds()
}
