package redisstore

import (
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"time"
)

// call has the script do something. If ctx ends first its cause is returned, and late gets the answer when it comes: nil does
// not want it.
func (s *Store) call(ctx context.Context, late func(*answer), op string, args ...any) (*answer, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.tasks.Add(1)
	}
	s.mu.Unlock()
	if closed {
		return nil, ErrClosed
	}
	if ctx.Done() == nil {
		defer s.tasks.Done()
		return s.send(ctx, op, args...)
	}
	type result struct {
		a   *answer
		err error
	}
	got, left := make(chan result), make(chan struct{})
	go func() {
		defer s.tasks.Done()
		a, err := s.send(context.WithoutCancel(ctx), op, args...)
		select {
		case got <- result{a, err}:
		case <-left:
			if err == nil && late != nil {
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

// send has the script do something, and returns its answer.
func (s *Store) send(ctx context.Context, op string, args ...any) (*answer, error) {
	ctx, stop := context.WithTimeout(ctx, s.opts.Timeout)
	defer stop()
	now := ""
	if s.opts.now != nil {
		now = s.opts.now()
	}
	all := append([]any{op, now, s.owner, s.opts.Heartbeat.Microseconds(), int64(s.opts.Keep / time.Second)}, args...)
	reply, err := s.run(ctx, s.keys, all)
	if err != nil {
		return nil, s.explain(ctx, err, s.keys, s.opts)
	}
	if op == "look" || op == "beat" || op == "ask" {
		s.mu.Lock()
		s.heard = time.Now()
		s.mu.Unlock()
	}
	a := &answer{got: time.Now(), reply: reply}
	a.kind, _ = a.next().(string)
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
