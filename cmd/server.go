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

// A server is a store that hosts share. Its functions are those in which one kind differs from another.
type server struct {
	name string
	away time.Duration // how long to put up with one that is away
	open func(key string, o store.Options) (store.Key, error)
	// keys returns those that have state, in order.
	keys        func(ctx context.Context) ([]string, error)
	texts       func(ctx context.Context) ([]store.Text, error)
	replaceText func(ctx context.Context, name, old, text string) (ok bool, err error)
	// check says how the server is, and what is wrong with it. The error is that of ctx.
	check func(ctx context.Context) (storecheck.Report, error)
	// init makes what the store needs, and returns what those who use it have to be allowed.
	init  func(ctx context.Context) (policy string, err error)
	close func() error
}

func (s *server) String() string { return s.name }

// Open is that of store.Store.
func (s *server) Open(_ context.Context, key string, o store.Options) (store.Key, error) {
	return s.open(key, o)
}

// Status is that of store.Store.
func (s *server) Status(ctx context.Context, key string) (store.State, error) {
	k, err := s.open(key, store.Options{})
	if err != nil {
		return store.State{}, err
	}
	defer k.Close() //nolint:errcheck // nothing waits
	status, err := k.Status(ctx)
	return store.State{Status: status, Server: s.name}, err
}

// All is that of store.Store.
func (s *server) All(ctx context.Context) ([]store.State, error) {
	var keys []string
	err := patiently(ctx, s.away, func() (err error) {
		keys, err = s.keys(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return statesOf(ctx, s, keys)
}

// Close is that of store.Store.
func (s *server) Close() error { return s.close() }

// Texts is that of store.Table.
func (s *server) Texts(ctx context.Context) (texts []store.Text, err error) {
	err = patiently(ctx, s.away, func() (err error) {
		texts, err = s.texts(ctx)
		return err
	})
	return texts, err
}

// textsOf returns texts as a store.Table has them.
func textsOf[T ~struct{ Name, Text string }](texts []T) []store.Text {
	all := make([]store.Text, len(texts))
	for i, t := range texts {
		all[i] = store.Text(t)
	}
	return all
}

// ReplaceText is that of store.Table.
func (s *server) ReplaceText(ctx context.Context, name, old, text string) error {
	ok, err := s.replaceText(ctx, name, old, text)
	if err == nil && !ok {
		err = store.ErrChanged
	}
	return err
}

// dial returns the store of a server. A call may take as long as timeout, and those who ask put up with a server that is away for as
// long as that says.
func dial(p store.Place, timeout, away time.Duration) (*server, error) {
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
