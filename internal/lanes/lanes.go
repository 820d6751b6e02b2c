// Package lanes lets items wait by keys: those of a key wait in their order, each for a grant of its own, and hold up nobody
// else. It knows neither what the items are nor what grants.
package lanes

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Options say what waits, and for what. T is an item, and G a grant.
type Options[T, G any] struct {
	// Take returns the next item. An error is the end of them.
	Take func(context.Context) (T, error)
	// Key returns whose limit an item goes by.
	Key func(T) string
	// Wait waits for the grant of an item. It is called by one goroutine at a time for each key.
	Wait func(context.Context, T) (G, error)
	// Pass waits for a grant that nothing is made of: the item it would have been for came late.
	Pass func(context.Context, T) error
	// First, when set, reports whether an item goes before those that wait already, but for others that do.
	First func(T) bool
	// Ahead is how many items may be taken and wait: 1 or more.
	Ahead int
}

// A Granted is an item with its grant.
type Granted[T, G any] struct {
	Item   T
	Grant  G
	Waited time.Duration
}

// Lanes are where items wait: each key has a lane, and of each lane the first waits for its grant. One that has it is handed
// to whoever calls Next.
//
// If nobody does at that time the item comes later than its slot. So that the next one of its key does not come earlier for
// that, such an item takes the grant of its own time, too.
type Lanes[T, G any] struct {
	Options[T, G]
	ctx  context.Context
	stop context.CancelCauseFunc

	handed  chan handed[T, G]
	drained chan struct{} // closed when nothing comes any more
	room    chan struct{} // has an element for each item that waits
	feeder  sync.WaitGroup

	mu      sync.Mutex
	all     map[string]*lane[T]
	waiting int   // items that were taken and not handed over
	ended   error // of Take, or of a limit
	started bool
	over    bool
}

// A lane has the items of a key that wait, in order.
type lane[T any] struct {
	items []T
	out   int // how many were taken off
	gone  int // how many were handed over: as many, or one more
}

// A handed item is that of its lane which is the n-th to be handed over.
type handed[T, G any] struct {
	Granted[T, G]
	lane *lane[T]
	n    int
}

// late is how much later than it could an item has to be handed over to count as late. To start a command takes milliseconds,
// and stalls of some 20 ms are common where other processes want the cores: an item that is no later than that has its own
// slot all the same, and is not worth another grant.
const late = 50 * time.Millisecond

// New returns lanes that wait until ctx ends. Nothing is taken before Next is called.
func New[T, G any](ctx context.Context, o Options[T, G]) *Lanes[T, G] {
	l := &Lanes[T, G]{
		Options: o, handed: make(chan handed[T, G]), drained: make(chan struct{}),
		room: make(chan struct{}, max(o.Ahead, 1)), all: make(map[string]*lane[T]),
	}
	l.ctx, l.stop = context.WithCancelCause(ctx)
	return l
}

// Next returns the next item that has its grant. It returns the error of Take when all have been returned, and that of Wait,
// or the cause of the context, at once.
func (l *Lanes[T, G]) Next() (Granted[T, G], error) {
	l.mu.Lock()
	if !l.started {
		l.started = true
		l.feeder.Go(l.feed)
	}
	l.mu.Unlock()
	select {
	case h := <-l.handed:
		l.gone(h.lane, h.n)
		return h.Granted, nil
	case <-l.drained:
	case <-l.ctx.Done():
		return Granted[T, G]{}, context.Cause(l.ctx)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return Granted[T, G]{}, l.ended
}

// feed takes items and puts them into their lanes, as far as there is room.
func (l *Lanes[T, G]) feed() {
	for {
		select {
		case l.room <- struct{}{}:
		case <-l.ctx.Done():
			return
		}
		it, err := l.Take(l.ctx)
		if err != nil {
			l.end(err, false)
			return
		}
		l.put(it)
	}
}

// put puts an item at the end of its lane, or at the front.
func (l *Lanes[T, G]) put(it T) {
	key := l.Key(it)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting++
	la := l.all[key]
	switch {
	case la == nil:
		la = &lane[T]{items: []T{it}}
		l.all[key] = la
		go l.run(key, la)
	case l.First != nil && l.First(it): // behind the one that may have its grant already, and those who came first
		at := 1
		for at < len(la.items) && l.First(la.items[at]) {
			at++
		}
		la.items = slices.Insert(la.items, at, it)
	default:
		la.items = append(la.items, it)
	}
}

// run hands over the items of a lane, until there are none.
func (l *Lanes[T, G]) run(key string, la *lane[T]) {
	for {
		l.mu.Lock()
		h := handed[T, G]{Granted[T, G]{Item: la.items[0]}, la, la.out + 1}
		l.mu.Unlock()
		asked := time.Now()
		grant, err := l.Wait(l.ctx, h.Item)
		if err != nil {
			l.end(err, true)
			return
		}
		due := time.Now()
		h.Grant, h.Waited = grant, due.Sub(asked)
		select {
		case l.handed <- h:
		case <-l.ctx.Done():
			return
		}
		<-l.room
		l.gone(la, h.n)
		if time.Since(due) >= late {
			if err := l.Pass(l.ctx, h.Item); err != nil {
				l.end(err, true)
				return
			}
		}
		if !l.pop(key, la) {
			return
		}
	}
}

// gone says that the n-th item of a lane has been handed over. Both who gives and who takes it says so, whoever comes first: it
// waits no more from then on, and is not taken off before.
func (l *Lanes[T, G]) gone(la *lane[T], n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if la.gone < n {
		la.gone = n
		l.waiting--
		l.drain()
	}
}

// pop takes the first item off a lane, and reports whether there are more. If not the lane is gone.
func (l *Lanes[T, G]) pop(key string, la *lane[T]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	var none T
	la.items[0] = none
	la.items = la.items[1:]
	la.out++
	if len(la.items) == 0 {
		delete(l.all, key)
	}
	return len(la.items) > 0
}

// end says that nothing more is taken, or handed over either.
func (l *Lanes[T, G]) end(err error, now bool) {
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
func (l *Lanes[T, G]) drain() {
	if l.ended != nil && l.waiting == 0 && !l.over {
		l.over = true
		close(l.drained)
	}
}

// Rest ends the lanes and returns the items that still wait in them: those of a key in order.
func (l *Lanes[T, G]) Rest() (items []T) {
	l.stop(nil)
	l.feeder.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, la := range l.all {
		items = append(items, la.items[la.gone-la.out:]...)
	}
	return items
}
