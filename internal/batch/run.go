package batch

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/throttle-cli/throttle/internal/lanes"
	"github.com/throttle-cli/throttle/internal/output"
)

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
			Take:  r.takeInOrder,
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
		silence([]*item{it})
		r.mu.Lock()
		r.leave(it)
		r.mu.Unlock()
		return err
	}
	r.run(it, a, grant)
	return nil
}

// heldFor is how much later than it could a start has to be to count as held.
const heldFor = time.Millisecond

// takeInOrder takes an item of which nobody knows when it will be started. The place of its output is behind that of the one before.
func (r *run) takeInOrder(ctx context.Context) (*item, error) {
	it, err := r.queue.take(ctx)
	if err == nil && it.out == nil {
		tag := ""
		if r.Tagged {
			tag = it.task.Command(1, 1).Tag + "\t"
		}
		it.out = r.Output.Job(tag)
	}
	return it, err
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

// unused says that nothing more comes of a grant.
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

// wait waits for the jobs. Those that were interrupted, and have not ended although they were killed, or whose output
// nobody reads, it leaves.
func (r *run) wait() {
	all := make(chan struct{})
	go func() {
		r.workers.Wait()
		if r.lanes != nil {
			silence(r.lanes.Rest())
		}
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
