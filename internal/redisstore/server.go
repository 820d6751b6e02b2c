package redisstore

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// A Server is a connection to where keys are kept: a server, a cluster, or a master that sentinels watch. Its methods may be
// called by any number of goroutines.
type Server struct {
	place  *place
	client redis.UniversalClient
	script string // its SHA-1
}

// Connect returns the Server of a URL. Nothing is sent before the first call: what is wrong with the server is found out then.
func Connect(address string, o Options) (*Server, error) {
	p, err := parseURL(address)
	if err != nil {
		return nil, &URLError{err}
	}
	getenv := o.Getenv
	if getenv == nil {
		getenv = os.Getenv
	}
	if err := p.findPassword(getenv); err != nil {
		return nil, &URLError{err}
	}
	silence.Do(func() { redis.SetLogger(silent{}) }) // it would write to stderr what we return as an error
	client, err := p.client(orElse(o.Timeout, defaultTimeout))
	if err != nil {
		return nil, &URLError{err}
	}
	return &Server{place: p, client: client, script: redis.NewScript(source).Hash()}, nil
}

var silence sync.Once //nolint:gochecknoglobals // the logger of the client is one for the process

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// String returns the URL without user, password and options.
func (v *Server) String() string { return v.place.String() }

// run runs the script, by a command of EVALSHA: in one round trip, but for the first time.
func (v *Server) run(ctx context.Context, args []any) ([]any, error) {
	reply, err := v.do(ctx, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		args[0], args[1] = "eval", source
		reply, err = v.do(ctx, args)
	}
	if cluster, ok := v.client.(*redis.ClusterClient); ok && err != nil {
		cluster.ReloadState(ctx) // who has the key may have changed
	}
	return reply, err
}

func (v *Server) do(ctx context.Context, args []any) ([]any, error) {
	cmd := redis.NewCmd(ctx, args...)
	_ = v.client.Process(ctx, once{cmd}) // the error is that of the Cmd
	return cmd.Slice()
}

// A once is not sent a second time where it is not known whether the server has heard it: that is for us to find out.
type once struct{ *redis.Cmd }

func (once) NoRetry() bool { return true }

// Close ends the connections. Its Stores are of no use afterwards.
func (v *Server) Close() error { return v.client.Close() }

// Keys returns the keys that have state on a server, in order.
func Keys(ctx context.Context, address string, o Options) ([]string, error) {
	v, err := Connect(address, o)
	if err != nil {
		return nil, err
	}
	defer v.Close() //nolint:errcheck // nothing was written
	return v.Keys(ctx, o)
}

// untilDone returns what do does, or the cause of ctx: the client does not leave a call that is not answered.
func untilDone[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	got := make(chan result, 1)
	go func() { // it has an end, as each call has a timeout
		v, err := do()
		got <- result{v, err}
	}()
	select {
	case r := <-got:
		return r.v, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// Keys returns the keys that have state, in order.
func (v *Server) Keys(ctx context.Context, o Options) ([]string, error) {
	return untilDone(ctx, func() ([]string, error) { return v.scan(ctx, o) })
}

func (v *Server) scan(ctx context.Context, o Options) ([]string, error) {
	var mu sync.Mutex
	var keys []string
	scan := func(ctx context.Context, node *redis.Client) error {
		for cursor := uint64(0); ; {
			bound, stop := context.WithTimeout(ctx, orElse(o.Timeout, defaultTimeout))
			names, next, err := node.Scan(bound, cursor, stateOf("*"), 1000).Result()
			stop()
			if err != nil {
				return err
			}
			mu.Lock()
			for _, name := range names {
				if key, ok := keyOf(name); ok {
					keys = append(keys, key)
				}
			}
			mu.Unlock()
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	}
	var err error
	switch client := v.client.(type) {
	case *redis.ClusterClient:
		err = client.ForEachMaster(ctx, scan)
	case *redis.Client:
		err = scan(ctx, client)
	default:
		err = fmt.Errorf("a client of another kind: %T", client)
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, v.named(err, o)
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil // a scan may return one twice
}

// Names of what belongs to a key. They have one hash tag, so that they are on one node of a cluster.
const (
	namePrefix  = "throttle:{."
	stateSuffix = "}:state"
)

func stateOf(tag string) string { return namePrefix + tag + stateSuffix }

// keysOf returns the names of what belongs to a key.
func keysOf(key string) []string {
	tag := strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D").Replace(key)
	state := stateOf(tag)
	keys := []string{state}
	for _, part := range []string{"queue", "grants", "owners", "runs"} {
		keys = append(keys, strings.TrimSuffix(state, "state")+part)
	}
	return keys
}

// keyOf returns the key that a name of a state is of.
func keyOf(name string) (key string, ok bool) {
	tag, ok := strings.CutPrefix(name, namePrefix)
	if !ok {
		return "", false
	}
	if tag, ok = strings.CutSuffix(tag, stateSuffix); !ok {
		return "", false
	}
	key, err := url.PathUnescape(tag)
	if err != nil || len(key) > KeyMax || keysOf(key)[0] != name {
		return "", false // it is not ours
	}
	return key, true
}
