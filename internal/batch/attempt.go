package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"syscall"
	"time"

	"github.com/throttle-cli/throttle/internal/feedback"
	"github.com/throttle-cli/throttle/internal/job"
	"github.com/throttle-cli/throttle/internal/lanes"
)

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
