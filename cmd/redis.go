package cmd

import (
	"context"
	"errors"
	"time"

	"github.com/throttle-cli/throttle/internal/redisstore"
	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/internal/storecheck"
)

// dialRedis returns the store of a Redis server. It is not asked for anything yet.
func dialRedis(p store.Place, timeout, away time.Duration) (*server, error) {
	opts := redisstore.Options{Timeout: timeout, Away: away, Heartbeat: p.Heartbeat, Keep: p.Keep}
	s, err := redisstore.Connect(p.URL, opts)
	if err != nil {
		return nil, err
	}
	return &server{
		name: s.String(), away: away, close: s.Close,
		open: func(key string, o store.Options) (store.Key, error) {
			opts := opts
			opts.Limits, opts.As, opts.Adopt, opts.Queue, opts.Bytes, opts.Debt, opts.Warn = o.Limits, o.As, o.Adopt, o.Queue, o.Bytes, o.Debt, o.Warn
			k, err := s.Open(key, opts)
			if err != nil {
				return nil, err
			}
			return store.Of(k), nil
		},
		keys: func(ctx context.Context) ([]string, error) { return s.Keys(ctx, opts) },
		texts: func(ctx context.Context) ([]store.Text, error) {
			texts, err := s.Texts(ctx, opts)
			return textsOf(texts), err
		},
		replaceText: func(ctx context.Context, name, old, text string) (bool, error) {
			return s.ReplaceText(ctx, opts, name, old, text)
		},
		check: func(ctx context.Context) (storecheck.Report, error) { return s.Check(ctx, opts) },
		init: func(context.Context) (string, error) {
			return "", errors.New("a Redis server needs nothing made: throttle store check says what it is like")
		},
	}, nil
}
