package pacer_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// What users of other systems rely on, see docs/compatibility.md.

func TestAPIQueueServicesAreIndependent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := pacer.NewRegistry(pacer.RegistryOptions{})
		for name, l := range map[string]pacer.Limit{"slow": pacer.Every(s), "fast": pacer.Every(10 * time.Millisecond), "none": pacer.Unlimited()} {
			if err := r.Set(name, l); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		var wg sync.WaitGroup
		for name, want := range map[string]time.Duration{"slow": 4 * s, "fast": 40 * time.Millisecond, "none": 0} { // the first one waits for nothing
			wg.Go(func() {
				for range 5 {
					if err := r.Wait(t.Context(), name); err != nil {
						t.Error(err)
					}
				}
				if got := time.Since(start); got != want {
					t.Errorf("%s took %v, want %v", name, got, want)
				}
			})
		}
		wg.Wait()
	})
}

func TestAPIQueueHandleWithAnExpectedTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		rs := queue(t, pacer.New(pacer.Every(500*time.Millisecond)), 5)
		at(t, start, rs, 0, s/2, s, 3*s/2, 2*s)
		if err := rs[4].Wait(t.Context()); err != nil || time.Since(start) != 2*s {
			t.Errorf("%v at %v", err, time.Since(start))
		}
	})
}

func TestAPIQueueRateChangedWhileFiftyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.New(pacer.Every(500 * time.Millisecond))
		start := time.Now()
		rs := queue(t, p, 51)
		p.SetLimit(pacer.Every(20 * time.Millisecond))
		for i, r := range rs {
			if err := r.Wait(t.Context()); err != nil || time.Since(start) != time.Duration(i)*20*time.Millisecond {
				t.Errorf("grant %d at %v, %v", i, time.Since(start), err)
			}
		}
	})
}

func TestAPIQueueSoftAndHardStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.New(pacer.Every(s))
		rs := queue(t, p, 3)
		if err := p.Drain(t.Context()); err != nil {
			t.Error(err)
		}
		for _, r := range rs {
			if err := r.Wait(t.Context()); err != nil {
				t.Errorf("one who was queued at a soft stop: %v", err)
			}
		}
		p = pacer.New(pacer.Every(s))
		rs = queue(t, p, 3)
		p.Close()
		if err := rs[2].Wait(t.Context()); !errors.Is(err, pacer.ErrClosed) {
			t.Errorf("one who was queued at a hard stop: %v", err)
		}
	})
}

// The mean interval is that which was asked for, and it does not vary.
func TestAPIQueueIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rs := queue(t, pacer.New(pacer.Every(7*time.Millisecond)), 1000)
		time.Sleep(8 * s)
		var sum, squares float64
		for i := 1; i < len(rs); i++ {
			d := float64(rs[i].Slot().Sub(rs[i-1].Slot()))
			sum, squares = sum+d, squares+d*d
		}
		n := float64(len(rs) - 1)
		if mean := sum / n; mean != float64(7*time.Millisecond) || math.Sqrt(squares/n-mean*mean) != 0 {
			t.Errorf("the mean is %v", time.Duration(mean))
		}
	})
}

func TestTokenThrottlerRefusalTakesFromNoBucket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.NewAll(pacer.Limits{pacer.Per(10, s).With(pacer.TokenBucket), pacer.Per(4, time.Minute).With(pacer.TokenBucket)})
		for _, n := range []int{3, 3, 3} {
			_, _, _ = p.TryN(n)
		}
		if u := p.Usage(); u[0].Remaining != 7 || u[1].Remaining != 1 {
			t.Errorf("%+v", u)
		}
	})
}

func TestTokenThrottlerRefusalSaysHowLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.New(pacer.Per(4, time.Minute).With(pacer.TokenBucket))
		_, _, _ = p.TryN(4)
		if granted, wait, err := p.TryN(2); granted || wait != 30*s || err != nil {
			t.Errorf("%v, %v, %v", granted, wait, err)
		}
	})
}

func TestTokenThrottlerCostBelowOne(t *testing.T) {
	p := pacer.New(pacer.Every(s))
	for _, n := range []int{0, -1} {
		var err *pacer.CostError
		if _, _, e := p.TryN(n); !errors.As(e, &err) {
			t.Errorf("cost %d: %v", n, e)
		}
	}
}

// A trickle of asking keeps no bucket empty.
func TestTokenThrottlerATrickleRefills(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.New(pacer.Per(1, 10*s))
		granted := 0
		for range 100 {
			if ok, _ := p.Try(); ok {
				granted++
			}
			time.Sleep(s)
		}
		if granted != 10 {
			t.Errorf("%d in 100 s", granted)
		}
	})
}

func TestLifeomicFungibleTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := pacer.NewRegistry(pacer.RegistryOptions{Default: pacer.Limits{pacer.Per(2, time.Minute).With(pacer.TokenBucket)}})
		if err := r.Set("ec2:1234", pacer.Per(5, time.Minute).With(pacer.TokenBucket)); err != nil {
			t.Fatal(err)
		}
		if err := r.Set("ec2:blocked", pacer.Per(0, s)); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]int{"ec2:1234": 5, "ec2:other": 2, "ec2:blocked": 0} {
			p, err := r.Get(name)
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			for range 10 { // each take counts, and none resets what was taken before
				if ok, _ := p.Try(); ok {
					got++
				}
			}
			if got != want {
				t.Errorf("%s: %d grants, want %d", name, got, want)
			}
		}
	})
}

func TestLifeomicWrapsAFunction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.New(pacer.Every(s))
		start := time.Now()
		why := errors.New("why")
		for i := range 3 {
			err := p.Do(t.Context(), func(context.Context) error { return why })
			if !errors.Is(err, why) || time.Since(start) != time.Duration(i)*s {
				t.Errorf("call %d at %v: %v", i, time.Since(start), err)
			}
		}
		p.Close()
		if err := p.Do(t.Context(), func(context.Context) error { t.Error("it is called"); return nil }); !errors.Is(err, pacer.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestPythonRateLimiterEachAlgorithm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for a, want := range map[pacer.Algorithm][]time.Duration{
			pacer.Paced:         {0, 20, 40, 60},
			pacer.TokenBucket:   {0, 0, 0, 20},
			pacer.SlidingWindow: {0, 0, 0, 60},
			pacer.FixedWindow:   {0, 0, 0, 60},
		} {
			start := time.Now()
			var got []time.Duration
			for _, r := range queue(t, pacer.New(pacer.Per(3, time.Minute).With(a)), 4) {
				got = append(got, r.Slot().Sub(start)/s)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v: %v, want %v", a, got, want)
			}
		}
	})
}
