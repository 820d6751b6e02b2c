package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/pflag"
)

// leftoverOptions say where what was read and not done goes.
type leftoverOptions struct {
	name string
	file *os.File
}

func (o *leftoverOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.name, "leftover", "", "when it ends early, write the input that is not done to `FILE`")
}

// open makes sure, before anything is done, that the file can be written. What is in it stays until there is something
// to say.
func (o *leftoverOptions) open(std streams, inputs ...string) error {
	if o.name == "" {
		return nil
	}
	f, err := os.OpenFile(o.name, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("--leftover: %w", err)
	}
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
	o.file = f
	return nil
}

// A source still has input that nobody asked for.
type source interface {
	Rest(ctx context.Context, w io.Writer, most int64) (complete bool, err error)
}

const (
	// What is taken from an input after an early end when it is kept: a producer may take time, but not for ever.
	keptTime  = 3 * time.Second
	keptBytes = 1 << 30
	// Without --leftover, what was read ahead.
	aheadTime  = 20 * time.Millisecond
	aheadBytes = 128 << 10
)

// settle keeps left and the rest of the input in the leftover file, or says on stderr what of it was read. verb is
// what did not happen to it: "written", "started". Without why it's silent, and an error is all that it returns.
func (o *leftoverOptions) settle(left []byte, rest source, delim byte, why error, verb string, kill <-chan struct{}, std streams) error {
	ctx, cancel := context.WithTimeout(context.Background(), aheadTime)
	if o.file != nil {
		ctx, cancel = context.WithTimeout(context.Background(), keptTime)
	}
	defer cancel()
	go func() {
		select {
		case <-kill:
			cancel()
		case <-ctx.Done():
		}
	}()
	if o.file == nil {
		ahead := bytes.NewBuffer(left)
		if _, err := rest.Rest(ctx, ahead, aheadBytes); err != nil && why == nil {
			return err
		}
		if why != nil {
			fmt.Fprintf(std.err, "throttle: %v%s\n", why, describe(ahead.Bytes(), delim, verb))
		}
		return nil
	}
	n, complete, err := o.write(ctx, left, rest, delim)
	switch {
	case err != nil:
		return fmt.Errorf("--leftover: %w", err)
	case why != nil:
		fmt.Fprintf(std.err, "throttle: %v; not %s: %s, in %s\n", why, verb, plural(n, "line"), o.name)
	}
	if !complete {
		fmt.Fprintf(std.err, "throttle: %s does not have all: the input had not ended\n", o.name)
	}
	return nil
}

// write replaces the content of the file.
func (o *leftoverOptions) write(ctx context.Context, left []byte, rest source, delim byte) (lines int, complete bool, err error) {
	if info, statErr := o.file.Stat(); statErr == nil && info.Mode().IsRegular() {
		if err := o.file.Truncate(0); err != nil {
			return 0, false, err
		}
	}
	count := &lineCounter{w: o.file, delim: delim}
	if _, err = count.Write(left); err == nil {
		complete, err = rest.Rest(ctx, count, keptBytes)
	}
	return count.lines(), complete, errors.Join(err, o.file.Close())
}

// A lineCounter counts what it passes on.
type lineCounter struct {
	w     io.Writer
	delim byte
	ends  int
	open  bool // whether the last line has no end
}

func (c *lineCounter) Write(p []byte) (int, error) {
	if len(p) > 0 {
		c.ends += bytes.Count(p, []byte{c.delim})
		c.open = p[len(p)-1] != c.delim
	}
	return c.w.Write(p)
}

func (c *lineCounter) lines() int {
	if c.open {
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
