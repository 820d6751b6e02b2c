package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/output"
	"github.com/throttle-cli/throttle/internal/record"
	"github.com/throttle-cli/throttle/internal/tally"
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
	halt                       string
	results                    string
	leftover                   leftoverOptions
	retry                      retryOptions
	history                    historyOptions
	progress                   progressOptions
}

func (o *jobOptions) addJobFlags(f *pflag.FlagSet) {
	f.IntVarP(&o.jobs, "jobs", "j", 0, "at most `N` at once; 0: what the rate needs")
	f.IntVarP(&o.jobs, "max-procs", "P", 0, "the same as --jobs")
	f.StringVar(&o.termSeq, "term-seq", job.DefaultTermSeq, "end commands with these `SIGNALS` and pauses in ms")
	f.BoolVar(&o.dryRun, "dry-run", false, "print the commands and run none")
	f.BoolVarP(&o.verbose, "verbose", "t", false, "print each command on stderr as it starts")
	_ = f.MarkHidden("max-procs")
}

func (o *jobOptions) addRetryFlags(f *pflag.FlagSet) {
	o.retry.addFlags(f)
	f.StringVar(&o.halt, "halt", "never", "end at `WHEN,WHY=N`: now|soon,fail|success|done=N or N%")
}

func (o *jobOptions) addHistoryFlags(f *pflag.FlagSet) {
	o.history.addFlags(f)
	f.Var((*name)(&o.results), "results", "keep the output of each job in files in `DIR`")
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

// An inputOf is what a mode that runs commands reads, and makes commands of.
type inputOf struct {
	mode    string   // as a journal names it
	command []string // the words, where they are the same for all
	replace string   // what stands for the line
	tasks   maker
	delim   byte
	each    int // how many records a task takes; 0 if that is not known before
	inputs  []record.Input
	places  *placer // nil where all lines go by the same limit
}

// A plan is what the flags ask for, checked.
type plan struct {
	mode  output.Mode
	term  job.TermSeq
	halt  batch.Halt
	react *reaction
}

func (o *jobOptions) plan() (p plan, err error) {
	if p.mode, err = o.mode(); err != nil {
		return p, err
	}
	if p.term, err = job.ParseTermSeq(o.termSeq); err != nil {
		return p, fmt.Errorf("--term-seq: %w", err)
	}
	if o.jobs < 0 {
		return p, fmt.Errorf("--jobs %d: it is 1 or more, or 0 for what the rate needs", o.jobs)
	}
	if p.halt, err = batch.ParseHalt(o.halt); err != nil {
		return p, fmt.Errorf("--halt %w", err)
	}
	if p.react, err = o.retry.reaction(); err != nil {
		return p, err
	}
	if err := o.history.check(); err != nil {
		return p, err
	}
	return p, o.distinct()
}

// distinct fails where two of the files that are written are the same one: the last to write would destroy the other.
func (o *jobOptions) distinct() error {
	files := []struct{ flag, name string }{
		{"--journal", o.history.journal}, {"--joblog", o.history.joblog}, {"--leftover", o.leftover.name},
	}
	for i, a := range files {
		for _, b := range files[:i] {
			if a.name != "" && b.name != "" && sameFile(a.name, b.name) {
				return fmt.Errorf("%s and %s are the same file, %q: they are written in different formats", b.flag, a.flag, a.name)
			}
		}
	}
	return nil
}

// sameFile reports whether two names are those of the same file, which may not be there yet.
func sameFile(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}

// runBatch runs a command for each task that is made of the records of the inputs.
func runBatch(ctx context.Context, by *paceOptions, o *jobOptions, in inputOf, std streams) error {
	how, err := o.plan()
	if err != nil {
		return err
	}
	if err := o.progress.check(std.log); err != nil {
		return err
	}
	ours()
	names := make([]string, len(in.inputs))
	for i, input := range in.inputs {
		names[i] = input.Name
	}
	by.lines = in.places
	p, err := by.open(ctx, false, std)
	if err != nil {
		return err
	}
	defer p.close()
	if p.unit == pacer.Bytes {
		return errors.New("a rate in bytes paces a stream: for commands say how many, such as 10/s")
	}
	if len(how.react.Rules.ThrottledOn) > 0 {
		p.react(how.react.feedback, std.log)
	}
	s := &session{o: o, plan: how, in: in, pace: p, std: std, tally: tally.New(), history: &history{}, reader: record.NewReader(in.delim, in.inputs...)}
	if o.dryRun { // nothing is done, so nothing can be left, and nothing is written down
		o.leftover.name = ""
		if s.history, err = o.history.look(p.key); err != nil {
			return err
		}
		return s.dryRun(ctx)
	}
	for _, input := range in.inputs {
		if err := o.history.notInput(input, std); err != nil {
			return err
		}
	}
	if err := o.leftover.open(std, names...); err != nil {
		return err
	}
	if err := in.tasks.precheck(); err != nil {
		s.sig = catch(ctx)
		defer s.sig.stop()
		return s.conclude(batch.Result{Err: err})
	}
	if s.history, err = o.history.open(in.mode, in.command, p.key, std.version, std.log); err != nil {
		o.leftover.unused() // nothing was read
		return err
	}
	if s.results, err = openResults(o.results, in.replace); err != nil {
		o.leftover.unused()
		s.history.close()
		return err
	}
	defer s.results.end()
	return s.run(ctx)
}

// ending says how a job ended.
func ending(o job.Outcome) string {
	if o.TimedOut {
		return fmt.Sprintf("ended by --timeout %v", o.Timeout)
	}
	if o.Signal != 0 {
		return fmt.Sprintf("ended by signal %d (%v)", int(o.Signal), o.Signal)
	}
	return fmt.Sprintf("exit code %d", o.ExitCode)
}

// failing says how a job has failed. Of one whose exit code is 0 it is the condition that it met.
func failing(o job.Outcome, condition string) string {
	if o.ExitCode == 0 && condition != "" {
		return condition
	}
	return ending(o)
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
