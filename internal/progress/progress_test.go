package progress_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/internal/progress"
	"github.com/throttle-cli/throttle/internal/tally"
	"github.com/throttle-cli/throttle/pacer"
)

// midway returns a state in the midst of a batch, in which there is something to say of everything.
func midway() progress.State {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	now := began.Add(66 * time.Second)
	return progress.State{
		Snapshot: tally.Snapshot{
			Began: began, Elapsed: now.Sub(began), Total: 500, Started: 126, Done: 120, Failed: 2, InFlight: 4,
			Attempts: 126, Retried: 3, Throttled: 1, RateNow: 19.83, MeanRate: 19.7, Run: tally.Distribution{Count: 122, Mean: time.Second},
		},
		Wanted: pacer.Per(40, time.Second), Effective: pacer.Per(20, time.Second), Next: now.Add(2300 * time.Millisecond), Jobs: 64,
	}
}

func TestBar(t *testing.T) {
	usual := midway()
	usual.Wanted, usual.Retried, usual.Throttled, usual.Next = usual.Effective, 0, 0, time.Time{}
	unknown := usual
	unknown.Total = tally.Unknown
	held := midway()
	held.Cooldown = held.Began.Add(held.Elapsed + 11500*time.Millisecond)
	paused := midway()
	paused.Paused = true
	big := midway()
	big.Total, big.Done = 15_000_000, 1_234_567
	for _, c := range []struct {
		state progress.State
		width int
		want  string
	}{
		{usual, 5, "24%"},
		{usual, 20, "122/500 24% ETA 20s"},
		{usual, 40, "122/500 24% 19.8/s 2 failed ETA 20s"},
		{usual, 60, "122/500  24%  19.8/s of 20/s  2 failed  1m06s  ETA 20s"},
		{usual, 79, "122/500  24%  [=>     ]  19.8/s of 20/s  4 in flight  2 failed  1m06s  ETA 20s"},
		{usual, 100, "122/500  24%  [======>                     ]  19.8/s of 20/s  4 in flight  2 failed  1m06s  ETA 20s"},
		{midway(), 200, "122/500  24%  [=========>                              ]  19.8/s of 20/s (40/s wanted)  4 in flight  2 failed  3 retried  1 throttled  next in 3s  1m06s  ETA 20s"},
		{unknown, 20, "122/? 2 failed 1m06s"},
		{unknown, 79, "122/?  -  19.8/s of 20/s  4 in flight  2 failed  1m06s"},
		{held, 20, "122/500 cooldown 12s"},
		{held, 79, "122/500  24%  [=>    ]  cooldown 12s  19.8/s of 20/s  2 failed  1m06s  ETA 31s"},
		{paused, 20, "122/500 24% PAUSED"},
		{big, 20, "1234569/15000000 8%"},
	} {
		if got := c.state.Bar(c.width, false); got != c.want {
			t.Errorf("%d columns:\ngot  %q\nwant %q", c.width, got, c.want)
		}
	}
}

// random returns any state.
func random(rng *rand.Rand) progress.State {
	n := func() int64 { return int64(rng.ExpFloat64()*100) << rng.IntN(20) * int64(rng.IntN(2)) }
	limit := func() pacer.Limit {
		return []pacer.Limit{{}, pacer.Unlimited(), pacer.Per(5000, time.Hour), pacer.Per(1+n(), time.Second), pacer.Per(2, 10*time.Second)}[rng.IntN(5)]
	}
	s := midway()
	s.Elapsed = time.Duration(rng.ExpFloat64() * float64(time.Hour))
	now := s.Began.Add(s.Elapsed)
	s.Done, s.Failed, s.Skipped, s.InFlight, s.Retried, s.Throttled, s.Waiting = n(), n(), n(), n(), n(), n(), n()
	s.Started = s.Done + s.Failed + s.InFlight
	s.Attempts = s.Started + s.Retried
	s.Total = s.Started + s.Skipped + n()
	if rng.IntN(4) == 0 {
		s.Total = tally.Unknown
	}
	s.RateNow, s.MeanRate = rng.ExpFloat64()*100, rng.ExpFloat64()*100
	s.Wanted, s.Effective = limit(), limit()
	s.Paused = rng.IntN(9) == 0
	s.Next = now.Add(time.Duration(rng.NormFloat64() * float64(time.Minute)))
	s.Cooldown = now.Add(time.Duration(rng.NormFloat64() * float64(time.Minute)))
	return s
}

var sequences = regexp.MustCompile("\x1b\\[[0-9;]*m")

// TestBarFits draws any state at any width.
func TestBarFits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 3))
	for range 500 {
		s := random(rng)
		whole := s.Bar(1000, false)
		for width := range 201 {
			bar := s.Bar(width, false)
			if len(bar) > width || strings.ContainsFunc(bar, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%d columns: %q has %d", width, bar, len(bar))
			}
			if colored := s.Bar(width, true); sequences.ReplaceAllString(colored, "") != bar || !strings.HasSuffix(strings.TrimRight(colored, " "), "\x1b[m") && strings.LastIndex(colored, "\x1b[m") < strings.LastIndex(colored, "\x1b[3") {
				t.Fatalf("%d columns: %q is %q with colors", width, bar, colored)
			}
			if width >= 20 && !strings.HasPrefix(bar, strings.Fields(whole)[0]) && len(strings.Fields(whole)[0]) <= width {
				t.Fatalf("%d columns: %q does not begin like %q", width, bar, whole)
			}
			for word := range strings.FieldsSeq(bar) {
				if !strings.ContainsAny(word, "[]=>") && !strings.Contains(whole, word) {
					t.Fatalf("%d columns: %q has %q, which is not in %q", width, bar, word, whole)
				}
			}
		}
		if line := s.Line(); strings.ContainsAny(line, "\n\x1b") || line == "" {
			t.Fatalf("line %q", line)
		}
	}
}

func TestLine(t *testing.T) {
	s := midway()
	want := "122/500 jobs (24%), 2 failed, 4 in flight, 3 retried, 1 throttled, 19.8/s of 20/s (40/s wanted), next in 3s, elapsed 1m06s, ETA 20s"
	if got := s.Line(); got != want {
		t.Errorf("got %q", got)
	}
	s = progress.State{Snapshot: tally.Snapshot{Total: tally.Unknown, RateNow: 0.5, Waiting: 3}, Wanted: pacer.Per(5000, time.Hour), Effective: pacer.Per(2500, time.Hour), Paused: true}
	want = "0/? jobs, 3 to be run again, 1800/h of 2500/h (5000/h wanted), PAUSED, elapsed 0s"
	if got := s.Line(); got != want {
		t.Errorf("got %q", got)
	}
	s = progress.State{Snapshot: tally.Snapshot{Total: 3, Done: 2, Skipped: 1}, Wanted: pacer.Unlimited(), Effective: pacer.Unlimited()}
	if got, want := s.Line(), "3/3 jobs (100%), 1 skipped, 0/s, elapsed 0s"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestETA(t *testing.T) {
	base := progress.State{
		Snapshot:  tally.Snapshot{Total: 1000, Started: 200, Attempts: 200, Done: 200, Elapsed: 20 * time.Second, MeanRate: 10, RateNow: 10},
		Effective: pacer.Per(10, time.Second), Jobs: 10,
	}
	now := base.Began.Add(base.Elapsed)
	for name, c := range map[string]struct {
		change func(*progress.State)
		want   time.Duration // -1 for none
	}{
		"the limit":         {func(*progress.State) {}, 80 * time.Second},
		"and the last run":  {func(s *progress.State) { s.Run.Mean = 500 * time.Millisecond }, 80*time.Second + 500*time.Millisecond},
		"the jobs":          {func(s *progress.State) { s.Run.Mean = 2 * time.Second }, 160 * time.Second},
		"one job":           {func(s *progress.State) { s.Run.Mean, s.Jobs = time.Second, 1 }, 800 * time.Second},
		"in flight":         {func(s *progress.State) { s.Total, s.Done, s.InFlight, s.Run.Mean = 200, 195, 5, time.Second }, time.Second},
		"no total":          {func(s *progress.State) { s.Total = tally.Unknown }, -1},
		"paused":            {func(s *progress.State) { s.Paused = true }, -1},
		"nothing allowed":   {func(s *progress.State) { s.Effective = pacer.Limit{} }, -1},
		"all done":          {func(s *progress.State) { s.Done, s.Effective = 1000, pacer.Limit{} }, 0},
		"no limit":          {func(s *progress.State) { s.Effective, s.Run.Mean = pacer.Unlimited(), time.Second }, 80 * time.Second},
		"skipped":           {func(s *progress.State) { s.Skipped = 300 }, 50 * time.Second},
		"cooldown":          {func(s *progress.State) { s.Cooldown = now.Add(30 * time.Second) }, 110 * time.Second},
		"an old cooldown":   {func(s *progress.State) { s.Cooldown = now.Add(-time.Second) }, 80 * time.Second},
		"two attempts each": {func(s *progress.State) { s.Attempts = 400 }, 160 * time.Second},
		"to be run again":   {func(s *progress.State) { s.Done, s.Waiting = 190, 10 }, 81 * time.Second},
		"slow for a while":  {func(s *progress.State) { s.MeanRate, s.RateNow = 5, 4 }, 80 * time.Second},
		"slow for long":     {func(s *progress.State) { s.MeanRate, s.RateNow, s.Elapsed = 5, 4, time.Minute }, 160 * time.Second},
		"slow of late":      {func(s *progress.State) { s.RateNow, s.Elapsed = 0, time.Minute }, 80 * time.Second},
		"a lowered limit":   {func(s *progress.State) { s.Effective, s.Elapsed = pacer.Per(1, time.Hour), time.Minute }, 800 * time.Hour},
		"for ever":          {func(s *progress.State) { s.Effective, s.Total = pacer.Per(1, 24*time.Hour), 1<<40 }, -1},
	} {
		s := base
		c.change(&s)
		got, ok := s.ETA()
		if !ok {
			got = -1
		}
		if got.Round(time.Millisecond) != c.want.Round(time.Millisecond) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestCount(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 3))
	for range 50 {
		data := make([]byte, rng.IntN(1<<rng.IntN(20)))
		for i := range data {
			data[i] = "ab\n\x00"[rng.IntN(4)]
		}
		for _, delim := range []byte("\n\x00") {
			from := rng.IntN(len(data) + 1)
			var want int64
			for range bytes.SplitAfterSeq(data[from:], []byte{delim}) {
				want++
			}
			if from == len(data) || data[len(data)-1] == delim { // SplitAfter has an empty one there
				want--
			}
			got, err := progress.Count(t.Context(), bytes.NewReader(data), int64(from), delim)
			if got != want || err != nil {
				t.Errorf("%d bytes from %d: got %d, %v, want %d", len(data), from, got, err, want)
			}
		}
	}
}

func TestCountLeavesTheOffset(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "input"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(strings.Repeat("line\n", 100_000)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(50, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if !progress.Countable(f) {
		t.Error("a file is not countable")
	}
	if n, err := progress.Count(t.Context(), f, 50, '\n'); n != 99_990 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if at, err := f.Seek(0, io.SeekCurrent); at != 50 || err != nil {
		t.Errorf("it is at %d, %v", at, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), w.Close() }()
	if progress.Countable(r) {
		t.Error("a pipe is countable")
	}
}

// An endless file has no end, and fails or stops those who count it after a while.
type endless struct {
	fail error
	stop context.CancelCauseFunc
	n    int
}

func (e *endless) ReadAt(p []byte, _ int64) (int, error) {
	if e.n++; e.n == 10 {
		if e.fail != nil {
			return 0, e.fail
		}
		e.stop(io.ErrClosedPipe)
	}
	return len(p), nil
}

func TestCountEnds(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	if n, err := progress.Count(ctx, &endless{stop: stop}, 0, '\n'); n != 0 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := progress.Count(t.Context(), &endless{fail: io.ErrNoProgress}, 0, '\n'); n != 0 || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %d, %v", n, err)
	}
}

// What is left of limits is part of how long they take.
func TestETAOfSeveralLimits(t *testing.T) {
	usage := func(limit pacer.Limit, quota, remaining int64, reset time.Duration) pacer.Usage {
		return pacer.Usage{Limit: limit, Quota: quota, Remaining: remaining, Reset: reset}
	}
	perMinute := usage(pacer.Per(15, time.Minute), 1, 1, 0)
	perHour := usage(pacer.Per(100, time.Hour).With(pacer.SlidingWindow), 100, 90, 40*time.Minute)
	for _, c := range []struct {
		usage []pacer.Usage
		cost  int
		jobs  int64
		want  time.Duration
	}{
		{[]pacer.Usage{perMinute}, 0, 16, time.Minute},
		{[]pacer.Usage{perMinute}, 5, 2, 36 * time.Second},
		{[]pacer.Usage{perMinute, perHour}, 1, 90, 89 * 4 * time.Second},
		{[]pacer.Usage{perMinute, perHour}, 1, 91, 40 * time.Minute},
		{[]pacer.Usage{perMinute, perHour}, 1, 191, 100 * time.Minute},
		{[]pacer.Usage{perHour, usage(pacer.Unlimited(), 0, 0, 0)}, 30, 3, 0},
	} {
		s := progress.State{Snapshot: tally.Snapshot{Total: c.jobs}, Wanted: pacer.Per(15, time.Minute), Effective: pacer.Per(15, time.Minute), Usage: c.usage, Cost: c.cost}
		if got, ok := s.ETA(); !ok || got != c.want {
			t.Errorf("%d jobs of %d units, %v: %v, want %v", c.jobs, c.cost, c.usage, got, c.want)
		}
	}
}

func TestETAOfLinesWithLimitsOfTheirOwn(t *testing.T) {
	s := progress.State{Snapshot: tally.Snapshot{Total: 100, Started: 40, Done: 40, Attempts: 40, MeanRate: 15, RateNow: 10}, Wanted: pacer.Unlimited(), Effective: pacer.Unlimited(), Unknown: true}
	if got, ok := s.ETA(); !ok || got != 4*time.Second {
		t.Errorf("%v, %v: 60 are left, at 15 a second", got, ok)
	}
	s.MeanRate, s.RateNow = 0, 0
	if got, ok := s.ETA(); ok {
		t.Errorf("%v: nothing is known yet", got)
	}
}
