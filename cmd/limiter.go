package cmd

import (
	"context"
	"time"

	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/pacer"
)

// A limiter is what grants: a pacer of our own, or one that is shared.
type limiter interface {
	// WaitN waits in line for a grant of n units.
	WaitN(ctx context.Context, n int) error
	// reserve takes a place for n units.
	reserve(ctx context.Context, n int) (store.Reservation, error)
	// limit returns the limit in force, of several that with the lowest rate, as far as is known.
	limit() pacer.Limit
	// now returns how it stands.
	now() limitState
	close()
}

// A limitState is how a limit stands.
type limitState struct {
	set, effective pacer.Limit // of several that with the lowest rate
	usage          []pacer.Usage
	cooldown       time.Time // until when there are no grants; zero for none
	paused         bool
}

// An ownLimiter is nobody else's.
type ownLimiter struct{ *pacer.Pacer }

func (l ownLimiter) reserve(_ context.Context, n int) (store.Reservation, error) {
	r, err := l.ReserveN(n)
	return ownReservation{r}, err
}

func (l ownLimiter) limit() pacer.Limit { return l.Limit() }

func (l ownLimiter) now() limitState {
	return limitState{set: l.Limit(), effective: l.Effective(), usage: l.Usage(), cooldown: l.Cooldown(), paused: l.Paused()}
}

func (ownLimiter) close() {}

type ownReservation struct{ *pacer.Reservation }

// Throttled is that of store.Reservation.
func (r ownReservation) Throttled(_ context.Context, f pacer.Feedback) (pacer.Cooldown, error) {
	return r.Reservation.Throttled(f), nil
}

// A sharedLimiter is a key of a store.
type sharedLimiter struct {
	store.Key
	given pacer.Limits // by the flags; nil is none
	known pacer.Limits // what will be in force, as of when it was opened
}

func (l sharedLimiter) reserve(ctx context.Context, n int) (store.Reservation, error) {
	return l.Reserve(ctx, n)
}

func (l sharedLimiter) limit() pacer.Limit {
	if now := l.Limits(); now != nil && !now.Equal(l.given) {
		return now.Slowest()
	}
	return l.known.Slowest()
}

// statusTime is how long to wait for how a limit stands, where that is only to be shown.
const statusTime = time.Second

func (l sharedLimiter) now() limitState {
	ctx, stop := context.WithTimeout(context.Background(), statusTime)
	defer stop()
	s, err := l.Status(ctx)
	if err != nil { // the next grant says so
		return limitState{set: l.limit(), effective: l.limit()}
	}
	return limitState{set: s.Limit, effective: s.Effective, usage: s.Usage, cooldown: s.Cooldown, paused: s.Paused}
}

func (l sharedLimiter) close() { _ = l.Close() } // what it holds is given back by our end too
