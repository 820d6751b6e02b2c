package store

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A Fallback goes on with a store of this host as long as another one is away, with a part of the limits: as far as all hosts do
// so they keep them together.
type Fallback struct {
	Store // the one that is meant
	Local Store
	Share int                  // among how many the limits are divided
	Away  func(err error) bool // whether an error says that the store is away
	Warn  func(text string)    // is told when it is away, and when it is back
}

// Open is that of Store.
func (f *Fallback) Open(ctx context.Context, name string, o Options) (Key, error) {
	main, err := f.Store.Open(ctx, name, o)
	if err != nil {
		return nil, err
	}
	return &fallbackKey{Key: main, f: f, name: name, o: o, done: make(chan struct{})}, nil
}

// A fallbackKey is the key of the store that is meant, or while that is away one of the other. What is not about grants is about the
// one that is meant.
type fallbackKey struct {
	Key
	f    *Fallback
	name string
	o    Options
	done chan struct{} // closed by Close

	seen atomic.Bool // whether the store has told what the limits are

	mu     sync.Mutex
	local  Key
	holds  pacer.Limits // those of local
	away   bool
	closed bool
}

// localFor is for how long after it was last used what a host has in the place of a store counts for those who never saw that.
const localFor = 24 * time.Hour

// How often it is tried whether the store is back.
const (
	probeFirst = time.Second
	probeMost  = 15 * time.Second
)

// now returns the key to ask now: the local one, or nil.
func (k *fallbackKey) now() Key {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away {
		return k.local
	}
	return nil
}

// lost returns the local key if an error says that the store is away; else the error.
func (k *fallbackKey) lost(ctx context.Context, err error) (Key, error) {
	if !k.f.Away(err) {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.away {
		return k.local, nil
	}
	if k.local == nil {
		limits := k.Limits()
		if limits == nil {
			return nil, fmt.Errorf("%w; without a rate given there is none to go on with here", err)
		}
		local, holds, e := k.openLocal(ctx, limits.Share(k.f.Share))
		if e != nil {
			return nil, fmt.Errorf("%w; and here: %w", err, e)
		}
		k.local, k.holds = local, holds
	}
	k.away = true
	k.f.Warn(fmt.Sprintf("%v; until it is back this host goes on by itself, with %v (1/%d)", err, k.holds, k.f.Share))
	if !k.closed {
		go k.probe()
	}
	return k.local, nil
}

// openLocal opens the key that stands for the one of the store. The limits that it has may be those of another time, and are replaced, if we
// know better: one who has only what it was given may know less than the others here, so of both the stricter holds.
func (k *fallbackKey) openLocal(ctx context.Context, limits pacer.Limits) (local Key, holds pacer.Limits, err error) {
	local, err = k.f.Local.Open(ctx, k.name, Options{Limits: limits, Bytes: k.o.Bytes, Debt: true, Queue: k.o.Queue})
	if err != nil {
		return nil, nil, err
	}
	s, err := local.Status(ctx)
	old := !s.Updated.IsZero() && time.Since(s.Updated) > localFor
	if err == nil && s.Limited && (s.Limits.Equal(limits) || !k.seen.Load() && !old) {
		return local, s.Limits.Stricter(limits), nil // to change them would end a cut, too
	}
	if err = local.ChangeLimits(ctx, func(pacer.Limits) (pacer.Limits, error) { return limits, nil }); err != nil {
		_ = local.Close()
		return nil, nil, err
	}
	return local, limits, nil
}

// probe finds out when the store is back.
func (k *fallbackKey) probe() {
	for pause := probeFirst; ; pause = min(2*pause, probeMost) {
		select {
		case <-time.After(pause):
		case <-k.done:
			return
		}
		_, err := k.Status(context.Background())
		if k.f.Away(err) {
			continue
		}
		k.mu.Lock()
		closed := k.closed
		k.away = closed
		k.mu.Unlock()
		if closed { // the error is that, and not one of the store
			return
		}
		k.f.Warn(fmt.Sprintf("store %v is back", k.f.Store))
		return
	}
}

// WaitN is that of Key.
func (k *fallbackKey) WaitN(ctx context.Context, n int) error {
	local := k.now()
	if local == nil {
		err := k.Key.WaitN(ctx, n)
		if err == nil {
			k.seen.Store(true)
			return nil
		}
		if local, err = k.lost(ctx, err); err != nil {
			return err
		}
	}
	return local.WaitN(ctx, n)
}

// Reserve is that of Key.
func (k *fallbackKey) Reserve(ctx context.Context, n int) (Reservation, error) {
	return k.reserve(ctx, n, func(key Key) (Reservation, error) { return key.Reserve(ctx, n) })
}

// ReserveWithin is that of Key.
func (k *fallbackKey) ReserveWithin(ctx context.Context, n int, d time.Duration) (Reservation, error) {
	return k.reserve(ctx, n, func(key Key) (Reservation, error) { return key.ReserveWithin(ctx, n, d) })
}

func (k *fallbackKey) reserve(ctx context.Context, n int, from func(Key) (Reservation, error)) (Reservation, error) {
	if local := k.now(); local != nil {
		return from(local)
	}
	r, err := from(k.Key)
	if err == nil {
		k.seen.Store(true)
		return &fallbackReservation{Reservation: r, k: k, n: n}, nil
	}
	local, err := k.lost(ctx, err)
	if err != nil {
		return nil, err
	}
	return from(local)
}

// Close is that of Key.
func (k *fallbackKey) Close() error {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return nil
	}
	k.closed = true
	close(k.done)
	local := k.local
	k.mu.Unlock()
	if local != nil {
		_ = local.Close() // nothing is lost with it
	}
	return k.Key.Close()
}

// A fallbackReservation is one of the store that is meant, until that is away.
type fallbackReservation struct {
	Reservation
	k  *fallbackKey
	n  int
	mu sync.Mutex // of Reservation
}

func (r *fallbackReservation) now() Reservation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Reservation
}

// Slot is that of Reservation.
func (r *fallbackReservation) Slot() time.Time { return r.now().Slot() }

// Cancel is that of Reservation.
func (r *fallbackReservation) Cancel() bool { return r.now().Cancel() }

// Wait is that of Reservation.
func (r *fallbackReservation) Wait(ctx context.Context) error {
	err := r.now().Wait(ctx)
	if err == nil {
		return nil
	}
	local, err := r.k.lost(ctx, err)
	if err != nil {
		return err
	}
	other, err := local.Reserve(ctx, r.n)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.Reservation = other
	r.mu.Unlock()
	return other.Wait(ctx)
}

// Throttled is that of Reservation. Where the store is away, this host hears of it.
func (r *fallbackReservation) Throttled(ctx context.Context, f pacer.Feedback) (pacer.Cooldown, error) {
	c, err := r.now().Throttled(ctx, f)
	if err == nil {
		return c, nil
	}
	local, err := r.k.lost(ctx, err)
	if err != nil {
		return c, err
	}
	if err := local.SetCooldown(ctx, max(f.After, time.Second)); err != nil {
		return c, err
	}
	s, err := local.Status(ctx)
	return pacer.Cooldown{New: true, Until: s.Cooldown, Length: time.Until(s.Cooldown), Rate: s.Effective}, err
}
