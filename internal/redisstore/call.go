package redisstore

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"time"
)

// call has the script do something. If ctx ends first its cause is returned, and late gets the answer when it comes, or nil if it is not
// known whether it was done. A late of nil does not want it.
func (s *Store) call(ctx context.Context, late func(*answer), op string, args ...any) (*answer, error) {
	return s.callFor(ctx, late, func() (*answer, error) { return s.send(ctx, op, args...) })
}

func (s *Store) callFor(ctx context.Context, late func(*answer), send func() (*answer, error)) (*answer, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if !s.begin() {
		return nil, ErrClosed
	}
	if ctx.Done() == nil {
		defer s.tasks.Done()
		return send()
	}
	type result struct {
		a   *answer
		err error
	}
	got, left := make(chan result), make(chan struct{})
	go func() {
		defer s.tasks.Done()
		a, err := send()
		select {
		case got <- result{a, err}:
		case <-left:
			if late != nil && (err == nil || IsAway(err)) {
				late(a)
			}
		}
	}()
	select {
	case r := <-got:
		return r.a, r.err
	case <-ctx.Done():
		close(left)
		return nil, context.Cause(ctx)
	}
}

// begin says that there is a task for which Close waits. It returns false if the Store is closed.
func (s *Store) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.tasks.Add(1)
	}
	return !s.closed
}

// A bounded is a context that ends at a time, without a timer: that of the connection is enough.
type bounded struct {
	context.Context //nolint:containedctx // it is one
	at              time.Time
}

func (b bounded) Deadline() (time.Time, bool) { return b.at, true }

// send has the script do something, and returns its answer.
func (s *Store) send(ctx context.Context, op string, args ...any) (*answer, error) {
	return s.sendWithin(ctx, s.opts.Timeout, len(s.keys), op, "", append([]any{s.who}, args...)...)
}

// sendWithin is send with a timeout, all keys or only that of the state, and the names of limits.
func (s *Store) sendWithin(ctx context.Context, timeout time.Duration, keys int, op, names string, args ...any) (*answer, error) {
	ctx = bounded{context.WithoutCancel(ctx), time.Now().Add(timeout)}
	now := ""
	if s.opts.now != nil {
		now = s.opts.now()
	}
	all := make([]any, 0, 3+keys+4+len(args))
	all = append(all, "evalsha", s.script, keys)
	all = append(append(append(all, s.boxed[:keys]...), op, now, s.keep, names), args...)
	reply, err := s.run(ctx, all)
	if err != nil {
		return nil, s.explain(ctx, err, s.keys, Options{Timeout: timeout})
	}
	a := &answer{got: time.Now(), reply: reply}
	a.kind, _ = a.next().(string)
	if op == "look" || op == "beat" { // and one that gets a place, see wait
		s.mu.Lock()
		s.heard = time.Now()
		s.mu.Unlock()
	}
	if a.kind == "g" {
		s.streak.Add(1)
	} else {
		s.streak.Store(0)
	}
	if a.kind == "N" {
		return nil, &ServerError{s.name, ErrForeign}
	}
	return a, nil
}

// An awayError says that the server may be back later.
type awayError struct{ error }

func (e *awayError) Unwrap() error { return e.error }

// IsAway reports whether an error says that the server can't be reached, or is not ready, which may pass.
func IsAway(err error) bool {
	var server *ServerError
	if !errors.As(err, &server) {
		return false
	}
	var away *awayError
	var network net.Error
	if errors.As(err, &away) || errors.As(err, &network) {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// isSlow reports whether an error says that there was no answer in time.
func isSlow(err error) bool {
	_, ok := errors.AsType[*slowError](err)
	return ok
}

// An answer is what the script says.
type answer struct {
	kind  string
	got   time.Time
	reply []any
}

func (a *answer) next() any {
	if len(a.reply) == 0 {
		return nil
	}
	v := a.reply[0]
	a.reply = a.reply[1:]
	return v
}

func (a *answer) int() int64 {
	v, _ := a.next().(int64)
	return v
}

func (a *answer) text() string {
	v, _ := a.next().(string)
	return v
}

// time reads an instant, which is two numbers.
func (a *answer) time() int64 {
	h, l := a.int(), a.int()
	return h<<32 + l
}

// late returns how long ago the slot was that an answer of kind "G" tells of, 0 of another one. It does not read it.
func (a *answer) late() time.Duration {
	if a.kind != "G" {
		return 0
	}
	peek := *a
	now := peek.time()
	return time.Duration(now - peek.time())
}

func (a *answer) list() []string {
	v, _ := a.next().([]any)
	list := make([]string, len(v))
	for i := range v {
		list[i], _ = v[i].(string)
	}
	return list
}

// split returns an instant, or a time that may be negative, as the two numbers that the script takes.
func split(t int64) (h, l int64) { return t >> 32, t & (1<<32 - 1) }

func pair(t int64) string {
	h, l := split(t)
	return strconv.FormatInt(h, 10) + ":" + strconv.FormatInt(l, 10)
}
