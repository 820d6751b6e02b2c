package pacer_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

const (
	s = time.Second
	h = time.Hour
)

func sliding(n int64, per time.Duration) pacer.Limit {
	return pacer.Per(n, per).With(pacer.SlidingWindow)
}

func fixed(n int64, per time.Duration) pacer.Limit { return pacer.Per(n, per).With(pacer.FixedWindow) }

// cost takes places for grants of these costs.
func cost(t *testing.T, p *pacer.Pacer, costs ...int) (rs []*pacer.Reservation) {
	t.Helper()
	for _, n := range costs {
		r, err := p.ReserveN(n)
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	return rs
}

func TestASlidingWindowIsHalfOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := pacer.New(sliding(3, 10*s))
		at(t, start, queue(t, p, 1), 0)
		time.Sleep(4 * s)
		at(t, start, queue(t, p, 6), 4*s, 4*s, 10*s, 14*s, 14*s, 20*s)
	})
}

func TestAFixedWindowIsOpenedByTheFirstGrantBehindTheOneBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.New(fixed(2, 10*s))
		time.Sleep(3 * s)
		start := time.Now()
		at(t, start, queue(t, p, 1), 0)
		time.Sleep(9 * s)
		at(t, start, queue(t, p, 4), 9*s, 10*s, 10*s, 20*s)
		time.Sleep(91 * s)
		at(t, start, queue(t, p, 3), 100*s, 100*s, 110*s)
	})
}

func TestACostIsTakenWholeFromAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		at(t, start, cost(t, pacer.New(sliding(5, 10*s)), 3, 3, 2, 1, 5), 0, 10*s, 10*s, 20*s, 30*s)
		at(t, start, cost(t, pacer.New(fixed(5, 10*s)), 3, 3, 2, 1, 5), 0, 10*s, 10*s, 20*s, 30*s)
		for _, l := range []pacer.Limit{sliding(5, s), fixed(5, s)} {
			var err *pacer.CostError
			if _, e := pacer.New(l).ReserveN(6); !errors.As(e, &err) || err.Burst != 5 || err.Limit != l {
				t.Errorf("%v", e)
			}
		}
		p := pacer.NewAll(pacer.Limits{pacer.Per(1, s).WithBurst(9), fixed(5, s), sliding(7, s)})
		var err *pacer.CostError
		if _, e := p.ReserveN(6); !errors.As(e, &err) || err.Burst != 5 || p.Usage()[0].Remaining != 9 {
			t.Errorf("%v", e)
		}
	})
}

// A grant above the N of a window comes when the last of its units would, and counts as these.
func TestDebtOfAWindowIsThatOfItsUnits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		at(t, start, cost(t, pacer.New(sliding(4, 10*s), pacer.WithDebt()), 2, 7, 4, 1, 9), 0, 20*s, 30*s, 40*s, 60*s)
		at(t, start, cost(t, pacer.New(fixed(4, 10*s), pacer.WithDebt()), 2, 7, 4, 1, 9), 0, 20*s, 30*s, 40*s, 60*s)
	})
	for seed := range uint64(2000) { // a debt is the units, one by one
		rng := rand.New(rand.NewPCG(seed, 3))
		l := pacer.Limit{Events: 1 + rng.Int64N(6), Per: 1000, Algorithm: pacer.Algorithm(rng.IntN(4))}
		whole, single := pacer.NewSchedule(l), pacer.NewSchedule(l)
		now := int64(0)
		for range 20 {
			now += rng.Int64N(1500)
			n := 1 + rng.Int64N(20)
			if window(l) && n <= l.Events {
				n += l.Events // fewer are not taken one by one, but whole
			}
			var units []int64
			for range n {
				units = append(units, 1)
			}
			got, _ := whole.Slot(now, n)
			want, _ := single.Fold(now, slices.Values(units))
			if got != want {
				t.Fatalf("seed %d: %d units of %v at %d have the slot %d, and one by one %d", seed, n, l, now, got, want)
			}
			whole.Take(now, n)
			for range n {
				single.Take(now, 1)
				now, _ = single.Last()
			}
		}
	}
}

// A debt that another limit has come later leaves nothing of a window at its slot.
func TestDebtThatAnotherLimitHasComeLater(t *testing.T) {
	for _, c := range []struct {
		limit pacer.Limit
		next  time.Duration // of a unit behind it
	}{
		{fixed(4, 100*s), 300 * s}, // its ninth unit lies in the window from 200 s on, which is full at 240 s
		{sliding(4, 100*s), 340 * s},
		{pacer.Per(4, 100*s).With(pacer.TokenBucket), 270 * s}, // paced
	} {
		synctest.Test(t, func(t *testing.T) {
			p := pacer.NewAll(pacer.Limits{c.limit, pacer.Per(1, 30*s)}, pacer.WithDebt())
			at(t, time.Now(), cost(t, p, 9, 1), 240*s, c.next)
		})
	}
}

func TestAWindowKeepsWhatWasGrantedWhenItsLimitChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := pacer.New(sliding(4, 10*s))
		at(t, start, queue(t, p, 3), 0, 0, 0)
		time.Sleep(2 * s)
		rs := queue(t, p, 3)
		at(t, start, rs, 2*s, 10*s, 10*s)
		p.SetLimit(sliding(2, 10*s))
		at(t, start, rs[1:], 10*s, 12*s)
		p.SetLimit(sliding(5, 10*s))
		at(t, start, rs[1:], 2*s, 10*s)
		p.SetLimits(pacer.Limits{pacer.Per(1, 3*s), sliding(6, 10*s)}) // the other one is kept, and the new one knows of the last
		at(t, start, append(rs[2:], queue(t, p, 2)...), 5*s, 10*s, 13*s)
	})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := pacer.New(fixed(4, 10*s))
		rs := queue(t, p, 6)
		at(t, start, rs, 0, 0, 0, 0, 10*s, 10*s)
		p.SetLimit(fixed(5, 10*s))
		at(t, start, rs[4:], 0, 10*s)
		p.SetLimit(fixed(2, 3*s)) // it began when it did
		at(t, start, rs[5:], 3*s)
		p.SetLimit(sliding(6, 30*s)) // what is remembered counts
		at(t, start, append(rs[5:], queue(t, p, 1)...), 0, 30*s)
		p.SetLimit(pacer.Per(1, 5*s))
		at(t, start, queue(t, p, 1), 10*s) // there was one before it
	})
}

func TestRaisingAWindowAgainMintsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := pacer.New(sliding(100, h))
		queue(t, p, 100)
		p.SetLimit(sliding(10, h))
		p.SetLimit(sliding(100, h))
		at(t, start, queue(t, p, 1), h)
	})
}

func TestACutWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.NewAll(pacer.Limits{sliding(10, s), fixed(1, s)})
		first := grant(t, p)
		if c := first.Throttled(pacer.Feedback{After: s, Adaptive: true}); !c.New {
			t.Errorf("%+v", c)
		}
		if got := p.EffectiveLimits(); !got.Equal(pacer.Limits{sliding(7, s), fixed(1, s)}) {
			t.Errorf("%v", got)
		}
	})
}

// A sliding window with room for many units puts grants that are close to each other into one: later by a little, never early.
func TestALargeSlidingWindowIsNeverEarly(t *testing.T) {
	const n = 100_000
	sch := pacer.NewSchedule(sliding(n, s))
	rng := rand.New(rand.NewPCG(1, 1))
	var units []int64
	now := int64(0)
	for range 4 * n {
		now += rng.Int64N(int64(2*s) / n)
		at, _ := sch.Slot(now, 1)
		sch.Take(now, 1)
		now = at
		units = append(units, at)
		if i := len(units) - 1 - n; i >= 0 {
			if d := at - units[i]; d < int64(s) {
				t.Fatalf("%d units within %v", n+1, time.Duration(d))
			} else if earliest := max(units[i]+int64(s), units[len(units)-2]); at > max(earliest, now)+int64(s)/1000 {
				t.Fatalf("%d is %v late", i, time.Duration(at-earliest))
			}
		}
	}
}

// A window whose limit becomes larger and longer, again and again, remembers no more than can be stored, and is never early.
func TestAWindowThatGrowsIsStored(t *testing.T) {
	first := sliding(16_384, s)
	sch := pacer.NewSchedule(first)
	var units []int64 // when each was granted
	now := int64(0)
	grant := func(l pacer.Limit, times int, every time.Duration) {
		for range times {
			at, _ := sch.Slot(now, 1)
			sch.Take(at, 1)
			units = append(units, at)
			if i := len(units) - 1 - int(l.Events); i >= 0 && at-units[i] < int64(l.Per) {
				t.Fatalf("%d units within %v, of %v", l.Events+1, time.Duration(at-units[i]), l)
			}
			now = at + int64(every)
		}
		b, err := sch.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := new(pacer.Schedule).UnmarshalBinary(b); err != nil {
			first, end := sch.Ring(0).Span()
			t.Fatalf("%v with %d runs: %v", l, end-first, err)
		}
	}
	grant(first, 16_384, 1)
	for i, times := range []int{16_000, 7_000} {
		l := sliding(40_000, []time.Duration{10 * s, 100 * s}[i])
		sch.SetLimits(now, pacer.Limits{l})
		grant(l, times, l.Per/16_384+1)
	}
	if first, end := sch.Ring(0).Span(); end-first != pacer.RunsMost {
		t.Errorf("it has %d runs: this test needs one that is full", end-first)
	}
	grant(sliding(40_000, 100*s), 100_000, 1) // and so on
}

func TestUsage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.NewAll(pacer.Limits{pacer.Per(1, s).WithBurst(5), sliding(10, 20*s), fixed(10, 20*s), pacer.Unlimited()})
		cost(t, p, 4)
		time.Sleep(s / 2)
		for i, want := range []pacer.Usage{
			{Limit: p.Limits()[0], Quota: 5, Remaining: 1, Reset: s / 2},
			{Limit: p.Limits()[1], Quota: 10, Remaining: 6, Reset: 39 * s / 2},
			{Limit: p.Limits()[2], Quota: 10, Remaining: 6, Reset: 39 * s / 2},
			{Limit: pacer.Unlimited()},
		} {
			if got := p.Usage()[i]; got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
	})
}

func TestPythonRateLimiterLeakyBucketQueueWithCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.New(pacer.Per(1, s), pacer.WithQueue(3))
		rs := queue(t, p, 4)
		var full *pacer.FullError
		if err := p.Wait(t.Context()); !errors.Is(err, pacer.ErrFull) || !errors.As(err, &full) || full.Most != 3 {
			t.Errorf("a fifth: %v", err)
		}
		if _, err := p.Reserve(); !errors.Is(err, pacer.ErrFull) {
			t.Errorf("a fifth: %v", err)
		}
		rs[2].Cancel()
		if err := p.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		none := pacer.New(pacer.Per(1, s), pacer.WithQueue(0))
		if err := none.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		if err := none.Wait(t.Context()); !errors.Is(err, pacer.ErrFull) {
			t.Error(err)
		}
	})
}

// The longest interval that there is does not overflow.
func TestTheLongestInterval(t *testing.T) {
	sch := pacer.NewSchedule(pacer.Every(math.MaxInt64))
	for now := range int64(3) {
		if granted := sch.Grab(5+now, 1); granted != (now == 0) {
			t.Errorf("at %d: granted %v", 5+now, granted)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		p := pacer.New(pacer.Every(math.MaxInt64))
		time.Sleep(s)
		for i := range 3 {
			if granted, _ := p.Try(); granted != (i == 0) {
				t.Errorf("attempt %d: granted %v", i, granted)
			}
		}
	})
}

// There is no algorithm of a name that is not known, and so no way to be without a limit by a slip of the pen.
func TestPythonRateLimiterUnknownAlgorithmIsAnError(t *testing.T) {
	for name, want := range map[string]pacer.Algorithm{
		"paced": pacer.Paced, "token-bucket": pacer.TokenBucket, "sliding-window": pacer.SlidingWindow, "fixed-window": pacer.FixedWindow,
	} {
		if got, err := pacer.ParseAlgorithm(name); err != nil || got != want || got.String() != name {
			t.Errorf("%q is %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "sliding", "Paced", "none"} {
		if _, err := pacer.ParseAlgorithm(name); err == nil {
			t.Errorf("%q is an algorithm", name)
		}
	}
	if (pacer.Limit{Events: 1, Per: s, Algorithm: 9}).Validate() == nil {
		t.Error("algorithm 9 is valid")
	}
}
