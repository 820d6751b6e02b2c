package cmd

import (
	"context"
	"time"

	"github.com/throttle-cli/throttle/internal/dynamostore"
	"github.com/throttle-cli/throttle/internal/dynamostore/helper"
	"github.com/throttle-cli/throttle/internal/store"
	"github.com/throttle-cli/throttle/internal/storecheck"
)

// A dynamoTable is the store of a table of DynamoDB.
type dynamoTable struct {
	*dynamostore.Server
	opts dynamostore.Options // of what all keys have in common
}

// dialDynamo returns the store of a table of DynamoDB. The SDK is in a program of its own, which is started.
func dialDynamo(p store.Place, timeout, away time.Duration) (server, error) {
	s, err := dynamostore.Connect(context.Background(), p.URL, helper.New("").Dial, timeout)
	if err != nil {
		return nil, err
	}
	return dynamoTable{s, dynamostore.Options{Away: away, Heartbeat: p.Heartbeat, Keep: p.Keep}}, nil
}

// Open is that of store.Store.
func (s dynamoTable) Open(_ context.Context, key string, o store.Options) (store.Key, error) {
	opts := s.opts
	opts.Limits, opts.As, opts.Adopt, opts.Queue, opts.Bytes, opts.Debt, opts.Warn = o.Limits, o.As, o.Adopt, o.Queue, o.Bytes, o.Debt, o.Warn
	k, err := s.Server.Open(key, opts)
	if err != nil {
		return nil, err
	}
	return store.Of(k), nil
}

// Status is that of store.Store.
func (s dynamoTable) Status(ctx context.Context, key string) (store.State, error) {
	k, err := s.Server.Open(key, s.opts)
	if err != nil {
		return store.State{}, err
	}
	defer k.Close() //nolint:errcheck // nothing waits
	status, err := k.Status(ctx)
	return store.State{Status: status, Server: s.String()}, err
}

// All is that of store.Store.
func (s dynamoTable) All(ctx context.Context) ([]store.State, error) {
	var keys []string
	err := patiently(ctx, s.opts.Away, func() (err error) {
		keys, err = s.Keys(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return statesOf(ctx, s, keys)
}

// Check is that of server.
func (s dynamoTable) Check(ctx context.Context) (storecheck.Report, error) {
	return s.Server.Check(ctx)
}

// Init is that of server.
func (s dynamoTable) Init(ctx context.Context) (string, error) {
	if err := s.Server.Init(ctx); err != nil {
		return "", err
	}
	return s.Policy()
}

// Texts is that of store.Table.
func (s dynamoTable) Texts(ctx context.Context) ([]store.Text, error) {
	var texts []dynamostore.Text
	err := patiently(ctx, s.opts.Away, func() (err error) {
		texts, err = s.Server.Texts(ctx)
		return err
	})
	all := make([]store.Text, len(texts))
	for i, t := range texts {
		all[i] = store.Text(t)
	}
	return all, err
}

// ReplaceText is that of store.Table.
func (s dynamoTable) ReplaceText(ctx context.Context, name, old, text string) error {
	ok, err := s.Server.ReplaceText(ctx, name, old, text)
	if err == nil && !ok {
		err = store.ErrChanged
	}
	return err
}
