package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// keeping opens a new key with limits, and returns what opens clients of it.
func keeping(t *testing.T, f Factory, debt bool, limits ...pacer.Limit) func() LimitsClient {
	t.Helper()
	open := f.New(t, limits[0], debt)
	first, ok := open().(LimitsClient)
	if !ok {
		t.Skip("the store keeps one limit")
	}
	setAll(t, first, limits...)
	return func() LimitsClient {
		return open().(LimitsClient) //nolint:forcetypeassert // as the first is one, all are
	}
}

func setAll(t *testing.T, c LimitsClient, limits ...pacer.Limit) {
	t.Helper()
	if err := c.SetLimits(limits); err != nil {
		t.Fatal(err)
	}
}

// places takes places for grants of these costs while the limits allow nothing, and then sets them.
func places(t *testing.T, c LimitsClient, limits pacer.Limits, costs ...int) (rs []Reservation) {
	t.Helper()
	setAll(t, c, append(slices.Clone(limits), pacer.Limit{})...)
	for _, n := range costs {
		r, err := c.Reserve(n)
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	setAll(t, c, limits...)
	return rs
}

// apart checks the slots of reservations, counted from that of the first.
func apart(t *testing.T, rs []Reservation, want ...time.Duration) {
	t.Helper()
	for i, r := range rs {
		if got := r.Slot().Sub(rs[0].Slot()); got != want[i]*unit {
			t.Errorf("slot %d is %v after the first, want %v", i, got, want[i]*unit)
		}
	}
}

func slidingWindow(t *testing.T, f Factory) {
	limits := pacer.Limits{pacer.Per(3, 10*unit).With(pacer.SlidingWindow)}
	open := keeping(t, f, false, limits...)
	a, b := open(), open()
	rs := places(t, a, limits, 1, 1, 1, 1, 2, 1, 3, 1)
	apart(t, rs, 0, 0, 0, 10, 10, 20, 30, 40)
	due(t, rs[4])
	var cost *pacer.CostError
	if _, _, err := b.Try(4); !errors.As(err, &cost) || cost.Burst != 3 {
		t.Errorf("cost 4 of a window of 3: %v", err)
	}
	if granted, wait, err := b.Try(3); granted || wait > 40*unit || wait <= 20*unit && !f.RealTime || err != nil {
		t.Errorf("%v, %v, %v", granted, wait, err)
	}
	due(t, rs[7])
	apart(t, rs, 0, 0, 0, 10, 10, 20, 30, 40)
}

func fixedWindow(t *testing.T, f Factory) {
	limits := pacer.Limits{pacer.Per(3, 10*unit).With(pacer.FixedWindow)}
	a := keeping(t, f, true, limits...)()
	rs := places(t, a, limits, 1, 1, 2, 2, 7, 1)
	apart(t, rs, 0, 0, 10, 20, 40, 50)
	due(t, rs[3])
	apart(t, rs, 0, 0, 10, 20, 40, 50)
}

func severalLimits(t *testing.T, f Factory) {
	limits := pacer.Limits{
		pacer.Every(unit).WithBurst(2), pacer.Per(5, 20*unit).With(pacer.SlidingWindow), pacer.Per(8, 30*unit).With(pacer.FixedWindow),
	}
	open := keeping(t, f, false, limits...)
	a, b := open(), open()
	rs := places(t, a, limits, 1, 1, 1, 2, 2, 1, 2, 1)
	apart(t, rs, 0, 0, 1, 3, 20, 21, 30, 40) // in the first window of 30 there are 8, and in the 20 before 30 and 40 there are 5
	var cost *pacer.CostError
	if _, err := b.Reserve(3); !errors.As(err, &cost) || cost.Burst != 2 {
		t.Errorf("cost 3 of a burst of 2: %v", err)
	}
	due(t, rs[3])
	for range 5 { // a refusal writes nothing, to none of them
		if granted, _, err := b.Try(2); granted || err != nil {
			t.Errorf("%v, %v", granted, err)
		}
	}
	apart(t, rs, 0, 0, 1, 3, 20, 21, 30, 40)
}

func cancelAmongLimits(t *testing.T, f Factory) {
	limits := pacer.Limits{pacer.Every(unit), pacer.Per(4, 20*unit).With(pacer.SlidingWindow)}
	open := keeping(t, f, false, limits...)
	a, b := open(), open()
	rs := append(places(t, a, limits, 1, 1, 1, 1, 1, 1), reserve(t, 1, b)...)
	apart(t, rs[:6], 0, 1, 2, 3, 20, 21)
	due(t, rs[2])
	if !rs[4].Cancel() {
		t.Error("one who waits can't leave")
	}
	apart(t, []Reservation{rs[0], rs[3], rs[5], rs[6]}, 0, 3, 20, 21)
	due(t, rs[6])
}

func windowKeeps(t *testing.T, f Factory) {
	window := func(n int64) pacer.Limits { return pacer.Limits{pacer.Per(n, 100*unit).With(pacer.SlidingWindow)} }
	open := keeping(t, f, false, window(3)...)
	a, b := open(), open()
	rs := places(t, a, window(3), 1, 1, 1, 1, 1)
	apart(t, rs, 0, 0, 0, 100, 100)
	setAll(t, b, window(4)...)
	due(t, rs[3])
	setAll(t, b, window(1)...)
	setAll(t, b, window(4)...)
	if d := rs[4].Slot().Sub(rs[0].Slot()); d != 100*unit {
		t.Errorf("raised again, a window has a slot after %v", d)
	}
}

func cutWindow(t *testing.T, f Factory) {
	open := keeping(t, f, false, pacer.Per(10, 1000*unit).With(pacer.SlidingWindow))
	c, ok := open().(FeedbackClient)
	if !ok {
		t.Skip("the store takes no feedback")
	}
	first := reserve(t, 1, c)[0]
	due(t, first)
	throttled(t, first, pacer.Feedback{After: unit, Adaptive: true})
	effective(t, c, pacer.Per(7, 1000*unit).With(pacer.SlidingWindow))
	rs := reserve(t, 7, c)
	due(t, rs[5])
	if d := rs[6].Slot().Sub(first.Slot()); d != 376*unit { // with the third of the steps, of 125 each from the end of the cooldown on
		if d < 376*unit || !f.RealTime {
			t.Errorf("an eighth has its slot after %v", d)
		}
	}
}
