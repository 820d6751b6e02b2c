package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/throttle-cli/throttle/internal/job"
)

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

// An undone task was started, or was to be, and is not done.
type undone struct {
	order int
	task  Task
	list  *[]Task // of the result; nil for one that was not started
}

// lostAfter is how long jobs that were killed are waited for, and a consumer that does not read.
const lostAfter = time.Second

// conclude says what is left, in the order of the source.
func (r *run) conclude() Result {
	r.stop(nil)               // the source may have been asked for a task that nobody waits for any more
	var beside, asked []*item // nobody is to start them
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
	for _, it := range append(beside, asked...) {
		r.leave(it)
	}
	r.prune()
	if !errors.Is(r.Output.Broken(), syscall.EPIPE) { // who has closed its end wants none
		for order, h := range r.held {
			r.alive[order] = h.task // its output did not come
		}
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

// leave takes down an item that nobody is to start any more.
func (r *run) leave(it *item) {
	u := undone{it.order, it.task, nil}
	if it.runs() > 0 {
		u.list = &r.result.Beside
	}
	r.undone = append(r.undone, u)
}

// silence says that items that were run before write no more: the output of others may wait for it.
func silence(items []*item) {
	for _, it := range items {
		if it.out != nil {
			_ = it.out.End() // it has none that could fail; another's failure is found at its own
		}
	}
}
