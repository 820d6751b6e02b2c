package store

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// Memory is the Store of one process: its keys end with it. The options are for each Pacer.
func Memory(opts ...pacer.Option) Store {
	return &memory{opts: opts, keys: make(map[string]*memoryKey)}
}

type memory struct {
	opts []pacer.Option
	mu   sync.Mutex
	keys map[string]*memoryKey
}

func (*memory) String() string { return "memory:" }

// Open is that of Store. What is given first holds for all of the process.
func (m *memory) Open(_ context.Context, name string, o Options) (Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.keys[name]
	if k != nil {
		return k, nil
	}
	switch {
	case o.Limits == nil && !o.Create:
		return nil, ErrNoState
	case o.Limits == nil:
		return nil, pacer.ErrNoLimit
	}
	if err := o.Limits.Validate(); err != nil {
		return nil, err
	}
	opts := m.opts
	if o.Queue != 0 {
		opts = append(opts[:len(opts):len(opts)], pacer.WithQueue(max(o.Queue, 0)))
	}
	if o.Debt {
		opts = append(opts[:len(opts):len(opts)], pacer.WithDebt())
	}
	k = &memoryKey{name: name, bytes: o.Bytes, Pacer: pacer.NewAll(o.Limits, opts...)}
	m.keys[name] = k
	return k, nil
}

// Status is that of Store: nobody else can ask.
func (*memory) Status(context.Context, string) (State, error) { return State{}, ErrNoState }

// All is that of Store.
func (*memory) All(context.Context) ([]State, error) { return nil, nil }

// Close is that of Store.
func (*memory) Close() error { return nil }

// A memoryKey is a Pacer.
type memoryKey struct {
	*pacer.Pacer
	name  string
	bytes bool
	mu    sync.Mutex // of ChangeLimits
}

func (k *memoryKey) Reserve(_ context.Context, n int) (Reservation, error) {
	r, err := k.ReserveN(n)
	if err != nil {
		return nil, err
	}
	return memoryReservation{r}, nil
}

func (k *memoryKey) ReserveWithin(ctx context.Context, n int, d time.Duration) (Reservation, error) {
	r, err := k.Reserve(ctx, n)
	if err != nil {
		return nil, err
	}
	slot := r.Slot()
	switch wait := time.Until(slot); {
	case slot.IsZero() && r.Cancel():
		return nil, &pacer.LateError{Wait: -1, Paused: k.Paused()}
	case wait > d && r.Cancel():
		return nil, &pacer.LateError{Wait: wait, Slot: slot}
	}
	return r, nil
}

func (k *memoryKey) Status(context.Context) (pacer.Status, error) {
	return pacer.Status{
		Key: k.name, Limited: true, Limit: k.Limit(), Limits: k.Limits(), Bytes: k.bytes, Effective: k.Effective(), Usage: k.Usage(),
		Cooldown: k.Cooldown(), Paused: k.Paused(),
	}, nil
}

func (k *memoryKey) ChangeLimits(_ context.Context, change func(pacer.Limits) (pacer.Limits, error)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	limits, err := change(k.Limits())
	if err == nil {
		err = limits.Validate()
	}
	if err == nil {
		k.SetLimits(limits)
	}
	return err
}

func (k *memoryKey) SetPaused(_ context.Context, paused bool) error {
	if paused {
		k.Pause()
	} else {
		k.Resume()
	}
	return nil
}

func (k *memoryKey) SetCooldown(_ context.Context, d time.Duration) error {
	k.Pacer.SetCooldown(d)
	return nil
}

// Reset is that of Key: nobody else is there who could ask for it.
func (*memoryKey) Reset(context.Context) error { return errors.ErrUnsupported }

// Close is that of Key: who opens the key again goes on with it.
func (*memoryKey) Close() error { return nil }

type memoryReservation struct{ *pacer.Reservation }

func (r memoryReservation) Throttled(_ context.Context, f pacer.Feedback) (pacer.Cooldown, error) {
	return r.Reservation.Throttled(f), nil
}
