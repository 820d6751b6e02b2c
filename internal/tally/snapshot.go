package tally

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// A Snapshot is how a batch stands at an instant.
type Snapshot struct {
	Began   time.Time
	Elapsed time.Duration

	Total       int64 // of jobs, or Unknown
	Started     int64 // jobs that have had an attempt
	Done        int64 // and have succeeded
	Failed      int64 // and have failed
	Interrupted int64 // and were interrupted
	Skipped     int64 // jobs that were done before

	Attempts  int64 // that have started
	Retried   int64 // attempts that failed, and whose job is run again for it
	Throttled int64 // attempts of which the remote said that they were too many
	TimedOut  int64 // attempts
	InFlight  int64 // attempts that run
	Waiting   int64 // jobs that wait, beside the queue, to be run again

	MeanRate float64 // attempts per second, from the first to the last
	RateNow  float64 // attempts per second, over the last 5 s, or of the last 4 if they took longer
	// The mean of the intervals between two attempts, and its standard deviation; 0 where there are none.
	Interval, IntervalSD time.Duration

	Wait Distribution
	Run  Distribution
}

// A Distribution describes measured times. The quantiles are off by less than 1 %, or by a microsecond.
type Distribution struct {
	Count          int64
	Mean, P50, P99 time.Duration
	Max            time.Duration
}

// Finished returns how many jobs are over, those included that need not be run.
func (s Snapshot) Finished() int64 { return s.Done + s.Failed + s.Interrupted + s.Skipped }

// Summary returns the snapshot as text: lines of 80 columns or less, but for numbers of more than six digits.
//
//	jobs      490 done, 8 failed, 2 interrupted of 600
//	attempts  517: 12 retried, 5 throttled, 2 timed out
//	time      25.1s, 20.6 starts/s: 48.5ms apart, sd 210µs
//	wait      p50 49.9ms  p99 1.02s   max 1.3s
//	run       p50 12ms    p99 310ms   max 2.04s
func (s Snapshot) Summary() string {
	jobs := list(count{s.Done, "done"}, count{s.Failed, "failed"}, count{s.Interrupted, "interrupted"}, count{s.Skipped, "skipped"})
	if jobs == "" {
		jobs = "0 done"
	}
	if s.Total >= 0 && s.Finished() != s.Total {
		jobs += fmt.Sprintf(" of %d", s.Total)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "jobs      %s\n", jobs)
	if more := list(count{s.Retried, "retried"}, count{s.Throttled, "throttled"}, count{s.TimedOut, "timed out"}); more != "" {
		fmt.Fprintf(&b, "attempts  %d: %s\n", s.Attempts, more)
	}
	fmt.Fprintf(&b, "time      %s", Duration(s.Elapsed))
	if s.Interval > 0 {
		fmt.Fprintf(&b, ", %s starts/s: %s apart, sd %s", Number(s.MeanRate), Duration(s.Interval), Duration(s.IntervalSD))
	}
	b.WriteByte('\n')
	s.Wait.row(&b, "wait")
	s.Run.row(&b, "run")
	return b.String()
}

func (d Distribution) row(b *strings.Builder, name string) {
	if d.Count > 0 {
		fmt.Fprintf(b, "%-9s p50 %-7s p99 %-7s max %s\n", name, Duration(d.P50), Duration(d.P99), Duration(d.Max))
	}
}

// A count is a number of what a word says.
type count struct {
	n    int64
	word string
}

// list returns those counts that are not 0.
func list(all ...count) string {
	var b strings.Builder
	for _, c := range all {
		if c.n == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d %s", c.n, c.word)
	}
	return b.String()
}

// Duration returns a time as text, to three digits, and from a minute on to the unit below the first: 450µs, 12.3ms,
// 1.02s, 3m08s, 2h05m, 4d03h. A negative time is 0s.
func Duration(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{time.Microsecond, "µs"}, {time.Millisecond, "ms"}, {time.Second, "s"}} {
		limit := 999.5 // which rounds to four digits
		if u.unit == time.Second {
			limit = 59.95
		}
		if n := float64(d) / float64(u.unit); n < limit {
			if n <= 0 {
				return "0s"
			}
			return Number(n) + u.name
		}
	}
	switch d = d.Round(time.Second); {
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// Number returns a number, 0 or above, as text, to three digits and without zeros at its end: 0.05, 19.8, 5, 1398.
func Number(x float64) string {
	decimals := 2
	if x > 0 {
		decimals = min(max(2-int(math.Floor(math.Log10(x))), 0), 9)
	}
	s := strconv.FormatFloat(x, 'f', decimals, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// Rate returns so many in a second as a number that is 1 or above, if there is a unit for that: 28/s, 1.4/m.
func Rate(perSecond float64) string {
	for _, unit := range []struct {
		name    string
		seconds float64
	}{{"s", 1}, {"m", 60}, {"h", 3600}} {
		if perSecond*unit.seconds >= 1 {
			return Number(perSecond*unit.seconds) + "/" + unit.name
		}
	}
	return Number(perSecond*86400) + "/d"
}

// MarshalJSON returns the snapshot as one JSON object. Times are in seconds; an unknown total is null.
func (s Snapshot) MarshalJSON() ([]byte, error) {
	var total *int64
	if s.Total >= 0 {
		total = &s.Total
	}
	return json.Marshal(struct {
		Began       time.Time    `json:"began"`
		Elapsed     float64      `json:"elapsed_seconds"`
		Total       *int64       `json:"total"`
		Started     int64        `json:"started"`
		Done        int64        `json:"done"`
		Failed      int64        `json:"failed"`
		Interrupted int64        `json:"interrupted"`
		Skipped     int64        `json:"skipped"`
		Attempts    int64        `json:"attempts"`
		Retried     int64        `json:"retried"`
		Throttled   int64        `json:"throttled"`
		TimedOut    int64        `json:"timed_out"`
		InFlight    int64        `json:"in_flight"`
		Waiting     int64        `json:"waiting"`
		MeanRate    float64      `json:"mean_rate_per_second"`
		RateNow     float64      `json:"rate_now_per_second"`
		Interval    float64      `json:"interval_mean_seconds"`
		IntervalSD  float64      `json:"interval_sd_seconds"`
		Wait        Distribution `json:"wait"`
		Run         Distribution `json:"run"`
	}{
		s.Began.UTC(), s.Elapsed.Seconds(), total, s.Started, s.Done, s.Failed, s.Interrupted, s.Skipped,
		s.Attempts, s.Retried, s.Throttled, s.TimedOut, s.InFlight, s.Waiting, s.MeanRate, s.RateNow, s.Interval.Seconds(), s.IntervalSD.Seconds(), s.Wait, s.Run,
	})
}

// MarshalJSON returns the distribution as one JSON object, with times in seconds.
func (d Distribution) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Count int64   `json:"count"`
		Mean  float64 `json:"mean_seconds"`
		P50   float64 `json:"p50_seconds"`
		P99   float64 `json:"p99_seconds"`
		Max   float64 `json:"max_seconds"`
	}{d.Count, d.Mean.Seconds(), d.P50.Seconds(), d.P99.Seconds(), d.Max.Seconds()})
}
