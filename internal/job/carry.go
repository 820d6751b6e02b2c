package job

import (
	"cmp"
	"errors"
	"io"
	"os"
	"syscall"
	"time"
)

// A carrier brings one output stream of a command to its writer. Where that is a file the command has it itself.
type carrier struct {
	w      io.Writer
	direct *os.File
	end    readEnd  // of the pipe
	cw     *os.File // its other end
	r      *os.File // the end, once it is copied from
	copies bool
	done   chan struct{}
	err    error
}

func newCarrier(w io.Writer) (*carrier, error) {
	if f, ok := w.(*os.File); ok {
		return &carrier{direct: f}, nil
	}
	end, cw, err := pipe()
	if err != nil {
		return nil, err
	}
	return &carrier{w: w, end: end, cw: cw}, nil
}

// child returns what the command writes to.
func (c *carrier) child() *os.File {
	if c.direct != nil {
		return c.direct
	}
	return c.cw
}

// abandon frees the pipe of a command that was not started.
func (c *carrier) abandon() {
	if c.direct == nil {
		c.end.close()
		_ = c.cw.Close()
	}
}

// started is called when the command has its end of the pipe.
func (c *carrier) started() {
	if c.direct == nil {
		_ = c.cw.Close()
	}
}

// carry starts to copy.
func (c *carrier) carry() {
	if c.direct != nil {
		return
	}
	c.copies, c.r = true, c.end.file()
	c.done = make(chan struct{})
	go func() {
		var behind bool
		behind, c.err = c.copy()
		close(c.done)
		if behind { // a process that writes to a closed pipe would be ended
			_ = c.r.SetReadDeadline(time.Time{})
			_, _ = io.Copy(io.Discard, c.r)
		}
		_ = c.r.Close()
	}()
}

// copy copies until the end of the pipe. It reports whether one that the command has left behind still has it open.
func (c *carrier) copy() (behind bool, err error) {
	buf := make([]byte, bufferSize)
	var writeErr error
	for {
		n, err := c.r.Read(buf)
		if n > 0 && writeErr == nil {
			_, writeErr = c.w.Write(buf[:n])
		}
		switch {
		case errors.Is(writeErr, syscall.EPIPE): // so shall it be for the command
			return false, writeErr
		case err == nil: // after another failure the command is still read, so that it isn't stuck
		case errors.Is(err, io.EOF):
			return false, writeErr
		case errors.Is(err, os.ErrDeadlineExceeded):
			end, restErr := c.copyRest(buf)
			return !end, cmp.Or(writeErr, restErr)
		default:
			return false, cmp.Or(writeErr, err)
		}
	}
}

// copyRest copies what is in the pipe now, after the command has ended, and reports whether that was its end. A process
// that the command has left behind may hold the pipe open for long; what that one still writes is not part of the job, and
// may never stop.
func (c *carrier) copyRest(buf []byte) (end bool, err error) {
	for left := pipeSize; left > 0; {
		n := c.end.readNow(buf)
		if n <= 0 {
			return n == 0, nil
		}
		if _, err := c.w.Write(buf[:n]); err != nil {
			return false, err
		}
		left -= n
	}
	return false, nil
}

// grace is how long a command's output may take to end once the command has.
const grace = 50 * time.Millisecond

// finish brings the rest, after the command has ended. Buf is a buffer to do it with.
func (c *carrier) finish(buf []byte) error {
	if c.direct != nil {
		return nil
	}
	if !c.copies { // the command was so quick that nobody has begun to copy
		end, err := c.copyRest(buf)
		// Another command that is being started has a copy of this pipe until it has been executed.
		if !end && err == nil && c.end.await(quick) {
			end, err = c.copyRest(buf)
		}
		if end || err != nil {
			c.end.close()
			return err
		}
		c.carry()
	}
	timer := time.AfterFunc(grace, func() { _ = c.r.SetReadDeadline(time.Unix(1, 0)) })
	<-c.done
	timer.Stop()
	return c.err
}

const (
	// pipeSize is how much a pipe holds at the most: 64 KiB on Linux, unless the command has asked for more, up to that.
	pipeSize   = 1 << 20
	bufferSize = 32 << 10
	restSize   = 4 << 10 // of a quick command's output, read at once
)
