// Package batch runs a command for each task of a source: every start at its slot, a bounded number at once. It knows
// neither where tasks come from nor what paces them.
package batch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/output"
)

// A Task is what one job is to do.
type Task struct {
	Name    string // for messages: "line 7 of ids.txt"
	Input   string // what it was made of, as it was read
	Command func(seq, slot int) Command
}

// A Command is a task, made ready for its place.
type Command struct {
	Path string // the file to execute
	Argv []string
	Tag  string // names it in the output
}

// Options say what is run, and how.
type Options struct {
	// Next returns the next task. io.EOF, or another error, is the end.
	Next func(context.Context) (Task, error)
	// Wait waits for a grant. Each start takes one.
	Wait func(context.Context) error
	// Run runs a command to its end.
	Run job.Runner
	// Jobs is how many may run at once: 1 or more.
	Jobs   int
	Output *output.Sink
	Tagged bool     // whether each line of the output begins with the tag of its command
	Env    []string // of the commands
	// Starting, when set, is told of each command before it starts.
	Starting func(Command)
	// Held, when set, is called once, if a start had to wait for the end of another job although its slot had come.
	Held func()
	// Kill, when it is closed, makes Run return soon, although jobs are left that do not end.
	Kill <-chan struct{}
}

// A Result says how a batch ended.
type Result struct {
	// Err is why no more was started: nil at the end of the tasks, the error of Next, the cause of the context, a
	// *StartError, or an *OutputError.
	Err error
	// Started, and of those: how many failed, by themselves.
	Started, Failed int
	// First is the first to fail.
	First Failure
	// Left are the tasks that were taken and not started, after those that were running when the batch was interrupted
	// and did not succeed, in the order of the source.
	Left []Task
	// Ended is how many of Left were running.
	Ended int
	// Lost is how many were still running at the end, after Kill.
	Lost int
}

// A Failure is a job that has failed.
type Failure struct {
	Seq     int
	Task    Task
	Outcome job.Outcome
}

// A StartError says that a command could not be started.
type StartError struct {
	Task Task
	Name string // of the command
	Err  error
}

func (e *StartError) Error() string {
	where := ""
	if e.Task.Name != "" {
		where = e.Task.Name + ": "
	}
	err := e.Err
	var cause interface{ Unwrap() error } // exec.Error and fs.PathError say the name again
	if errors.As(err, &cause) {
		err = cause.Unwrap()
	}
	return fmt.Sprintf("%scan't run %q: %v", where, e.Name, err)
}

// Unwrap returns why.
func (e *StartError) Unwrap() error { return e.Err }

// An OutputError says that output could not be kept or written.
type OutputError struct{ Err error }

func (e *OutputError) Error() string { return e.Err.Error() }

// Unwrap returns why.
func (e *OutputError) Unwrap() error { return e.Err }

// heldFor is how much later than it could a start has to be to count as held.
const heldFor = time.Millisecond

// lostAfter is how long jobs that were killed are waited for.
const lostAfter = time.Second

// A run is a batch that is under way. Up to o.Jobs workers take turns: the one that has the turn takes the next task,
// waits for its grant and starts it. Then it passes the turn on, sees its job to the end, and comes back for another
// turn. So a job slot is there before a grant is asked for, jobs start in order, and each only when it is known that the
// one before could; and a job is no more than one goroutine's work.
type run struct {
	Options
	ctx   context.Context // of the jobs: ends when the batch is interrupted
	start context.Context // ends when no more may be started
	stop  context.CancelCauseFunc

	turn    chan struct{} // has an element while no worker has the turn
	workers sync.WaitGroup
	seq     int // of the last task; guarded by the turn

	mu      sync.Mutex
	started int  // workers; their numbers are the job slots
	idle    int  // workers that wait for the turn
	starved bool // whether the turn was passed on when all workers had a job
	over    bool // whether no more is to be started
	left    []Task
	why     error
	result  Result
	ended   []seqTask // running when the batch was interrupted
	alive   int       // jobs that have not ended
}

type seqTask struct {
	seq  int
	task Task
}

// Run runs all tasks. When ctx ends, no more is started and the jobs that run are told, as o.Run does it.
func Run(ctx context.Context, o Options) Result {
	r := &run{Options: o, ctx: ctx, turn: make(chan struct{}, 1)}
	r.start, r.stop = context.WithCancelCause(ctx)
	defer r.stop(nil)
	r.pass()
	r.wait()

	r.mu.Lock()
	defer r.mu.Unlock()
	res := r.result
	if interrupt := context.Cause(ctx); res.Err == nil && interrupt != nil {
		res.Err = interrupt // also when it came after the last start
	}
	if res.Err == nil {
		res.Err = r.why
	}
	slices.SortFunc(r.ended, func(a, b seqTask) int { return a.seq - b.seq })
	for _, e := range r.ended {
		res.Left = append(res.Left, e.task)
	}
	res.Ended, res.Lost = len(r.ended), r.alive
	res.Left = append(res.Left, r.left...)
	return res
}

// pass passes the turn on, to a new worker if none waits for it and there may be one more.
func (r *run) pass() {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.idle > 0:
	case r.started < r.Jobs:
		r.started++
		slot := r.started
		r.idle++
		r.workers.Go(func() { r.work(slot) })
	default:
		r.starved = true
	}
	r.turn <- struct{}{}
}

// work is one worker: it runs one job after another in its job slot.
func (r *run) work(slot int) {
	for {
		<-r.turn
		r.mu.Lock()
		r.idle--
		held := r.starved
		r.starved = false
		over := r.over
		r.mu.Unlock()
		if over {
			r.turn <- struct{}{}
			return
		}
		left, err := r.next(slot, held)
		if err != nil {
			r.mu.Lock()
			r.over, r.left, r.why = true, left, err
			r.mu.Unlock()
			r.turn <- struct{}{}
			return
		}
		r.mu.Lock()
		r.idle++
		r.mu.Unlock()
	}
}

// next runs the next task. It is called with the turn, and passes it on once that has started; if it returns an error
// nothing was started and the turn is still there. Held says that a worker had to be waited for.
func (r *run) next(slot int, held bool) (left []Task, err error) {
	if err := context.Cause(r.start); err != nil {
		return nil, err
	}
	task, err := r.Next(r.start)
	if err != nil {
		return nil, err
	}
	asked := time.Now()
	if err := r.Wait(r.start); err != nil {
		return []Task{task}, err
	}
	if held && r.Held != nil && time.Since(asked) < heldFor {
		r.Held()
		r.Held = nil
	}
	if err := context.Cause(r.start); err != nil {
		return []Task{task}, err
	}
	r.seq++
	r.run(r.seq, slot, task)
	return nil, nil
}

// run runs a task to its end.
func (r *run) run(seq, slot int, task Task) {
	c := task.Command(seq, slot)
	if r.Starting != nil {
		r.Starting(c)
	}
	tag := ""
	if r.Tagged {
		tag = c.Tag + "\t"
	}
	out := r.Output.Job(tag)
	env := append(r.Env[:len(r.Env):len(r.Env)],
		"THROTTLE_SEQ="+strconv.Itoa(seq), "THROTTLE_SLOT="+strconv.Itoa(slot), "THROTTLE_ATTEMPT=1")
	r.mu.Lock()
	r.alive++
	r.mu.Unlock()
	outcome := r.Run(r.ctx, job.Command{
		Path: c.Path, Argv: c.Argv, Env: env, Stdout: out.Stdout(), Stderr: out.Stderr(),
		Started: func(err error) {
			if err != nil {
				r.stop(&StartError{Task: task, Name: c.Argv[0], Err: err})
			}
			r.pass()
		},
	})
	r.finish(seq, task, outcome, out.End())
}

// finish takes down how a job ended.
func (r *run) finish(seq int, task Task, o job.Outcome, outputErr error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.alive--
	if err := errors.Join(o.OutputErr, outputErr, r.Output.Broken()); err != nil {
		r.stop(&OutputError{err})
		r.fail(&OutputError{fmt.Errorf("%s: the output is incomplete: %w", task.Name, err)})
	}
	switch {
	case o.StartErr != nil:
		r.ended = append(r.ended, seqTask{seq, task}) // it has not been done
		r.fail(context.Cause(r.start))
		return
	case o.ExitCode == 0:
	case context.Cause(r.ctx) != nil:
		r.ended = append(r.ended, seqTask{seq, task})
	default:
		r.result.Failed++
		if r.result.First.Seq == 0 || seq < r.result.First.Seq {
			r.result.First = Failure{seq, task, o}
		}
	}
	r.result.Started++
}

// fail takes down the first error.
func (r *run) fail(err error) {
	if r.result.Err == nil {
		r.result.Err = err
	}
}

// wait waits for the jobs, unless they were killed and do not end.
func (r *run) wait() {
	all := make(chan struct{})
	go func() {
		r.workers.Wait()
		close(all)
	}()
	select {
	case <-all:
		return
	case <-r.Kill:
	}
	select {
	case <-all:
	case <-time.After(lostAfter):
	}
}
