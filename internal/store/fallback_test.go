package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

var errAway = errors.New("store far: no answer")

// A far store is one that can be cut off.
type far struct {
	Store
	mu  sync.Mutex
	cut chan struct{} // nil while it is there; closed when it is back
}

func (f *far) set(cut bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cut = nil
	if cut {
		f.cut = make(chan struct{})
	}
}

func (f *far) gone() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cut != nil {
		return errAway
	}
	return nil
}

func (f *far) Open(ctx context.Context, key string, o Options) (Key, error) {
	k, err := f.Store.Open(ctx, key, o)
	return farKey{k, f}, err
}

type farKey struct {
	Key
	f *far
}

func (k farKey) WaitN(ctx context.Context, n int) error {
	if err := k.f.gone(); err != nil {
		return err
	}
	return k.Key.WaitN(ctx, n)
}

func (k farKey) Reserve(ctx context.Context, n int) (Reservation, error) {
	if err := k.f.gone(); err != nil {
		return nil, err
	}
	r, err := k.Key.Reserve(ctx, n)
	return farReservation{r, k.f}, err
}

func (k farKey) Status(ctx context.Context) (pacer.Status, error) {
	if err := k.f.gone(); err != nil {
		return pacer.Status{}, err
	}
	return k.Key.Status(ctx)
}

type farReservation struct {
	Reservation
	f *far
}

// Wait is one that looks only when its slot has come.
func (r farReservation) Wait(ctx context.Context) error {
	time.Sleep(time.Until(r.Slot()))
	if err := r.f.gone(); err != nil {
		return err
	}
	return r.Reservation.Wait(ctx)
}

// While a store is away a host has its part of the limit, in one queue; when it is back the others count again.
func TestFallback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := &far{Store: Memory()}
		var said []string
		f := &Fallback{Store: away, Local: Memory(), Share: 2, Away: func(err error) bool { return errors.Is(err, errAway) }, Warn: func(text string) { said = append(said, text) }}
		k, err := f.Open(t.Context(), "k", Options{Limits: pacer.Limits{pacer.Every(time.Second)}})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var at []time.Duration
		grant := func() {
			t.Helper()
			if err := k.WaitN(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			at = append(at, time.Since(start))
		}
		grant() // 0 s
		grant() // 1 s
		// One who waits there when it is cut off goes on here.
		r, err := k.Reserve(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		away.set(true)
		if err := r.Wait(t.Context()); err != nil { // 2 s: the first one here
			t.Fatal(err)
		}
		at = append(at, time.Since(start))
		grant() // 4 s
		grant() // 6 s
		away.set(false)
		time.Sleep(probeMost)
		synctest.Wait()
		grant() // there, at once
		if want := []time.Duration{0, 1 * time.Second, 2 * time.Second, 4 * time.Second, 6 * time.Second, 6*time.Second + probeMost}; !slices.Equal(at, want) {
			t.Errorf("grants at %v, want %v", at, want)
		}
		if len(said) != 2 || !strings.Contains(said[0], "store far: no answer; until it is back this host goes on by itself, with 1/2s (1/2)") || !strings.Contains(said[1], "is back") {
			t.Errorf("it said %q", said)
		}
		if err := k.Close(); err != nil {
			t.Error(err)
		}
	})
}

// One who never saw the store has only what it was given, and takes nothing away from what others here know of the limit.
func TestFallbackOfOneWhoKnowsLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here := Memory()
		open := func(rate time.Duration, sees bool) Key {
			t.Helper()
			away := &far{Store: Memory()}
			f := &Fallback{Store: away, Local: here, Share: 2, Away: func(err error) bool { return errors.Is(err, errAway) }, Warn: func(string) {}}
			k, err := f.Open(t.Context(), "k", Options{Limits: pacer.Limits{pacer.Every(rate)}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = k.Close() })
			if sees {
				if err := k.WaitN(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
			}
			away.set(true)
			return k
		}
		holds := func(want time.Duration) {
			t.Helper()
			s, err := here.(*memory).keys["k"].Status(t.Context())
			if want := (pacer.Limits{pacer.Every(want)}); err != nil || !s.Limits.Equal(want) {
				t.Errorf("it holds %v, %v; want %v", s.Limits, err, want)
			}
		}
		for _, c := range []struct {
			given, holds time.Duration
			sees         bool
		}{
			{time.Second, 2 * time.Second, true},
			{time.Millisecond, 2 * time.Second, false},
			{100 * time.Millisecond, 200 * time.Millisecond, true}, // it was changed meanwhile
		} {
			if err := open(c.given, c.sees).WaitN(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			holds(c.holds)
		}
	})
}

// One who has ended while it was tried whether the store is back does not say that it is.
func TestFallbackEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := &hanging{far: far{Store: Memory()}, done: make(chan struct{})}
		hangs.set(true)
		var said []string
		f := &Fallback{Store: hangs, Local: Memory(), Share: 1, Away: func(err error) bool { return errors.Is(err, errAway) }, Warn: func(text string) { said = append(said, text) }}
		k, err := f.Open(t.Context(), "k", Options{Limits: pacer.Limits{pacer.Every(time.Second)}})
		if err != nil {
			t.Fatal(err)
		}
		if err := k.WaitN(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * probeFirst)
		_ = k.Close()
		synctest.Wait()
		if len(said) != 1 {
			t.Errorf("it said %q", said)
		}
	})
}

// A hanging store answers nothing before its key is closed.
type hanging struct {
	far
	done chan struct{}
}

func (h *hanging) Open(ctx context.Context, key string, o Options) (Key, error) {
	k, err := h.far.Open(ctx, key, o)
	return hangingKey{k, h}, err
}

type hangingKey struct {
	Key
	h *hanging
}

func (k hangingKey) Status(context.Context) (pacer.Status, error) {
	<-k.h.done
	return pacer.Status{}, errors.New("closed")
}

func (k hangingKey) Close() error {
	close(k.h.done)
	return nil
}

// Without a limit there is nothing to go on with, and what is no fault of the store is an error as ever.
func TestFallbackThatCannot(t *testing.T) {
	away := &far{Store: adopting{Memory()}}
	f := &Fallback{Store: away, Local: Memory(), Share: 2, Away: func(err error) bool { return errors.Is(err, errAway) }, Warn: func(string) {}}
	k, err := f.Open(t.Context(), "k", Options{})
	if err != nil {
		t.Fatal(err)
	}
	away.set(true)
	if err := k.WaitN(t.Context(), 1); !errors.Is(err, errAway) || !strings.Contains(err.Error(), "without a rate given there is none to go on with here") {
		t.Error(err)
	}
	away.set(false)
	if err := k.WaitN(t.Context(), 1); !errors.Is(err, pacer.ErrNoLimit) {
		t.Error(err)
	}
}

// An adopting store opens keys that have no limit.
type adopting struct{ Store }

func (adopting) Open(context.Context, string, Options) (Key, error) { return none{}, nil }

type none struct{ Key }

func (none) WaitN(context.Context, int) error { return pacer.ErrNoLimit }
func (none) Limits() pacer.Limits             { return nil }
