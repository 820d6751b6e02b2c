package lockfile

import (
	"context"
	"math"
	"slices"
	"sync"

	"github.com/throttle-cli/throttle/pacer"
)

// A line is that of the goroutines that Wait for a grant of one File, in the order in which they came. Its head is the only one that
// asks, and has a reservation in the file. As a rule it is done within microseconds, and those behind it do no more wait than one
// who waits for a mutex does; they do, from when the head has to wait for its slot.
type line struct {
	mu     sync.Mutex
	taken  bool // there is a head
	waits  bool // it waits for its slot
	over   bool // some who came before it did are more than may wait
	behind []*lined
}

// A lined is one who stands behind the head.
type lined struct {
	most int        // it is refused if so many wait before it, the head among them
	turn chan error // nil, once it is the head, or a *pacer.FullError
}

// anyNumber is for one who stands in line however many do.
const anyNumber = math.MaxInt

// enter returns nil when the caller is the head: it has to leave then. If so many wait before it as it says, or do so before it
// is the head, it is a *pacer.FullError.
func (l *line) enter(ctx context.Context, closed <-chan struct{}, most int) (err error) {
	l.mu.Lock()
	if !l.taken {
		l.taken = true
		l.mu.Unlock()
		return nil
	}
	full := 1+len(l.behind) >= most
	if full && l.waits {
		l.mu.Unlock()
		return &pacer.FullError{Most: most}
	}
	l.over = l.over || full
	g := &lined{most: most, turn: make(chan error, 1)}
	l.behind = append(l.behind, g)
	l.mu.Unlock()
	select {
	case err := <-g.turn:
		return err
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-closed:
		err = ErrClosed
	}
	l.mu.Lock()
	i := slices.Index(l.behind, g)
	if i >= 0 {
		l.behind = slices.Delete(l.behind, i, i+1)
	}
	l.mu.Unlock()
	if i < 0 && <-g.turn == nil { // its turn came meanwhile
		l.leave()
	}
	return err
}

// wait says that the head waits for its slot from now on, and refuses those behind it who are too many.
func (l *line) wait() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits = true
	if !l.over {
		return
	}
	l.over = false
	before := 1
	l.behind = slices.DeleteFunc(l.behind, func(g *lined) bool {
		if before >= g.most {
			g.turn <- &pacer.FullError{Most: g.most}
			return true
		}
		before++
		return false
	})
}

// leave makes the next one the head.
func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits = false
	if len(l.behind) == 0 {
		l.taken = false
		return
	}
	l.behind[0].turn <- nil
	l.behind[0] = nil // the array may be kept for long
	l.behind = l.behind[1:]
}
