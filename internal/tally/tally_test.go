package tally_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/internal/tally"
)

// mixed plays a small batch in which everything happens.
func mixed() *tally.Tally {
	t := tally.New()
	t.SetTotal(9)
	t.Skip(2)
	for _, e := range []tally.Ending{
		{Verdict: tally.Done, Run: 12 * time.Millisecond},
		{Verdict: tally.Failed, Run: time.Second, TimedOut: true},
		{Verdict: tally.Again, Run: 40 * time.Millisecond},
		{Verdict: tally.Again, Run: 40 * time.Millisecond, Throttled: true},
		{Verdict: tally.Interrupted, Run: 30 * time.Millisecond},
	} {
		t.Start(true, 20*time.Millisecond)
		time.Sleep(500 * time.Millisecond)
		t.End(e)
	}
	t.Start(false, 70*time.Millisecond)
	t.End(tally.Ending{Verdict: tally.Failed, Run: 5 * time.Millisecond, Throttled: true})
	t.Start(true, 20*time.Millisecond)
	return t
}

func TestCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := mixed()
		s := all.Snapshot()
		got := []int64{
			s.Total, s.Started, s.Done, s.Failed, s.Interrupted, s.Skipped,
			s.Attempts, s.Retried, s.Throttled, s.TimedOut, s.InFlight, s.Waiting, s.Finished(), s.Wait.Count, s.Run.Count,
		}
		if want := []int64{9, 6, 1, 2, 1, 2, 7, 1, 2, 1, 1, 1, 6, 7, 6}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if s.Elapsed != 2500*time.Millisecond || s.MeanRate != 6/2.5 || s.Run.Max != time.Second || !near(s.Wait.Mean, 190*time.Millisecond/7, 1e-6) {
			t.Errorf("got %+v", s)
		}
		all.Leave(1)
		if n := all.Snapshot().Waiting; n != 0 {
			t.Errorf("%d wait", n)
		}
	})
}

func TestSummary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want := `
jobs      1 done, 2 failed, 1 interrupted, 2 skipped of 9
attempts  7: 1 retried, 2 throttled, 1 timed out
time      2.5s, 2.4 starts/s: 417ms apart, sd 186ms
wait      p50 20.1ms  p99 70ms    max 70ms
run       p50 30ms    p99 1s      max 1s
`
		if got := "\n" + mixed().Snapshot().Summary(); got != want {
			t.Errorf("got %s", got)
		}
		want = "jobs      0 done\ntime      0s\n"
		if got := tally.New().Snapshot().Summary(); got != want {
			t.Errorf("got %s", got)
		}
	})
}

func TestSummaryIsNarrow(t *testing.T) {
	s := tally.Snapshot{
		Total: 999999, Done: 444444, Failed: 333333, Interrupted: 999, Skipped: 99999, Attempts: 999999,
		Retried: 888888, Throttled: 777777, TimedOut: 666666, Elapsed: 123 * time.Hour, MeanRate: 1.0 / 3,
		Wait: tally.Distribution{Count: 1, P50: 59 * time.Minute, P99: 99 * time.Hour, Max: 99 * time.Hour},
	}
	for line := range strings.Lines(s.Summary()) {
		if len(line) > 81 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
}

func TestJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, err := json.Marshal(mixed().Snapshot())
		if err != nil {
			t.Fatal(err)
		}
		want := `{"began":"2000-01-01T00:00:00Z","elapsed_seconds":2.5,"total":9,"started":6,"done":1,"failed":2,"interrupted":1,"skipped":2,` +
			`"attempts":7,"retried":1,"throttled":2,"timed_out":1,"in_flight":1,"waiting":1,"mean_rate_per_second":2.4,"rate_now_per_second":2.4,"interval_mean_seconds":0.416666666,"interval_sd_seconds":0.186338998,` +
			`"wait":{"count":7,"mean_seconds":0.027142857,"p50_seconds":0.020054015,"p99_seconds":0.07,"max_seconds":0.07},` +
			`"run":{"count":6,"mean_seconds":0.187833333,"p50_seconds":0.030015487,"p99_seconds":1,"max_seconds":1}}`
		if string(got) != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if got, err = json.Marshal(tally.New().Snapshot()); err != nil || !strings.Contains(string(got), `"total":null,`) {
			t.Errorf("got %s, %v", got, err)
		}
	})
}

// TestQuantiles holds quantiles against those of all values, sorted.
func TestQuantiles(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 99, 100, 101, 10_000} {
		all := tally.New()
		values := make([]time.Duration, n)
		for i := range values {
			values[i] = time.Duration(math.Exp(rng.NormFloat64()*4) * float64(3*time.Millisecond)) // from below 1 µs to hours
			all.Start(true, values[i])
			all.End(tally.Ending{Run: values[n-1-i]})
		}
		slices.Sort(values)
		s := all.Snapshot()
		if s.Wait.P50 > s.Wait.P99 || s.Wait.P99 > s.Wait.Max || s.Wait.Max != values[n-1] {
			t.Errorf("n = %d: out of order: %+v", n, s.Wait)
		}
		for _, q := range []struct {
			got  time.Duration
			rank float64
		}{{s.Wait.P50, 0.5}, {s.Wait.P99, 0.99}} {
			want := values[max(int(math.Round(q.rank*float64(n))), 1)-1]
			if !near(q.got, want, 0.01) && (q.got-want).Abs() > time.Microsecond {
				t.Errorf("n = %d: quantile %v is %v, want %v", n, q.rank, q.got, want)
			}
		}
	}
}

func TestOddTimes(t *testing.T) {
	all := tally.New()
	for range 3 {
		all.Start(true, -time.Second)
		all.End(tally.Ending{Run: 1000 * 24 * time.Hour})
	}
	if s := all.Snapshot(); s.Wait.Max != 0 || s.Wait.P99 != 0 || s.Run.Max != 1000*24*time.Hour || s.Run.P50 < 99*24*time.Hour {
		t.Errorf("got %+v", s)
	}
}

func near(got, want time.Duration, part float64) bool {
	return math.Abs(float64(got-want)) <= part*float64(want)
}

// TestRateNow starts evenly for a while, at one rate and then at another.
func TestRateNow(t *testing.T) {
	for _, c := range []struct {
		every, then time.Duration
		after       time.Duration // which is when the rate is asked for, counted from the change
		low, high   float64
	}{
		{time.Millisecond, time.Millisecond, time.Second, 980, 1020},
		{time.Millisecond, 100 * time.Millisecond, 6 * time.Second, 9, 11},
		{100 * time.Millisecond, time.Millisecond, 6 * time.Second, 980, 1020},
		{time.Second, 10 * time.Second, 50 * time.Second, 0.08, 0.1},
		{10 * time.Second, 10 * time.Second, 29 * time.Second, 0.08, 0.1},
		{12 * time.Minute, 12 * time.Minute, 24 * time.Minute, 4.0 / 3600, 5.0 / 3600},
		{time.Millisecond, time.Hour, 60 * time.Second, 0, 0.07}, // no more starts: it falls
	} {
		synctest.Test(t, func(t *testing.T) {
			all := tally.New()
			run := func(every, d time.Duration) {
				end := time.Now().Add(d)
				for {
					all.Start(true, 0)
					if !time.Now().Add(every).Before(end) {
						time.Sleep(time.Until(end))
						return
					}
					time.Sleep(every)
				}
			}
			run(c.every, max(20*time.Second, 9*c.every))
			run(c.then, c.after)
			if got := all.Snapshot().RateNow; got < c.low || got > c.high {
				t.Errorf("%v, %v after %v: %v, want %v to %v", c.every, c.then, c.after, got, c.low, c.high)
			}
		})
	}
}

func TestRateNowAtFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := tally.New()
		for i := range 20 {
			all.Start(true, 0)
			if got := all.Snapshot().RateNow; i == 0 && got != 0 || i > 0 && math.Abs(got-10) > 1e-6 {
				t.Errorf("start %d: %v", i, got)
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 50: "0.05µs", 450 * time.Microsecond: "450µs", 999_400: "999µs", 999_600: "1ms",
		12345678: "12.3ms", time.Second: "1s", 1020 * time.Millisecond: "1.02s", 59_900 * time.Millisecond: "59.9s",
		59_960 * time.Millisecond: "1m00s", 188 * time.Second: "3m08s", time.Hour - time.Millisecond: "1h00m",
		125*time.Minute + 29*time.Second: "2h05m", 99 * time.Hour: "4d03h",
	} {
		if got := tally.Duration(d); got != want {
			t.Errorf("%d ns: got %s, want %s", d, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for x, want := range map[float64]string{
		0: "0", 5: "5", 19.84: "19.8", 20: "20", 100: "100", 99.96: "100", 1398.2: "1398", 0.05: "0.05", 1.0 / 720: "0.00139", 1e-12: "0",
	} {
		if got := tally.Number(x); got != want {
			t.Errorf("%v: got %s, want %s", x, got, want)
		}
	}
}

func TestRate(t *testing.T) {
	for x, want := range map[float64]string{28: "28/s", 1: "1/s", 1.4 / 60: "1.4/m", 5.0 / 3600: "5/h", 1.5 / 86400: "1.5/d", 0: "0/d"} {
		if got := tally.Rate(x); got != want {
			t.Errorf("%v: got %s, want %s", x, got, want)
		}
	}
}

func TestManyAtOnce(t *testing.T) {
	all := tally.New()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				all.Start(true, time.Millisecond)
				_ = all.Snapshot()
				all.End(tally.Ending{Run: time.Millisecond})
			}
		})
	}
	wg.Wait()
	if s := all.Snapshot(); s.Done != 8000 || s.InFlight != 0 || s.Run.Count != 8000 {
		t.Errorf("got %+v", s)
	}
}

func BenchmarkJob(b *testing.B) {
	all := tally.New()
	for b.Loop() {
		all.Start(true, time.Millisecond)
		all.End(tally.Ending{Run: time.Millisecond})
	}
}

func BenchmarkSnapshot(b *testing.B) {
	all := tally.New()
	for i := range 1000 {
		all.Start(true, time.Duration(i)*time.Millisecond)
	}
	for b.Loop() {
		_ = all.Snapshot()
	}
}
