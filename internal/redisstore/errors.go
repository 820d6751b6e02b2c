package redisstore

import (
	"errors"
	"fmt"

	"github.com/throttle-cli/throttle/pacer"
)

// What may be wrong with a call. An error of the server, or on the way to it, is a *ServerError.
var (
	// ErrFull is what a *pacer.FullError is: as many wait as may.
	ErrFull = pacer.ErrFull
	// ErrClosed says that the Store was closed, or the reservation cancelled.
	ErrClosed = errors.New("store is closed")
	// ErrForeign says that the state of the key is none, or that of a newer version. It is left alone.
	ErrForeign = errors.New("what is stored is not the state of a key, or that of a newer version")

	errOdd = errors.New("an answer that makes no sense")
)

// A URLError says what is wrong with a URL, or with what it names. It quotes no password.
type URLError struct{ Err error }

func (e *URLError) Error() string { return "URL of the store: " + e.Err.Error() }

func (e *URLError) Unwrap() error { return e.Err }

// A ServerError is an error of the server, or on the way to it.
type ServerError struct {
	Server string // its URL, without user and password
	Err    error
}

func (e *ServerError) Error() string { return fmt.Sprintf("store %s: %v", e.Server, e.Err) }

func (e *ServerError) Unwrap() error { return e.Err }

// A DamageError is a warning: a part of the state is missing, as the server has evicted it. What it held is made up for by an
// empty bucket, so that the limit is not exceeded.
type DamageError struct {
	Server string
	What   string
}

func (e *DamageError) Error() string { return fmt.Sprintf("store %s: %s", e.Server, e.What) }
