package pacer_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/throttle-cli/throttle/pacer"
)

// grants waits n times, one after another, and returns when each grant came, counted from start.
func grants(t *testing.T, p *pacer.Pacer, start time.Time, n int) []time.Duration {
	t.Helper()
	var at []time.Duration
	for range n {
		if err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		at = append(at, time.Since(start))
	}
	return at
}

func TestContract1NeverEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := pacer.New(pacer.Per(3, time.Second))
		for k, at := range grants(t, p, start, 3001) {
			// the first whole nanosecond at or after k/3 s
			if want := (time.Duration(k)*time.Second + 2) / 3; at != want {
				t.Fatalf("grant %d came at %d ns, want %d", k, at, want)
			}
		}
	})
}

func TestContract2FirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.New(pacer.Every(time.Millisecond))
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 1000 {
			wg.Go(func() {
				if err := p.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			synctest.Wait() // i is in the queue
		}
		wg.Wait()
		for i, got := range order {
			if got != i {
				t.Fatalf("grant %d went to %d", i, got)
			}
		}
	})
}

// lateTimer fires late, like the timers of real systems.
type lateTimer struct {
	*time.Timer
	late time.Duration
}

func (l lateTimer) Reset(d time.Duration) bool { return l.Timer.Reset(d + l.late) }

func TestContract3NoDriftAlthoughLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := pacer.WithTimer(func(fire func()) pacer.Timer {
			timer := time.AfterFunc(time.Hour, fire)
			timer.Stop()
			return lateTimer{timer, 700 * time.Microsecond}
		})
		start := time.Now()
		p := pacer.New(pacer.Per(1000, time.Second), late)
		at := grants(t, p, start, 10_000)
		if got, want := at[9999], 9999*time.Millisecond+700*time.Microsecond; got != want {
			t.Errorf("the last of 10,000 came after %v, want %v", got, want)
		}
	})
}

func TestContract3ReservationsKeepTheRateThroughAnyLateness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := pacer.New(pacer.Per(100_000, time.Second))
		for i := range 100 {
			var rs []*pacer.Reservation
			for range 10 {
				r, err := p.Reserve()
				if err != nil {
					t.Fatal(err)
				}
				rs = append(rs, r)
			}
			time.Sleep(90*time.Microsecond + time.Duration(i%10)) // the last of them is at most just due
			for k, r := range rs {
				if got, want := r.Slot().Sub(start), time.Duration(10*i+k)*10*time.Microsecond; got != want {
					t.Fatalf("slot %d is at %v, want %v", 10*i+k, got, want)
				}
			}
		}
	})
}

func TestContract4TheFirstIsFreeAndIdleTimeSavesNoMoreThanTheBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, burst := range []int64{0, 1, 3} {
			p := pacer.New(pacer.Every(time.Second).WithBurst(burst))
			time.Sleep(time.Hour)
			start := time.Now()
			for k, at := range grants(t, p, start, 6) {
				if want := time.Duration(max(0, int64(k)+1-max(burst, 1))) * time.Second; at != want {
					t.Errorf("burst %d: grant %d came at %v, want %v", burst, k, at, want)
				}
			}
		}
	})
}

func TestContract5ARefusalWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.New(pacer.Every(time.Second).WithBurst(2))
		for range 100 {
			var cost *pacer.CostError
			if _, _, err := p.TryN(3); !errors.As(err, &cost) || cost.Cost != 3 || cost.Burst != 2 {
				t.Fatalf("cost 3 of a burst of 2: %v", err)
			}
			if err := p.WaitN(t.Context(), 0); !errors.As(err, &cost) {
				t.Fatalf("cost 0: %v", err)
			}
		}
		if granted, _, err := p.TryN(2); !granted || err != nil {
			t.Fatalf("the burst is gone: %v", err)
		}
		for range 100 {
			if granted, wait, _ := p.TryN(2); granted || wait != 2*time.Second {
				t.Fatalf("granted %v, wait %v, want 2s", granted, wait)
			}
		}
		time.Sleep(2 * time.Second)
		if granted, _, _ := p.TryN(2); !granted {
			t.Error("refusals have moved the slot")
		}
	})
}

func TestContract6ACancelledPlaceIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := pacer.New(pacer.Every(time.Second))
		var rs []*pacer.Reservation
		for range 5 {
			r, err := p.Reserve()
			if err != nil {
				t.Fatal(err)
			}
			rs = append(rs, r)
		}
		time.Sleep(500 * time.Millisecond)
		if !rs[2].Cancel() || rs[2].Cancel() || rs[0].Cancel() {
			t.Error("only the first Cancel of one that waits gives a place back")
		}
		for i, want := range []time.Duration{0, 1, -1, 2, 3} {
			if got := rs[i].Slot(); want >= 0 && got.Sub(start) != want*time.Second || want < 0 && !got.IsZero() {
				t.Errorf("slot %d is at %v", i, got.Sub(start))
			}
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.ErrUnsupported)
		defer cancel()
		if err := rs[1].Wait(ctx); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Wait returns %v, want the cause", err)
		}
		if err := rs[4].Wait(t.Context()); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("the last is served at %v, %v", time.Since(start), err)
		}
		if err := rs[1].Wait(t.Context()); !errors.Is(err, pacer.ErrClosed) {
			t.Errorf("Wait of a cancelled one: %v", err)
		}
	})
}

func TestContract7ANewLimitHoldsForThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := pacer.New(pacer.Every(500 * time.Millisecond))
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 51 {
			wg.Go(func() {
				if err := p.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			synctest.Wait()
		}
		time.Sleep(250 * time.Millisecond)
		p.SetLimit(pacer.Every(20 * time.Millisecond)) // half a unit is there: 10 ms for the other half
		wg.Wait()
		if got, want := time.Since(start), (250+10+49*20)*time.Millisecond; got != want {
			t.Errorf("50 waiters were done after %v, want %v", got, want)
		}
		for i, got := range order {
			if got != i {
				t.Fatalf("grant %d went to %d", i, got)
			}
		}
		if len(order) != 51 {
			t.Errorf("%d of 51 were served", len(order))
		}
	})
}

func TestSetLimitSlowsAndStopsAndFrees(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := pacer.New(pacer.Every(time.Second))
		r := make([]*pacer.Reservation, 4)
		for i := range r {
			r[i], _ = p.Reserve()
		}
		time.Sleep(500 * time.Millisecond)
		p.SetLimit(pacer.Every(10 * time.Second)) // half a unit is missing: 5 s
		if got := r[1].Slot().Sub(start); got != 5500*time.Millisecond {
			t.Errorf("slowed down, the next slot is at %v", got)
		}
		p.SetLimit(pacer.Limit{})
		time.Sleep(time.Hour)
		if !r[1].Slot().IsZero() || p.Len() != 3 {
			t.Errorf("a limit of nothing has a slot, or has lost some of 3: %d", p.Len())
		}
		p.SetLimit(pacer.Every(time.Second))
		if got := time.Until(r[1].Slot()); got != 500*time.Millisecond {
			t.Errorf("after a limit of nothing the next slot is in %v, want 500ms", got)
		}
		p.SetLimit(pacer.Unlimited())
		if p.Len() != 0 {
			t.Error("without a limit somebody waits")
		}
		p.SetLimit(pacer.Every(time.Second))
		if granted, wait := p.Try(); granted || wait != time.Second {
			t.Errorf("grants without a limit do not count: %v, %v", granted, wait)
		}
	})
}

func TestDrainAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := pacer.New(pacer.Every(time.Second))
		r := make([]*pacer.Reservation, 3)
		for i := range r {
			r[i], _ = p.Reserve()
		}
		if err := p.Drain(t.Context()); err != nil || time.Since(start) != 2*time.Second {
			t.Errorf("Drain: %v after %v", err, time.Since(start))
		}
		if err := p.Wait(t.Context()); !errors.Is(err, pacer.ErrClosed) {
			t.Errorf("Wait after Drain: %v", err)
		}

		p = pacer.New(pacer.Every(time.Second))
		first, _ := p.Reserve()
		second, _ := p.Reserve()
		p.Close()
		if err := first.Wait(t.Context()); err != nil {
			t.Errorf("a grant that was made is gone: %v", err)
		}
		if err := second.Wait(t.Context()); !errors.Is(err, pacer.ErrClosed) {
			t.Errorf("Wait of one released: %v", err)
		}
	})
}

func TestDebtComesAtTheSlotOfItsLastUnit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := pacer.New(pacer.Every(time.Second), pacer.WithDebt())
		for _, want := range []time.Duration{4, 9} {
			if err := p.WaitN(t.Context(), 5); err != nil || time.Since(start) != want*time.Second {
				t.Errorf("5 units at %v, %v; want %v s", time.Since(start), err, int(want))
			}
		}
	})
}

func TestOverXTimeRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := pacer.Over(rate.NewLimiter(10, 1))
		r := make([]*pacer.Reservation, 4)
		for i := range r {
			r[i], _ = p.Reserve()
		}
		r[1].Cancel()
		if err := r[3].Wait(t.Context()); err != nil || time.Since(start) != 200*time.Millisecond {
			t.Errorf("the third of four, one cancelled, came at %v, %v", time.Since(start), err)
		}
	})
}

// The reason why New does not use x/time/rate: its slots are truncated to whole nanoseconds.
func TestXTimeRateIsEarly(t *testing.T) {
	at := time.Unix(0, 0)
	lim := rate.NewLimiter(3, 1)
	lim.ReserveN(at, 1)
	if d := lim.ReserveN(at, 1).DelayFrom(at); 3*d >= time.Second {
		t.Errorf("x/time/rate now waits %d ns at 3/s: New may use it", d)
	}
}

func TestIdleWaitDoesNotAllocate(t *testing.T) {
	p := pacer.New(pacer.Unlimited())
	ctx := context.Background()
	if n := testing.AllocsPerRun(1000, func() { _ = p.Wait(ctx) }); n > 0 {
		t.Errorf("%v allocations a grant", n)
	}
}
