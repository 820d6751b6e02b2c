package cmd

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/output"
	"github.com/throttle-cli/throttle/internal/progress"
	"github.com/throttle-cli/throttle/internal/record"
	"github.com/throttle-cli/throttle/internal/tally"
)

// progressOptions say what is shown of how a batch goes.
type progressOptions struct {
	progress bool
	summary  string
	given    func(flag string) bool
	here     func(flag string) bool // whether it was on the command line
}

func (o *progressOptions) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.progress, "progress", false, "show progress (as is done on a terminal)")
	f.BoolVar(&o.progress, "bar", false, "the same as --progress")
	f.BoolVar(&o.progress, "eta", false, "the same as --progress")
	o.summary = "auto"
	f.Var(&choice{&o.summary, []string{"auto", "text", "json", "none"}}, "summary", "a summary at the end as `FORMAT`: text, json, none")
	for _, same := range []string{"bar", "eta"} {
		_ = f.MarkHidden(same)
	}
	o.given = func(flag string) bool { fl := f.Lookup(flag); return fl != nil && fl.Changed }
	o.here = func(flag string) bool { return givenHere(f, flag) }
}

// check fails for flags that would show nothing.
func (o *progressOptions) check(log *logger) error {
	if !log.quiet || !log.here("quiet") {
		return nil
	}
	switch {
	case o.progress && slices.ContainsFunc([]string{"progress", "bar", "eta"}, o.here):
		return errConflict("--quiet", "--progress")
	case o.summary == "text" && o.here("summary"):
		return errConflict("--quiet", "--summary text")
	}
	return nil
}

// wanted reports whether progress is asked for, and whether anything was said about it.
func (o *progressOptions) wanted() (on, said bool) {
	return o.progress, slices.ContainsFunc([]string{"progress", "bar", "eta"}, o.given)
}

// progressEvery is how often progress is told where there is no terminal.
const progressEvery = 10 * time.Second

// mode returns how progress is shown.
func (o *progressOptions) mode(std streams, output output.Mode, inputs []record.Input) progress.Mode {
	on, said := o.wanted()
	mode := progress.Choose(std.err, os.Getenv)
	terminal := mode == progress.Bar
	switch {
	case std.log.quiet || said && !on, !said && (!terminal || std.log.format == "json"):
		return progress.Off
	case !terminal:
		return progress.Lines
	case shares(output, std) || typed(std, inputs) || std.log.format == "json":
		// Somebody writes to the terminal who does not know of the bar: the jobs, or the one who types the input.
		if !said {
			return progress.Off
		}
		return progress.Lines
	}
	return mode
}

// shares reports whether jobs write to a terminal by themselves.
func shares(mode output.Mode, std streams) bool {
	if mode != output.Ungroup {
		return false
	}
	for _, w := range []any{std.out, std.err} {
		if f, ok := w.(*os.File); ok && isTerminal(f) {
			return true
		}
	}
	return false
}

// isTerminal reports whether a file is one.
func isTerminal(f *os.File) bool { return progress.IsTerminal(f) }

// typed reports whether input comes from a terminal.
func typed(std streams, inputs []record.Input) bool {
	stdin, ok := std.in.(*os.File)
	return ok && isTerminal(stdin) && slices.ContainsFunc(inputs, func(in record.Input) bool { return in.Reader == std.in })
}

// summarize says at the end how it was.
func (o *progressOptions) summarize(s tally.Snapshot, std streams) {
	text := o.summary == "text" || o.summary == "auto" && std.log.terminal
	switch {
	case o.summary == "json":
		line, err := json.Marshal(s)
		if err == nil { // it has nothing that can't be written as JSON
			_, _ = std.err.Write(append(line, '\n'))
		}
	case o.summary == "none", std.log.quiet:
	case std.log.format == "json":
		std.log.note("summary", "summary", s)
	case text:
		_, _ = std.err.Write([]byte(s.Summary()))
	}
}

// count finds out how many jobs there are, in the background, where all inputs are files that can be read twice. each is
// how many records a job takes.
func count(ctx context.Context, inputs []record.Input, std streams, delim byte, each int, tell func(total int64)) {
	var files []*os.File
	var from []int64
	closeAll := func() {
		for _, f := range files {
			if f != std.in {
				_ = f.Close()
			}
		}
	}
	for _, in := range inputs {
		f, start, ok := countable(in, std)
		if !ok {
			closeAll()
			return
		}
		files, from = append(files, f), append(from, start)
	}
	go func() {
		defer closeAll()
		records := int64(0)
		for i, f := range files {
			n, err := progress.Count(ctx, f, from[i], delim)
			if err != nil {
				return
			}
			records += n
		}
		tell((records + int64(each) - 1) / int64(each))
	}()
}

// countable returns the file of an input, and where it begins.
func countable(in record.Input, std streams) (f *os.File, from int64, ok bool) {
	if stdin, isFile := std.in.(*os.File); isFile && in.Reader == std.in {
		if !progress.Countable(stdin) {
			return nil, 0, false
		}
		from, err := stdin.Seek(0, 1)
		return stdin, from, err == nil
	}
	if !in.Finite {
		return nil, 0, false
	}
	f, err := os.Open(in.Name)
	return f, 0, err == nil
}

// A pauser says whether starts are paused.
type pauser struct {
	mu    sync.Mutex
	pause chan struct{} // nil if they are not
}

// paused returns nil, or what is closed at the end of the pause.
func (p *pauser) paused() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pause
}

// toggle begins or ends a pause, and reports whether one has begun.
func (p *pauser) toggle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pause != nil {
		close(p.pause)
		p.pause = nil
		return false
	}
	p.pause = make(chan struct{})
	return true
}
