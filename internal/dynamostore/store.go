// Package dynamostore shares a limit between hosts, first come, first served in the order in which a table of DynamoDB sees them.
//
// A key is one item: what was granted and who waits. A client computes what becomes of it by package pacer and writes that on the
// condition that nobody has written meanwhile, so a grant that is due is one request for whoever wrote last. One who waits reads when its slot
// has come. docs/dynamodb.md says what holds, what not, and how many requests it takes.
//
//	s, err := dynamostore.Open(ctx, "dynamodb://throttle?region=eu-west-1", "github", dynamostore.Options{
//		Dial: dynamosdk.Dial, Limits: pacer.Limits{pacer.Per(10, time.Second)},
//	})
//	err = s.WaitN(ctx, 1) // in any number of goroutines of any number of processes
package dynamostore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// Options say how a key is opened. The zero Options adopt the limit that is stored.
type Options struct {
	// Dial connects to the table. It must be there.
	Dial Dial
	// Limits are the limits of the key. If others are stored then both hold, from the first call on that asks for a grant, and
	// Warn gets a *ConflictError. Without any, those stored are adopted; if there are none, asking for a grant is ErrNoLimit.
	Limits pacer.Limits
	// As returns Limits as they are where others are stored, for those who leave open what they do not say of them. It must not call the
	// Store, and may be called more than once. Nil leaves nothing open.
	As func(stored pacer.Limits) pacer.Limits
	// Adopt says that Limits are for a key that has none: what is stored holds, whatever it is.
	Adopt bool
	// Queue is how many may wait at the most when we ask for a grant that is not due: otherwise it is a *pacer.FullError. 0 is as
	// many as there is room for in an item, 4096 or fewer; below that nobody may. Of the goroutines that Wait in line only ours are counted.
	Queue int
	// Bytes says that the limits count bytes. It is stored with them, and those that count something else are ErrUnit.
	Bytes bool
	// Debt lets a grant cost more than a limit can grant at once, as pacer.WithDebt does.
	Debt bool
	// MustExist makes it an error, ErrNoState, to open a key that has no state.
	MustExist bool
	// Warn is called with a *ConflictError or *DamageError when one is found. Nil ignores them. It must not call the Store, or
	// its reservations.
	Warn func(error)

	// Timeout is how long one request may take (0: 5 s).
	Timeout time.Duration
	// Away is how long those who ask or wait put up with a server that can't be reached, or throttles us. 0: not at all.
	Away time.Duration
	// Heartbeat is the time after which the place of a client that was not heard of is given back (0: 10 s). All clients of a
	// key should have the same.
	Heartbeat time.Duration
	// Keep is how long the state is kept at the least when nothing of what was granted matters any more (0: 30 days). After
	// that the limits are forgotten.
	Keep time.Duration

	now func() time.Time // for the tests: the clock of the host
}

const (
	defaultHeartbeat = 10 * time.Second
	defaultKeep      = 30 * 24 * time.Hour
	queueMost        = 1 << 12
	// KeyMax is the length of the longest key.
	KeyMax = 1024
)

// A Store is the shared state of a key. Its methods may be called by any number of goroutines.
type Store struct {
	*conn
	own   bool // whether nobody else has that
	key   string
	opts  Options
	owner owner
	pid   uint32

	// line is the line of goroutines that Wait: its head is the only one to have a place in the queue of the key.
	line  chan struct{}
	lined atomic.Int32
	// writing and reading are locks: who writes would only be in the way of another goroutine, and who reads may have what another one
	// has read.
	writing, reading chan struct{}

	done  chan struct{}  // closed by Close
	tasks sync.WaitGroup // goroutines of ours

	mu      sync.Mutex
	closed  bool
	mine    map[uint64]*place // our places, by number
	orphans map[uint64]bool   // those to be given back still
	beating bool              // whether a goroutine lets others know that we live
	heard   time.Time         // when it last did, or there came to be a place of ours
	number  uint64            // of the last one that asked
	writes  uint64            // how many versions we have made
	joined  bool              // our limits have been brought together with those stored
	warned  bool
	limits  pacer.Limits  // those of the key when we last looked; nil is none
	last    int64         // the slot of the last grant that we know of; 0 is none
	until   int64         // the end of the last cooldown that we know of
	known   *item         // as it was last seen
	knownAs time.Time     // when it was so
	trip    time.Duration // how long a request takes
}

// A place is one of ours.
type place struct {
	kept bool  // it is known to be a grant, so that the state need not have it any more
	slot int64 // of that
}

// A Server is a table. Keys that are open share its connection, and what is known of its clock. Its methods may be called by any
// number of goroutines.
type Server struct{ *conn }

// Connect returns the table of a URL: dynamodb://TABLE?region=REGION, or with endpoint=URL and profile=NAME. A request may take as long as
// timeout (0: 5 s). Nothing is asked of the table yet.
func Connect(ctx context.Context, address string, dial Dial, timeout time.Duration) (*Server, error) {
	c, err := connect(ctx, address, dial, timeout, nil)
	if err != nil {
		return nil, err
	}
	return &Server{c}, nil
}

// String returns the URL, in which there is nothing secret.
func (v *Server) String() string { return v.name }

// Close ends the connection. Its Stores are of no use afterwards.
func (v *Server) Close() error { return v.client.Close() }

// Open opens a key. What is wrong with the table is found out once something is asked for. Of the Options Dial, Timeout and MustExist are of
// no use here.
func (v *Server) Open(key string, o Options) (*Store, error) {
	if err := check(key, o); err != nil {
		return nil, err
	}
	return newStore(v.conn, key, o), nil
}

func check(key string, o Options) error {
	if len(key) > KeyMax {
		return fmt.Errorf("key of %d bytes: the longest is %d", len(key), KeyMax)
	}
	if o.Limits != nil {
		return o.Limits.Validate()
	}
	return nil
}

// Open opens a key in the table of a URL. It reads the key, so that what is wrong is found out at once.
func Open(ctx context.Context, address, key string, o Options) (*Store, error) {
	if err := check(key, o); err != nil {
		return nil, err
	}
	c, err := connect(ctx, address, o.Dial, o.Timeout, o.now)
	if err != nil {
		return nil, err
	}
	s := newStore(c, key, o)
	s.own = true
	it, err := s.read(ctx)
	if err == nil && it.version == nil && o.MustExist {
		err = &ServerError{s.name, ErrNoState}
	}
	if err != nil {
		_ = c.client.Close()
		return nil, err
	}
	return s, nil
}

func newStore(c *conn, key string, o Options) *Store {
	s := &Store{
		conn: c, key: key, pid: uint32(os.Getpid()), limits: o.Limits, //nolint:gosec // a process has a number of 32 bits
		line: make(chan struct{}, 1), writing: make(chan struct{}, 1), reading: make(chan struct{}, 1), done: make(chan struct{}),
		mine: map[uint64]*place{}, orphans: map[uint64]bool{},
	}
	_, _ = rand.Read(s.owner[:]) // it never fails
	o.Heartbeat = orElse(o.Heartbeat, defaultHeartbeat)
	o.Keep = max(orElse(o.Keep, defaultKeep), time.Minute)
	s.opts = o
	return s
}

func orElse(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// closeMost is how long Close tries to give places back: if the table is away they are given back when we are not heard of any more.
const closeMost = time.Second

// Close gives back the places of those who wait, and ends their Wait with ErrClosed. Calls after it are ErrClosed.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.done)
	places := len(s.orphans) > 0
	for _, p := range s.mine {
		places = places || !p.kept
	}
	s.mine = map[uint64]*place{}
	s.mu.Unlock()
	ctx, stop := context.WithTimeout(context.Background(), min(s.timeout, closeMost))
	defer stop()
	var err error
	if places {
		err = s.change(ctx, sleep, func(t *tx) error {
			t.leave(func(e entry) bool { return e.owner == s.owner })
			return nil
		}) // else they are given back when we are not heard of any more
	}
	ended := make(chan struct{})
	go func() {
		s.tasks.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done(): // a request that is still on its way ends by itself
	}
	if s.own {
		err = errors.Join(err, s.client.Close())
	}
	return err
}

// Limits returns the limits of the key, as of the last look at the table, or else those given to Open.
func (s *Store) Limits() pacer.Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.limits)
}

// Limit returns that of the Limits with the lowest rate.
func (s *Store) Limit() pacer.Limit { return s.Limits().Slowest() }

// namesOf returns limits as they are named in the table.
func namesOf(l pacer.Limits, bytes bool) string {
	if bytes {
		return "bytes " + l.String()
	}
	return l.String()
}

func (s *Store) warn(err error) {
	if s.opts.Warn != nil {
		s.opts.Warn(err)
	}
}

// sleep returns nil after d, ErrClosed, or the cause of ctx.
func (s *Store) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.done:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sleep returns nil after d, or the cause of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// acquire takes a lock, or returns the cause of ctx.
func acquire(ctx context.Context, lock chan struct{}) error {
	select {
	case lock <- struct{}{}:
		return nil
	default:
	}
	select {
	case lock <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// read reads the item of the key.
func (s *Store) read(ctx context.Context) (*item, error) {
	r, sent, err := s.do(ctx, Request{Op: OpGet, Key: keyPrefix + s.key})
	if err != nil {
		return nil, err
	}
	return s.learn(r.Item, sent)
}

// learn keeps an item in mind that was so at a time.
func (s *Store) learn(values map[string]Value, as time.Time) (*item, error) {
	it, err := itemOf(values)
	if err != nil {
		return nil, &ServerError{s.name, err}
	}
	s.know(it, as)
	return it, nil
}

func (s *Store) know(it *item, as time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil || !as.Before(s.knownAs) {
		s.known, s.knownAs = it, as
	}
}

// cached returns the item as it was last seen, nil if it never was.
func (s *Store) cached() *item {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

// fresh returns the item as it was now or later.
func (s *Store) fresh(ctx context.Context) (*item, error) {
	now := s.clock.now()
	if err := acquire(ctx, s.reading); err != nil {
		return nil, err
	}
	defer func() { <-s.reading }()
	s.mu.Lock()
	it, as := s.known, s.knownAs
	s.mu.Unlock()
	if it != nil && as.After(now) {
		return it, nil
	}
	return s.read(ctx)
}
