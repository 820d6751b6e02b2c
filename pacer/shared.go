package pacer

import (
	"errors"
	"fmt"
	"time"
)

// What stores of shared limits have in common: what they say of a key, and what may be wrong with a call. A Pacer in memory has no
// use for it.

var (
	// ErrNoLimit says that no limit was given and the key has none.
	ErrNoLimit = errors.New("no limit is stored, and none was given")
	// ErrNoState says that a key has no state: nobody has used it, or it was forgotten.
	ErrNoState = errors.New("the key has no state")
	// ErrUnit says that the limit given counts bytes and the one stored something else, or the other way round.
	ErrUnit = errors.New("one counts bytes, and the other does not")
)

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
	Stored, Given Limits
	Holds         Limits // what keeps both, as Limits.Stricter has it
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("the key has a limit of %v, not %v: %v holds", e.Stored, e.Given, e.Holds)
}

// A Status is how a key stands.
type Status struct {
	Key       string
	Limited   bool      // whether a limit is stored
	Limit     Limit     // of several that with the lowest rate
	Limits    Limits    // all of them
	Bytes     bool      // whether they count bytes
	Effective Limit     // what is in force of the limit: all of it, unless feedback has cut it
	Usage     []Usage   // of each limit, those who wait left out
	Cooldown  time.Time // the end of the cooldown; zero if there is none
	Paused    bool      // whether nobody has a grant until that is over
	Throttled uint64    // how many events there have been at which the remote has throttled attempts, counted as Grants are
	Grants    uint64    // how many there have been since the state was made, or reset
	Last      time.Time // the slot of the last grant; zero if there has been none, or it is not known any more
	Next      time.Time // when a unit asked for now would be due; zero if there is no slot
	Updated   time.Time // when the state was last written, on the wall clock
	Waiting   []Waiter  // in order
	Damage    string    // what is wrong with the state, if anything: "a record is damaged"; or with its limits here, so that there is no slot
}

// A Waiter is one who waits, as of a Status.
type Waiter struct {
	PID   int // on its host, in the PID namespace that it is in
	Cost  int
	Since time.Time
	Slot  time.Time // zero if there is none, as the limit allows no events or the key is paused
}
