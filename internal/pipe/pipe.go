// Package pipe passes a stream through, unchanged, at the pace of the grants it is given: one for each record, or one
// for each byte. It never holds a whole record, so there is no limit on a record's length.
package pipe

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/throttle-cli/throttle/internal/input"
)

// Grant is a place in the queue of a limit.
type Grant interface {
	// Wait returns when the slot has come, or with the cause of ctx when that ends first.
	Wait(ctx context.Context) error
	// Cancel gives the place back.
	Cancel() bool
}

// Options say what is paced, and how.
type Options struct {
	// Ask takes a place for n units in a row, due at the slot of the last of them. Nil passes everything at once.
	Ask func(ctx context.Context, n int) (Grant, error)
	// Bytes makes a unit a byte; otherwise it is a record that ends with Delim, or with the input.
	Bytes bool
	Delim byte
	// Chunk says how many units are asked for, and released, together: 1 or more. Many at a high rate, where what has come
	// due while the process slept is written together.
	Chunk func() int
	// Ahead is how many chunks are asked for before their slots: 1 or more. More than one at a high rate, so that a late
	// wake-up loses no slot; few enough that after a pause no crowd of them is due.
	Ahead int
}

// Stuck is how long an interrupted pipe waits for a consumer that does not read.
const stuck = time.Second

// A WriteError is an error of the output, as opposed to one of the input.
type WriteError struct{ Err error }

func (e *WriteError) Error() string { return e.Err.Error() }

// Unwrap returns the error of the writer.
func (e *WriteError) Unwrap() error { return e.Err }

// An AskError is an error of what grants.
type AskError struct{ Err error }

func (e *AskError) Error() string { return e.Err.Error() }

// Unwrap returns the error of Ask, or of the Wait of a grant.
func (e *AskError) Unwrap() error { return e.Err }

// Run passes all of in to out. It returns nil at the end of the input, the cause of ctx when that has ended, an
// *WriteError, an *AskError, or the error of the input. In every case but the first, unsent is what was read of in and not written;
// when the consumer was stuck in the middle of a write, that write is counted as unsent.
func Run(ctx context.Context, in *input.Input, out io.Writer, o Options) (unsent []byte, err error) {
	if o.Ask == nil {
		return pass(ctx, in, out)
	}
	pieces := make(chan piece, o.Ahead) // room for all that are asked for, or the cutter could not ask ahead
	tokens := make(chan struct{}, o.Ahead)
	stop, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c := &cutter{in: in, o: o, pieces: pieces, tokens: tokens, free: make(chan []byte, o.Ahead+2)}
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		defer close(pieces)
		c.cut(stop)
	}()

	w := newWriter(out)
	defer close(w.data)
	for p := range pieces {
		unsent, err = send(stop, w, p, tokens)
		if err != nil {
			break
		}
		if p.last {
			select {
			case c.free <- p.buf:
			default:
			}
		}
	}
	cancel(err)
	for p := range pieces { // what was cut and asked for, and will not be sent
		if p.grant != nil {
			p.grant.Cancel()
			<-tokens
		}
		unsent = append(unsent, p.data...)
	}
	<-finished
	unsent = append(unsent, c.rest...)
	if err == nil && !errors.Is(c.err, io.EOF) {
		err = c.err
	}
	return unsent, err
}

// send writes a piece once its grant has come, and returns a copy of what was not written.
func send(ctx context.Context, w *writer, p piece, tokens <-chan struct{}) (unsent []byte, err error) {
	if p.grant != nil {
		err = p.grant.Wait(ctx)
		<-tokens
		if err != nil {
			if context.Cause(ctx) == nil {
				err = &AskError{Err: err}
			}
			return bytes.Clone(p.data), err
		}
	}
	rest, err := w.write(ctx, p.data)
	return bytes.Clone(rest), err
}

// pass copies in to out as fast as they go.
func pass(ctx context.Context, in *input.Input, out io.Writer) (unsent []byte, err error) {
	w := newWriter(out)
	defer close(w.data)
	for {
		data, err := in.Chunk(ctx)
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if rest, err := w.write(ctx, data); err != nil {
			in.Abandon() // the writer may be stuck in the middle of it
			return bytes.Clone(rest), err
		}
	}
}

// A writer writes in a goroutine of its own, so that a consumer which does not read can be given up on.
type writer struct {
	data chan []byte
	done chan result
}

type result struct {
	n   int
	err error
}

func newWriter(out io.Writer) *writer {
	w := &writer{data: make(chan []byte), done: make(chan result, 1)}
	go func() {
		for data := range w.data {
			n, err := out.Write(data)
			w.done <- result{n, err}
		}
	}()
	return w
}

// write writes all of data, or returns what of it was not written. An end of ctx is heeded between writes; within one
// the consumer still has a moment.
func (w *writer) write(ctx context.Context, data []byte) (unsent []byte, err error) {
	if err := context.Cause(ctx); err != nil {
		return data, err
	}
	w.data <- data
	var r result
	select {
	case r = <-w.done:
	case <-ctx.Done():
		select {
		case r = <-w.done:
		case <-time.After(stuck):
			return data, context.Cause(ctx)
		}
	}
	if r.err != nil {
		return data[r.n:], &WriteError{Err: r.err}
	}
	return nil, nil
}
