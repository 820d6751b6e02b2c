package cmd

import (
	"context"
	"errors"
	"time"

	"github.com/throttle-cli/throttle/internal/redisstore"
	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/internal/storecheck"
)

// A redisServer is the store of a Redis server.
type redisServer struct {
	*redisstore.Server
	opts redisstore.Options // of what all keys have in common
}

// dialRedis returns the store of a Redis server. It is not asked for anything yet.
func dialRedis(p store.Place, timeout, away time.Duration) (server, error) {
	opts := redisstore.Options{Timeout: timeout, Away: away, Heartbeat: p.Heartbeat, Keep: p.Keep}
	s, err := redisstore.Connect(p.URL, opts)
	if err != nil {
		return nil, err
	}
	return redisServer{s, opts}, nil
}

// Open is that of store.Store.
func (s redisServer) Open(_ context.Context, key string, o store.Options) (store.Key, error) {
	opts := s.opts
	opts.Limits, opts.As, opts.Adopt, opts.Queue, opts.Bytes, opts.Debt, opts.Warn = o.Limits, o.As, o.Adopt, o.Queue, o.Bytes, o.Debt, o.Warn
	k, err := s.Server.Open(key, opts)
	if err != nil {
		return nil, err
	}
	return store.Of(k), nil
}

// Status is that of store.Store.
func (s redisServer) Status(ctx context.Context, key string) (store.State, error) {
	k, err := s.Server.Open(key, s.opts)
	if err != nil {
		return store.State{}, err
	}
	defer k.Close() //nolint:errcheck // nothing waits
	status, err := k.Status(ctx)
	return store.State{Status: status, Server: s.String()}, err
}

// All is that of store.Store.
func (s redisServer) All(ctx context.Context) ([]store.State, error) {
	var keys []string
	err := patiently(ctx, s.opts.Away, func() (err error) {
		keys, err = s.Keys(ctx, s.opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return statesOf(ctx, s, keys)
}

// Check is that of server.
func (s redisServer) Check(ctx context.Context) (storecheck.Report, error) {
	return s.Server.Check(ctx, s.opts)
}

// Init is that of server.
func (redisServer) Init(context.Context) (string, error) {
	return "", errors.New("a Redis server needs nothing made: throttle store check says what it is like")
}

// Texts is that of store.Table.
func (s redisServer) Texts(ctx context.Context) ([]store.Text, error) {
	var texts []redisstore.Text
	err := patiently(ctx, s.opts.Away, func() (err error) {
		texts, err = s.Server.Texts(ctx, s.opts)
		return err
	})
	all := make([]store.Text, len(texts))
	for i, t := range texts {
		all[i] = store.Text(t)
	}
	return all, err
}

// ReplaceText is that of store.Table.
func (s redisServer) ReplaceText(ctx context.Context, name, old, text string) error {
	ok, err := s.Server.ReplaceText(ctx, s.opts, name, old, text)
	if err == nil && !ok {
		err = store.ErrChanged
	}
	return err
}
