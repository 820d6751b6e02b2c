//go:build linux || darwin

package lockfile

import (
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

func sliding(n int64, per time.Duration) pacer.Limit {
	return pacer.Per(n, per).With(pacer.SlidingWindow)
}

func randomLimits(rng *rand.Rand) pacer.Limits {
	limits := make(pacer.Limits, 1+rng.IntN(3))
	for i := range limits {
		limits[i] = pacer.Limit{
			Events: 5 + rng.Int64N(40), Per: time.Duration(1 + rng.Int64N(int64(3*time.Second))), Algorithm: pacer.Algorithm(rng.IntN(4)),
		}
		if limits[i].Algorithm == pacer.Paced {
			limits[i].Burst = 5
		}
	}
	return limits
}

// Any number of open files, of which each knows a part of what is in the file, have the slots that one process has: those of package
// pacer, which its own oracle knows.
func TestRandomLimitsAsInOneProcess(t *testing.T) {
	runs := 400
	if testing.Short() {
		runs = 100
	}
	for seed := range uint64(runs) {
		synctest.Test(t, func(t *testing.T) { likeOneProcess(t, seed) })
		if t.Failed() {
			return
		}
	}
}

func likeOneProcess(t *testing.T, seed uint64) {
	ctx := t.Context()
	rng := rand.New(rand.NewPCG(seed, 5))
	limits := randomLimits(rng)
	o := Options{Limits: limits, hooks: bubble()}
	path := filepath.Join(t.TempDir(), "f")
	var files []*File
	open := func() *File {
		f, err := Open(path, "", o)
		if err != nil {
			t.Fatal(err)
		}
		o.Limits = nil // others adopt them
		files = append(files, f)
		return f
	}
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	start := time.Now()
	p := pacer.NewAll(limits)
	if err := open().SetLimits(ctx, limits); err != nil {
		t.Fatal(err)
	}
	var want []*pacer.Reservation
	var got []*Reservation
	slowest := limits.Slowest()
	step := int64(slowest.Per) / slowest.Events
	for range 60 {
		time.Sleep(time.Duration(rng.Int64N(2*step + 2)))
		f := files[rng.IntN(len(files))]
		switch action := rng.IntN(20); {
		case action < 13:
			n := 1 + rng.IntN(5)
			w, err := p.ReserveN(n)
			g, err2 := f.Reserve(ctx, n)
			if err != nil || err2 != nil {
				t.Fatalf("seed %d: %v, %v", seed, err, err2)
			}
			want, got = append(want, w), append(got, g)
		case action < 16 && len(got) > 0:
			i := rng.IntN(len(got))
			if w, g := want[i].Cancel(), got[i].Cancel(); w != g {
				t.Fatalf("seed %d: cancelling %d reports %v, want %v", seed, i, g, w)
			}
		case action < 17:
			granted, wait, err := p.TryN(2)
			if g, w, err2 := f.Try(ctx, 2); g != granted || w != wait || err != nil || err2 != nil {
				t.Fatalf("seed %d: %v in %v, want %v in %v; %v, %v", seed, g, w, granted, wait, err, err2)
			}
		case action == 17:
			limits = randomLimits(rng)
			p.SetLimits(limits)
			if err := f.SetLimits(ctx, limits); err != nil {
				t.Fatal(err)
			}
		case action == 18:
			open()
		case len(got) > 0:
			i := rng.IntN(len(got))
			fb := pacer.Feedback{After: time.Duration(1 + rng.Int64N(int64(time.Second))), Adaptive: rng.IntN(2) == 0}
			got[i].Slot() // one that nobody has looked at is no grant yet
			w := want[i].Throttled(fb)
			if g, err := got[i].Throttled(ctx, fb); g.New != w.New || g.Length != w.Length || g.Rate != w.Rate || err != nil {
				t.Fatalf("seed %d: %+v, want %+v; %v", seed, g, w, err)
			}
		}
		for i := range got {
			if rng.IntN(8) == 0 {
				sameSlot(t, seed, start, i, got[i], want[i])
			}
		}
		if s, err := f.Status(); err != nil || s.Damage != "" || s.Limited && !slices.Equal(s.Usage, p.Usage()) {
			t.Fatalf("seed %d: %+v, want %+v; %v, %s", seed, s.Usage, p.Usage(), err, s.Damage)
		}
	}
	time.Sleep(time.Hour)
	for i := range got {
		sameSlot(t, seed, start, i, got[i], want[i])
	}
}

func sameSlot(t *testing.T, seed uint64, start time.Time, i int, got *Reservation, want *pacer.Reservation) {
	t.Helper()
	w, g := want.Slot(), got.SinceBoot()
	if w.IsZero() != (g == 0) || g != 0 && g-time.Hour != w.Sub(start) { // the clock of a bubble is an hour ahead
		t.Fatalf("seed %d: slot %d is at %v, want %v", seed, i, g-time.Hour, w.Sub(start))
	}
}

// A ring comes round: after more grants than it has places for it is as sound as before.
func TestARingComesRound(t *testing.T) {
	h := newHost()
	const n = 10_000
	u := h.open(t, statePath(t), Options{Limit: sliding(n, time.Hour)})
	for range 7 * n {
		h.pass(time.Hour / n)
		u.grants()
	}
	v := h.open(t, u.path, Options{})
	s, err := v.Status()
	if err != nil || s.Damage != "" || s.Usage[0].Remaining != 0 || s.Usage[0].Reset != time.Hour/n {
		t.Errorf("%+v, %v", s.Usage, err)
	}
	v.refuses(time.Hour / n)
	v.warned()
}

// A window that becomes a bucket and a window again, within microseconds, is not taken for the one that it was.
func TestAWindowThatIsAnotherOne(t *testing.T) {
	h := newHost()
	limit := sliding(100, time.Hour)
	u := h.open(t, statePath(t), Options{Limit: limit})
	start := h.now
	grant := func(n int) {
		t.Helper()
		h.pass(time.Nanosecond)
		if granted, wait, err := u.Try(t.Context(), n); !granted || err != nil {
			t.Fatal(wait, err)
		}
	}
	for range 5 {
		grant(20)
	}
	v := h.open(t, u.path, Options{})
	v.refuses(start + time.Nanosecond + time.Hour - h.now)
	for _, l := range []pacer.Limit{pacer.Unlimited(), limit} {
		h.pass(time.Microsecond)
		if err := u.SetLimit(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	for s, err := u.Status(); s.Usage[0].Remaining > 1; s, err = u.Status() {
		if err != nil {
			t.Fatal(err)
		}
		grant(1)
	}
	grant(1)
	w := h.open(t, u.path, Options{})
	for range 10 {
		var late *LateError
		if _, err := w.ReserveWithin(t.Context(), 1, -1); !errors.As(err, &late) {
			t.Fatal(err)
		}
		v.refuses(late.Wait)
		h.pass(late.Wait)
		v.grants()
	}
	v.warned()
	w.warned()
}

func TestADamagedRingCountsAsFull(t *testing.T) {
	for name, damage := range map[string]func(b []byte){
		"a run":              func(b []byte) { b[windowAt(0)+runPlace(b)+3]++ },
		"a run of past days": func(b []byte) { b[windowAt(0)+runPlace(b)+16]++ },
	} {
		h := newHost()
		path := statePath(t)
		u := h.open(t, path, Options{Limit: sliding(100, time.Hour)})
		for range 5 {
			u.grants()
			h.pass(minute)
		}
		b := u.bytes()
		damage(b)
		if err := u.h.writeAt(b, 0); err != nil {
			t.Fatal(err)
		}
		v := h.open(t, path, Options{})
		v.refuses(time.Hour)
		v.warned("a sliding window")
		v.warns = nil
		v.refuses(time.Hour)
		v.warned()
		h.pass(time.Hour)
		for range 100 {
			v.grants()
		}
		v.refuses(time.Hour)
		if s, err := v.Status(); err != nil || s.Damage != "" {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
}

// runPlace returns where in its ring the first run is.
func runPlace(b []byte) int64 {
	var r record
	_, _ = newest(b[:pageSize], &r)
	first, _ := r.alg.Ring(0).Span()
	return int64(first%ringPlaces) * runSize
}

// Who dies after any part of its writes leaves the window as it was, or with its grant in it.
func TestKilledWhileWritingARing(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), Options{Limit: sliding(4, time.Hour)})
	for range 3 {
		u.grants()
		h.pass(minute)
	}
	before := u.bytes()
	u.grants()
	after := u.bytes()
	var changed []int
	for _, part := range [][2]int{{pageSize, len(after)}, {int(recordAt(0)), pageSize}} {
		for i := part[0]; i < part[1]; i++ {
			if i >= len(before) || before[i] != after[i] {
				changed = append(changed, i)
			}
		}
	}
	torn := slices.Clone(after)
	clear(torn[copy(torn, before):])
	refused := 0
	for k := 0; k <= len(changed); k++ {
		path := statePath(t)
		write(t, path, torn)
		v := h.open(t, path, Options{})
		granted, wait, err := v.Try(t.Context(), 1)
		if err != nil || granted && wait != 0 || !granted && (wait < 57*minute || wait > time.Hour) {
			t.Fatalf("after %d of %d bytes: %v, %v, %v", k, len(changed), granted, wait, err)
		}
		if !granted {
			refused++
		}
		if k == len(changed) {
			break
		}
		torn[changed[k]] = after[changed[k]]
	}
	if refused == 0 || refused > 300 {
		t.Errorf("of %d cuts %d leave no room", len(changed), refused)
	}
}

// What lies in a window outlives a boot, as if the boot had been when it was last written.
func TestWindowsOutliveABoot(t *testing.T) {
	for _, c := range []struct {
		limit pacer.Limit
		down  time.Duration
		left  int64
	}{
		{sliding(10, time.Hour), 0, 5},
		{sliding(10, time.Hour), 5 * time.Hour, 5}, // how long it was down only the wall clock says, and that may be wrong
		{pacer.Per(10, time.Hour).With(pacer.FixedWindow), 0, 5},
		{pacer.Per(10, 24*time.Hour).Aligned(pacer.AtDay, ""), 0, 5},
		{pacer.Per(10, 24*time.Hour).Aligned(pacer.AtDay, ""), 48 * time.Hour, 10},
	} {
		h := newHost()
		path := statePath(t)
		u := h.open(t, path, Options{Limit: c.limit})
		for range 5 {
			u.grants()
		}
		h.boot++
		h.now = time.Second
		h.wall = h.wall.Add(c.down + time.Second)
		v := h.open(t, path, Options{})
		if granted, wait, err := v.Try(t.Context(), int(c.left)); !granted || err != nil {
			s, _ := v.Status()
			t.Errorf("%v: %v, %v, %v, %+v", c.limit, granted, wait, err, s.Usage)
		}
		if granted, _, err := v.Try(t.Context(), 1); granted || err != nil {
			t.Errorf("%v: one more than %d: %v, %v", c.limit, c.left, granted, err)
		}
		v.warned()
	}
}

func TestSeveralGiveTheirLimits(t *testing.T) {
	h := newHost()
	path := statePath(t)
	for _, c := range []struct {
		given, holds string
		warns        bool
	}{
		{"15/m 100/h,algorithm=sliding-window", "15/m and 100/h,algorithm=sliding-window", false},
		{"", "15/m and 100/h,algorithm=sliding-window", false},
		{"100/h,algorithm=sliding-window 15/m", "15/m and 100/h,algorithm=sliding-window", false},
		{"10/m", "10/m and 100/h,algorithm=sliding-window", true},
		{"200/h,algorithm=sliding-window", "10/m and 100/h,algorithm=sliding-window", true},
		{"50/h,algorithm=sliding-window 1000/d,align=day", "10/m and 50/h,algorithm=sliding-window and 1000/d,algorithm=fixed-window,align=day", true},
		{"inf", "10/m and 50/h,algorithm=sliding-window and 1000/d,algorithm=fixed-window,align=day", true},
	} {
		var o Options
		for _, s := range splitWords(c.given) {
			l, _, err := pacer.ParseLimit(s)
			if err != nil {
				t.Fatal(err)
			}
			o.Limits = append(o.Limits, l)
		}
		v := h.open(t, path, o)
		h.pass(10 * minute)
		v.grants()
		if s, err := v.Status(); err != nil || s.Limits.String() != c.holds {
			t.Errorf("given %q, %v holds, want %s; %v", c.given, s.Limits, c.holds, err)
		}
		if (len(v.warns) == 1) != c.warns || len(v.warns) > 1 {
			t.Errorf("given %q: warnings %v", c.given, v.warns)
		}
	}
}

func splitWords(s string) (words []string) {
	for len(s) > 0 {
		n := 0
		for n < len(s) && s[n] != ' ' {
			n++
		}
		words = append(words, s[:n])
		s = s[min(n+1, len(s)):]
	}
	return words
}

func TestAQueueWithCapacity(t *testing.T) {
	h := newHost()
	u := h.open(t, statePath(t), Options{Limit: pacer.Every(minute), Queue: 2})
	v := h.open(t, u.path, Options{Queue: -1})
	u.grants()
	u.reserve()
	u.reserve()
	var full *pacer.FullError
	if _, err := u.Reserve(t.Context(), 1); !errors.Is(err, ErrFull) || !errors.As(err, &full) || full.Most != 2 {
		t.Errorf("%v", err)
	}
	h.pass(2 * minute)
	if _, err := v.Reserve(t.Context(), 1); !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
	h.pass(minute)
	v.grants()
}

// BenchmarkWindow is a grant of a sliding window with room for 10,000, full nearly all the time.
func BenchmarkWindow(b *testing.B) {
	f := benchFile(b, sliding(10_000, 20*time.Millisecond))
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Wait(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
