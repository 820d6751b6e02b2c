package redisstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// What may be wrong with a call. An error of the server, or on the way to it, is a *ServerError.
var (
	// ErrNoLimit says that no limit was given and the key has none.
	ErrNoLimit = errors.New("no limit is stored, and none was given")
	// ErrUnit says that the limit given counts bytes and the one stored something else, or the other way round.
	ErrUnit = errors.New("one counts bytes, and the other does not")
	// ErrFull is what a *pacer.FullError is: as many wait as may.
	ErrFull = pacer.ErrFull
	// ErrClosed says that the Store was closed, or the reservation cancelled.
	ErrClosed = errors.New("store is closed")
	// ErrForeign says that the state of the key is none, or that of a newer version. It is left alone.
	ErrForeign = errors.New("what is stored is not the state of a key, or that of a newer version")

	errURL = errors.New("not the URL of a Redis server, such as redis://[user:pass@]host:6379/0 or rediss://host:6379")
	errOdd = errors.New("an answer that makes no sense")
)

// A ServerError is an error of the server, or on the way to it.
type ServerError struct {
	Server string // its URL, without user and password
	Err    error
}

func (e *ServerError) Error() string { return fmt.Sprintf("store %s: %v", e.Server, e.Err) }

func (e *ServerError) Unwrap() error { return e.Err }

// A LateError says that a slot would have come later than one was ready to wait for it. Nothing was written.
type LateError struct {
	Wait   time.Duration // until the slot, from when it was asked for; negative if there is none
	Slot   time.Time     // when it would have been; zero if there is none
	Paused bool          // whether there is none as the key is paused; else it is that the limit allows no events
}

func (e *LateError) Error() string {
	switch {
	case e.Paused:
		return "there is no slot: the key is paused"
	case e.Wait < 0:
		return "there is no slot: the limit allows no events"
	}
	return fmt.Sprintf("the slot is %v away", e.Wait)
}

// A ConflictError is a warning: the limits given are not those stored.
type ConflictError struct {
	Stored, Given pacer.Limits
	Holds         pacer.Limits // what keeps both, as pacer.Limits.Stricter has it
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("the key has a limit of %v, not %v: %v holds", e.Stored, e.Given, e.Holds)
}

// A DamageError is a warning: a part of the state is missing, as the server has evicted it. What it held is made up for by an
// empty bucket, so that the limit is not exceeded.
type DamageError struct {
	Server string
	What   string
}

func (e *DamageError) Error() string { return fmt.Sprintf("store %s: %s", e.Server, e.What) }
