package dynamostore

import (
	"context"
	"time"
)

// await says that there is a place of ours, and sees to it that others hear of us as long as that is so.
func (s *Store) await() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waits() == 1 || !s.beating { // when it asked is what others have heard of us last
		s.heard = time.Now()
	}
	if s.beating || s.closed {
		return
	}
	s.beating = true
	s.tasks.Add(1)
	go s.beat()
}

// waits returns how many places we have that may not be grants yet.
func (s *Store) waits() (n int) {
	for _, p := range s.mine {
		if !p.kept {
			n++
		}
	}
	return n
}

// beat lets others know that we live, as long as we have places.
func (s *Store) beat() {
	defer s.tasks.Done()
	every := s.opts.Heartbeat / 4
	for {
		s.mu.Lock()
		if s.waits() == 0 || s.closed {
			s.beating = false
			s.mu.Unlock()
			return
		}
		rest := every - time.Since(s.heard)
		s.mu.Unlock()
		if rest > 0 {
			_ = s.sleep(context.Background(), rest)
			continue
		}
		if err := s.sign(context.Background()); err != nil { // those who wait find out themselves
			_ = s.sleep(context.Background(), every/4)
		}
	}
}

// sign lets others know that we live. It touches nothing that a write relies on, unless it is late: then others may be, too, and all
// have the whole time again.
func (s *Store) sign(ctx context.Context) error {
	began := time.Now()
	s.mu.Lock()
	late := time.Since(s.heard) > s.opts.Heartbeat/2
	s.mu.Unlock()
	var err error
	if late {
		err = s.update(ctx, func(t *tx) error {
			if !t.fresh {
				t.amnesty, t.beat, t.write = t.now+int64(s.opts.Heartbeat), true, true
			}
			return nil
		})
	} else {
		err = s.signOnly(ctx)
	}
	if err == nil {
		s.mu.Lock()
		s.heard = began
		s.mu.Unlock()
	}
	return err
}

func (s *Store) signOnly(ctx context.Context) error {
	now, _ := s.clock.read()
	r, sent, err := s.do(ctx, Request{
		Op: OpUpdate, Key: keyPrefix + s.key, Set: map[string]Value{s.owner.attr(): Number(now)}, Has: attrState, After: true,
	})
	if err != nil || r.Failed || r.Item == nil {
		return err
	}
	it, err := s.learn(r.Item, sent)
	if err != nil {
		return err
	}
	t, err := s.begin(it)
	if err != nil {
		return err
	}
	t.settle(t.now)
	s.saw(t)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range t.granted {
		if p := s.mine[e.number]; e.owner == s.owner && p != nil && !p.kept {
			p.kept, p.slot = true, e.at
		}
	}
	return nil
}
