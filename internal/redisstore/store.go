// Package redisstore shares a limit between hosts, first come, first served in the order in which a Redis server sees them.
//
// The state of a key is on the server: what was granted and who waits. A grant that is due is one round trip: a script computes the
// slot, by the arithmetic of package pacer and the clock of the server, to the nanosecond. One who waits needs a second one
// when its slot has come. What is rare, such as a new limit or the next window of a calendar, is computed by the client, on the
// state as the server has it, and written unless somebody was there in between. docs/stores.md says what holds, and what does not.
//
//	s, err := redisstore.Open(ctx, "redis://host:6379/0", "github", redisstore.Options{Limits: pacer.Limits{pacer.Per(10, time.Second)}})
//	err = s.WaitN(ctx, 1) // in any number of goroutines of any number of processes
package redisstore

import (
	"context"
	"crypto/rand"
	_ "embed" // the script
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// Options say how a key is opened. The zero Options adopt the limit that is stored.
type Options struct {
	// Limits are the limits of the key. If others are stored then both hold, from the first call on that asks for a grant, and
	// Warn gets a *pacer.ConflictError. Without any, those stored are adopted; if there are none, asking for a grant is
	// pacer.ErrNoLimit.
	Limits pacer.Limits
	// Adopt says that Limits are for a key that has none: what is stored holds, whatever it is.
	Adopt bool
	// Queue is how many may wait at the most when we ask for a grant that is not due: otherwise it is a *pacer.FullError. 0 is
	// 16,384; below that nobody may. Of the goroutines that Wait in line only ours are counted.
	Queue int
	// Bytes says that the limits count bytes. It is stored with them, and those that count something else are pacer.ErrUnit.
	Bytes bool
	// Debt lets a grant cost more than a limit can grant at once, as pacer.WithDebt does.
	Debt bool
	// As returns Limits as they are where others are stored, for those who leave open what they do not say of them. It must not call
	// the Store, and may be called more than once. Nil leaves nothing open.
	As func(stored pacer.Limits) pacer.Limits
	// Warn is called with a *pacer.ConflictError or *DamageError when one is found. Nil ignores them. It must not call the Store, or
	// its reservations.
	Warn func(error)

	// Timeout is how long one call of the server may take (0: 5 s).
	Timeout time.Duration
	// Away is how long those who ask or wait put up with a server that can't be reached, is loading, or has lost its role. 0: not at all.
	Away time.Duration
	// Heartbeat is the time after which the place of a client that was not heard of is given back (0: 10 s). All clients of a
	// key should have the same.
	Heartbeat time.Duration
	// Keep is how long the state is kept at the least when nothing of what was granted matters any more (0: 30 days). After
	// that the limits are forgotten.
	Keep time.Duration

	// Getenv is os.Getenv if nil: a password that the URL has not may be in $REDISCLI_AUTH.
	Getenv func(string) string

	now func() string // for the tests: the time on the server; "" is its own
}

const (
	defaultTimeout   = 5 * time.Second
	defaultHeartbeat = 10 * time.Second
	defaultKeep      = 30 * 24 * time.Hour
	queueMost        = 1 << 14
	// KeyMax is the length of the longest key.
	KeyMax = 1024
)

// A Store is the shared state of a key. Its methods may be called by any number of goroutines.
type Store struct {
	*Server
	own   bool   // whether nobody else has the Server
	name  string // of the server, without a password
	key   string
	opts  Options
	keys  []string
	boxed []any  // the keys, as arguments
	owner string // a number that nobody else has
	pid   string
	// Of each call, as the script takes it.
	keep, who string

	// line is the line of goroutines that Wait: its head is the only one to have a place in the queue of the key.
	line  chan struct{}
	lined atomic.Int32

	streak atomic.Int64   // how many of the last answers were grants made in the short way
	trip   atomic.Int64   // how long the last reading of the state took, in ns
	done   chan struct{}  // closed by Close
	tasks  sync.WaitGroup // goroutines of ours

	mu      sync.Mutex
	closed  bool
	mine    map[string]struct{} // our places
	beating bool                // whether a goroutine tells the server that we live
	heard   time.Time           // when the server last heard of us
	number  uint64              // of the last one that asked
	joined  bool                // our limits have been brought together with those stored
	warned  bool
	names   string       // the limits stored, as of the last look
	limits  pacer.Limits // those of the key when we last looked; nil is none
	last    int64        // the slot of the last grant that we know of; 0 is none
	until   int64        // the end of the last cooldown that we know of
}

//go:embed script.lua
var source string

// Open opens a key on the server of a URL. It connects once something is asked for: what is wrong with the server is found out then.
func Open(ctx context.Context, address, key string, o Options) (*Store, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	v, err := Connect(address, o)
	if err != nil {
		return nil, err
	}
	s, err := v.Open(key, o)
	if err != nil {
		_ = v.Close()
		return nil, err
	}
	s.own = true
	return s, nil
}

// Open opens a key. The Store shares the connections of the Server, which is to be closed after it.
func (v *Server) Open(key string, o Options) (*Store, error) {
	if len(key) > KeyMax {
		return nil, fmt.Errorf("key of %d bytes: the longest is %d", len(key), KeyMax)
	}
	if o.Limits != nil {
		if err := o.Limits.Validate(); err != nil {
			return nil, err
		}
	}
	var owner [12]byte
	_, _ = rand.Read(owner[:]) // it never fails
	o.Timeout, o.Heartbeat = orElse(o.Timeout, defaultTimeout), orElse(o.Heartbeat, defaultHeartbeat)
	o.Keep = max(orElse(o.Keep, defaultKeep), time.Minute)
	s := &Store{
		Server: v, name: v.String(), key: key, opts: o, keys: keysOf(key), limits: o.Limits,
		owner: hex.EncodeToString(owner[:]), pid: strconv.Itoa(os.Getpid()),
		line: make(chan struct{}, 1), done: make(chan struct{}), mine: map[string]struct{}{},
		keep: strconv.FormatInt(int64(o.Keep/time.Second), 10),
	}
	for _, key := range s.keys {
		s.boxed = append(s.boxed, key)
	}
	s.who = s.owner + ":" + strconv.FormatInt(o.Heartbeat.Microseconds(), 10)
	return s, nil
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// leaveMost is how long one who leaves is held up by giving its place back: if the server does not answer it is given back when we are
// not heard of any more.
const leaveMost = time.Second

// Close gives back the places of those who wait, and ends their Wait with ErrClosed. Calls after it are ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.done)
	places := s.mine
	s.mine = map[string]struct{}{}
	s.mu.Unlock()
	ctx, stop := context.WithTimeout(context.Background(), min(s.opts.Timeout, leaveMost))
	defer stop()
	left := make(chan error, 1)
	go func() {
		var err error
		for place := range places {
			if err = s.leaveNow(ctx, place); err != nil {
				break // they are given back when we are not heard of any more
			}
		}
		s.tasks.Wait()
		left <- err
	}()
	var err error
	select {
	case err = <-left:
	case <-ctx.Done(): // what is still on its way ends by itself
		err = &ServerError{s.name, &awayError{&slowError{min(s.opts.Timeout, leaveMost)}}}
	}
	if s.own {
		err = errors.Join(err, s.Server.Close())
	}
	return err
}

func (s *Store) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Limits returns the limits of the key, as of the last look at the server, or else those given to Open.
func (s *Store) Limits() pacer.Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.limits)
}

// Limit returns that of the Limits with the lowest rate.
func (s *Store) Limit() pacer.Limit { return s.Limits().Slowest() }

// namesOf returns limits as they are named in the state.
func namesOf(l pacer.Limits, bytes bool) string {
	if bytes {
		return "bytes " + l.String()
	}
	return "units " + l.String()
}

// adopt keeps in mind which limits the key has.
func (s *Store) adopt(names string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if names == "" || names == s.names {
		return
	}
	s.names = names
	var limits pacer.Limits
	_, list, _ := strings.Cut(names, " ")
	for name := range strings.SplitSeq(list, " and ") {
		l, _, err := pacer.ParseLimit(name)
		if err != nil {
			return // what is known is good enough
		}
		limits = append(limits, l)
	}
	s.limits = limits
}

func (s *Store) warn(err error) {
	if s.opts.Warn != nil {
		s.opts.Warn(err)
	}
}
