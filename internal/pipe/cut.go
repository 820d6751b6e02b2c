package pipe

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/throttle-cli/throttle/internal/input"
)

// bufferSize is how much of the input is looked at together. A record that fits is written in one piece.
const bufferSize = 64 << 10

// A piece is what one grant releases.
type piece struct {
	data  []byte
	grant Grant  // nil for what belongs to the record before
	buf   []byte // that data is in
	last  bool   // whether no later piece is in buf
}

// A cutter cuts the input into pieces and asks for a grant for each as soon as it is there.
type cutter struct {
	in     *input.Input
	o      Options
	pieces chan<- piece
	tokens chan struct{} // one for each grant that is asked for and has not come
	free   chan []byte   // buffers whose pieces have all been written

	open bool   // whether the last piece ended in the middle of a record
	rest []byte // when cut returns: what was read and not handed over
	err  error  // when cut returns: why
}

// cut runs until the input or ctx ends.
func (c *cutter) cut(ctx context.Context) {
	buf := make([]byte, bufferSize)
	n := 0 // bytes in buf
	for {
		m, err := c.in.Read(ctx, buf[n:])
		n += m
		if m == 0 && err == nil {
			continue
		}
		used, sendErr := c.hand(ctx, buf, n, errors.Is(err, io.EOF))
		if used == 0 && n == len(buf) && sendErr == nil { // the record is longer than the buffer
			used, sendErr = c.hand(ctx, buf, n, true)
		}
		if sendErr != nil {
			c.rest, c.err = buf[used:n], sendErr
			return
		}
		if err != nil {
			c.rest, c.err = buf[used:n], err
			return
		}
		if used == 0 {
			continue
		}
		next := c.buffer()
		n = copy(next, buf[used:n])
		buf = next
	}
}

func (c *cutter) buffer() []byte {
	select {
	case b := <-c.free:
		return b
	default:
		return make([]byte, bufferSize)
	}
}

// hand cuts buf[:n] into pieces and hands them over. Unless all is set, a record at the end that is not complete is left
// for later. It returns how many bytes it has handed over.
func (c *cutter) hand(ctx context.Context, buf []byte, n int, all bool) (used int, err error) {
	for used < n {
		size, units, ends := c.measure(buf[used:n], all)
		if size == 0 {
			break
		}
		p := piece{data: buf[used : used+size], buf: buf}
		if units > 0 {
			if p.grant, err = c.ask(ctx, units); err != nil {
				return used, err
			}
		}
		next, _, _ := c.measureAfter(buf[used+size:n], all, ends)
		p.last = next == 0
		select {
		case c.pieces <- p:
		case <-ctx.Done():
			if p.grant != nil {
				p.grant.Cancel()
				<-c.tokens
			}
			return used, context.Cause(ctx)
		}
		c.open = !ends
		used += size
	}
	return used, nil
}

// ask takes a place for n units, when fewer than Ahead grants are still to come.
func (c *cutter) ask(ctx context.Context, n int) (Grant, error) {
	select {
	case c.tokens <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	g, err := c.o.Ask(ctx, n)
	if err != nil {
		<-c.tokens
		if context.Cause(ctx) == nil {
			err = &AskError{Err: err}
		}
	}
	return g, err
}

// measure says how many bytes at the start of data make the next piece (0: wait for more), how many units they cost,
// and whether they end where a record ends.
func (c *cutter) measure(data []byte, all bool) (size, units int, ends bool) {
	return c.measureAfter(data, all, !c.open)
}

func (c *cutter) measureAfter(data []byte, all, fresh bool) (size, units int, ends bool) {
	if c.o.Bytes {
		size = min(len(data), c.o.Chunk())
		return size, size, true
	}
	if !fresh { // the rest of a record that has its grant
		if end := bytes.IndexByte(data, c.o.Delim); end >= 0 {
			return end + 1, 0, true
		}
		return len(data), 0, false
	}
	most := c.o.Chunk()
	for units < most && size < len(data) {
		end := bytes.IndexByte(data[size:], c.o.Delim)
		if end < 0 {
			if all && units == 0 {
				return len(data), 1, false
			}
			break
		}
		size += end + 1
		units++
	}
	return size, units, true
}
