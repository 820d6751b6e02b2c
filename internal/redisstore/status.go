package redisstore

import (
	"context"
	"strconv"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A Status is how a key stands.
type Status struct {
	Server    string // its URL, without user and password
	Key       string
	Exists    bool         // whether there is a state
	Limited   bool         // whether a limit is stored
	Limit     pacer.Limit  // of several that with the lowest rate
	Limits    pacer.Limits // all of them
	Bytes     bool         // whether they count bytes
	Effective pacer.Limit  // what is in force of the limit: all of it, unless feedback has cut it
	Usage     []pacer.Usage
	Cooldown  time.Time // the end of the cooldown; zero if there is none
	Paused    bool
	Throttled uint64    // how many events there have been at which the remote has throttled attempts
	Grants    uint64    // how many there have been since the state was made, or reset
	Last      time.Time // the slot of the last grant; zero if there has been none
	Next      time.Time // when a unit asked for now would be due; zero if there is no slot
	Updated   time.Time // when the state was last written
	Waiting   []Waiter  // in order
}

// A Waiter is one who waits, as of a Status.
type Waiter struct {
	Owner string // the number of the client, which nobody else has
	PID   int    // on its host
	Cost  int
	Since time.Time
	Slot  time.Time // zero if there is none, as the limit allows no events or the key is paused
}

// Status returns how the key stands. It writes nothing.
func (s *Store) Status(ctx context.Context) (Status, error) {
	a, err := s.call(ctx, nil, "read")
	if err != nil {
		return Status{}, err
	}
	t, err := s.parse(a)
	if err != nil {
		return Status{}, err
	}
	t.settle()
	st := Status{
		Server: s.name, Key: s.key, Exists: t.version > 0, Limited: t.limited, Limit: t.alg.Limit(), Bytes: t.bytes, Grants: uint64(t.grants),
		Effective: t.alg.Effective(t.now), Paused: t.alg.Paused(), Throttled: t.alg.Events(),
	}
	if at, ok := t.alg.Until(t.now); ok {
		st.Cooldown = t.timeOf(at)
	}
	if st.Exists {
		st.Updated = t.timeOf(t.seen)
	}
	if at, ok := t.alg.Last(); ok && t.grants > 0 {
		st.Last = t.timeOf(at)
	}
	if at, ok := t.fold(len(t.waiting), 1); ok {
		st.Next = t.timeOf(at)
	}
	if t.limited {
		st.Limits, st.Usage = t.alg.Limits(), t.alg.Usage(t.now)
	}
	for _, e := range t.waiting {
		w := Waiter{Owner: e.owner, Cost: int(e.cost), Since: t.timeOf(e.at)}
		w.PID, _ = strconv.Atoi(e.pid)
		from := max(e.at, t.turn)
		if at, ok := t.alg.Slot(from, e.cost); ok {
			w.Slot = t.timeOf(at)
			t.take(from, e.cost) // nobody but us sees it
		}
		st.Waiting = append(st.Waiting, w)
	}
	return st, nil
}
