package batch

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Keys gives tasks limits of their own: those of a key wait in order, and hold up nobody else.
type Keys struct {
	// Of returns the key of a task.
	Of func(Task) string
	// Wait waits for a grant of a key. It is called by one goroutine at a time for each key.
	Wait func(ctx context.Context, key string) (Grant, error)
	// Ahead is how many tasks may be taken from the source and wait: 1 or more.
	Ahead int
}

// lanes are where tasks with keys wait: each key has a lane, and of each lane the first waits for its grant. One that has it
// is handed to the worker that has the turn.
//
// A job slot is there only then, so a start may come later than its slot. So that the next one of its key does not come
// earlier for that, such a start takes the grant of its own time, too.
type lanes struct {
	Keys
	wait  func(ctx context.Context, key string) (Grant, error)
	queue *queue
	ctx   context.Context
	stop  context.CancelCauseFunc

	handed  chan handed
	drained chan struct{} // closed when nothing comes any more
	room    chan struct{} // has an element for each task that waits
	feeder  sync.WaitGroup

	mu      sync.Mutex
	all     map[string]*lane
	waiting int   // tasks that were taken and not handed over
	ended   error // of the queue, or of a limit
	started bool
	over    bool
}

// A lane has the tasks of a key that wait, in order.
type lane struct{ places []*place }

// A place in a lane is kept until the next one may have its grant.
type place struct {
	it   *item
	gone bool // whether it has been handed over
}

// A handed item has its grant.
type handed struct {
	it     *item
	grant  Grant
	waited time.Duration
	place  *place // in its lane; nil without keys
}

func newLanes(ctx context.Context, k Keys, q *queue, wait func(context.Context, string) (Grant, error)) *lanes {
	l := &lanes{
		Keys: k, wait: wait, queue: q, handed: make(chan handed), drained: make(chan struct{}),
		room: make(chan struct{}, max(k.Ahead, 1)), all: make(map[string]*lane),
	}
	l.ctx, l.stop = context.WithCancelCause(ctx)
	return l
}

// take returns the next item.
func (l *lanes) take() (handed, error) {
	l.mu.Lock()
	if !l.started {
		l.started = true
		l.feeder.Go(l.feed)
	}
	l.mu.Unlock()
	select {
	case h := <-l.handed:
		l.mu.Lock()
		h.place.gone = true // here, and not by the lane: what is run may end all before that goes on
		l.mu.Unlock()
		return h, nil
	case <-l.drained:
	case <-l.ctx.Done():
		return handed{}, context.Cause(l.ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return handed{}, l.ended
}

// feed takes items from the queue and puts them into their lanes, as far as there is room.
func (l *lanes) feed() {
	for {
		select {
		case l.room <- struct{}{}:
		case <-l.ctx.Done():
			return
		}
		it, err := l.queue.take(l.ctx)
		if err != nil {
			l.end(err, false)
			return
		}
		l.put(it)
	}
}

// put puts an item at the end of its lane, or at the front if it was run before.
func (l *lanes) put(it *item) {
	key := l.Of(it.task)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting++
	p := &place{it: it}
	la := l.all[key]
	switch {
	case la == nil:
		la = &lane{places: []*place{p}}
		l.all[key] = la
		go l.run(key, la)
	case it.runs() > 0: // behind the first, which may have its grant already
		la.places = slices.Insert(la.places, 1, p)
	default:
		la.places = append(la.places, p)
	}
}

// run hands over the items of a lane, until there are none.
func (l *lanes) run(key string, la *lane) {
	for {
		asked := time.Now()
		grant, err := l.wait(l.ctx, key)
		if err != nil {
			l.end(err, true)
			return
		}
		l.mu.Lock()
		first := la.places[0]
		h := handed{it: first.it, grant: grant, waited: time.Since(asked), place: first}
		l.mu.Unlock()
		due := time.Now()
		select {
		case l.handed <- h:
		case <-l.ctx.Done():
			return
		}
		<-l.room
		l.mu.Lock()
		l.waiting--
		l.drain()
		l.mu.Unlock()
		if time.Since(due) >= heldFor {
			if _, err := l.wait(l.ctx, key); err != nil {
				l.end(err, true)
				return
			}
		}
		if !l.pop(key, la) {
			return
		}
	}
}

// pop takes the first item off a lane, and reports whether there are more. If not the lane is gone.
func (l *lanes) pop(key string, la *lane) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	la.places[0] = nil
	la.places = la.places[1:]
	if len(la.places) == 0 {
		delete(l.all, key)
	}
	return len(la.places) > 0
}

// end says that nothing more is taken, or handed over either.
func (l *lanes) end(err error, now bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended == nil || now && !l.over {
		l.ended = err
	}
	if now && !l.over {
		l.over = true
		close(l.drained)
	}
	l.drain()
}

// drain closes drained once nothing can come any more.
func (l *lanes) drain() {
	if l.ended != nil && l.waiting == 0 && !l.over {
		l.over = true
		close(l.drained)
	}
}

// rest ends the lanes and returns the items that still wait in them.
func (l *lanes) rest() (items []*item) {
	l.stop(nil)
	l.feeder.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, la := range l.all {
		for _, p := range la.places {
			if !p.gone {
				items = append(items, p.it)
			}
		}
	}
	return items
}
