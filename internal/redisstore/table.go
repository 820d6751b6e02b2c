package redisstore

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// tableName is where the texts are: by name, in one hash.
const tableName = "throttle:limits"

// replaceText replaces a text if it is what it was.
const replaceText = `
local is = redis.call('HGET', KEYS[1], ARGV[1]) or ''
if is ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 1`

// A Text is one of those that a Server keeps beside the keys.
type Text struct{ Name, Text string }

// Texts returns all texts, in the order of their names.
func (v *Server) Texts(ctx context.Context, o Options) ([]Text, error) {
	bound, stop := context.WithTimeout(ctx, orElse(o.Timeout, defaultTimeout))
	defer stop()
	all, err := untilDone(ctx, func() (map[string]string, error) { return v.client.HGetAll(bound, tableName).Result() })
	if err != nil {
		return nil, v.failed(ctx, err, o)
	}
	var texts []Text
	for name, text := range all {
		texts = append(texts, Text{name, text})
	}
	slices.SortFunc(texts, func(a, b Text) int { return strings.Compare(a.Name, b.Name) })
	return texts, nil
}

// ReplaceText replaces a text if it still is old, and reports whether it was. An empty one is none.
func (v *Server) ReplaceText(ctx context.Context, o Options, name, old, text string) (ok bool, err error) {
	bound, stop := context.WithTimeout(ctx, orElse(o.Timeout, defaultTimeout))
	defer stop()
	done, err := redis.NewScript(replaceText).Run(bound, v.client, []string{tableName}, name, old, text).Int()
	if err != nil {
		return false, v.failed(ctx, err, o)
	}
	return done == 1, nil
}

// failed returns what to say of an error of the server: the cause of the context, if that has ended.
func (v *Server) failed(ctx context.Context, err error, o Options) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return cause
	}
	return v.named(err, o)
}
