package pacer_test

import (
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/throttle-cli/throttle/pacer"
)

// grant waits for one unit.
func grant(t *testing.T, p *pacer.Pacer) *pacer.Reservation {
	t.Helper()
	r, err := p.Grant(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// at checks that the reservations have slots at so many after start.
func at(t *testing.T, start time.Time, rs []*pacer.Reservation, want ...time.Duration) {
	t.Helper()
	for i, r := range rs {
		if got := r.Slot().Sub(start); got != want[i] {
			t.Errorf("slot %d is at %v, want %v", i, got, want[i])
		}
	}
}

func queue(t *testing.T, p *pacer.Pacer, n int) (rs []*pacer.Reservation) {
	t.Helper()
	for range n {
		r, err := p.Reserve()
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	return rs
}

func TestContract10ACooldownHoldsForThoseWhoWait(t *testing.T) {
	const s = time.Second
	for _, limit := range []pacer.Limit{pacer.Every(s), pacer.Every(s).WithBurst(3)} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			p := pacer.New(limit)
			first := grant(t, p)
			for range limit.Burst {
				grant(t, p)
			}
			start = start.Add(time.Since(start))
			rs := queue(t, p, 3)
			c := first.Throttled(pacer.Feedback{After: 10 * s})
			if !c.New || c.Length != 10*s || !c.Until.Equal(start.Add(10*s)) || c.Rate != limit || !p.Cooldown().Equal(c.Until) {
				t.Errorf("%+v", c)
			}
			at(t, start, append(rs, queue(t, p, 1)...), 10*s, 11*s, 12*s, 13*s)
			time.Sleep(20 * s)
			if !p.Cooldown().IsZero() {
				t.Error("it does not end")
			}
		})
	}
}

func TestNoBurstIsSavedUpInACooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		start := time.Now()
		p := pacer.New(pacer.Every(s).WithBurst(5))
		grant(t, p).Throttled(pacer.Feedback{After: time.Minute})
		time.Sleep(30 * s)
		at(t, start, queue(t, p, 3), 60*s, 61*s, 62*s)
		time.Sleep(90 * s)
		at(t, start, queue(t, p, 6), 120*s, 120*s, 120*s, 120*s, 120*s, 121*s)
	})
}

func TestOfSeveralReportsTheLongestHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		start := time.Now()
		p := pacer.New(pacer.Every(s).WithBurst(4))
		rs := queue(t, p, 4)
		for i, c := range []struct {
			after, until time.Duration
			isNew        bool
		}{{5 * s, 5 * s, true}, {2 * s, 5 * s, false}, {9 * s, 10 * s, false}, {0, 10 * s, false}} {
			got := rs[i].Throttled(pacer.Feedback{After: c.after, Adaptive: true})
			if got.Until.Sub(start) != c.until || got.New != c.isNew || got.Length != c.until-time.Since(start) ||
				got.Rate != pacer.Per(7, 10*s).WithBurst(4) {
				t.Errorf("report %d: %+v", i, got)
			}
			time.Sleep(s / 2)
		}
		time.Sleep(9 * s)
		// Known by now, and over: it neither begins a cooldown nor cuts the rate again.
		if got := rs[0].Throttled(pacer.Feedback{Adaptive: true}); got.New || !got.Until.IsZero() || got.Length != 0 {
			t.Errorf("%+v", got)
		}
	})
}

func TestBackoffDoublesWithinARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		p := pacer.New(pacer.Per(1000, s))
		spread := map[time.Duration]bool{}
		for round := range 10 {
			full := 2 * s
			for n := range 6 {
				c := grant(t, p).Throttled(pacer.Feedback{Backoff: 2 * s, Most: 20 * s})
				if !c.New || c.Length < full/2 || c.Length > full {
					t.Errorf("round %d: the cooldown of event %d is %v, want %v to %v", round, n, c.Length, full/2, full)
				}
				spread[c.Length] = true
				full = min(2*full, 20*s)
				if n < 5 {
					time.Sleep(2 * c.Length) // so long after its end as it was long: it is still the same row
					continue
				}
				time.Sleep(2*c.Length + 1)
			}
		}
		if len(spread) < 50 {
			t.Errorf("60 cooldowns have %d lengths", len(spread))
		}
	})
}

func TestDefaultsOfAFeedback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.New(pacer.Unlimited())
		if c := grant(t, p).Throttled(pacer.Feedback{}); c.Length < time.Second/2 || c.Length > time.Second {
			t.Errorf("%v", c.Length)
		}
		if c := grant(t, p).Throttled(pacer.Feedback{After: 1 << 62}); c.Length != time.Hour {
			t.Errorf("%v", c.Length)
		}
	})
}

// A rate of inf can't be cut, and has a cooldown.
func TestACooldownWithoutALimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		p := pacer.New(pacer.Unlimited())
		c := grant(t, p).Throttled(pacer.Feedback{After: time.Minute, Adaptive: true})
		if !c.Rate.IsUnlimited() {
			t.Errorf("%v", c.Rate)
		}
		rs := queue(t, p, 2)
		at(t, start, rs, time.Minute, time.Minute)
		if granted, wait := p.Try(); granted || wait != time.Minute {
			t.Errorf("%v, %v", granted, wait)
		}
		if err := rs[1].Wait(t.Context()); err != nil || time.Since(start) != time.Minute {
			t.Errorf("%v at %v", err, time.Since(start))
		}
	})
}

func TestACutRateRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		limit := pacer.Per(1000, s)
		p := pacer.New(limit)
		c := grant(t, p).Throttled(pacer.Feedback{After: 5 * s, Adaptive: true})
		if c.Rate != pacer.Per(700, s) && !c.Rate.Equal(pacer.Per(700, s)) {
			t.Errorf("%v", c.Rate)
		}
		time.Sleep(5 * s)
		start := time.Now()
		before := pacer.Limit{}
		for tick := range 17 {
			now := p.Effective()
			if now.Rate() < before.Rate() {
				t.Errorf("the rate falls from %v to %v", before, now)
			}
			switch tick {
			case 0: // 0.7
				if !now.Equal(pacer.Per(700, s)) {
					t.Errorf("it recovers from %v", now)
				}
			case 8: // 1 - 0.3/8
				if !now.Equal(pacer.Per(9625, 10*s)) {
					t.Errorf("half way it is %v", now)
				}
			case 16:
				if now != limit {
					t.Errorf("after %v it is %v", time.Since(start), now)
				}
			}
			before = now
			time.Sleep(5 * s / 16)
		}
	})
}

// 1,000 grants are exactly where the steps of the rate have them.
func TestSlotsOverTheStepsOfARecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		p := pacer.New(pacer.Per(100, s))
		first := grant(t, p)
		rs := queue(t, p, 1000)
		first.Throttled(pacer.Feedback{After: s, Adaptive: true})
		start := time.Now().Add(s)
		var slots []time.Duration
		for _, r := range rs {
			slots = append(slots, r.Slot().Sub(start))
		}
		if slots[0] != 0 || slots[1] != 14285715 { // 1/70 s
			t.Errorf("%v", slots[:2])
		}
		n := 0
		for tick := range 16 { // so many units came in by the end of a step as its rate says
			came := n
			for slots[came] < time.Duration(tick+1)*5*s/16 {
				came++
			}
			d := 16 - tick
			want := 31.25 * (1 - 0.3*float64(d*d*d)/4096)
			if got := float64(came - n); got < want-2 || got > want+1 {
				t.Errorf("%v grants in step %d, want %v", got, tick, want)
			}
			n = came
		}
		if d := slots[999] - slots[998]; d != s/100 {
			t.Errorf("at last they are %v apart", d)
		}
		for i, r := range rs { // they come when they were said to
			if err := r.Wait(t.Context()); err != nil || time.Since(start) != slots[i] {
				t.Fatalf("grant %d came at %v, %v; its slot was %v", i, time.Since(start), err, slots[i])
			}
		}
	})
}

func TestEachEventCutsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		p := pacer.New(pacer.Per(1000, s))
		for i, want := range []int64{7000, 4900, 3430, 2401, 1680, 1176, 823, 576, 403, 282, 197, 137, 100, 100} {
			r := grant(t, p)
			time.Sleep(time.Millisecond)
			c := r.Throttled(pacer.Feedback{After: time.Millisecond, Adaptive: true})
			if !c.New || !c.Rate.Equal(pacer.Per(want, 10*s)) {
				t.Errorf("after event %d the rate is %v, want %v", i+1, c.Rate, pacer.Per(want, 10*s))
			}
			if again := r.Throttled(pacer.Feedback{Adaptive: true}); again.New || again.Rate != c.Rate {
				t.Errorf("reported twice: %+v", again)
			}
		}
		start := time.Now()
		for p.Effective() != pacer.Per(1000, s) {
			time.Sleep(s / 10)
		}
		if d := time.Since(start); d > 90*s {
			t.Errorf("from the floor it takes %v", d)
		}
	})
}

// A slow limit recovers in the time of 20 grants.
func TestASlowLimitRecoversSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.New(pacer.Per(5, time.Hour))
		grant(t, p).Throttled(pacer.Feedback{After: time.Minute, Adaptive: true})
		time.Sleep(time.Minute + 4*time.Hour - time.Second)
		if got := p.Effective(); got == pacer.Per(5, time.Hour) {
			t.Errorf("%v", got)
		}
		time.Sleep(time.Second)
		if got := p.Effective(); got != pacer.Per(5, time.Hour) {
			t.Errorf("%v", got)
		}
	})
}

func TestSettingALimitEndsTheCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		start := time.Now()
		p := pacer.New(pacer.Every(s))
		grant(t, p).Throttled(pacer.Feedback{After: 10 * s, Adaptive: true})
		rs := queue(t, p, 3)
		p.SetLimit(pacer.Every(2 * s))
		if p.Effective() != pacer.Every(2*s) || p.Cooldown().Sub(start) != 10*s {
			t.Errorf("%v, until %v", p.Effective(), p.Cooldown())
		}
		at(t, start, rs, 10*s, 12*s, 14*s)
		p.SetCooldown(0)
		at(t, start, rs, s*2, 4*s, 6*s) // the unit granted at the start comes in at the new rate
		p.SetCooldown(5 * s)
		at(t, start, rs, 5*s, 7*s, 9*s)
		p.SetCooldown(3 * s)
		at(t, start, rs, 3*s, 5*s, 7*s)
	})
}

func TestPauseAndResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		start := time.Now()
		p := pacer.New(pacer.Every(s))
		rs := queue(t, p, 4)
		time.Sleep(3 * s / 2) // the second has its grant
		p.Pause()
		rs = append(rs, queue(t, p, 1)...)
		if granted, wait := p.Try(); granted || wait >= 0 || !p.Paused() {
			t.Errorf("%v, %v", granted, wait)
		}
		if !rs[1].Slot().Equal(start.Add(s)) || !rs[2].Slot().IsZero() {
			t.Errorf("%v, %v", rs[1].Slot(), rs[2].Slot())
		}
		time.Sleep(time.Hour)
		if !rs[3].Cancel() || p.Len() != 2 {
			t.Errorf("%d wait", p.Len())
		}
		p.Resume()
		resumed := time.Now()
		at(t, resumed, []*pacer.Reservation{rs[2], rs[4]}, 0, s)
		if err := rs[4].Wait(t.Context()); err != nil || time.Since(resumed) != s || p.Paused() {
			t.Errorf("%v after %v", err, time.Since(resumed))
		}
	})
}

func TestFeedbackOfWhatIsNoGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pacer.New(pacer.Every(time.Second))
		rs := queue(t, p, 3)
		rs[2].Cancel()
		for _, r := range rs[1:] {
			if c := r.Throttled(pacer.Feedback{After: time.Minute}); c != (pacer.Cooldown{Rate: pacer.Every(time.Second)}) {
				t.Errorf("%+v", c)
			}
		}
	})
}

func TestOverXTimeRateHasACooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const s = time.Second
		start := time.Now()
		p := pacer.Over(rate.NewLimiter(1, 5))
		grant(t, p).Throttled(pacer.Feedback{After: 10 * s, Adaptive: true})
		rs := queue(t, p, 3)
		at(t, start, rs, 10*s, 11*s, 12*s)
		p.Pause()
		time.Sleep(20 * s)
		p.Resume()
		at(t, start, rs, 20*s, 21*s, 22*s)
		if err := rs[2].Wait(t.Context()); err != nil || time.Since(start) != 22*s {
			t.Errorf("%v at %v", err, time.Since(start))
		}
	})
}
