// Package batch runs a command for each task of a source: every start at its slot, a bounded number at once. It knows
// neither where tasks come from nor what paces them.
package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
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
	Jobs int
	// Overlap lets the next start begin before it is known whether this one succeeds, where no rate keeps them apart. Each
	// takes as long as the system takes to execute a file.
	Overlap bool
	Output  *output.Sink
	Tagged  bool     // whether each line of the output begins with the tag of its command
	Env     []string // of the commands
	// Starting, when set, is told of each command before it starts.
	Starting func(Command)
	// Held, when set, is called once, if a start had to wait for the end of another job although its slot had come.
	Held func()
	// Closed, when set, is asked whether the consumer of what jobs write by themselves has closed its end, when SIGPIPE has
	// ended one.
	Closed func() bool
	// Ending is how long Run takes at the most to end a command. What has not ended then waits for a consumer that does not
	// read, and is given up.
	Ending time.Duration
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
	// Left are the tasks that were taken and are not done, in the order of the source: those below, and those that were
	// not started.
	Left []Task
	// Ended are those that were running when the batch was interrupted, and did not succeed.
	Ended []Task
	// Unheard are those that ran to their end, and whose output is not complete.
	Unheard []Task
	// Lost are those that had not ended when they were no longer waited for.
	Lost []Task
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

// lostAfter is how long jobs that were killed are waited for, and a consumer that does not read.
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
	undone  []undone
	alive   map[int]Task // jobs that have not ended
	held    map[int]held // jobs that have succeeded, and whose output other jobs held up when they ended
	pruneAt int          // how many of them there may be before those are forgotten that are held up no more
}

type held struct {
	task Task
	out  *output.Job
}

// An undone task was started, or was to be, and is not done.
type undone struct {
	seq  int
	task Task
	list *[]Task // of the result; nil for one that could not be started
}

// Run runs all tasks. When ctx ends, no more is started and the jobs that run are told, as o.Run does it.
func Run(ctx context.Context, o Options) Result {
	r := &run{Options: o, ctx: ctx, turn: make(chan struct{}, 1), alive: make(map[int]Task), held: make(map[int]held), pruneAt: 64}
	r.start, r.stop = context.WithCancelCause(ctx)
	defer r.stop(nil)
	if o.Jobs > 1 { // a worker that waits for its command holds one of the processors of the runtime for a while
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2))
	}
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
	r.prune()
	for seq, h := range r.held {
		r.alive[seq] = h.task // its output did not come
	}
	for seq, task := range r.alive {
		r.undone = append(r.undone, undone{seq, task, &r.result.Lost})
	}
	slices.SortFunc(r.undone, func(a, b undone) int { return a.seq - b.seq })
	for _, u := range r.undone {
		res.Left = append(res.Left, u.task)
		if u.list != nil {
			*u.list = append(*u.list, u.task)
		}
	}
	res.Ended, res.Unheard, res.Lost = r.result.Ended, r.result.Unheard, r.result.Lost
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
	r.mu.Lock()
	r.alive[seq] = task
	r.mu.Unlock()
	out := r.Output.Job(tag)
	env := append(r.Env[:len(r.Env):len(r.Env)],
		"THROTTLE_SEQ="+strconv.Itoa(seq), "THROTTLE_SLOT="+strconv.Itoa(slot), "THROTTLE_ATTEMPT=1")
	if r.Overlap {
		r.pass()
	}
	outcome := r.Run(r.ctx, job.Command{
		Path: c.Path, Argv: c.Argv, Env: env, Stdout: out.Stdout(), Stderr: out.Stderr(),
		Started: func(err error) {
			if err != nil {
				r.stop(&StartError{Task: task, Name: c.Argv[0], Err: err})
			}
			if !r.Overlap {
				r.pass()
			}
		},
	})
	r.finish(seq, task, outcome, out, out.End())
}

// finish takes down how a job ended.
func (r *run) finish(seq int, task Task, o job.Outcome, out *output.Job, outputErr error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.alive, seq)
	closed := o.Signal == syscall.SIGPIPE && r.Closed != nil && r.Closed()
	if err := cmp.Or(o.OutputErr, outputErr, r.Output.Broken()); err != nil || closed {
		if closed {
			err = syscall.EPIPE
		}
		r.stop(&OutputError{err})
		r.fail(&OutputError{fmt.Errorf("%s: %w", task.Name, err)})
		if closed = errors.Is(err, syscall.EPIPE); !closed {
			r.undone = append(r.undone, undone{seq, task, &r.result.Unheard})
			r.result.Started++
			return
		}
	}
	switch {
	case o.StartErr != nil:
		r.undone = append(r.undone, undone{seq, task, nil})
		r.fail(context.Cause(r.start))
		return
	case o.ExitCode == 0 || closed && o.Signal == syscall.SIGPIPE:
		if !closed && !out.Written() {
			r.held[seq] = held{task, out}
			if len(r.held) > r.pruneAt {
				r.prune()
			}
		}
	case context.Cause(r.ctx) != nil:
		r.undone = append(r.undone, undone{seq, task, &r.result.Ended})
	default:
		r.result.Failed++
		if r.result.First.Seq == 0 || seq < r.result.First.Seq {
			r.result.First = Failure{seq, task, o}
		}
	}
	r.result.Started++
}

// prune forgets those whose output has been written meanwhile.
func (r *run) prune() {
	maps.DeleteFunc(r.held, func(_ int, h held) bool { return h.out.Written() })
	r.pruneAt = 64 + 2*len(r.held)
}

// fail takes down the first error.
func (r *run) fail(err error) {
	if r.result.Err == nil {
		r.result.Err = err
	}
}

// wait waits for the jobs. Those that were interrupted, and have not ended although they were killed, or whose output
// nobody reads, it leaves.
func (r *run) wait() {
	all := make(chan struct{})
	go func() {
		r.workers.Wait()
		close(all)
	}()
	select {
	case <-all:
		return
	case <-r.ctx.Done():
	case <-r.Kill:
	}
	for pause, before := r.Ending+lostAfter, int64(-1); ; pause = lostAfter {
		select {
		case <-all:
			return
		case <-time.After(pause):
		case <-r.Kill:
			select {
			case <-all:
			case <-time.After(lostAfter):
			}
			return
		}
		now := r.progress()
		if now == before {
			return
		}
		before = now
	}
}

// progress returns a number that grows when output is written and when a job ends.
func (r *run) progress() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Output.Written() - int64(len(r.alive))
}
