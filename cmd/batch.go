package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/output"
	"github.com/throttle-cli/throttle/internal/record"
	"github.com/throttle-cli/throttle/internal/shellline"
	"github.com/throttle-cli/throttle/pacer"
)

// jobOptions are the flags of the modes that run commands.
type jobOptions struct {
	jobs                       int
	group, lineBuffer, ungroup bool
	keepOrder, tag             bool
	dryRun, verbose            bool
	termSeq                    string
	shell                      bool
	leftover                   leftoverOptions
}

func (o *jobOptions) addJobFlags(f *pflag.FlagSet) {
	f.IntVarP(&o.jobs, "jobs", "j", 0, "at most `N` at once; 0: what the rate needs")
	f.IntVarP(&o.jobs, "max-procs", "P", 0, "the same as --jobs")
	f.StringVar(&o.termSeq, "term-seq", job.DefaultTermSeq, "end commands with these `SIGNALS` and pauses in ms")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the commands and run none")
	f.BoolVarP(&o.verbose, "verbose", "t", false, "print each command on stderr as it starts")
	_ = f.MarkHidden("max-procs")
}

func (o *jobOptions) addOutputFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.group, "group", false, "write a job's output when it has ended (default)")
	f.BoolVar(&o.lineBuffer, "line-buffer", false, "write each line when it is complete")
	f.BoolVarP(&o.ungroup, "ungroup", "u", false, "let jobs write by themselves, mixed")
	f.BoolVarP(&o.keepOrder, "keep-order", "k", false, "output in the order of the input")
	f.BoolVar(&o.tag, "tag", false, "begin each line with the input and a tab")
}

// mode returns when output is written.
func (o *jobOptions) mode() (output.Mode, error) {
	switch {
	case o.lineBuffer && o.ungroup:
		return 0, errConflict("--line-buffer", "--ungroup")
	case o.group && o.lineBuffer:
		return 0, errConflict("--group", "--line-buffer")
	case o.group && o.ungroup:
		return 0, errConflict("--group", "--ungroup")
	case o.ungroup && o.keepOrder:
		return 0, errConflict("--ungroup", "--keep-order")
	case o.ungroup && o.tag:
		return 0, errConflict("--ungroup", "--tag")
	case o.lineBuffer:
		return output.LineBuffer, nil
	case o.ungroup:
		return output.Ungroup, nil
	}
	return output.Group, nil
}

// errConflict says that two flags can't go together.
func errConflict(a, b string) error { return fmt.Errorf("%s and %s do not go together", a, b) }

// A maker makes tasks of records.
type maker interface {
	// make returns the task of the next records, as many as it needs: next returns them. io.EOF is the end of them.
	make(next func() (record.Record, error)) (batch.Task, error)
	// precheck fails when it is clear before anything is read that no command can be started.
	precheck() error
}

// runBatch runs a command for each task that tasks makes of the records of the inputs.
func runBatch(ctx context.Context, by *paceOptions, o *jobOptions, tasks maker, delim byte, inputs []record.Input, std streams) error {
	mode, err := o.mode()
	if err != nil {
		return err
	}
	term, err := job.ParseTermSeq(o.termSeq)
	if err != nil {
		return fmt.Errorf("--term-seq: %w", err)
	}
	if o.jobs < 0 {
		return fmt.Errorf("--jobs %d: it is 1 or more, or 0 for what the rate needs", o.jobs)
	}
	names := make([]string, len(inputs))
	for i, in := range inputs {
		names[i] = in.Name
	}
	p, err := by.open(false, std)
	if err != nil {
		return err
	}
	defer p.close()
	if p.unit == pacer.Bytes {
		return errors.New("a rate in bytes paces a stream: for commands say how many, such as 10/s")
	}
	if o.dryRun {
		o.leftover.name = "" // nothing is done, so nothing can be left
	}
	if err := o.leftover.open(std, names...); err != nil {
		return err
	}
	sig := catch(ctx)
	defer sig.stop()
	reader := record.NewReader(delim, inputs...)
	var pending string // of a task that could not be made
	next := func(ctx context.Context) (batch.Task, error) {
		pending = ""
		task, err := tasks.make(func() (record.Record, error) {
			r, err := reader.Next(ctx)
			pending += r.Raw
			return r, err
		})
		if err == nil {
			pending = ""
		}
		return task, err
	}
	var res batch.Result
	if o.dryRun {
		res.Err = dryRun(sig.ctx, next, std.out)
	} else if res.Err = tasks.precheck(); res.Err == nil {
		res = batch.Run(sig.ctx, o.batch(p, next, mode, term, sig.kill, std))
	}
	return o.conclude(res, pending, reader, delim, sig.kill, std)
}

// batch fills in what is run and how.
func (o *jobOptions) batch(p *pace, next func(context.Context) (batch.Task, error), mode output.Mode, term job.TermSeq, kill <-chan struct{}, std streams) batch.Options {
	b := batch.Options{
		Next:   next,
		Wait:   p.wait,
		Run:    job.Exec(term, kill),
		Jobs:   o.jobs,
		Output: output.New(std.out, std.err, mode, o.keepOrder),
		Tagged: o.tag,
		Env:    environ(p.key),
		Ending: term.Total(),
		Kill:   kill,
	}
	if f, ok := std.out.(*os.File); ok && mode == output.Ungroup {
		b.Closed = func() bool { return hungUp(f) }
	}
	b.Overlap = p.unlimited()
	if most := mostJobs(); b.Jobs > most {
		fmt.Fprintf(std.err, "throttle: --jobs %d: this process may have %d open files, enough for %s (ulimit -n)\n", b.Jobs, descriptors(), plural(most, "job"))
		b.Jobs = most
	}
	if b.Jobs == 0 {
		b.Jobs = defaultJobs(p.unlimited())
		if !p.unlimited() {
			b.Held = func() {
				b.Output.Note(fmt.Sprintf("throttle: %s running, the most that suits this machine: starts come later than the rate allows (-j N allows more)\n", plural(b.Jobs, "job")))
			}
		}
	}
	if o.verbose {
		b.Starting = func(c batch.Command) {
			b.Output.Note(shellline.Quote(c.Argv) + "\n")
		}
	}
	return b
}

// dryRun prints the commands of all tasks.
func dryRun(ctx context.Context, next func(context.Context) (batch.Task, error), out io.Writer) error {
	for seq := 1; ; seq++ {
		task, err := next(ctx)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, shellline.Quote(task.Command(seq, 1).Argv)); err != nil {
			return &batch.OutputError{Err: err}
		}
	}
}

// conclude says what there is to say about how a batch ended, and returns it as an exit code.
func (o *jobOptions) conclude(res batch.Result, pending string, rest source, delim byte, kill <-chan struct{}, std streams) error {
	var out *batch.OutputError
	unheard := errors.As(res.Err, &out) && isEPIPE(res.Err) // the consumer has had enough
	if res.Failed > 0 && !unheard {
		first := ""
		if res.Failed > 1 {
			first = "the first was "
		}
		fmt.Fprintf(std.err, "throttle: %d of %s failed: %sjob %d (%s): %s\n", res.Failed, plural(res.Started, "job"), first, res.First.Seq, res.First.Task.Name, ending(res.First.Outcome))
	}
	switch {
	case errors.Is(res.Err, io.EOF) && res.Failed > 0:
		o.leftover.unused()
		return exitCode(codeSomeFailed)
	case errors.Is(res.Err, io.EOF):
		o.leftover.unused()
		return nil
	}
	code, why := codeOf(res.Err), res.Err
	switch {
	case unheard: // end like one whom SIGPIPE ended, and as quietly
		code, why = codeSignal+int(syscall.SIGPIPE), nil
	case out != nil:
		why = fmt.Errorf("output: %w", why)
	}
	for _, some := range []struct {
		what  string
		tasks []batch.Task
	}{
		{"ended while they ran", res.Ended},
		{"their output is not complete", res.Unheard},
		{"their output, or their end, did not come", res.Lost},
	} {
		if why != nil && len(some.tasks) > 0 {
			why = fmt.Errorf("%w; %s: %s", why, some.what, someNames(some.tasks))
		}
	}
	var left []byte
	for _, t := range res.Left {
		left = append(left, t.Input...)
	}
	left = append(left, pending...)
	e := early{why: why, left: left, rest: rest, delim: delim, verb: "done", kill: kill}
	if err := o.leftover.settle(e, std); err != nil {
		return err
	}
	return exitCode(code)
}

// ending says how a job ended.
func ending(o job.Outcome) string {
	if o.Signal != 0 {
		return fmt.Sprintf("ended by signal %d (%v)", int(o.Signal), o.Signal)
	}
	return fmt.Sprintf("exit code %d", o.ExitCode)
}

// someNames names tasks, or the first of many.
func someNames(tasks []batch.Task) string {
	const shown = 5
	var names []string
	for _, t := range tasks[:min(len(tasks), shown)] {
		names = append(names, t.Name)
	}
	if len(tasks) > shown {
		names = append(names, "...")
	}
	return strings.Join(names, ", ")
}
