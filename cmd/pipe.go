package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/input"
	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/pipe"
	"github.com/throttle-cli/throttle/internal/record"
	"github.com/throttle-cli/throttle/pacer"
)

const (
	// together is how long what has come due may wait to be released in one write.
	together = 500 * time.Microsecond
	// tripsTogether is the same in round trips to a server: to ask for each line would take longer than its turn.
	tripsTogether = 2
	// ahead is for how long places are asked for before their slots. A wake-up that is later loses slots; after a pause no
	// more than this is due at once. Stalls of some 20 ms are common where other processes want the cores.
	ahead = 50 * time.Millisecond
	// maxAhead bounds how many chunks are asked for before their slots: each may hold a buffer.
	maxAhead = 200
	// maxChunk bounds a write in bytes mode.
	maxChunk = 32 << 10
)

// pipeOptions are those of the mode that passes its input through.
type pipeOptions struct {
	pace     paceOptions
	places   *placer // nil where all lines go by the same limit
	input    inputOptions
	leftover leftoverOptions
}

func runPipe(ctx context.Context, o *pipeOptions, std streams) error {
	delim, err := o.input.delim()
	if err != nil {
		return err
	}
	inputs, err := o.input.inputs(std)
	if err != nil {
		return err
	}
	o.pace.lines = o.places
	p, err := o.pace.open(ctx, o.places == nil, std)
	if err != nil {
		return err
	}
	defer p.close()
	if p.unit == pacer.Bytes && (p.cost > 1 || o.places != nil) {
		return fmt.Errorf("--cost %s: with a rate in bytes a line costs its length", o.pace.cost)
	}
	if err := o.leftover.open(std, o.input.file); err != nil {
		return err
	}
	sig := catch(ctx)
	defer sig.stop()
	var unsent []byte
	var rest source
	if o.places != nil {
		in := record.NewReader(delim, inputs...)
		rest = in
		unsent, err = runPlaces(sig.ctx, p, o.places, in, delim, std.out)
	} else {
		in := input.New(inputs[0].Reader)
		in.Finite = inputs[0].Finite
		rest = in
		unsent, err = pipe.Run(sig.ctx, in, std.out, pipeFor(p, delim))
	}

	var interrupt *job.Interrupt
	var write *pipe.WriteError
	var ask *pipe.AskError
	var why error // what there is to say
	var end error // how it ends
	switch {
	case err == nil:
		o.leftover.unused()
		return nil
	case errors.As(err, &interrupt):
		why, end = interrupt, exitCode(codeOf(interrupt))
	case errors.As(err, &write) && isEPIPE(err): // the consumer has had enough
	case errors.As(err, &write):
		why, end = fmt.Errorf("writing stdout: %w", err), exitCode(codeFailed)
	case errors.As(err, &ask):
		why = ask.Err
		if o.places == nil {
			why = o.pace.explain(why)
		}
		end = exitCode(codeOf(why))
	case o.places != nil: // it names the line, or the input
		why, end = err, exitCode(codeOf(err))
	default:
		why, end = fmt.Errorf("reading %s: %w", inputs[0].Name, err), exitCode(codeFailed)
	}
	if err := o.leftover.settle(early{why: why, left: unsent, rest: rest, delim: delim, verb: "written", kill: sig.kill}, std); err != nil {
		return err
	}
	return end
}

// spareCores is how many more cores the Go scheduler is told of than there are.
const spareCores = 2

// runPlaces passes on lines that go by limits, or have costs, of their own.
func runPlaces(ctx context.Context, p *pace, places *placer, in *record.Reader, delim byte, out io.Writer) (unsent []byte, err error) {
	var bad string // a line that has no place
	ahead := 1
	if p.keyed != nil {
		ahead = p.keyed.o.perLine.ahead
		// One who sleeps until its slot keeps a core from others until the Go scheduler notices, which takes it milliseconds. With
		// many keys there is nearly always somebody who just went to sleep.
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + spareCores))
	}
	unsent, err = pipe.Keyed(ctx, func(ctx context.Context) (pipe.Line, error) {
		r, err := in.Next(ctx)
		if err != nil {
			return pipe.Line{}, err
		}
		at, err := places.place(r, places.values(r.Text))
		if err != nil {
			bad = r.Raw
			return pipe.Line{}, err
		}
		return pipe.Line{Data: r.Raw, Key: at.lane, Wait: func(ctx context.Context) error {
			g, err := p.grant(ctx, batch.Task{Limit: at})
			if err == nil && g != nil {
				g.Ended()
			}
			return err
		}}, nil
	}, ahead, delim, out)
	return append(unsent, bad...), err
}

// pipeFor sizes the chunks and the asking ahead for a pace.
func pipeFor(p *pace, delim byte) pipe.Options {
	opts := pipe.Options{Bytes: p.unit == pacer.Bytes, Delim: delim}
	if p.unlimited() {
		return opts
	}
	opts.Ask = p.ask
	cost := int64(p.cost)
	opts.Chunk = func() int {
		return int(min(max(p.limit().Units(max(together, tripsTogether*p.trip))/cost, 1), maxChunk))
	}
	opts.Ahead = int(min(max(p.limit().Units(p.ahead)/cost/int64(opts.Chunk()), 1), maxAhead))
	return opts
}
