package batch

import (
	"context"
	"slices"
	"sync"
)

// slots are the job slots, numbered from 1. The lowest that is free is taken first.
type slots struct {
	room chan struct{} // has one element for each slot that is taken
	mu   sync.Mutex
	used []bool
}

func newSlots(n int) *slots { return &slots{room: make(chan struct{}, n)} }

// take takes a slot, and reports whether it had to wait for one. It returns the cause of ctx when that ends first.
func (s *slots) take(ctx context.Context) (slot int, waited bool, err error) {
	select {
	case s.room <- struct{}{}:
	default:
		waited = true
		select {
		case s.room <- struct{}{}:
		case <-ctx.Done():
			return 0, true, context.Cause(ctx)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	slot = slices.Index(s.used, false) + 1
	if slot == 0 {
		s.used = append(s.used, false)
		slot = len(s.used)
	}
	s.used[slot-1] = true
	return slot, waited, nil
}

// give gives a slot back.
func (s *slots) give(slot int) {
	s.mu.Lock()
	s.used[slot-1] = false
	s.mu.Unlock()
	<-s.room
}
