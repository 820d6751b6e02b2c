package cmd

import (
	"context"
	"time"

	"github.com/throttle-cli/throttle/internal/dynamostore"
	"github.com/throttle-cli/throttle/internal/dynamostore/helper"
	"github.com/throttle-cli/throttle/internal/store"
)

// dialDynamo returns the store of a table of DynamoDB. The SDK is in a program of its own, which is started.
func dialDynamo(p store.Place, timeout, away time.Duration) (*server, error) {
	s, err := dynamostore.Connect(context.Background(), p.URL, helper.New("").Dial, timeout)
	if err != nil {
		return nil, err
	}
	opts := dynamostore.Options{Away: away, Heartbeat: p.Heartbeat, Keep: p.Keep}
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
		keys: s.Keys,
		texts: func(ctx context.Context) ([]store.Text, error) {
			texts, err := s.Texts(ctx)
			return textsOf(texts), err
		},
		replaceText: s.ReplaceText,
		check:       s.Check,
		init: func(ctx context.Context) (string, error) {
			if err := s.Init(ctx); err != nil {
				return "", err
			}
			return s.Policy()
		},
	}, nil
}
