package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/finetimer"
	"github.com/throttle-cli/throttle/internal/input"
	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/pipe"
	"github.com/throttle-cli/throttle/pacer"
)

const (
	// together is how long what has come due may wait to be released in one write.
	together = 500 * time.Microsecond
	// ahead is for how long places are asked for before their slots. A wake-up that is later loses slots; after a pause no
	// more than this is due at once.
	ahead = 20 * time.Millisecond
	// maxChunk bounds a write in bytes mode.
	maxChunk = 32 << 10
)

type pipeOptions struct {
	limit limitOptions
	null  bool
}

func (o *pipeOptions) addFlags(f *pflag.FlagSet) {
	o.limit.addFlags(f)
	f.BoolVarP(&o.null, "null", "0", false, "lines end with NUL instead of newline (env THROTTLE_NULL)")
}

func runPipe(ctx context.Context, o pipeOptions, std streams) error {
	limit, unit, err := o.limit.limit()
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx)
	defer stop()
	unsent, err := pipe.Run(ctx, input.New(ctx, std.in), std.out, pipeFor(limit, unit, o))
	var interrupt *job.Interrupt
	var write *pipe.WriteError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &interrupt):
		if len(unsent) > 0 {
			fmt.Fprintf(std.err, "throttle: %v: read and not written: %s\n", interrupt, describe(unsent, o.delim())) //nolint:errcheck // stderr
		}
		return exitCode(codeSignal + int(interrupt.Signal))
	case errors.As(err, &write) && errors.Is(err, syscall.EPIPE):
		return nil // the consumer has had enough
	case errors.As(err, &write):
		return fmt.Errorf("writing stdout: %w", err)
	}
	return fmt.Errorf("reading stdin: %w", err)
}

func (o *pipeOptions) delim() byte {
	if o.null {
		return 0
	}
	return '\n'
}

// pipeFor sizes the chunks and the asking ahead for a limit.
func pipeFor(limit pacer.Limit, unit pacer.Unit, o pipeOptions) pipe.Options {
	opts := pipe.Options{Bytes: unit == pacer.Bytes, Delim: o.delim()}
	if limit.IsUnlimited() {
		return opts
	}
	p := pacer.New(limit, pacer.WithDebt(), pacer.WithTimer(func(fire func()) pacer.Timer { return finetimer.New(fire) }))
	opts.Ask = func(n int) (pipe.Grant, error) { return p.ReserveN(n) }
	opts.Chunk = int(min(max(limit.Units(together), 1), maxChunk))
	opts.Ahead = int(min(max(limit.Units(ahead)/int64(opts.Chunk), 1), 1000))
	return opts
}

// describe says how much data is, and where it begins.
func describe(data []byte, delim byte) string {
	const shown = 60
	lines := bytes.Count(data, []byte{delim})
	if data[len(data)-1] != delim {
		lines++
	}
	first, _, _ := bytes.Cut(data, []byte{delim})
	more := ""
	if len(first) > shown {
		first, more = first[:shown], "..."
	}
	return fmt.Sprintf("%d lines, %d bytes, from %q%s on", lines, len(data), first, more)
}
