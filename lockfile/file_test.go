//go:build linux || darwin

package lockfile

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

func TestTheStricterLimitHolds(t *testing.T) {
	h := newHost()
	path := statePath(t)
	u := h.open(t, path, Options{Limit: pacer.Per(2, minute).WithBurst(2)})
	u.grants()
	for _, c := range []struct{ given, holds string }{
		{"", "2/m,burst=2"},
		{"20/10m,burst=2", "2/m,burst=2"},
		{"3/m,burst=9", "2/m,burst=2"},
		{"3/m,burst=1", "2/m"},
		{"1/m,burst=5", "1/m"},
		{"inf", "1/m"},
	} {
		o := Options{}
		if c.given != "" {
			o.Limit, _, _ = pacer.ParseLimit(c.given)
		}
		v := h.open(t, path, o)
		before, _ := v.Status()
		h.pass(10 * minute)
		v.grants()
		s, err := v.Status()
		if err != nil || s.Limit.String() != c.holds {
			t.Errorf("given %q, %v holds, want %s; %v", c.given, s.Limit, c.holds, err)
		}
		var conflict *ConflictError
		differs := c.given != "" && !o.Limit.Equal(before.Limit)
		switch {
		case !differs && len(v.warns) > 0, differs && len(v.warns) != 1:
			t.Errorf("given %q: warnings %v", c.given, v.warns)
		case differs && (!errors.As(v.warns[0], &conflict) || !conflict.Stored.Equal(before.Limits) || !conflict.Given.Equal(pacer.Limits{o.Limit}) || !conflict.Holds.Equal(s.Limits)):
			t.Errorf("given %q: warning %v", c.given, v.warns[0])
		}
		h.pass(10 * minute)
		v.grants()
		if len(v.warns) > 1 {
			t.Errorf("given %q: warned twice", c.given)
		}
	}
}

// One that has joined follows the limit that is set, whatever it was given.
func TestASetLimitHoldsForThoseWhoRun(t *testing.T) {
	h := newHost()
	path := statePath(t)
	u := h.open(t, path, perMinute())
	u.grants()
	if err := h.open(t, path, Options{}).SetLimit(t.Context(), pacer.Every(time.Second)); err != nil {
		t.Fatal(err)
	}
	u.refuses(time.Second)
	h.pass(time.Second)
	u.grants()
	if len(u.warns) > 0 {
		t.Errorf("%v", u.warns)
	}
}

// Changes that follow from the limit that is stored are made one after the other: none is lost.
func TestNoChangeOfALimitIsLost(t *testing.T) {
	path := statePath(t)
	one := pacer.Per(1, time.Second)
	var wg sync.WaitGroup
	const files, changes = 4, 50
	for range files {
		f, err := Open(path, "", Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		wg.Go(func() {
			for range changes {
				err := f.ChangeLimits(t.Context(), func(stored pacer.Limits) (pacer.Limits, error) {
					if stored == nil {
						return pacer.Limits{one}, nil
					}
					stored[0].Events++
					return stored, nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if s, err := Read(path); err != nil || s.Limit.Events != files*changes {
		t.Errorf("%v, %v", s.Limit, err)
	}
}

func TestAChangeThatIsNone(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), perMinute())
	u.grants()
	before := u.bytes()
	no := errors.New("no")
	for _, c := range []struct {
		limits pacer.Limits
		err    error
	}{{nil, no}, {pacer.Limits{pacer.Every(time.Second)}, no}, {pacer.Limits{}, nil}, {pacer.Limits{{Events: -1}}, nil}} {
		err := u.ChangeLimits(t.Context(), func(stored pacer.Limits) (pacer.Limits, error) {
			if !stored.Equal(pacer.Limits{pacer.Every(minute)}) {
				t.Errorf("%v", stored)
			}
			stored[0].Events++ // it is ours
			return c.limits, c.err
		})
		if err == nil || c.err != nil && !errors.Is(err, c.err) {
			t.Errorf("%v, %v: %v", c.limits, c.err, err)
		}
	}
	other := h.open(t, u.path, Options{Bytes: true})
	if err := other.ChangeLimits(t.Context(), nil); !errors.Is(err, ErrUnit) {
		t.Errorf("%v", err)
	}
	if !bytes.Equal(u.bytes(), before) {
		t.Error("it was written")
	}
	u.refuses(minute)
}

func TestNoLimit(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), Options{})
	if _, _, err := u.Try(t.Context(), 1); !errors.Is(err, ErrNoLimit) {
		t.Errorf("%v", err)
	}
	if err := u.Wait(t.Context()); !errors.Is(err, ErrNoLimit) {
		t.Errorf("%v", err)
	}
	if s, err := u.Status(); err != nil || s.Limited || s.Grants != 0 || !s.Last.IsZero() || !s.Next.IsZero() {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := Open(u.path, "", Options{Limit: pacer.Limit{Events: -1}}); err == nil {
		t.Error("a negative limit is accepted")
	}
}

func TestReserveWithin(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), perMinute())
	u.grants()
	before := u.bytes()
	var late *LateError
	if _, err := u.ReserveWithin(t.Context(), 1, minute-1); !errors.As(err, &late) || late.Wait != minute || !late.Slot.Equal(h.wall.Add(minute)) {
		t.Errorf("%v", err)
	}
	if !slices.Equal(u.bytes(), before) {
		t.Error("a refusal has written")
	}
	r, err := u.ReserveWithin(t.Context(), 1, minute)
	if err != nil || !r.Slot().Equal(h.wall.Add(minute)) {
		t.Errorf("%v", err)
	}
	if _, err := u.ReserveWithin(t.Context(), 1, minute); !errors.As(err, &late) || late.Wait != 2*minute {
		t.Errorf("%v", err)
	}
}

func TestStatus(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), Options{Limit: pacer.Every(minute).WithBurst(3)})
	if err := u.WaitN(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	h.pass(time.Second)
	if _, err := u.Reserve(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	u.reserve()
	asked := h.wall
	h.pass(time.Second)
	s, err := u.Status()
	if err != nil {
		t.Fatal(err)
	}
	first := asked.Add(-time.Second)
	want := []Waiter{
		{PID: os.Getpid(), Cost: 2, Since: asked, Slot: first.Add(2 * minute)},
		{PID: os.Getpid(), Cost: 1, Since: asked, Slot: first.Add(3 * minute)},
	}
	if s.Key != "key" || s.Grants != 1 || !s.Last.Equal(first) || !s.Next.Equal(first.Add(4*minute)) || !s.Updated.Equal(asked) ||
		!slices.Equal(s.Waiting, want) {
		t.Errorf("%+v", s)
	}
}

func TestReset(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), perMinute())
	u.grants()
	r := u.reserve()
	if err := u.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(t.Context()); err != nil || !r.Slot().Equal(h.wall) {
		t.Errorf("one who waited: %v, %v", r.Slot().Sub(h.wall), err)
	}
	if s, err := u.Status(); err != nil || !s.Limited || s.Grants != 1 {
		t.Errorf("with one who waits: %+v, %v", s, err)
	}
	if err := u.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s, err := u.Status(); err != nil || s.Limited || s.Grants != 0 {
		t.Errorf("with nobody: %+v, %v", s, err)
	}
	u.grants()
	u.refuses(minute)
}

func TestResetForgetsWhatTheRemoteSaid(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), perMinute())
	first := u.reserve()
	waits := u.reserve()
	if _, err := first.Throttled(t.Context(), pacer.Feedback{After: 10 * minute, Adaptive: true}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(u.SetPaused(t.Context(), true), u.Reset(t.Context())); err != nil {
		t.Fatal(err)
	}
	s, err := u.Status()
	if err != nil || !s.Cooldown.IsZero() || s.Throttled != 0 || !s.Effective.Equal(pacer.Every(minute)) || !s.Paused {
		t.Errorf("%+v, %v", s, err)
	}
	if err := u.SetPaused(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := waits.Wait(t.Context()); err != nil || waits.SinceBoot() != h.now {
		t.Errorf("%v, %v", waits.SinceBoot(), err)
	}
}

func TestFeedbackInTheStatus(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), Options{Limit: pacer.Every(time.Second)})
	r, waits := u.reserve(), u.reserve()
	h.pass(time.Second / 2)
	c, err := r.Throttled(t.Context(), pacer.Feedback{After: 10 * time.Second, Adaptive: true})
	want := pacer.Cooldown{Until: h.wall.Add(10 * time.Second), Length: 10 * time.Second, New: true, Rate: pacer.Per(7, 10*time.Second)}
	if err != nil || c != want {
		t.Errorf("%+v, %v", c, err)
	}
	s, err := u.Status()
	if err != nil || !s.Limit.Equal(pacer.Every(time.Second)) || !s.Effective.Equal(pacer.Per(7, 10*time.Second)) || !s.Cooldown.Equal(c.Until) ||
		s.Paused || s.Throttled != 1 || len(s.Waiting) != 1 || !s.Waiting[0].Slot.Equal(c.Until) {
		t.Errorf("%+v, %v", s, err)
	}
	before := u.bytes()
	if c, err = r.Throttled(t.Context(), pacer.Feedback{Adaptive: true}); err != nil || c.New || !c.Until.Equal(want.Until) {
		t.Errorf("%+v, %v", c, err)
	}
	if c, err := waits.Throttled(t.Context(), pacer.Feedback{After: time.Hour}); err != nil || c.New || !c.Until.Equal(want.Until) {
		t.Errorf("of one that waits: %+v, %v", c, err)
	}
	if !slices.Equal(u.bytes(), before) {
		t.Error("what was known has been written")
	}
	// Someone who comes with a stricter limit does not end the cut, and someone who sets one does.
	v := h.open(t, u.path, Options{Limit: pacer.Every(2 * time.Second)})
	v.reserve()
	if s, err := u.Status(); err != nil || !s.Effective.Equal(pacer.Per(7, 20*time.Second)) {
		t.Errorf("%+v, %v", s, err)
	}
	if err := v.SetLimit(t.Context(), pacer.Every(time.Second)); err != nil {
		t.Fatal(err)
	}
	if s, err := u.Status(); err != nil || !s.Effective.Equal(pacer.Every(time.Second)) || !s.Cooldown.Equal(want.Until) {
		t.Errorf("%+v, %v", s, err)
	}
	if err := v.SetPaused(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	var late *LateError
	if _, err := u.ReserveWithin(t.Context(), 1, time.Hour); !errors.As(err, &late) || late.Wait >= 0 || !late.Paused || !strings.Contains(late.Error(), "paused") {
		t.Errorf("while it is paused: %v", err)
	}
}

func TestCloseEndsThoseWhoWait(t *testing.T) {
	path := statePath(t)
	f, err := Open(path, "key", Options{Limit: pacer.Every(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := f.Wait(t.Context()); !errors.Is(err, ErrClosed) {
				t.Errorf("%v", err)
			}
		})
	}
	waiters(t, f, 1) // the two others stand in line behind it
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if err := f.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if err := f.Wait(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
	if s, err := Read(path); err != nil || len(s.Waiting) > 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// Goroutines of one File are served in the order in which they ask.
func TestGoroutinesStandInLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := Open(statePath(t), "", Options{Limit: pacer.Every(time.Second), hooks: bubble()})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close() //nolint:errcheck // a test
		var mu sync.Mutex
		var order []int
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if err := f.Wait(t.Context()); err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, i)
			})
			synctest.Wait()
		}
		start := time.Now()
		wg.Wait()
		if d := time.Since(start); d != 49*time.Second || !slices.IsSorted(order) {
			t.Errorf("served in %v, in the order %v", d, order)
		}
	})
}

func TestListAndPrune(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "dir")
	open := func(key string, limit pacer.Limit) *File {
		f, err := Open(PathOf(dir, key), key, Options{Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		if err := f.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		return f
	}
	idle, _ := open("idle", pacer.Unlimited()), open("busy", pacer.Every(time.Hour))
	write(t, filepath.Join(dir, "foreign.state"), []byte("precious"))
	write(t, filepath.Join(dir, "notes.txt"), []byte("precious"))
	paths, err := List(dir)
	if err != nil || len(paths) != 3 {
		t.Errorf("%q, %v", paths, err)
	}
	if keys, err := Prune(dir, time.Hour); len(keys) != 0 || !errors.Is(err, ErrForeign) {
		t.Errorf("unused for an hour: %q, %v", keys, err)
	}
	paused, cooling := open("paused", pacer.Unlimited()), open("cooling", pacer.Unlimited())
	if err := errors.Join(paused.SetPaused(t.Context(), true), cooling.SetCooldown(t.Context(), time.Hour)); err != nil {
		t.Fatal(err)
	}
	keys, err := Prune(dir, 0)
	if !slices.Equal(keys, []string{"idle"}) || !errors.Is(err, ErrForeign) {
		t.Errorf("%q, %v", keys, err)
	}
	if paths, err := List(dir); err != nil || len(paths) != 4 {
		t.Errorf("%q, %v", paths, err)
	}
	if err := idle.Wait(t.Context()); err != nil { // who had it open goes over to a new one, at once
		t.Error(err)
	}
	if s, err := Read(PathOf(dir, "idle")); err != nil || s.Grants != 1 || !s.Limit.IsUnlimited() {
		t.Errorf("%+v, %v", s, err)
	}
	if keys, err := Prune(filepath.Join(dir, "none"), 0); keys != nil || err != nil {
		t.Errorf("%q, %v", keys, err)
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), perMinute())
	u.grants()
	err := u.update(t.Context(), func(x *tx) error {
		if err := u.claim(&x.state); err != nil {
			return err
		}
		for range queueMost {
			u.mine[x.next] = struct{}{}
			if _, err := x.enqueue(x.now, 1, u.owner, 1); err != nil {
				return err
			}
		}
		x.write = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Reserve(t.Context(), 1); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
	if s, err := u.Status(); err != nil || s.Damage != "" {
		t.Errorf("%v, %v", s.Damage, err)
	}
	var cost *pacer.CostError
	if _, err := u.Reserve(context.Background(), -1); !errors.As(err, &cost) {
		t.Errorf("%v", err)
	}
}

// What is not said of a limit is as it is stored, whoever stores it in between.
func TestLimitsThatLeaveSomethingOpen(t *testing.T) {
	h, path := newHost(), statePath(t)
	var warned error
	o := Options{
		Limit: pacer.Per(5, time.Second),
		As: func(stored pacer.Limits) pacer.Limits {
			return pacer.Limits{pacer.Per(5, time.Second).WithBurst(stored[0].Burst)}
		},
		Warn: func(err error) { warned = err },
	}
	f := h.open(t, path, o)
	for _, f := range []*user{h.open(t, path, Options{Limit: pacer.Per(5, time.Second).WithBurst(3)}), f} {
		if err := f.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s, err := f.Status(); err != nil || warned != nil || s.Limit.Burst != 3 {
		t.Errorf("limit %v, warning %v, error %v", s.Limit, warned, err)
	}
}
