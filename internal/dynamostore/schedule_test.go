package dynamostore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A model is what a key has to do: the arithmetic of package pacer over the queue, in the order of asking.
type model struct {
	alg     pacer.Schedule
	turn    int64
	waiting []*asked
}

type asked struct {
	r        *Reservation
	cost, at int64 // once it is a grant at is its slot
	granted  bool
}

func (m *model) since(now int64) int64 {
	if len(m.waiting) == 0 {
		return now
	}
	return max(m.waiting[0].at, m.turn)
}

func (m *model) settle(now int64) {
	for len(m.waiting) > 0 {
		head := m.waiting[0]
		t := m.since(now)
		at, ok := m.alg.Slot(t, head.cost)
		if !ok || at > now {
			return
		}
		m.alg.Take(t, head.cost)
		m.turn, head.at, head.granted = at, at, true
		m.waiting = m.waiting[1:]
	}
}

func (m *model) fold(now int64, i int, n int64) (int64, bool) {
	return m.alg.Fold(m.since(now), func(yield func(int64) bool) {
		for _, e := range m.waiting[:i] {
			if !yield(e.cost) {
				return
			}
		}
		if n > 0 {
			yield(n)
		}
	})
}

func (m *model) ask(now, n int64) *asked {
	e := &asked{cost: n, at: now}
	m.waiting = append(m.waiting, e)
	if len(m.waiting) == 1 {
		m.turn = min(m.turn, now)
		m.settle(now)
	}
	return e
}

func (m *model) leave(now int64, e *asked) {
	i := slices.Index(m.waiting, e)
	m.waiting = slices.Delete(m.waiting, i, i+1)
	if i == 0 {
		m.turn = max(m.turn, now) // whoever is next comes to the front
	}
	m.settle(now)
}

func randomLimit(r *rand.Rand) pacer.Limit {
	per := time.Duration(1 + r.Int64N(int64(time.Second)))
	n := 1 + r.Int64N(7)
	switch r.IntN(14) {
	case 0:
		return pacer.Per(n, per).With(pacer.SlidingWindow)
	case 1:
		return pacer.Per(n, 3*per).With(pacer.SlidingWindow)
	case 2:
		return pacer.Per(n, per).With(pacer.FixedWindow)
	case 3:
		return pacer.Per(n, time.Minute).Aligned(pacer.AtMinute, "Asia/Kolkata")
	case 4:
		return pacer.Per(n, time.Hour).Aligned(pacer.AtHour, "")
	case 5:
		return pacer.Per(n, per).With(pacer.TokenBucket)
	case 6:
		return pacer.Unlimited()
	case 7:
		return pacer.Per(1e15+r.Int64N(1e15), time.Duration(1e17+r.Int64N(1e17))) // numbers of the size of those of a cut rate, and larger
	case 8:
		return pacer.Per(n, 100*24*time.Hour) // too long for a double
	case 9:
		return pacer.Per(n, 40*24*time.Hour).WithBurst(1 + r.Int64N(300))
	case 10:
		return pacer.Per(20_000, per).With(pacer.SlidingWindow)
	}
	return pacer.Per(n, per).WithBurst(1 + r.Int64N(4))
}

func randomLimits(r *rand.Rand) pacer.Limits {
	limits := make(pacer.Limits, 1+r.IntN(3)*r.IntN(2))
	for i := range limits {
		limits[i] = randomLimit(r)
	}
	if r.IntN(30) == 0 {
		limits = append(limits, pacer.Limit{})
	}
	return limits
}

// Schedules of random limits, costs, cancels, rates that change, pauses and feedback, by two clients: what is granted is what package
// pacer grants, to the nanosecond.
func TestScheduleIsThatOfPacer(t *testing.T) {
	t.Parallel()
	seeds := uint64(200)
	if testing.Short() {
		seeds = 40
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 6)) //nolint:gosec // to be repeated
		m := newMemory()
		m.tells = seed%2 == 0
		if !runSchedule(t, m, r, fmt.Sprint(seed), seed%4 == 3) {
			t.Fatalf("seed %d", seed)
		}
	}
}

func runSchedule(t *testing.T, s *memory, r *rand.Rand, key string, feedback bool) bool {
	t.Helper()
	now := 1_700_000_000_000_000_000 + r.Int64N(1e18)
	o := Options{
		Debt: true, Heartbeat: 100_000 * time.Hour, Limits: randomLimits(r),
		now: func() time.Time { return time.Unix(0, now) },
	}
	limits := o.Limits
	o.Limits = nil // those stored hold, whatever becomes of them
	stores := []*Store{s.open(t, key, o), s.open(t, key, o)}
	if err := stores[0].SetLimits(context.Background(), limits); err != nil {
		t.Fatal(err)
	}
	m := &model{alg: pacer.NewSchedule(pacer.Limit{})}
	m.alg.SetLimits(now, limits)
	ctx := context.Background()
	var all []*asked
	var last *asked
	var log []string
	fail := func(format string, args ...any) bool {
		t.Helper()
		for _, line := range log {
			t.Log(line)
		}
		t.Errorf(format, args...)
		return false
	}
	note := func(format string, args ...any) {
		log = append(log, fmt.Sprintf("%d: ", now)+fmt.Sprintf(format, args...))
	}
	note("limits %v", limits)
	for range 60 {
		st := stores[r.IntN(len(stores))]
		switch r.IntN(3) {
		case 0:
			now += r.Int64N(int64(time.Second))
		case 1:
			n := int64(0)
			if len(m.waiting) == 0 {
				n = 1 + r.Int64N(2)
			}
			if at, ok := m.fold(now, min(1, len(m.waiting)), n); ok && at > now { // the next slot, or just before
				now = at - int64(r.IntN(2))
			}
		}
		m.settle(now)
		switch op := r.IntN(20); {
		case op < 9:
			n := 1 + r.Int64N(3)*r.Int64N(3)
			got, err := st.Reserve(ctx, int(n))
			if err != nil {
				return fail("%v", err)
			}
			e := m.ask(now, n)
			e.r = got
			all = append(all, e)
			note("ask %d", n)
		case op < 11:
			n := 1 + r.Int64N(3)
			within := time.Duration(r.Int64N(int64(time.Second)))
			at, ok := m.fold(now, len(m.waiting), n)
			got, err := st.ReserveWithin(ctx, int(n), within)
			note("ask %d within %v: %v", n, within, err)
			var late *pacer.LateError
			switch {
			case !ok && (!errors.As(err, &late) || late.Wait >= 0), ok && at-now > int64(within) && (!errors.As(err, &late) || int64(late.Wait) != at-now):
				return fail("%v, want a wait of %v, %v", err, at-now, ok)
			case ok && at-now <= int64(within):
				if err != nil {
					return fail("%v, want a wait of %v", err, at-now)
				}
				e := m.ask(now, n)
				e.r = got
				all = append(all, e)
			}
		case op < 14 && len(m.waiting) > 0:
			e := m.waiting[r.IntN(len(m.waiting))*r.IntN(2)]
			if !e.r.Cancel() {
				return fail("one who waits can't leave")
			}
			note("cancel %d", e.cost)
			m.leave(now, e)
			all = slices.DeleteFunc(all, func(x *asked) bool { return x == e })
		case op == 14:
			limits := randomLimits(r)
			note("set %v", limits)
			if err := st.SetLimits(ctx, limits); err != nil {
				return fail("%v", err)
			}
			m.alg.SetLimits(now, limits)
		case op == 15 && feedback:
			d := time.Duration(r.Int64N(int64(time.Second)))
			note("cool %v", d)
			if err := st.SetCooldown(ctx, d); err != nil {
				return fail("%v", err)
			}
			m.alg.Cool(now, d)
		case op == 16 && feedback:
			paused := !m.alg.Paused()
			note("pause %v", paused)
			if err := st.SetPaused(ctx, paused); err != nil {
				return fail("%v", err)
			}
			m.alg.SetPaused(now, paused)
		case op == 17 && feedback && last != nil:
			f := pacer.Feedback{After: time.Duration(1 + r.Int64N(int64(time.Second))), Adaptive: true}
			note("throttled %v", f.After)
			if _, err := last.r.Throttled(ctx, f); err != nil {
				return fail("%v", err)
			}
			m.alg.Throttled(now, last.at, f, 0)
		}
		m.settle(now)
		note("%d wait", len(m.waiting))
		for _, e := range all {
			if err := e.r.look(ctx, time.Time{}); err != nil {
				return fail("%v", err)
			}
			got := e.r.now()
			if e.granted != (got.phase == granted) {
				return fail("granted %v, want %v at %d: %+v", got.phase == granted, e.granted, e.at, got)
			}
			if e.granted {
				last = e
				if got.slot != e.at {
					return fail("granted at %d, want %d", got.slot, e.at)
				}
				continue
			}
			at, ok := m.fold(now, slices.Index(m.waiting, e)+1, 0)
			if got.some != ok || ok && got.slot != at {
				return fail("will be granted at %d (%v), want %d (%v)", got.slot, got.some, at, ok)
			}
		}
		all = slices.DeleteFunc(all, func(e *asked) bool { return e.granted })
	}
	return true
}
