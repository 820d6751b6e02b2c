package storetest

import (
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// hearing opens a new key, and returns what opens clients that take feedback.
func hearing(t *testing.T, f Factory, limit pacer.Limit) func() FeedbackClient {
	t.Helper()
	open := f.New(t, limit, false)
	return func() FeedbackClient {
		c, ok := open().(FeedbackClient)
		if !ok {
			t.Skip("the store takes no feedback")
		}
		return c
	}
}

func throttled(t *testing.T, r Reservation, f pacer.Feedback) pacer.Cooldown {
	t.Helper()
	c, err := r.(FeedbackReservation).Throttled(f) //nolint:forcetypeassert // those of a FeedbackClient are
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// in checks that a reservation has its slot d after an instant, or later where that is by a clock of its own.
func in(t *testing.T, f Factory, r Reservation, from time.Time, d time.Duration) {
	t.Helper()
	if got := r.Slot().Sub(from); got != d && (got < d || !f.RealTime) {
		t.Errorf("a slot is %v after the grant, want %v", got, d)
	}
}

func effective(t *testing.T, c FeedbackClient, want pacer.Limit) {
	t.Helper()
	if got, err := c.Effective(); err != nil || !got.Equal(want) {
		t.Errorf("in force is %v, want %v; %v", got, want, err)
	}
}

func cooldown(t *testing.T, f Factory) {
	limit := pacer.Every(5 * unit).WithBurst(2) // time enough to say so before the second of those who wait is due
	open := hearing(t, f, limit)
	a, b := open(), open()
	first := reserve(t, 1, a)[0]
	due(t, first)
	rs := reserve(t, 4, a, b)
	c := throttled(t, first, pacer.Feedback{After: 20 * unit})
	if !c.New || c.Length != 20*unit || c.Until.IsZero() || !c.Rate.Equal(limit) {
		t.Errorf("%+v", c)
	}
	rs = append(rs, reserve(t, 1, open())...) // one that comes later
	in(t, f, rs[1], first.Slot(), 20*unit)    // the one before it may have had the other unit of the burst
	spaced(t, 5*unit, rs[1:]...)
	if granted, wait, err := b.Try(1); granted || wait < 10*unit || err != nil {
		t.Errorf("in a cooldown: %v, %v, %v", granted, wait, err)
	}
	due(t, rs[4])
	spaced(t, 5*unit, rs[1:]...)
}

func longest(t *testing.T, f Factory) {
	open := hearing(t, f, pacer.Every(unit).WithBurst(3))
	a, b := open(), open()
	rs := reserve(t, 3, a, b)
	for i, after := range []time.Duration{20 * unit, 40 * unit, 10 * unit} {
		due(t, rs[i])
		if c := throttled(t, rs[i], pacer.Feedback{After: after}); c.New != (i == 0) || c.Length > max(after, 40*unit) {
			t.Errorf("after %v: %+v", after, c)
		}
	}
	next := reserve(t, 1, b)[0]
	in(t, f, next, rs[2].Slot(), 40*unit)
	if d := next.Slot().Sub(rs[2].Slot()); d > 59*unit { // not the sum
		t.Errorf("the next slot is in %v", d)
	}
	if err := a.SetCooldown(0); err != nil {
		t.Fatal(err)
	}
	due(t, next)
	if d := next.Slot().Sub(rs[2].Slot()); d >= 40*unit {
		t.Errorf("the cooldown was ended, and the slot is after %v", d)
	}
}

func cutsOnce(t *testing.T, f Factory) {
	open := hearing(t, f, pacer.Every(unit).WithBurst(4))
	a, b := open(), open()
	rs := reserve(t, 4, a, b)
	for i, r := range rs {
		due(t, r)
		if c := throttled(t, r, pacer.Feedback{After: 10 * unit, Adaptive: true}); c.New != (i == 0) || !c.Rate.Equal(pacer.Per(7, 10*unit).WithBurst(4)) {
			t.Errorf("report %d: %+v", i, c)
		}
	}
	later := reserve(t, 4, a, b)
	effective(t, open(), pacer.Per(7, 10*unit).WithBurst(4))
	for i, want := range []time.Duration{0, 10, 20, 30} { // rounded up to nanoseconds
		same(t, later[i].Slot().Sub(later[0].Slot()), (want*unit+6)/7)
	}
	due(t, later[0])
	if c := throttled(t, later[0], pacer.Feedback{After: unit, Adaptive: true}); !c.New || !c.Rate.Equal(pacer.Per(49, 100*unit).WithBurst(4)) {
		t.Errorf("another event: %+v", c)
	}
}

func recovers(t *testing.T, f Factory) {
	if f.RealTime {
		t.Skip("it takes ten seconds")
	}
	const limit = 10 * time.Second / 50 // so that K is ten seconds
	open := hearing(t, f, pacer.Every(limit))
	a, b := open(), open()
	first := reserve(t, 1, a)[0]
	due(t, first)
	c := throttled(t, first, pacer.Feedback{After: time.Second, Adaptive: true})
	rs := reserve(t, 100, a, b)
	for i, r := range rs {
		slot := r.Slot()
		due(t, r)
		if !time.Now().Equal(slot) && !r.Slot().Equal(slot) {
			t.Fatalf("slot %d was to be at %v, and is at %v", i, slot.Sub(first.Slot()), r.Slot().Sub(first.Slot()))
		}
		if now, err := b.Effective(); err != nil || now.Rate() < c.Rate.Rate() {
			t.Errorf("it falls to %v, %v", now, err)
		}
	}
	if d := rs[1].Slot().Sub(rs[0].Slot()); d <= limit {
		t.Errorf("at first they are %v apart", d)
	}
	spaced(t, limit, rs[90:]...)
	effective(t, a, pacer.Every(limit))
}

func cooldownUnlimited(t *testing.T, f Factory) {
	open := hearing(t, f, pacer.Unlimited())
	a, b := open(), open()
	first := reserve(t, 1, a)[0]
	if c := throttled(t, first, pacer.Feedback{After: 10 * unit, Adaptive: true}); !c.Rate.IsUnlimited() || !c.New {
		t.Errorf("%+v", c)
	}
	rs := reserve(t, 3, a, b)
	in(t, f, rs[0], first.Slot(), 10*unit)
	spaced(t, 0, rs...)
	due(t, rs[2])
}

func setEndsCut(t *testing.T, f Factory) {
	open := hearing(t, f, pacer.Every(unit))
	a, b := open(), open()
	first := reserve(t, 1, a)[0]
	throttled(t, first, pacer.Feedback{After: 30 * unit, Adaptive: true})
	rs := reserve(t, 3, a, b)
	set(t, b, pacer.Every(2*unit))
	effective(t, a, pacer.Every(2*unit))
	in(t, f, rs[0], first.Slot(), 30*unit)
	spaced(t, 2*unit, rs...)
	if err := a.SetCooldown(50 * unit); err != nil {
		t.Fatal(err)
	}
	in(t, f, rs[0], first.Slot(), 50*unit)
	spaced(t, 2*unit, rs...)
}

func pause(t *testing.T, f Factory) {
	open := hearing(t, f, pacer.Every(unit))
	a, b := open(), open()
	rs := reserve(t, 1, a)
	due(t, rs[0])
	if err := a.SetPaused(true); err != nil {
		t.Fatal(err)
	}
	rs = append(rs, reserve(t, 3, a, open())...)
	if granted, wait, err := b.Try(1); granted || wait >= 0 || err != nil {
		t.Errorf("while it is paused: %v, %v, %v", granted, wait, err)
	}
	pass(5 * unit)
	if !rs[1].Slot().IsZero() {
		t.Error("there is a slot while it is paused")
	}
	if !rs[2].Cancel() {
		t.Error("one who waits can't leave")
	}
	woken := make(chan error)
	go func() { woken <- rs[1].Wait(t.Context()) }()
	pass(unit)
	if err := b.SetPaused(false); err != nil {
		t.Fatal(err)
	}
	if err := <-woken; err != nil {
		t.Fatal(err)
	}
	in(t, f, rs[1], rs[0].Slot(), 6*unit)
	due(t, rs[3])
	if f.RealTime {
		return // it may have been late to look
	}
	spaced(t, unit, rs[1], rs[3])
}
