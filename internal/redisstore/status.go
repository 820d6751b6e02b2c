package redisstore

import (
	"context"
	"strconv"

	"github.com/throttle-cli/throttle/pacer"
)

// Status returns how the key stands. It writes nothing. A key that has no state is pacer.ErrNoState.
func (s *Store) Status(ctx context.Context) (pacer.Status, error) {
	var a *answer
	err := s.patiently(ctx, func() (err error) {
		a, err = s.call(ctx, nil, "read")
		return err
	})
	if err != nil {
		return pacer.Status{}, err
	}
	t, err := s.read(a)
	if err != nil {
		return pacer.Status{}, err
	}
	if t.version == 0 {
		return pacer.Status{}, pacer.ErrNoState
	}
	t.settle()
	st := pacer.Status{
		Key: s.key, Limited: t.limited, Limit: t.alg.Limit(), Bytes: t.bytes, Grants: uint64(t.grants),
		Effective: t.alg.Effective(t.now), Paused: t.alg.Paused(), Throttled: t.alg.Events(), Updated: t.timeOf(t.seen),
	}
	if at, ok := t.alg.Until(t.now); ok {
		st.Cooldown = t.timeOf(at)
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
		w := pacer.Waiter{Cost: int(e.cost), Since: t.timeOf(e.at)}
		w.PID, _ = strconv.Atoi(e.pid)
		from := max(e.at, t.turn)
		if at, ok := t.alg.Slot(from, e.cost); ok {
			w.Slot = t.timeOf(at)
			t.take(from, e.cost) // nobody but us sees it
		}
		st.Waiting = append(st.Waiting, w)
	}
	if err := t.alg.Err(); err != nil {
		st.Damage = err.Error()
	}
	return st, nil
}
