package job

import (
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
	r, cw  *os.File // the two ends of the pipe
	done   chan struct{}
	err    error
}

func newCarrier(w io.Writer) (*carrier, error) {
	if f, ok := w.(*os.File); ok {
		return &carrier{direct: f}, nil
	}
	r, cw, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &carrier{w: w, r: r, cw: cw, done: make(chan struct{})}, nil
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
		_ = c.r.Close()
		_ = c.cw.Close()
	}
}

// carry starts to copy. It is called when the command has started.
func (c *carrier) carry() {
	if c.direct != nil {
		return
	}
	_ = c.cw.Close()
	go func() {
		defer close(c.done)
		c.err = c.copy()
		_ = c.r.Close()
	}()
}

func (c *carrier) copy() error {
	buf := make([]byte, bufferSize)
	var writeErr error
	for {
		n, err := c.r.Read(buf)
		if n > 0 && writeErr == nil {
			_, writeErr = c.w.Write(buf[:n])
		}
		switch {
		case errors.Is(writeErr, syscall.EPIPE): // so shall it be for the command
			return writeErr
		case err == nil: // after another failure the command is still read, so that it isn't stuck
		case errors.Is(err, io.EOF):
			return writeErr
		case errors.Is(err, os.ErrDeadlineExceeded):
			return errors.Join(writeErr, c.copyRest(buf))
		default:
			return errors.Join(writeErr, err)
		}
	}
}

// copyRest copies what is in the pipe now, after the command has ended. A process that it left behind may hold the pipe
// open for long; what that one still writes is not part of the job.
func (c *carrier) copyRest(buf []byte) error {
	raw, err := c.r.SyscallConn()
	if err != nil {
		return err
	}
	for {
		var n int
		if err := raw.Control(func(fd uintptr) { n = readNow(fd, buf) }); err != nil || n <= 0 {
			return nil //nolint:nilerr // the pipe is empty or at its end
		}
		if _, err := c.w.Write(buf[:n]); err != nil {
			return err
		}
	}
}

// grace is how long a command's output may take to end once the command has.
const grace = 50 * time.Millisecond

// finish waits for the copying to end, after the command has.
func (c *carrier) finish() error {
	if c.direct != nil {
		return nil
	}
	timer := time.AfterFunc(grace, func() { _ = c.r.SetReadDeadline(time.Unix(1, 0)) })
	<-c.done
	timer.Stop()
	return c.err
}

const bufferSize = 32 << 10
