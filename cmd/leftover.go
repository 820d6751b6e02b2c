package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/input"
)

// leftoverOptions say where what was read and not done goes.
type leftoverOptions struct {
	name string
	file *os.File
	made bool // whether the file was not there before
}

func (o *leftoverOptions) addFlags(f *pflag.FlagSet) {
	f.Var((*name)(&o.name), "leftover", "when it ends early, write input not done to `FILE`")
}

// open makes sure, before anything is done, that the file can be written. What is in it stays until there is something
// to say.
func (o *leftoverOptions) open(std streams, inputs ...string) error {
	if o.name == "" {
		return nil
	}
	_, err := os.Lstat(o.name)
	o.made = errors.Is(err, fs.ErrNotExist)
	f, err := os.OpenFile(o.name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("--leftover: %w", err)
	}
	o.file = f
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("--leftover: %w", err)
	}
	for _, name := range inputs {
		if in, err := os.Stat(name); err == nil && os.SameFile(in, info) {
			return fmt.Errorf("--leftover %q is the input: it is written while that is read, name another file", o.name)
		}
	}
	if stdin, ok := std.in.(*os.File); ok {
		if in, err := stdin.Stat(); err == nil && info.Mode().IsRegular() && os.SameFile(in, info) {
			return fmt.Errorf("--leftover %q is stdin: it is written while that is read, name another file", o.name)
		}
	}
	return nil
}

// unused leaves the file as it was, after a run that left nothing over.
func (o *leftoverOptions) unused() {
	if o.file == nil {
		return
	}
	_ = o.file.Close() // nothing was written
	if o.made {
		_ = os.Remove(o.name)
	}
	o.file = nil
}

// A source still has input that nobody asked for.
type source interface {
	Rest(ctx context.Context, w io.Writer, most int64) (complete bool, err error)
}

const (
	// keptTime is for how long an input that does not end is read after an early end, to be kept.
	keptTime = 3 * time.Second
	// aheadTime and aheadBytes are enough for what was read ahead.
	aheadTime  = 20 * time.Millisecond
	aheadBytes = 128 << 10
)

// An early is how a run ended early.
type early struct {
	why   error  // nil to be silent about it
	left  []byte // what was taken from the input and is not done
	rest  source // what nobody has taken
	delim byte
	verb  string // what did not happen to it: "written", "done"
	kill  <-chan struct{}
}

// settle keeps what is left in the leftover file, or says on stderr what of it was read.
func (o *leftoverOptions) settle(e early, std streams) error {
	wait := aheadTime
	if o.file != nil {
		wait = keptTime
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	go func() { // one who is in a hurry gets what is there
		select {
		case <-e.kill:
			time.AfterFunc(aheadTime, cancel)
		case <-ctx.Done():
		}
	}()
	if o.file == nil {
		ahead := bytes.NewBuffer(e.left)
		_, err := e.rest.Rest(ctx, ahead, aheadBytes)
		if e.why == nil {
			return nil
		}
		std.log.fail(fmt.Sprintf("%v%s", e.why, describe(ahead.Bytes(), e.delim, e.verb)))
		if err != nil && !errors.Is(e.why, err) {
			std.log.fail(err.Error())
		}
		return nil
	}
	count := &lineCounter{w: o.file, delim: e.delim}
	complete, err := o.write(ctx, e, count)
	if e.why != nil {
		std.log.fail(fmt.Sprintf("%v; not %s: %s, in %s", e.why, e.verb, plural(count.lines(), "line"), o.name), "left", count.lines(), "leftover", o.name)
	}
	switch {
	case err != nil:
		return fmt.Errorf("--leftover: %w: what follows in the input is not in it", err)
	case !complete && count.open > 0:
		std.log.fail(fmt.Sprintf("%s does not have all: the input had not ended, and its last line, of which %d bytes had come, was cut off", o.name, count.open))
	case !complete:
		std.log.fail(o.name + " does not have all: the input had not ended")
	}
	return nil
}

// write replaces the content of the file. A line that has not come whole is not in it: it would be another line.
func (o *leftoverOptions) write(ctx context.Context, e early, count *lineCounter) (complete bool, err error) {
	info, err := o.file.Stat()
	regular := err == nil && info.Mode().IsRegular()
	if regular {
		if err := o.file.Truncate(0); err != nil {
			return false, err
		}
	}
	if _, err = count.Write(e.left); err == nil {
		complete, err = e.rest.Rest(ctx, count, input.All)
	}
	if !complete && regular && count.open > 0 {
		err = errors.Join(err, o.file.Truncate(count.size-count.open))
	}
	return complete, errors.Join(err, o.file.Close())
}

// A lineCounter counts what it passes on.
type lineCounter struct {
	w     io.Writer
	delim byte
	ends  int
	size  int64
	open  int64 // the bytes behind the last end
}

func (c *lineCounter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	p = p[:n]
	c.ends += bytes.Count(p, []byte{c.delim})
	c.size += int64(n)
	c.open += int64(n)
	if end := bytes.LastIndexByte(p, c.delim); end >= 0 {
		c.open = int64(n - end - 1)
	}
	return n, err
}

// lines returns how many there are, one without an end included.
func (c *lineCounter) lines() int {
	if c.open > 0 {
		return c.ends + 1
	}
	return c.ends
}

// describe says how much data is, and where it begins.
func describe(data []byte, delim byte, verb string) string {
	if len(data) == 0 {
		return ""
	}
	const shown = 60
	count := lineCounter{w: io.Discard, delim: delim}
	_, _ = count.Write(data) // io.Discard does not fail
	first, _, _ := bytes.Cut(bytes.TrimLeft(data, string(delim)), []byte{delim})
	more := ""
	if len(first) > shown {
		first, more = first[:shown], "..."
	}
	return fmt.Sprintf("; read and not %s: %s, %s, from %q%s on (--leftover FILE keeps what is left)",
		verb, plural(count.lines(), "line"), plural(len(data), "byte"), first, more)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
