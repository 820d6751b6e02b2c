package dynamostore

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

const (
	// skewMost is what the clocks of two clients may differ by: see clock. A client is taken for dead that much later.
	skewMost = int64(time.Second)
	// aheadMost is how far the time of a key may be ahead of ours. What is more was made by a clock that was wrong.
	aheadMost = 10 * int64(time.Second)
	// forgetMost is how many owners are forgotten in one write, and dropMost of how many the places are given back.
	forgetMost, dropMost = 16, 64
)

// A tx is a state as it was seen, and what becomes of it.
type tx struct {
	state
	s    *Store
	item *item
	own  int64     // on our clock
	got  time.Time // the same on that of the host
	now  int64     // the time of the key, which never goes back: ours, or when the state was written if that is later

	write   bool
	beat    bool             // say that we live
	asked   bool             // there is one more who waits
	rely    map[owner]*int64 // what was last heard of owners, on which this relies
	fresh   bool             // there was no state
	version []byte           // of what was written
	notes   []error
	after   []func() // once it is written
}

// begin returns the state of an item, as of now.
func (s *Store) begin(it *item) (*tx, error) {
	t := &tx{s: s, item: it, rely: map[owner]*int64{}, fresh: it.version == nil}
	t.own, t.got = s.clock.read()
	t.now = t.own
	if t.fresh {
		t.alg = pacer.NewSchedule(pacer.Limit{})
		t.turn = t.now
	} else {
		st, err := decode(it.state)
		if err != nil {
			return nil, &ServerError{s.name, ErrForeign}
		}
		t.state = st
	}
	t.alg.SetWall(0)
	if ahead := t.seen - t.own; ahead > aheadMost {
		t.note("it is " + time.Duration(ahead).String() + " ahead of the clock: going on from an empty bucket")
		left := time.Duration(0)
		if until, ok := t.alg.Until(t.seen); ok {
			left = time.Duration(until - t.seen)
		}
		t.alg.Restart(t.now, t.now, left)
		t.turn, t.amnesty, t.waiting, t.granted, t.write = t.now, 0, nil, nil, true
	} else if ahead > 0 {
		t.now = t.seen
	}
	return t, nil
}

func (t *tx) note(what string) { t.notes = append(t.notes, &DamageError{t.s.name, what}) }

// timeOf returns the time here of an instant on the clock of the key.
func (t *tx) timeOf(at int64) time.Time { return t.got.Add(time.Duration(at - t.own)) }

// settleAll brings the state up to now: what is due is granted, and who is dead, or is nobody's, has left. What is due goes first: one who
// has used a grant need not be alive any more.
func (t *tx) settleAll() {
	t.settle(t.now)
	t.sweep(0)
	t.tidy()
}

// sweep gives back the places of those who were not heard of for long, and have had so much time more. It reports whether there are any.
// When nobody at all was heard of for half that time, the server may have been out of reach, and all have the whole time again.
func (t *tx) sweep(more time.Duration) (dead bool) {
	if len(t.waiting)+len(t.granted) == 0 {
		return false
	}
	patience := int64(t.s.opts.Heartbeat)
	newest := t.seen
	for _, at := range t.item.beats {
		newest = max(newest, at)
	}
	if t.now-newest > patience/2 {
		t.amnesty = t.now + patience
	}
	if t.now < t.amnesty {
		return false
	}
	latest := make(map[owner]int64) // when each was last heard of
	for _, list := range [][]entry{t.waiting, t.granted} {
		for _, e := range list {
			latest[e.owner] = max(latest[e.owner], e.at, t.item.beats[e.owner])
		}
	}
	for o, at := range latest {
		if o == t.s.owner || t.now-at <= patience+skewMost+int64(more) || len(t.rely) >= dropMost {
			continue
		}
		t.relyOn(o)
		t.granted = without(t.granted, func(e entry) bool { return e.owner == o })
		if t.drop(t.now, func(e entry) bool { return e.owner == o }) {
			dead = true
		}
	}
	if dead {
		t.write = true
		t.settle(t.now)
	}
	return dead
}

// relyOn has what is written rely on it that an owner was not heard of since.
func (t *tx) relyOn(o owner) {
	if at, ok := t.item.beats[o]; ok {
		t.rely[o] = &at
	} else {
		t.rely[o] = nil
	}
}

func without(list []entry, drop func(entry) bool) []entry {
	var left []entry
	for _, e := range list {
		if !drop(e) {
			left = append(left, e)
		}
	}
	return left
}

// tidy forgets what we know to be granted, and places that nobody here has any more.
func (t *tx) tidy() {
	s := t.s
	s.mu.Lock()
	gone := func(e entry) bool {
		p := s.mine[e.number]
		return e.owner == s.owner && (p == nil || p.kept)
	}
	t.granted = without(t.granted, gone)
	left := t.drop(t.now, gone)
	s.mu.Unlock()
	if left {
		t.settle(t.now)
	}
}

// leave has those leave of whom leaves says so, and is written whether or not there are any: what was sent before and is still on its way
// comes too late then.
func (t *tx) leave(leaves func(entry) bool) {
	t.write = !t.fresh
	t.granted = without(t.granted, leaves)
	if t.drop(t.now, leaves) {
		t.settle(t.now)
	}
}

// update has change work on the state, and writes what comes of it, as often as it takes until nobody was there in between. Change may be
// called more than once. What it says of a state that may have changed meanwhile, and is not written, is asked again. If it returns an
// error nothing is written.
func (s *Store) update(ctx context.Context, change func(*tx) error) error {
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return ErrClosed
	}
	return s.change(ctx, s.sleep, change)
}

// change is update, whether or not the Store is closed.
func (s *Store) change(ctx context.Context, sleep func(context.Context, time.Duration) error, change func(*tx) error) error {
	if err := acquire(ctx, s.writing); err != nil {
		return err
	}
	defer func() { <-s.writing }()
	start := time.Now()
	it := s.cached()
	fresh := false
	var lost attempts
	for try, away := 0, 0; ; try++ {
		var err error
		if it == nil {
			it, err = s.read(ctx)
			fresh = true
		}
		var t *tx
		if err == nil {
			if done := lost.find(it); done != nil {
				return done.end()
			}
			t, err = s.begin(it)
		}
		if err == nil {
			err = t.run(change)
			if !fresh && (err != nil || !t.write) {
				it = nil
				continue
			}
		}
		if err == nil && !t.write {
			return t.end()
		}
		if err == nil {
			var written bool
			if it, written, err = t.commit(ctx); written {
				return t.end()
			}
			if err == nil {
				if done := lost.find(it); done != nil {
					return done.end()
				}
				// At first on what the server has just told; but after a pause that is old, and would fail again.
				if fresh = it != nil; try > 0 {
					if err := sleep(ctx, s.pause(try)); err != nil {
						return err
					}
					it = nil
				}
				continue
			}
			lost = append(lost, t)
		}
		if !IsAway(err) || time.Since(start) >= s.opts.Away {
			return err
		}
		it = nil
		if e := sleep(ctx, backoff(away)); e != nil {
			return e
		}
		away++
	}
}

// backoff returns how long to wait for a server that is away.
func backoff(try int) time.Duration {
	d := 50 * time.Millisecond << min(try, 5)
	return d/2 + rand.N(d/2)
}

// pause returns how long to wait when somebody was there in between, so that of several who are in each other's way all get through: the
// more often it was so, the longer.
func (s *Store) pause(try int) time.Duration {
	s.mu.Lock()
	trip := s.trip
	s.mu.Unlock()
	return min(rand.N(max(trip, time.Millisecond)<<min(try, 6)), time.Second)
}

// Attempts were sent, and we do not know whether they were heard, or will be.
type attempts []*tx

// find returns the one of which an item is what was written, or nil.
func (a attempts) find(it *item) *tx {
	for _, t := range a {
		if t.is(it) {
			return t
		}
	}
	return nil
}

// is reports whether an item is what was written.
func (t *tx) is(it *item) bool { return t != nil && it != nil && bytes.Equal(t.version, it.version) }

func (t *tx) run(change func(*tx) error) error {
	if err := t.alg.Err(); err != nil && t.limited {
		return &ServerError{t.s.name, err}
	}
	t.settleAll()
	return change(t)
}

// end does what is to be done once it is written, or there was nothing to write.
func (t *tx) end() error {
	for _, note := range t.notes {
		t.s.warn(note)
	}
	for _, do := range t.after {
		do()
	}
	t.s.saw(t)
	return nil
}

// saw keeps in mind what a state says, for when it is lost.
func (s *Store) saw(t *tx) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.limited {
		s.limits = t.alg.Limits()
		s.last, _ = t.alg.Last()
		s.until, _ = t.alg.Until(0)
	}
}

// commit writes what has become of the state, unless somebody else has written meanwhile: then it returns the item as it is, or nil if
// the server does not say.
func (t *tx) commit(ctx context.Context) (current *item, written bool, err error) {
	s := t.s
	t.seen = t.now
	body := t.encode()
	switch {
	case len(body)+beatSize*len(t.waiting) <= stateMost:
	case t.asked && len(t.waiting) > 1:
		return nil, false, &pacer.FullError{Most: len(t.waiting) - 1}
	default:
		return nil, false, &ServerError{s.name, errLarge}
	}
	s.mu.Lock()
	s.writes++
	t.version = binary.BigEndian.AppendUint64(append([]byte(nil), s.owner[:]...), s.writes)
	s.mu.Unlock()
	r := Request{
		Op: OpUpdate, Key: keyPrefix + s.key, If: map[string]*Value{},
		Set: map[string]Value{attrVersion: Bytes(t.version), attrState: Bytes(body)},
	}
	if t.fresh {
		r.If[attrKey] = nil
	} else {
		v := Bytes(t.item.version)
		r.If[attrVersion] = &v
	}
	if t.limited {
		r.Set[attrLimits] = Chars(namesOf(t.alg.Limits(), t.bytes))
	} else {
		r.Remove = append(r.Remove, attrLimits)
	}
	if t.alg.Paused() {
		r.Remove = append(r.Remove, attrExpires)
	} else {
		r.Set[attrExpires] = Number(addTo(t.lasts(t.now), int64(s.opts.Keep))/1e9 + 1)
	}
	after := &item{version: t.version, state: body, beats: map[owner]int64{}}
	t.relyAndForget(&r, after)
	if t.beat {
		r.Set[s.owner.attr()] = Number(t.own)
		after.beats[s.owner] = t.own
	}
	response, sent, err := s.do(ctx, r)
	switch {
	case err != nil:
		return nil, false, err
	case !response.Failed:
		s.took(sent)
		s.know(after, sent)
		return nil, true, nil
	case response.Item == nil:
		return nil, false, nil
	}
	current, err = s.learn(response.Item, sent)
	return current, t.is(current), err
}

// relyAndForget adds what owners were last heard of to a request: where it relies on that, and where they are forgotten.
func (t *tx) relyAndForget(r *Request, after *item) {
	here := make(map[owner]bool)
	for _, list := range [][]entry{t.waiting, t.granted} {
		for _, e := range list {
			here[e.owner] = true
		}
	}
	forgotten := 0
	for o, at := range t.item.beats {
		if !here[o] && o != t.s.owner && t.now-at > 2*int64(t.s.opts.Heartbeat)+skewMost && forgotten < forgetMost {
			t.relyOn(o)
			forgotten++
		} else {
			after.beats[o] = at
		}
	}
	for o, at := range t.rely {
		if at == nil {
			r.If[o.attr()] = nil
			continue
		}
		v := Number(*at)
		r.If[o.attr()] = &v
		if _, ok := after.beats[o]; !ok {
			r.Remove = append(r.Remove, o.attr())
		}
	}
}

// took keeps in mind how long a request took.
func (s *Store) took(sent time.Time) {
	d := s.clock.now().Sub(sent)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trip == 0 {
		s.trip = d
	}
	s.trip += (d - s.trip) / 8
}

// join brings the limits that were given together with those stored, before the first grant is asked for. After that those stored
// hold, whatever becomes of them.
func (t *tx) join() error {
	s := t.s
	s.mu.Lock()
	limits, joined, warned := s.limits, s.joined, s.warned
	s.mu.Unlock()
	given := s.opts.Limits
	if t.limited && !joined && given != nil && s.opts.As != nil {
		given = s.opts.As(t.alg.Limits())
	}
	switch {
	case !t.limited: // nobody has given it a limit, or it was lost, or reset: what was last in force goes on
		if limits == nil {
			return ErrNoLimit
		}
		t.setLimits(t.now, limits, s.opts.Bytes)
		t.follow()
		t.write = true
	case given != nil && s.opts.Bytes != t.bytes:
		return ErrUnit
	case joined || given == nil || s.opts.Adopt || given.Equal(t.alg.Limits()):
	default:
		stored := t.alg.Limits()
		holds := stored.Stricter(given)
		if err := holds.Validate(); err != nil {
			return err
		}
		if !warned {
			t.notes = append(t.notes, &ConflictError{Stored: stored, Given: given, Holds: holds})
			t.after = append(t.after, func() {
				s.mu.Lock()
				s.warned = true
				s.mu.Unlock()
			})
		}
		if !holds.Equal(stored) {
			t.alg.Restrict(t.now, holds)
			t.write = true
		}
	}
	t.after = append(t.after, s.join)
	t.settle(t.now)
	return nil
}

func (s *Store) join() {
	s.mu.Lock()
	s.joined = true
	s.mu.Unlock()
}

// follow has a state that is new go on from one that was lost: what we know to be granted there counts as if it had emptied the
// bucket, and the cooldown that we know of goes on.
func (t *tx) follow() {
	if !t.fresh {
		return
	}
	t.s.mu.Lock()
	last, until := t.s.last, t.s.until
	t.s.mu.Unlock()
	if last > 0 {
		t.alg.Empty(min(last, t.now))
	}
	if until > t.now {
		t.alg.Cool(t.now, time.Duration(until-t.now))
	}
}

// SetLimit makes a limit the only one of the key, as SetLimits does.
func (s *Store) SetLimit(ctx context.Context, limit pacer.Limit) error {
	return s.SetLimits(ctx, pacer.Limits{limit})
}

// SetLimits changes the limits of the key, from now on and for those who wait. The units in a bucket stay, up to the new burst, and
// so does what lies in a window. A rate that was cut by feedback is so no more; a cooldown stays.
func (s *Store) SetLimits(ctx context.Context, limits pacer.Limits) error {
	if err := limits.Validate(); err != nil {
		return err
	}
	return s.ChangeLimits(ctx, func(pacer.Limits) (pacer.Limits, error) { return limits, nil })
}

// ChangeLimits is SetLimits with limits that follow from those stored: nobody else changes them in between. Change gets nil if none
// are stored. It may be called more than once, and must not call the Store; if it returns an error nothing is written.
func (s *Store) ChangeLimits(ctx context.Context, change func(stored pacer.Limits) (pacer.Limits, error)) error {
	return s.update(ctx, func(t *tx) error {
		var stored pacer.Limits
		if t.limited {
			if s.opts.Bytes != t.bytes {
				return ErrUnit
			}
			stored = t.alg.Limits()
		}
		limits, err := change(stored)
		if err == nil {
			err = limits.Validate()
		}
		if err != nil {
			return err
		}
		t.setLimits(t.now, limits, s.opts.Bytes)
		t.follow()
		t.settle(t.now)
		t.write = true
		t.after = append(t.after, s.join)
		return nil
	})
}

// SetPaused pauses the key, or resumes. While it is paused nobody has a grant; those who wait keep their places, and who asks
// gets one.
func (s *Store) SetPaused(ctx context.Context, paused bool) error {
	return s.alter(ctx, func(t *tx) { t.alg.SetPaused(t.now, paused) })
}

// SetCooldown makes the cooldown of the key end d from now, whatever it was. A d of 0 ends it.
func (s *Store) SetCooldown(ctx context.Context, d time.Duration) error {
	return s.alter(ctx, func(t *tx) { t.alg.Cool(t.now, d) })
}

func (s *Store) alter(ctx context.Context, do func(*tx)) error {
	return s.update(ctx, func(t *tx) error {
		do(t)
		t.settle(t.now)
		t.write = true
		return nil
	})
}

// Reset forgets what was granted, and what the remote has said: the bucket is full, and there is no cooldown. Those who wait
// stay, and keep their limit; if nobody does the limit is forgotten, too. A pause stays.
func (s *Store) Reset(ctx context.Context) error {
	return s.alter(ctx, func(t *tx) {
		t.reset(t.now)
		t.alg.SetWall(0)
		limited := t.limited
		t.after = append(t.after, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !limited {
				s.limits, s.joined, s.last, s.until = s.opts.Limits, false, 0, 0
			}
		})
	})
}
