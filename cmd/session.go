package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"syscall"
	"time"

	"github.com/throttle-cli/throttle/internal/batch"
	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/journal"
	"github.com/throttle-cli/throttle/internal/output"
	"github.com/throttle-cli/throttle/internal/progress"
	"github.com/throttle-cli/throttle/internal/record"
	"github.com/throttle-cli/throttle/internal/shellline"
	"github.com/throttle-cli/throttle/internal/tally"
	"github.com/throttle-cli/throttle/pacer"
)

// A session is a batch that is under way, with all that is open for it.
type session struct {
	plan
	o       *jobOptions
	in      inputOf
	pace    *pace
	std     streams
	sig     interrupts
	tally   *tally.Tally
	history *history
	results *kept
	reader  *record.Reader
	pauser  pauser
	jobs    int

	taken   int    // tasks
	pending string // input of a task that could not be made
}

// run runs the batch, and says how it ended.
func (s *session) run(ctx context.Context) error {
	s.sig = catch(ctx)
	defer s.sig.stop()
	if s.in.each > 0 {
		count(s.sig.ctx, s.in.inputs, s.std, s.in.delim, s.in.each, s.tally.SetTotal)
	}
	s.jobs = s.o.howMany(s.pace, s.std)
	mode := s.o.progress.mode(s.std, s.mode, s.in.inputs)
	s.pace.tracks = mode != progress.Off
	screen := progress.Show(s.std.out, s.std.err, progress.Options{
		Mode:  mode,
		State: s.state,
		Every: progressEvery,
		Say:   s.say,
		Env:   os.Getenv,
	})
	defer screen.Close()
	sink := output.New(screen.Stdout(), screen.Stderr(), s.mode, s.o.keepOrder)
	back := s.std.log.through(sink.Note)
	stop := control(
		func() { s.say(s.state()) },
		func() {
			if s.pauser.toggle() {
				s.std.log.note("paused: no starts until SIGUSR2 comes again")
			} else {
				s.std.log.note("going on")
			}
		})
	res := batch.Run(s.sig.ctx, s.options(sink))
	stop()
	back()
	screen.Close()
	s.tally.Leave(int64(len(res.Beside)))
	end := s.conclude(res)
	snapshot := s.tally.Snapshot()
	s.o.progress.summarize(snapshot, s.std)
	reason := "end"
	if !errors.Is(res.Err, io.EOF) {
		reason = res.Err.Error()
	}
	err := s.history.stop(journal.Stop{
		Reason: reason, OK: int(snapshot.Done), Failed: int(snapshot.Failed), Skipped: s.history.skipped, Left: len(res.Left),
		Attempts: int(snapshot.Attempts), Throttled: int(snapshot.Throttled),
	})
	if err != nil && end != nil {
		s.std.log.fail(err.Error())
		return exitCode(codeFailed)
	}
	return cmp.Or(err, end)
}

// say says how it stands.
func (s *session) say(state progress.State) { s.std.log.say(state.Line(), "status", state.Snapshot) }

// state is what progress shows.
func (s *session) state() progress.State {
	limit := s.pace.now()
	var next time.Time
	if slot := s.pace.next.Load(); slot != nil {
		next = *slot
	}
	return progress.State{
		Snapshot: s.tally.Snapshot(), Wanted: grants(limit.set, s.pace.cost), Effective: grants(limit.effective, s.pace.cost),
		Unknown: s.pace.keyed != nil || s.in.places != nil && s.in.places.cost != nil, Usage: limit.usage, Cost: s.pace.cost, Next: next, Cooldown: limit.cooldown,
		Paused: limit.paused || s.pauser.paused() != nil, Jobs: s.jobs,
	}
}

// grants returns what a limit allows of grants that cost so much.
func grants(l pacer.Limit, cost int) pacer.Limit {
	if l.Per < math.MaxInt64/time.Duration(cost) {
		l.Per *= time.Duration(cost)
	}
	return l
}

// next returns the next task that is to be run.
func (s *session) next(ctx context.Context) (batch.Task, error) {
	for {
		task, err := s.make(ctx)
		if err != nil {
			return task, err
		}
		run, err := s.history.decide(&task)
		if err == nil {
			err = s.results.check(task)
		}
		if err != nil {
			s.pending = task.Input
			return task, err
		}
		if run {
			return task, nil
		}
		s.tally.Skip(1)
	}
}

// prompt reports whether next returns without waiting for somebody who writes.
func (s *session) prompt() bool {
	if s.in.each == 0 { // who knows how many lines a command takes
		return s.reader.Ready(math.MaxInt)
	}
	return s.reader.Ready(s.in.each)
}

// make makes a task of the records that come next.
func (s *session) make(ctx context.Context) (batch.Task, error) {
	s.pending = ""
	var of record.Record // the line that says by which limit the task goes
	task, err := s.in.tasks.make(func() (record.Record, error) {
		r, err := s.reader.Next(ctx)
		s.pending += r.Raw
		if err == nil && (of.Line == 0 || s.in.each == 0) {
			of = r
		}
		return r, err
	})
	if p := s.in.places; err == nil && p != nil {
		err = p.put(&task, of)
	}
	switch {
	case errors.Is(err, io.EOF):
		s.tally.SetTotal(int64(s.taken))
	case err == nil:
		s.taken++
		s.pending = ""
		if len(s.react.preset.Args) > 0 {
			command := task.Command
			task.Command = func(seq, slot int) batch.Command {
				c := command(seq, slot)
				c.Argv = s.react.command(c.Argv)
				return c
			}
		}
	}
	return task, err
}

// options fills in what is run and how.
func (s *session) options(sink *output.Sink) batch.Options {
	w := &witness{history: s.history, results: s.results, tally: s.tally, log: s.std.log}
	if s.o.verbose {
		w.verbose = func(a *batch.Attempt) {
			command := shellline.Quote(a.Command.Argv)
			if s.std.log.format == "json" {
				s.std.log.say(command, "job", a.Seq, "attempt", a.N, "command", a.Command.Argv)
				return
			}
			sink.Note(command + "\n")
		}
	}
	b := batch.Options{
		Next: s.next, Prompt: s.prompt, Wait: s.pace.grant, Paused: s.pauser.paused,
		Run: job.Exec(s.term, s.sig.kill), Jobs: s.jobs, Overlap: s.pace.unlimited(), Timeout: s.o.retry.timeout,
		Retry: s.react.Retry, Halt: s.halt, Total: s.total, Seq: s.history.last(), Observer: w,
		Output: sink, Tagged: s.o.tag, Env: with(environ(s.pace.key, s.pace.store), s.react.preset.Env),
		Ending: s.term.Total(), Kill: s.sig.kill,
	}
	if s.pace.keyed != nil {
		b.Keys = &batch.Keys{Ahead: s.pace.keyed.o.perLine.ahead, Of: laneOf}
	}
	if f, ok := s.std.out.(*os.File); ok && s.mode == output.Ungroup {
		b.Closed = func() bool { return hungUp(f) }
	}
	if s.o.jobs == 0 && !s.pace.unlimited() {
		b.Held = func() {
			s.std.log.warn(fmt.Sprintf("%s running, the most that suits this machine: starts come later than the rate allows (-j N allows more)", plural(s.jobs, "job")))
		}
	}
	return b
}

// total returns how many jobs there are, negative if that is not known.
func (s *session) total() int { return int(s.tally.Snapshot().Total) }

// howMany returns how many jobs may run at once.
func (o *jobOptions) howMany(p *pace, std streams) int {
	most := mostJobs()
	switch {
	case o.jobs > most:
		std.log.warn(fmt.Sprintf("--jobs %d: this process may have %d open files, enough for %s (ulimit -n)", o.jobs, descriptors(), plural(most, "job")))
		return most
	case o.jobs == 0:
		return defaultJobs(p.unlimited())
	}
	return o.jobs
}

// dryRun prints the commands of all tasks that would be run.
func (s *session) dryRun(ctx context.Context) error {
	s.sig = catch(ctx)
	defer s.sig.stop()
	res := batch.Result{}
	for last := s.history.last(); ; {
		var task batch.Task
		if task, res.Err = s.next(s.sig.ctx); res.Err != nil {
			break
		}
		seq := task.Seq
		if seq == 0 {
			last++
			seq = last
		}
		if _, err := fmt.Fprintln(s.std.out, shellline.Quote(task.Command(seq, 1).Argv)); err != nil {
			res.Err = &batch.OutputError{Err: err}
			break
		}
	}
	if errors.Is(res.Err, io.EOF) { // whether a job has failed before is not what is asked
		return nil
	}
	return s.conclude(res)
}

// conclude says what there is to say about how a batch ended, and returns it as an exit code.
func (s *session) conclude(res batch.Result) error {
	std, leftover := s.std, &s.o.leftover
	var out *batch.OutputError
	unheard := errors.As(res.Err, &out) && isEPIPE(res.Err) // the consumer has had enough
	if res.Failed > 0 && !unheard {
		first := ""
		if res.Failed > 1 {
			first = "the first was "
		}
		std.log.fail(fmt.Sprintf("%d of %s failed: %sjob %d (%s): %s", res.Failed, plural(res.Started, "job"), first, res.First.Seq, res.First.Task.Name, failing(res.First.Outcome, res.First.Why)),
			"failed", res.Failed, "started", res.Started)
	}
	s.history.conclude(std.log)
	switch {
	case errors.Is(res.Err, io.EOF) && res.Failed+s.history.failed+s.history.flown > 0:
		leftover.unused()
		return exitCode(codeSomeFailed)
	case errors.Is(res.Err, io.EOF):
		leftover.unused()
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
		{"had failed and were to be run again", res.Beside},
		{"their output is not complete", res.Unheard},
		{"their output, or their end, did not come", res.Lost},
		{"ended, which is not written down", s.history.unwritten},
	} {
		if why != nil && len(some.tasks) > 0 {
			why = fmt.Errorf("%w; %s: %s", why, some.what, someNames(some.tasks))
		}
	}
	var left []byte
	for _, t := range res.Left {
		left = append(left, t.Input...)
	}
	left = append(left, s.pending...)
	e := early{why: why, left: left, rest: s.reader, delim: s.in.delim, verb: "done", kill: s.sig.kill}
	if err := leftover.settle(e, std); err != nil {
		return err
	}
	return exitCode(code)
}
