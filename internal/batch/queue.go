package batch

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/throttle-cli/throttle/internal/output"
)

// An item is a task on its way: taken from the source, perhaps run before.
type item struct {
	task  Task
	order int // of the task in the source
	seq   int // 0 before its first attempt

	attempts  int // it has had, those that were throttled not counted
	throttled int // how many were
	ready     time.Time
	out       *output.Job
}

// runs returns how often it was run.
func (it *item) runs() int { return it.attempts + it.throttled }

// besideMost is how many may wait beside the queue. If there are more, nothing new is taken from the source.
const besideMost = 10_000

// A queue is where the next item comes from: the source, and those that wait beside it to be run again. One that is ready
// to be run again goes before what nobody has taken yet.
type queue struct {
	next func(context.Context) (Task, error)
	// prompt reports whether next returns without waiting; it may be nil.
	prompt func() bool
	// again is whether items may come back. If not, the source is asked directly.
	again bool

	// of the one who takes, who has the turn
	order int
	got   chan taken // has what the source was asked for, nil if it was not
	ended error      // what the source has ended with

	mu     sync.Mutex
	beside beside
	out    int           // items that were taken and may come back
	wake   chan struct{} // has an element if beside or out has changed
}

type taken struct {
	task Task
	err  error
}

func newQueue(next func(context.Context) (Task, error), prompt func() bool, again bool) *queue {
	return &queue{next: next, prompt: prompt, again: again, wake: make(chan struct{}, 1)}
}

// take returns the next item, or the error of the source once nothing can come back any more. When ctx ends it returns
// the cause, or what the source has returned nevertheless.
func (q *queue) take(ctx context.Context) (*item, error) {
	if !q.again {
		task, err := q.next(ctx)
		if err != nil {
			return nil, err
		}
		return q.item(task), nil
	}
	for {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		it, due, state := q.ready()
		if it != nil {
			return it, nil
		}
		if q.ended != nil && state == none {
			return nil, q.ended
		}
		if q.ended == nil && state != full && q.got == nil {
			if q.prompt != nil && q.prompt() { // to ask in a goroutine would wake another thread for each task
				task, err := q.next(ctx)
				if err == nil {
					return q.item(task), nil
				}
				q.ended = err
				continue
			}
			q.ask(ctx)
		}
		var timer <-chan time.Time
		if !due.IsZero() {
			timer = time.After(time.Until(due))
		}
		select {
		case t := <-q.got:
			if q.got = nil; t.err == nil {
				return q.item(t.task), nil
			}
			q.ended = t.err
		case <-timer:
		case <-q.wake:
		case <-ctx.Done():
			if q.got == nil {
				continue
			}
			t := <-q.got
			if q.got = nil; t.err == nil {
				return q.item(t.task), nil
			}
		}
	}
}

// ask asks the source, so that its answer comes on q.got.
func (q *queue) ask(ctx context.Context) {
	got := make(chan taken, 1)
	q.got = got
	go func() {
		task, err := q.next(ctx)
		got <- taken{task, err}
	}()
}

func (q *queue) item(task Task) *item {
	q.order++
	if q.again {
		q.mu.Lock()
		q.out++
		q.mu.Unlock()
	}
	return &item{task: task, order: q.order}
}

// What there is but for the source.
type some int

const (
	none some = iota // nothing waits beside the queue, and nothing can come back
	few
	full // more may not wait
)

// ready returns the first of those beside the queue if it may be run now, or else when it may be.
func (q *queue) ready() (it *item, due time.Time, state some) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch n := len(q.beside); {
	case n == 0 && q.out == 0:
		return nil, due, none
	case n == 0:
		return nil, due, few
	case !q.beside[0].ready.After(time.Now()):
		q.out++
		return heap.Pop(&q.beside).(*item), due, few //nolint:forcetypeassert // nothing else is in there
	case n >= besideMost:
		return nil, q.beside[0].ready, full
	}
	return nil, q.beside[0].ready, few
}

// back takes an item back that is to be run again. Done has to be said then, too.
func (q *queue) back(it *item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	heap.Push(&q.beside, it)
}

// done says that an item that was taken does not come back, or has come.
func (q *queue) done() {
	if !q.again {
		return
	}
	q.mu.Lock()
	q.out--
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// release says that those beside the queue write no more: the output of others may wait for it.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	silence(q.beside)
}

// rest returns those that still wait beside the queue, and what the source was asked for when its context ended.
func (q *queue) rest() (beside, asked []*item) {
	if q.got != nil {
		if t := <-q.got; t.err == nil {
			asked = append(asked, q.item(t.task))
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.beside, asked
}

// beside is a heap: the first is the one that may be run first.
type beside []*item

func (b beside) Len() int { return len(b) }
func (b beside) Less(i, j int) bool {
	if !b[i].ready.Equal(b[j].ready) {
		return b[i].ready.Before(b[j].ready)
	}
	return b[i].order < b[j].order
}
func (b beside) Swap(i, j int) { b[i], b[j] = b[j], b[i] }
func (b *beside) Push(x any)   { *b = append(*b, x.(*item)) } //nolint:forcetypeassert // nothing else is put there
func (b *beside) Pop() any {
	old := *b
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*b = old[:len(old)-1]
	return it
}
