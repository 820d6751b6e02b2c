package dynamostore

import (
	"context"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A Status is how a key stands.
type Status = pacer.Status

// A Waiter is one who waits, as of a Status.
type Waiter = pacer.Waiter

// Status returns how the key stands. It writes nothing. A key that has no state is ErrNoState.
func (s *Store) Status(ctx context.Context) (Status, error) {
	var it *item
	err := s.patiently(ctx, func() (err error) {
		it, err = s.fresh(ctx)
		return err
	})
	if err != nil {
		return Status{}, err
	}
	if it.version == nil {
		return Status{}, ErrNoState
	}
	t, err := s.begin(it)
	if err != nil {
		return Status{}, err
	}
	updated := t.seen
	t.settleAll()
	st := Status{
		Key: s.key, Limited: t.limited, Limit: t.alg.Limit(), Bytes: t.bytes, Grants: t.grants,
		Effective: t.alg.Effective(t.now), Paused: t.alg.Paused(), Throttled: t.alg.Events(),
	}
	if at, ok := t.alg.Until(t.now); ok {
		st.Cooldown = t.timeOf(at)
	}
	if !t.fresh {
		st.Updated = time.Unix(0, updated)
	}
	if at, ok := t.alg.Last(); ok && t.grants > 0 {
		st.Last = t.timeOf(at)
	}
	if at, ok := t.fold(t.now, len(t.waiting), 1); ok {
		st.Next = t.timeOf(at)
	}
	if t.limited {
		st.Limits, st.Usage = t.alg.Limits(), t.alg.Usage(t.now)
	}
	for _, e := range t.waiting {
		w := Waiter{PID: int(e.pid), Cost: int(e.cost), Since: t.timeOf(e.at)}
		from := max(e.at, t.turn)
		if at, ok := t.alg.Slot(from, e.cost); ok {
			w.Slot = t.timeOf(at)
			t.take(from, e.cost) // nobody but us sees it
		}
		st.Waiting = append(st.Waiting, w)
	}
	if err := t.alg.Err(); err != nil && t.limited {
		st.Damage = err.Error()
	}
	for _, note := range t.notes {
		if st.Damage != "" {
			st.Damage += "; "
		}
		st.Damage += note.(*DamageError).What //nolint:errorlint,forcetypeassert // nothing else was noted
	}
	return st, nil
}
