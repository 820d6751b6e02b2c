// Package batch runs a command for each task of a source: every start at its slot, a bounded number at once. It knows
// neither where tasks come from nor what paces them.
package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/throttle-cli/throttle/internal/feedback"
	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/lanes"
	"github.com/throttle-cli/throttle/internal/output"
)

// A Task is what one job is to do.
type Task struct {
	Name    string // for messages: "line 7 of ids.txt"
	Input   string // what it was made of, as it was read
	Content string // what makes it this task and no other
	Mark    any    // of the caller
	Limit   any    // of the caller: whose it is
	Seq     int    // its number, 0 for the next one
	Command func(seq, slot int) Command
}

// A Command is a task, made ready for its place.
type Command struct {
	Path string // the file to execute
	Argv []string
	Tag  string   // names it in the output
	Env  []string // more of the environment
	// Values are what it was made of, for the one who has made it.
	Values any
	// Line is the command as a shell takes it, "" where a shell takes Argv.
	Line string
}

// A Grant is what an attempt takes.
type Grant interface {
	// Throttled says that the remote has throttled the attempt.
	Throttled(a *Attempt) error
	// Ended says that nothing more comes of the grant: the attempt has ended, or there was none.
	Ended()
}

// Keys say whose limits tasks go by: those of a key wait in order, and hold up nobody else.
type Keys struct {
	// Of returns the key of a task.
	Of func(Task) string
	// Ahead is how many tasks may be taken from the source and wait: 1 or more.
	Ahead int
}

// An Attempt is one run of a task.
type Attempt struct {
	Task      Task
	Seq, Slot int
	N         int // which of the task's: 1 is the first
	Command   Command
	Waited    time.Duration // for the grant

	// Once it has ended:
	Outcome job.Outcome
	Verdict feedback.Verdict
	// Interrupted is whether it was ended with the batch. Its task is not done then.
	Interrupted bool
	// Again is whether the task is run again, after In at the earliest.
	Again bool
	In    time.Duration
	// Last is the last line that it wrote to stderr, where its output was looked at.
	Last string
	// Stdout and Stderr are how many bytes it wrote, where they went through us.
	Stdout, Stderr int64
}

// An Observer is told of each attempt. Its methods may be called at the same time. An error that it returns ends the
// batch: what runs is run to its end, and no more is started.
type Observer interface {
	// Starting is called before the command is started.
	Starting(a *Attempt) error
	// Output returns what the output of the attempt is to be written to, instead of what it is given.
	Output(a *Attempt, stdout, stderr io.Writer) (io.Writer, io.Writer, error)
	// Ended is called before the task counts as done, after its output was written, or could not be.
	Ended(a *Attempt) error
}

// Options say what is run, and how.
type Options struct {
	// Next returns the next task. io.EOF, or another error, is the end.
	Next func(context.Context) (Task, error)
	// Prompt, when set, reports whether Next will return without waiting. It's not called while Next runs.
	Prompt func() bool
	// Wait waits for a grant of a task. Each start takes one. It may be nil where nobody has to be told how the attempt ends. With
	// Keys it is called by one goroutine at a time for each key, otherwise by one for all.
	Wait func(context.Context, Task) (Grant, error)
	// Keys, when set, has tasks wait by keys.
	Keys *Keys
	// Paused, when set, returns nil, or what is closed when a pause ends that has begun: nothing is started before.
	Paused func() <-chan struct{}
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
	Retry   Retry
	Halt    Halt
	Seq     int           // the highest number that a task has had before
	Total   func() int    // how many jobs there are, negative if it is not known
	Timeout time.Duration // of each attempt; 0 is none
	// Observer, when set, is told of each attempt.
	Observer Observer
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
	// Beside are those that have failed, and were to be run again.
	Beside []Task
}

// A Failure is a job that has failed.
type Failure struct {
	Seq     int
	Task    Task
	Outcome job.Outcome
	Why     string // it has failed, if the outcome is not all that counts
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
	queue   *queue
	lanes   *lanes.Lanes[*item, Grant] // nil without keys
	seq     int                        // the highest yet; guarded by the turn
	halted  context.CancelCauseFunc

	mu      sync.Mutex
	started int  // workers; their numbers are the job slots
	idle    int  // workers that wait for the turn
	starved bool // whether the turn was passed on when all workers had a job
	over    bool // whether no more is to be started
	why     error
	ended   int // jobs that have ended for good, and of those:
	failed  int
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
	order int
	task  Task
	list  *[]Task // of the result; nil for one that was not started
}

// Run runs all tasks. When ctx ends, no more is started and the jobs that run are told, as o.Run does it.
func Run(ctx context.Context, o Options) Result {
	r := &run{Options: o, turn: make(chan struct{}, 1), alive: make(map[int]Task), held: make(map[int]held), pruneAt: 64}
	r.seq = o.Seq
	r.queue = newQueue(o.Next, o.Prompt, o.Retry.Judges())
	r.ctx, r.halted = context.WithCancelCause(ctx)
	defer r.halted(nil)
	r.start, r.stop = context.WithCancelCause(r.ctx)
	defer r.stop(nil)
	if o.Keys != nil {
		r.lanes = lanes.New(r.start, lanes.Options[*item, Grant]{
			Take:  r.queue.take,
			Key:   func(it *item) string { return o.Keys.Of(it.task) },
			Wait:  r.grant,
			Pass:  r.skip,
			First: func(it *item) bool { return it.runs() > 0 },
			Ahead: o.Keys.Ahead,
		})
	}
	if o.Jobs > 1 { // a worker that waits for its command holds one of the processors of the runtime for a while
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2))
	}
	r.pass()
	r.wait()
	return r.conclude()
}

// conclude says what is left, in the order of the source.
func (r *run) conclude() Result {
	var beside, asked []*item
	select {
	case <-r.turn:
		if r.lanes != nil {
			asked = r.lanes.Rest()
		}
		b, a := r.queue.rest()
		beside, asked = b, append(asked, a...)
		defer func() { r.turn <- struct{}{} }()
	case <-time.After(lostAfter): // Kill: nothing is waited for
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, it := range beside {
		r.undone = append(r.undone, undone{it.order, it.task, &r.result.Beside})
	}
	for _, it := range asked {
		r.undone = append(r.undone, undone{it.order, it.task, nil})
	}
	r.prune()
	for order, h := range r.held {
		r.alive[order] = h.task // its output did not come
	}
	for order, task := range r.alive {
		r.undone = append(r.undone, undone{order, task, &r.result.Lost})
	}
	slices.SortFunc(r.undone, func(a, b undone) int { return a.order - b.order })
	for _, u := range r.undone {
		r.result.Left = append(r.result.Left, u.task)
		if u.list != nil {
			*u.list = append(*u.list, u.task)
		}
	}
	// An interrupt counts also when it came after the last start.
	r.fail(cmp.Or(context.Cause(r.ctx), r.why))
	return r.result
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
		if err := r.next(slot, held); err != nil {
			r.mu.Lock()
			r.over, r.why = true, err
			r.mu.Unlock()
			r.turn <- struct{}{}
			return
		}
		r.mu.Lock()
		r.idle++
		r.mu.Unlock()
	}
}

// next runs the next item. It is called with the turn, and passes it on once that has started; if it returns an error
// nothing was started and the turn is still there. Held says that a worker had to be waited for.
func (r *run) next(slot int, held bool) error {
	if err := context.Cause(r.start); err != nil {
		return err
	}
	h, err := r.take(held)
	if h.Item == nil {
		return err
	}
	it, grant := h.Item, h.Grant
	var a *Attempt
	if err == nil {
		a, err = r.attempt(h, slot)
	}
	if err != nil {
		unused(grant)
		r.mu.Lock()
		r.undone = append(r.undone, undone{it.order, it.task, nil})
		r.mu.Unlock()
		return err
	}
	r.run(it, a, grant)
	return nil
}

// take returns the next item with its grant. With an error there may be an item too: one that has none.
func (r *run) take(held bool) (h lanes.Granted[*item, Grant], err error) {
	asked := time.Now()
	if r.lanes != nil {
		h, err = r.lanes.Next()
	} else if h.Item, err = r.queue.take(r.start); err == nil {
		asked = time.Now()
		h.Grant, err = r.grant(r.start, h.Item)
		h.Waited = time.Since(asked)
	}
	if err != nil {
		return h, err
	}
	if held && r.Held != nil && time.Since(asked) < heldFor {
		r.Held()
		r.Held = nil
	}
	return h, context.Cause(r.start)
}

// attempt begins another run of an item, and says that it starts.
func (r *run) attempt(h lanes.Granted[*item, Grant], slot int) (*Attempt, error) {
	it := h.Item
	if it.seq == 0 {
		if it.seq = it.task.Seq; it.seq == 0 {
			it.seq = r.seq + 1
		}
		r.seq = max(r.seq, it.seq)
	}
	a := &Attempt{Task: it.task, Seq: it.seq, Slot: slot, N: it.runs() + 1, Waited: h.Waited, Command: it.task.Command(it.seq, slot)}
	if r.Observer != nil {
		if err := r.Observer.Starting(a); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// grant waits for a grant that comes while nothing is paused. One that came in a pause is gone: what it was for would start
// together with the next.
func (r *run) grant(ctx context.Context, it *item) (Grant, error) {
	for {
		if err := r.resumed(); err != nil {
			return nil, err
		}
		grant, err := r.Wait(ctx, it.task)
		if err != nil {
			return nil, err
		}
		if r.Paused == nil || r.Paused() == nil {
			return grant, nil
		}
		unused(grant)
	}
}

// skip takes a grant that nothing is started with.
func (r *run) skip(ctx context.Context, it *item) error {
	grant, err := r.grant(ctx, it)
	unused(grant)
	return err
}

func unused(g Grant) {
	if g != nil {
		g.Ended()
	}
}

// resumed waits while starts are paused.
func (r *run) resumed() error {
	if r.Paused == nil {
		return nil
	}
	for {
		pause := r.Paused()
		if pause == nil {
			return nil
		}
		select {
		case <-pause:
		case <-r.start.Done():
			return context.Cause(r.start)
		}
	}
}

// run runs an attempt to its end.
func (r *run) run(it *item, a *Attempt, grant Grant) {
	tag := ""
	if r.Tagged {
		tag = a.Command.Tag + "\t"
	}
	r.mu.Lock()
	r.alive[it.order] = it.task
	r.mu.Unlock()
	if it.out == nil {
		it.out = r.Output.Job(tag)
	}
	env := append(append(r.Env[:len(r.Env):len(r.Env)], a.Command.Env...),
		"THROTTLE_SEQ="+strconv.Itoa(a.Seq), "THROTTLE_SLOT="+strconv.Itoa(a.Slot), "THROTTLE_ATTEMPT="+strconv.Itoa(a.N))
	if r.Overlap {
		r.pass()
	}
	c := job.Command{
		Path: a.Command.Path, Argv: a.Command.Argv, Env: env, Timeout: r.Timeout,
		Started: func(err error) {
			if err != nil {
				r.stop(&StartError{Task: it.task, Name: a.Command.Argv[0], Err: err})
			}
			if !r.Overlap {
				r.pass()
			}
		},
	}
	watch, err := r.outputs(it, a, &c)
	if err != nil { // it is not the command that is to blame
		r.end(err)
		if !r.Overlap {
			r.pass()
		}
		a.Outcome = job.Outcome{StartErr: err}
	} else {
		a.Outcome = r.Run(r.ctx, c)
	}
	a.Stdout, a.Stderr = it.out.Sizes()
	r.judge(it, a, watch)
	if a.Verdict.Kind == feedback.Throttled && grant != nil {
		if err := grant.Throttled(a); err != nil {
			r.end(err)
		}
	}
	unused(grant)
	r.finish(it, a)
}

// outputs fills in where the output of an attempt goes.
func (r *run) outputs(it *item, a *Attempt, c *job.Command) (watch *Watch, err error) {
	c.Stdout, c.Stderr = it.out.Stdout(), it.out.Stderr()
	if r.Observer != nil {
		if c.Stdout, c.Stderr, err = r.Observer.Output(a, c.Stdout, c.Stderr); err != nil {
			return nil, err
		}
	}
	return r.Retry.Watch(c)
}

// judge says what an attempt has come to, and whether the item is run again.
func (r *run) judge(it *item, a *Attempt, w *Watch) {
	defer w.Close()
	a.Interrupted = a.Outcome.ExitCode != 0 && context.Cause(r.ctx) != nil
	if a.Outcome.StartErr != nil || a.Interrupted {
		a.Verdict.Kind = feedback.Failed
		return
	}
	a.Verdict = r.Retry.Judge(a.Outcome, w)
	a.Last = w.LastLine()
	if a.Verdict.Kind == feedback.Throttled {
		it.throttled++
	} else {
		it.attempts++
	}
	a.In, a.Again = r.Retry.Again(it.attempts, it.throttled, a.Verdict)
	a.Again = a.Again && a.Outcome.OutputErr == nil
}

// finish takes down how an attempt ended.
func (r *run) finish(it *item, a *Attempt) {
	defer r.queue.done()
	if a.Again {
		it.out.Restart()
		it.ready = time.Now().Add(a.In)
		r.tell(a)
		r.mu.Lock()
		delete(r.alive, it.order)
		r.mu.Unlock()
		r.queue.back(it)
		return
	}
	outputErr := it.out.End()
	r.tell(a)
	r.mu.Lock()
	defer r.mu.Unlock()
	o := a.Outcome
	delete(r.alive, it.order)
	closed := o.Signal == syscall.SIGPIPE && r.Closed != nil && r.Closed()
	if err := cmp.Or(o.OutputErr, outputErr, r.Output.Broken()); err != nil || closed {
		if closed {
			err = syscall.EPIPE
		}
		r.stop(&OutputError{err})
		r.fail(&OutputError{fmt.Errorf("%s: %w", it.task.Name, err)})
		if closed = errors.Is(err, syscall.EPIPE); !closed {
			r.undone = append(r.undone, undone{it.order, it.task, &r.result.Unheard})
			r.result.Started++
			return
		}
	}
	switch {
	case o.StartErr != nil:
		r.undone = append(r.undone, undone{it.order, it.task, nil})
		r.fail(context.Cause(r.start))
		return
	case a.Verdict.Kind == feedback.Succeeded || closed && o.Signal == syscall.SIGPIPE:
		if !closed && !it.out.Written() {
			r.held[it.order] = held{it.task, it.out}
			if len(r.held) > r.pruneAt {
				r.prune()
			}
		}
		r.count(false)
	case a.Interrupted:
		r.undone = append(r.undone, undone{it.order, it.task, &r.result.Ended})
	default:
		r.result.Failed++
		if r.result.First.Seq == 0 || a.Seq < r.result.First.Seq {
			r.result.First = Failure{a.Seq, it.task, o, a.Verdict.Why}
		}
		r.count(true)
	}
	r.result.Started++
}

// tell tells the observer of the end of an attempt. Its error ends the batch; what has become of the job does not depend
// on it.
func (r *run) tell(a *Attempt) {
	if r.Observer == nil {
		return
	}
	if err := r.Observer.Ended(a); err != nil {
		r.end(err)
	}
}

// end starts no more, for a reason of its own.
func (r *run) end(err error) {
	r.stop(err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail(err)
}

// count counts a job that has ended for good, and ends the batch if that is enough.
func (r *run) count(failed bool) {
	r.ended++
	if failed {
		r.failed++
	}
	if r.Halt.Why == "" {
		return
	}
	total := -1
	if r.Total != nil {
		total = r.Total()
	}
	if !r.Halt.met(r.failed, r.ended-r.failed, total) {
		return
	}
	err := &HaltError{Halt: r.Halt, Failed: r.failed, Succeeded: r.ended - r.failed}
	r.fail(err)
	r.stop(err)
	if r.Halt.Now {
		r.halted(err)
	}
}

// prune forgets those whose output has been written meanwhile.
func (r *run) prune() {
	maps.DeleteFunc(r.held, func(_ int, h held) bool { return h.out.Written() })
	r.pruneAt = 64 + 2*len(r.held)
}

// fail takes down the first error.
func (r *run) fail(err error) {
	if r.result.Err == nil && err != nil {
		r.result.Err = err
	}
}

// wait waits for the jobs. Those that were interrupted, and have not ended although they were killed, or whose output
// nobody reads, it leaves.
func (r *run) wait() {
	all := make(chan struct{})
	go func() {
		r.workers.Wait()
		r.queue.release()
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
