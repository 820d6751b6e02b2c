// Package storetest is what every store of a limit must do: the contract of a limit, as tests. They are run against the
// pacer in memory and against each store that several processes share.
package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A Client is one who uses a key, as one process does.
type Client interface {
	// Wait waits for a grant of n units, in line with the other goroutines of the client.
	Wait(ctx context.Context, n int) error
	// Reserve takes a place in the queue for n units.
	Reserve(n int) (Reservation, error)
	// Try grants n units if they are due now, or says how long they would take; negative if there is no end to it.
	Try(n int) (granted bool, wait time.Duration, err error)
	SetLimit(limit pacer.Limit) error
	// Die leaves without a word, as a killed process does.
	Die()
}

// A Reservation is one of a Client.
type Reservation interface {
	Wait(ctx context.Context) error
	Cancel() bool
	// Slot is zero if there is none. The time between two slots is exact.
	Slot() time.Time
}

// A LimitsClient is a Client of a store that keeps several limits at once.
type LimitsClient interface {
	Client
	SetLimits(limits pacer.Limits) error
}

// A FeedbackClient is a Client of a store that takes feedback. Its reservations are FeedbackReservations.
type FeedbackClient interface {
	Client
	SetPaused(paused bool) error
	// SetCooldown makes the cooldown end d from now.
	SetCooldown(d time.Duration) error
	// Effective is the limit in force.
	Effective() (pacer.Limit, error)
}

// A FeedbackReservation is one of a FeedbackClient.
type FeedbackReservation interface {
	Reservation
	Throttled(f pacer.Feedback) (pacer.Cooldown, error)
}

// A Factory makes a store for one test.
type Factory struct {
	// New makes a new key and returns what opens one more client of it.
	New func(t *testing.T, limit pacer.Limit, debt bool) (open func() Client)
	// RealTime says that the store has a clock of its own. Otherwise it is run in a synctest bubble, and times are exact.
	RealTime bool
	// OneProcess says that the clients can't die one by one.
	OneProcess bool
	// Lease is the time within which the place of a dead client is given back (0: 1 s).
	Lease time.Duration
}

// unit is the interval of most tests: long enough for a real store to keep up with.
const unit = 20 * time.Millisecond

// Run runs the suite.
func Run(t *testing.T, f Factory) {
	t.Helper()
	for _, c := range []struct {
		name string
		test func(*testing.T, Factory)
	}{
		{"1 never early", neverEarly},
		{"1 fractions are not lost", fractions},
		{"2 first come first served", inOrder},
		{"2 processes take turns", turns},
		{"3 no drift", noDrift},
		{"4 the first is free and idle time saves the burst", burst},
		{"5 a refusal writes nothing", refusal},
		{"5 costs are served in order", costs},
		{"6 a place is given back", cancel},
		{"6 the end of a context", contextEnds},
		{"6 the place of a dead one", death},
		{"7 a new limit moves all", newLimit},
		{"7 none and unlimited", stopAndGo},
		{"10 a cooldown holds for all", cooldown},
		{"10 of several reports the longest holds", longest},
		{"10 an event cuts the rate once", cutsOnce},
		{"10 the rate recovers", recovers},
		{"10 a cooldown without a limit", cooldownUnlimited},
		{"10 a limit that is set ends the cut", setEndsCut},
		{"1 a sliding window", slidingWindow},
		{"1 a fixed window", fixedWindow},
		{"5 several limits at once", severalLimits},
		{"6 a place is given back among several limits", cancelAmongLimits},
		{"7 a window keeps what was granted", windowKeeps},
		{"10 a cut window", cutWindow},
		{"pause and resume", pause},
		{"debt", debt},
	} {
		t.Run(c.name, func(t *testing.T) {
			if f.RealTime {
				c.test(t, f)
				return
			}
			synctest.Test(t, func(t *testing.T) { c.test(t, f) })
		})
	}
}

// reserve takes k places of one unit each, from as many clients in turn.
func reserve(t *testing.T, k int, clients ...Client) []Reservation {
	t.Helper()
	rs := make([]Reservation, k)
	for i := range rs {
		var err error
		if rs[i], err = clients[i%len(clients)].Reserve(1); err != nil {
			t.Fatal(err)
		}
	}
	return rs
}

// lineUp takes k places, as reserve does, while the limit allows nothing, and then sets it: all of them wait when the first
// slot comes, however slow the machine is.
func lineUp(t *testing.T, limit pacer.Limit, k int, clients ...Client) []Reservation {
	t.Helper()
	set(t, clients[0], pacer.Limit{})
	rs := reserve(t, k, clients...)
	set(t, clients[0], limit)
	return rs
}

// pass lets time pass.
func pass(d time.Duration) { <-time.After(d) }

func set(t *testing.T, c Client, limit pacer.Limit) {
	t.Helper()
	if err := c.SetLimit(limit); err != nil {
		t.Fatal(err)
	}
}

// spaced checks that the reservations, in order, have slots d apart.
func spaced(t *testing.T, d time.Duration, rs ...Reservation) {
	t.Helper()
	for i := 1; i < len(rs); i++ {
		same(t, rs[i].Slot().Sub(rs[i-1].Slot()), d)
	}
}

func same(t *testing.T, got, want time.Duration) {
	t.Helper()
	if got != want {
		t.Errorf("slots are %v apart, want %v", got, want)
	}
}

// due waits for a reservation, and checks that it does not end before its slot.
func due(t *testing.T, r Reservation) {
	t.Helper()
	if err := r.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now, slot := time.Now(), r.Slot(); slot.IsZero() || slot.After(now) {
		t.Errorf("granted %v before its slot", slot.Sub(now))
	}
}

func neverEarly(t *testing.T, f Factory) {
	limit := pacer.Every(unit)
	c := f.New(t, limit, false)()
	rs := lineUp(t, limit, 10, c)
	start := rs[0].Slot()
	for i, r := range rs {
		due(t, r)
		same(t, r.Slot().Sub(start), time.Duration(i)*unit)
	}
}

func fractions(t *testing.T, f Factory) {
	limit := pacer.Per(3, 3*unit+1)
	c := f.New(t, limit, false)()
	rs := lineUp(t, limit, 10, c)
	for i, r := range rs {
		want := (time.Duration(i)*(3*unit+1) + 2) / 3 // the first whole nanosecond at or after i/3 of it
		same(t, r.Slot().Sub(rs[0].Slot()), want)
	}
}

func inOrder(t *testing.T, f Factory) {
	limit := pacer.Every(unit / 4)
	open := f.New(t, limit, false)
	clients := []Client{open(), open(), open()}
	var wg sync.WaitGroup
	rs := lineUp(t, limit, 60, clients...)
	for _, r := range rs {
		wg.Go(func() { due(t, r) })
	}
	wg.Wait()
	spaced(t, unit/4, rs...)
}

// Goroutines of a client stand in a line of their own, of which the head asks.
func turns(t *testing.T, f Factory) {
	open := f.New(t, pacer.Every(unit), false)
	a, b := open(), open()
	if err := a.Wait(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, c := range []Client{a, b} {
		for range 4 {
			wg.Go(func() {
				if err := c.Wait(t.Context(), 1); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if granted, wait, err := a.Try(1); err != nil || wait > unit || granted && !f.RealTime {
		t.Errorf("9 grants later: granted %v, wait %v, %v", granted, wait, err)
	}
}

func noDrift(t *testing.T, f Factory) {
	limit := pacer.Every(10 * unit)
	c := f.New(t, limit, false)()
	rs := lineUp(t, limit, 3, c)
	spaced(t, 10*unit, rs...)
	pass(10*unit + unit/2) // two have come, nobody looks
	for i := range 3 {
		rs = append(rs, reserve(t, 1, c)...)
		if d := rs[i+3].Slot().Sub(rs[i+2].Slot()); d < 10*unit || d > 10*unit && !f.RealTime { // a real one may be late to ask
			t.Errorf("a slot is %v after the one before", d)
		}
		due(t, rs[i+2])
	}
}

func burst(t *testing.T, f Factory) {
	c := f.New(t, pacer.Every(unit).WithBurst(3), false)()
	pass(5 * unit)
	start := time.Now()
	rs := reserve(t, 5, c)
	for _, r := range rs[:3] {
		due(t, r)
	}
	if d := time.Since(start); d != 0 && !f.RealTime {
		t.Errorf("the burst took %v", d)
	}
	for _, r := range rs[3:] {
		due(t, r)
	}
	if d := rs[4].Slot().Sub(rs[0].Slot()); d < 2*unit || d > 2*unit && !f.RealTime {
		t.Errorf("5 grants with a burst of 3 took %v", d)
	}
}

func refusal(t *testing.T, f Factory) {
	open := f.New(t, pacer.Every(100*unit).WithBurst(2), false)
	a, b := open(), open()
	for _, n := range []int{3, 0, -1} {
		var cost *pacer.CostError
		if _, _, err := a.Try(n); !errors.As(err, &cost) || cost.Cost != int64(n) || cost.Burst != 2 {
			t.Errorf("cost %d of a burst of 2: %v", n, err)
		}
		if err := b.Wait(t.Context(), n); !errors.As(err, &cost) {
			t.Errorf("cost %d: %v", n, err)
		}
	}
	if granted, _, err := a.Try(2); !granted || err != nil {
		t.Fatalf("the burst is gone: %v", err)
	}
	for range 20 {
		granted, wait, err := b.Try(2)
		if granted || err != nil || wait > 200*unit || wait < 200*unit && !f.RealTime {
			t.Fatalf("granted %v, wait %v, %v; want %v", granted, wait, err, 200*unit)
		}
	}
	pass(200 * unit)
	if granted, wait, err := a.Try(2); !granted {
		t.Errorf("refusals have moved the slot by %v, %v", wait, err)
	}
}

func costs(t *testing.T, f Factory) {
	c := f.New(t, pacer.Every(time.Hour).WithBurst(4), false)()
	var rs []Reservation
	for _, n := range []int{4, 3, 1, 4} {
		r, err := c.Reserve(n)
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	if granted, _, err := c.Try(1); granted || err != nil {
		t.Errorf("one unit went by three that wait: %v, %v", granted, err)
	}
	for i, want := range []time.Duration{0, 3, 4, 8} {
		same(t, rs[i].Slot().Sub(rs[0].Slot()), want*time.Hour)
	}
	set(t, c, pacer.Every(unit).WithBurst(4))
	due(t, rs[3])
	for i, want := range []time.Duration{0, 1, 5} {
		same(t, rs[i+1].Slot().Sub(rs[1].Slot()), want*unit)
	}
}

func cancel(t *testing.T, f Factory) {
	open := f.New(t, pacer.Every(time.Hour), false)
	a, b := open(), open()
	rs := reserve(t, 5, a, b)
	if !rs[2].Cancel() || rs[2].Cancel() || rs[0].Cancel() {
		t.Error("only the first Cancel of one that waits gives a place back")
	}
	if !rs[2].Slot().IsZero() {
		t.Error("a cancelled one has a slot")
	}
	spaced(t, time.Hour, rs[0], rs[1], rs[3], rs[4])
	if !rs[1].Cancel() { // the head
		t.Error("the head can't leave")
	}
	spaced(t, time.Hour, rs[0], rs[3], rs[4])
	if err := rs[1].Wait(t.Context()); err == nil {
		t.Error("a cancelled one is granted")
	}
	set(t, a, pacer.Every(unit))
	due(t, rs[4])
	spaced(t, unit, rs[3], rs[4])
}

func contextEnds(t *testing.T, f Factory) {
	open := f.New(t, pacer.Every(100*unit), false)
	a, b := open(), open()
	rs := reserve(t, 1, a)
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	var wg sync.WaitGroup
	for _, c := range []Client{a, b, a} {
		wg.Go(func() {
			if err := c.Wait(ctx, 1); !errors.Is(err, why) {
				t.Errorf("Wait returns %v, want the cause", err)
			}
		})
	}
	pass(unit)
	cancel(why)
	wg.Wait()
	if err := b.Wait(ctx, 1); !errors.Is(err, why) {
		t.Errorf("Wait with a context that is over returns %v", err)
	}
	spaced(t, 100*unit, append(rs, reserve(t, 1, b)...)...)
}

func death(t *testing.T, f Factory) {
	if f.OneProcess {
		t.Skip("there is one process")
	}
	open := f.New(t, pacer.Every(200*unit), false)
	a, b := open(), open()
	rs := reserve(t, 3, b)
	dead := reserve(t, 1, a)
	last := reserve(t, 1, b)
	spaced(t, 200*unit, append(rs, dead[0], last[0])...)
	a.Die()
	lease := f.Lease
	if lease == 0 {
		lease = time.Second
	}
	pass(lease)
	spaced(t, 200*unit, append(rs, last...)...)
}

func newLimit(t *testing.T, f Factory) {
	open := f.New(t, pacer.Every(time.Hour), false)
	a, b := open(), open()
	rs := reserve(t, 21, a, b)
	var wg sync.WaitGroup
	for _, r := range rs {
		wg.Go(func() { due(t, r) })
	}
	pass(unit)
	set(t, b, pacer.Every(unit/4))
	wg.Wait()
	spaced(t, unit/4, rs[1:]...)
}

func stopAndGo(t *testing.T, f Factory) {
	open := f.New(t, pacer.Every(100*unit), false)
	a, b := open(), open()
	rs := reserve(t, 3, a)
	set(t, b, pacer.Limit{})
	if granted, wait, err := b.Try(1); granted || wait >= 0 || err != nil {
		t.Errorf("a limit of nothing grants %v, or says to wait %v, %v", granted, wait, err)
	}
	if !rs[1].Slot().IsZero() {
		t.Error("a limit of nothing has a slot")
	}
	set(t, b, pacer.Unlimited())
	for _, r := range rs {
		due(t, r)
	}
	set(t, b, pacer.Every(100*unit))
	if granted, wait, err := a.Try(1); granted || wait <= 0 || err != nil {
		t.Errorf("grants without a limit do not count: %v, %v, %v", granted, wait, err)
	}
}

func debt(t *testing.T, f Factory) {
	c := f.New(t, pacer.Every(unit), true)()
	set(t, c, pacer.Limit{})
	var rs []Reservation
	for _, n := range []int{1, 5, 5} {
		r, err := c.Reserve(n)
		if err != nil {
			t.Fatal(err)
		}
		rs = append(rs, r)
	}
	set(t, c, pacer.Every(unit))
	spaced(t, 5*unit, rs...)
	due(t, rs[2])
}
