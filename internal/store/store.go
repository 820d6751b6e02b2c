// Package store says what whoever keeps the state of keys has to offer: a folder of files, a server. It knows none of them.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A Store is where the state of keys is. Its methods may be called by any number of goroutines.
type Store interface {
	// String names it in messages: a URL, without what is secret.
	String() string
	// Open opens a key. What is wrong with a server may be found out by the first call of the Key only.
	Open(ctx context.Context, key string, o Options) (Key, error)
	// Status returns how a key stands. It creates nothing. ErrNoState says that there is nothing.
	Status(ctx context.Context, key string) (State, error)
	// All returns how all keys stand that have state, in order.
	All(ctx context.Context) ([]State, error)
	Close() error
}

// A State is how a key stands, or why that is not known.
type State struct {
	pacer.Status
	Path   string // the file that the state is in
	Server string // or the server, without what is secret
	Err    error
}

// ErrNoState says that a key has no state.
var ErrNoState = pacer.ErrNoState

// Options say how a key is opened.
type Options struct {
	// Limits are those given; if others are stored both hold, and Warn gets a *pacer.ConflictError. Nil adopts those stored.
	Limits pacer.Limits
	// As returns Limits as they are where others are stored: what is left open of them is as it is there. Nil leaves nothing open.
	As func(stored pacer.Limits) pacer.Limits
	// Adopt says that Limits are for a key that has none: what is stored holds, whatever it is.
	Adopt bool
	// Queue is how many may wait when we ask; 0 is as many as there is room for, and below that nobody may.
	Queue int
	Bytes bool // whether Limits count bytes
	Debt  bool // a grant may cost more than a limit can grant at once
	// Create makes a key that has no state although no limits are given. Without it that is ErrNoState, at once or ErrNoLimit later.
	Create bool
	// Warn is told what is odd. It must not call the Key.
	Warn func(error)
}

// A Key is a key that is open. Its methods may be called by any number of goroutines.
type Key interface {
	// WaitN waits in line for a grant of n units.
	WaitN(ctx context.Context, n int) error
	// Reserve takes a place for n units, and ReserveWithin does if the slot is no more than d away: else a *pacer.LateError.
	Reserve(ctx context.Context, n int) (Reservation, error)
	ReserveWithin(ctx context.Context, n int, d time.Duration) (Reservation, error)
	// Limits are those of the key as of the last look, or else those given.
	Limits() pacer.Limits
	Status(ctx context.Context) (pacer.Status, error)
	ChangeLimits(ctx context.Context, change func(stored pacer.Limits) (pacer.Limits, error)) error
	SetPaused(ctx context.Context, paused bool) error
	SetCooldown(ctx context.Context, d time.Duration) error
	Reset(ctx context.Context) error
	Close() error
}

// A Reservation is a place in the queue of a key, and a grant once its slot has come.
type Reservation interface {
	Slot() time.Time
	Wait(ctx context.Context) error
	Cancel() bool
	// Throttled says that the remote has throttled the attempt that the grant was for.
	Throttled(ctx context.Context, f pacer.Feedback) (pacer.Cooldown, error)
}

// An Engine is a Key whose reservations are of a type of their own.
type Engine[R Reservation] interface {
	WaitN(ctx context.Context, n int) error
	Reserve(ctx context.Context, n int) (R, error)
	ReserveWithin(ctx context.Context, n int, d time.Duration) (R, error)
	Limits() pacer.Limits
	Status(ctx context.Context) (pacer.Status, error)
	ChangeLimits(ctx context.Context, change func(stored pacer.Limits) (pacer.Limits, error)) error
	SetPaused(ctx context.Context, paused bool) error
	SetCooldown(ctx context.Context, d time.Duration) error
	Reset(ctx context.Context) error
	Close() error
}

// Of makes a Key of an engine.
func Of[R Reservation](e Engine[R]) Key { return key[R]{e} }

type key[R Reservation] struct{ Engine[R] }

func (k key[R]) Reserve(ctx context.Context, n int) (Reservation, error) {
	r, err := k.Engine.Reserve(ctx, n)
	if err != nil {
		return nil, err // and not an R that is nil
	}
	return r, nil
}

func (k key[R]) ReserveWithin(ctx context.Context, n int, d time.Duration) (Reservation, error) {
	r, err := k.Engine.ReserveWithin(ctx, n, d)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// A Table is a Store that keeps texts, too, by names: the limits of those who use it.
type Table interface {
	// Texts returns all of them, in the order of their names.
	Texts(ctx context.Context) ([]Text, error)
	// ReplaceText replaces a text, unless it has changed meanwhile: that is ErrChanged. An old that is empty is none, and with a new one that is
	// empty there is none any more.
	ReplaceText(ctx context.Context, name, old, text string) error
}

// A Text is one of a Table.
type Text struct{ Name, Text string }

// ErrChanged says that a text is not the one that it was.
var ErrChanged = errors.New("somebody else has changed it meanwhile")

// TableOf returns the table of a store, if it has one.
func TableOf(s Store) (t Table, ok bool) {
	if f, is := s.(*Fallback); is {
		s = f.Store
	}
	t, ok = s.(Table)
	return t, ok
}
