package cmd

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/throttle-cli/throttle/internal/dynamostore"
	"github.com/throttle-cli/throttle/internal/redisstore"
	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/internal/storecheck"
)

// A server is a store that hosts share.
type server interface {
	store.Store
	// Check says how the server is, and what is wrong with it. The error is that of ctx.
	Check(ctx context.Context) (storecheck.Report, error)
	// Init makes what the store needs, and returns what those who use it have to be allowed.
	Init(ctx context.Context) (policy string, err error)
}

// dial returns the store of a server. A call may take as long as timeout, and those who ask put up with a server that is away for as
// long as that says.
func dial(p store.Place, timeout, away time.Duration) (server, error) {
	if p.Scheme == "dynamodb" {
		return dialDynamo(p, timeout, away)
	}
	return dialRedis(p, timeout, away)
}

// isAway reports whether an error says that a server is away, which may pass.
func isAway(err error) bool { return redisstore.IsAway(err) || dynamostore.IsAway(err) }

// patiently does something again as long as a server is away, for as long as that is put up with.
func patiently(ctx context.Context, away time.Duration, do func() error) error {
	start := time.Now()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := do()
		if !isAway(err) || time.Since(start) > away {
			return err
		}
		select {
		case <-time.After(pause/2 + rand.N(pause/2)):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// statesOf returns how keys stand, one after the other. One that has gone meanwhile is left out, and one whose state can't be read is
// there with an error.
func statesOf(ctx context.Context, s store.Store, keys []string) ([]store.State, error) {
	var all []store.State
	for _, key := range keys {
		state, err := s.Status(ctx, key)
		if errors.Is(err, store.ErrNoState) {
			continue
		}
		switch {
		case isAway(err) || err != nil && context.Cause(ctx) != nil:
			return nil, err
		case err != nil:
			state.Key, state.Server, state.Err = key, s.String(), err
		}
		all = append(all, state)
	}
	return all, nil
}
