// Package input reads a stream in a way that can be interrupted without losing a byte of it.
//
// A read(2) of a pipe or terminal can't be taken back. So one goroutine does the reading, and whoever wants the bytes
// waits for it or for the end of a context. What a read brings after its reader has given up is kept for the next one.
package input

import (
	"context"
	"errors"
	"io"
	"math"
)

// chunkSize is how much is asked of the stream at once. Two chunks are the most that is ever read ahead.
const chunkSize = 64 << 10

// Input reads a stream ahead by at most two chunks. It is for one goroutine at a time.
type Input struct {
	// Finite is set for a stream that ends by itself, such as a regular file: Rest then goes to its end.
	Finite bool

	r       io.Reader
	chunks  chan chunk
	free    chan []byte
	started bool
	rest    []byte // of the current chunk, not yet handed out
	current []byte // the whole buffer of the current chunk
	err     error  // that came with the current chunk
}

type chunk struct {
	data []byte
	err  error
}

// New returns an Input of r. It starts to read when it is first asked to.
func New(r io.Reader) *Input {
	return &Input{r: r, chunks: make(chan chunk), free: make(chan []byte, 2)}
}

// Read reads what is there, as an io.Reader does. When ctx ends it returns the cause; nothing is lost, and another call,
// or Rest, returns what would have come next.
func (in *Input) Read(ctx context.Context, p []byte) (int, error) {
	if len(in.rest) == 0 {
		if err := in.next(ctx); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.rest)
	in.rest = in.rest[n:]
	return n, nil
}

// Chunk is Read without copying. What it returns is valid until the next call of a method.
func (in *Input) Chunk(ctx context.Context) ([]byte, error) {
	if len(in.rest) == 0 {
		if err := in.next(ctx); err != nil {
			return nil, err
		}
	}
	data := in.rest
	in.rest = nil
	return data, nil
}

// next waits for a chunk that has bytes, or returns the error that came instead.
func (in *Input) next(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if !in.started {
		in.started = true
		in.free <- make([]byte, chunkSize)
		in.free <- make([]byte, chunkSize)
		go in.readAhead()
	}
	for {
		if in.err != nil {
			return in.err
		}
		if in.current != nil {
			in.free <- in.current
			in.current = nil
		}
		select {
		case c := <-in.chunks:
			in.current, in.rest, in.err = c.data[:cap(c.data)], c.data, c.err
			if len(in.rest) > 0 {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// readAhead reads into every free buffer until the stream ends.
func (in *Input) readAhead() {
	for buf := range in.free {
		n, err := in.r.Read(buf)
		in.chunks <- chunk{data: buf[:n], err: err}
		if err != nil {
			return
		}
	}
}

// Abandon leaves what Chunk returned to one who may still be reading it.
func (in *Input) Abandon() {
	if in.current != nil {
		in.current = nil
		in.free <- make([]byte, chunkSize)
	}
}

// All, as a number of bytes, is all of a stream that is Finite, and much of another one: a producer that never stops may
// not fill a disk.
const (
	All  = math.MaxInt64
	much = 1 << 30
)

// Rest copies to w what the stream still has. It stops at the end of the stream, with complete set, or without it after
// most bytes, or when ctx ends; but for All of a Finite stream ctx is not heeded.
func (in *Input) Rest(ctx context.Context, w io.Writer, most int64) (complete bool, err error) {
	switch {
	case most != All:
	case in.Finite:
		ctx = context.WithoutCancel(ctx)
	default:
		most = much
	}
	for left := most; left > 0; {
		if len(in.rest) == 0 {
			switch err := in.next(ctx); {
			case errors.Is(err, io.EOF):
				return true, nil
			case context.Cause(ctx) != nil:
				return false, nil //nolint:nilerr // that the stream isn't complete says it
			case err != nil:
				return false, err
			}
		}
		n, err := w.Write(in.rest)
		in.rest = in.rest[n:]
		left -= int64(n)
		if err != nil {
			return false, err
		}
	}
	return false, nil
}
