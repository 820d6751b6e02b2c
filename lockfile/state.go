package lockfile

import (
	"cmp"
	"slices"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A state is what is known of a key: what has been granted, and who waits, in order. Its methods are pure: they take the
// time, in ns on the boot clock of the host, and ask alive whether the owner of an entry still lives. The slots of those
// who wait are not in it. They are the arithmetic of the limit over the queue, so that one who leaves is dropped, and no
// more.
type state struct {
	limited bool // whether alg has a limit: a file that was never given one has none
	bytes   bool // whether the limit counts bytes
	retired bool // the file is being removed: there is another one, or there will be
	alg     pacer.Schedule
	boot    [16]byte // the boot of the host that the times below belong to
	bootAt  int64    // when the state was written
	wallAt  int64    // the same on the wall clock, in ns since 1970
	swept   int64    // when the owners were last looked at
	cursor  uint64   // the ticket at which the next sweep goes on; 0 is the front
	turn    int64    // when the head came to the front: the slot of the grant before it, or when that one left
	grants  uint64   // how many there have been
	next    uint64   // the next ticket
	granted []entry  // those whose slot has come and who have not collected it, by ticket
	waiting []entry  // the queue, by ticket
	ring    int      // where in the file the queue is, 0 or 1
	first   uint64   // the position there of the first who waits

	reshaped bool // one who was not the first has left the queue: it has to be written anew
}

// An entry is a reservation in the queue.
type entry struct {
	ticket uint64 // numbers count up, 1 is the first
	at     int64  // when it was asked for; once it is a grant, its slot
	owner  uint32 // the number of the open file that it belongs to
	cost   uint32 // units
	pid    uint32 // for people; what counts is the owner's lock
	sum    uint32 // its checksum, once it is in the file
}

// A place is what an entry is found by: after damage tickets start again, and one may be somebody else's.
type place struct {
	ticket uint64
	owner  uint32
}

const (
	// sweepEvery is how often all owners are looked at: the time after which the place of a dead one is given back, once
	// somebody takes the lock.
	sweepEvery = 250e6
	// sweepMost is how many are looked at in one sweep. The kernel walks a list of the locks of a file to find one.
	sweepMost = 1024
	// queueMost is how many reservations a file has room for, granted ones that nobody has collected included.
	queueMost = 1 << 14
)

// newState returns the state of a key that nobody has used.
func newState(boot [16]byte) state {
	return state{boot: boot, next: 1, alg: pacer.NewSchedule(pacer.Limit{})}
}

// settle brings the state up to now: it makes a grant of every slot that has come, whether or not its owner is awake, and
// drops those whose owners are dead. It reports whether the state has changed, and whether that has moved slots of those
// who wait.
//
// The head is looked at each time, so that a dead one costs nobody a slot, unless it died after it came to the front and
// nobody came by before its slot had come.
func (s *state) settle(now int64, alive func(entry) bool) (changed, moved bool) {
	for len(s.waiting) > 0 {
		head := s.waiting[0]
		if !alive(head) {
			s.dropHead(now)
			changed, moved = true, true
			continue
		}
		t := s.since(now)
		at, ok := s.alg.Slot(t, int64(head.cost))
		if !ok || at > now {
			break
		}
		s.take(t, int64(head.cost))
		head.at = at
		s.granted = append(s.granted, head)
		s.pop()
		changed = true
	}
	swept, dead := s.sweep(now, alive)
	return changed || swept, moved || dead
}

// sweep drops those whose owners are dead, if it is time to look. The head is alive.
func (s *state) sweep(now int64, alive func(entry) bool) (changed, moved bool) {
	if len(s.granted) == 0 && len(s.waiting) <= 1 || now-s.swept < sweepEvery { // the head has been looked at
		return false, false
	}
	from, left := s.cursor, sweepMost
	s.swept, s.cursor = now, 0
	dead := func(e entry) bool {
		switch {
		case e.ticket < from || e.ticket == s.head():
			return false
		case left == 0:
			if s.cursor == 0 {
				s.cursor = e.ticket
			}
			return false
		}
		left--
		return !alive(e)
	}
	waiting := len(s.waiting)
	s.granted = slices.DeleteFunc(s.granted, dead)
	s.waiting = slices.DeleteFunc(s.waiting, dead)
	if len(s.waiting) == waiting {
		return true, false
	}
	s.reshaped = true
	return true, true
}

// pop has the first who waits out of the queue.
func (s *state) pop() {
	s.waiting = s.waiting[1:]
	s.first++
}

// head returns the ticket of the first who waits, 0 if there is none.
func (s *state) head() uint64 {
	if len(s.waiting) == 0 {
		return 0
	}
	return s.waiting[0].ticket
}

// dropHead has the first who waits leave. The next one comes to the front now, so that it gets no slot in the past; where
// its slot has come meanwhile, since nobody looked, it keeps that.
func (s *state) dropHead(now int64) {
	if len(s.waiting) > 1 {
		front := now
		if next, ok := s.slot(1); ok {
			front = min(now, next)
		}
		s.turn = max(s.turn, front)
	}
	s.pop()
}

// since returns the time from which the slot of the first in the queue counts, or of one who asks now if nobody waits.
func (s *state) since(now int64) int64 {
	if len(s.waiting) == 0 {
		return now
	}
	return max(s.waiting[0].at, s.turn)
}

func (s *state) take(t, n int64) {
	s.turn, _ = s.alg.Slot(t, n)
	s.alg.Take(t, n)
	s.grants++
}

// slot returns the slot of the i-th who waits, or, if that takes more than a moment to find out, an instant before it: it is the
// slot of the first, and of all where there is one limit and units come in one run. The queue has been settled, so all of it
// was asked for before the slot of the head.
func (s *state) slot(i int) (at int64, ok bool) {
	units := int64(0)
	for _, e := range s.waiting[:i+1] {
		units += int64(e.cost)
	}
	return s.alg.Bound(s.since(0), units)
}

// exact returns the slot of the i-th who waits.
func (s *state) exact(i int) (at int64, ok bool) { return s.fold(0, i+1, 0) }

// slotBehind returns the slot of n units asked for now, behind all who wait.
func (s *state) slotBehind(now, n int64) (at int64, ok bool) { return s.fold(now, len(s.waiting), n) }

// fold returns the slot of n units behind the first i who wait, or of the last of those for an n of 0.
func (s *state) fold(now int64, i int, n int64) (at int64, ok bool) {
	return s.alg.Fold(s.since(now), func(yield func(n int64) bool) {
		for _, e := range s.waiting[:i] {
			if !yield(int64(e.cost)) {
				return
			}
		}
		if n > 0 {
			yield(n)
		}
	})
}

// grant makes a grant of n units to one who asks now, if nobody waits and the slot has come.
func (s *state) grant(now, n int64) (at int64, ok bool) {
	if len(s.waiting) > 0 {
		return 0, false
	}
	if !s.alg.Grab(now, n) {
		return 0, false
	}
	s.turn = now
	s.grants++
	return now, true
}

// enqueue puts one who asks now at the end of the queue. The next ticket must be its own.
func (s *state) enqueue(now int64, n, owner, pid uint32) (ticket uint64, err error) {
	if len(s.granted)+len(s.waiting) >= queueMost {
		return 0, &pacer.FullError{Most: queueMost}
	}
	ticket = s.next
	s.next++
	s.waiting = append(s.waiting, entry{ticket: ticket, at: now, owner: owner, cost: n, pid: pid})
	return ticket, nil
}

// collect removes what has been granted and returns its slot, or ok false if it has not.
func (s *state) collect(p place) (at int64, ok bool) {
	i, ok := find(s.granted, p)
	if !ok {
		return 0, false
	}
	at = s.granted[i].at
	s.granted = slices.Delete(s.granted, i, i+1)
	return at, true
}

// leave removes one who waits, and reports whether it did.
func (s *state) leave(now int64, p place) bool {
	i, ok := find(s.waiting, p)
	switch {
	case !ok:
		return false
	case i == 0:
		s.dropHead(now)
	default:
		s.waiting = slices.Delete(s.waiting, i, i+1)
		s.reshaped = true
	}
	return true
}

// setLimits changes the limits, for those who wait, too. The state has been settled.
func (s *state) setLimits(now int64, limits pacer.Limits) {
	s.alg.SetLimits(now, limits)
	s.limited = true
}

// setLimit is setLimits for the only one.
func (s *state) setLimit(now int64, limit pacer.Limit) { s.setLimits(now, pacer.Limits{limit}) }

// reset forgets what was granted, and what the remote has said. The limit goes with it, unless somebody waits for it. A pause
// stays: a person has ordered it, and is to end it.
func (s *state) reset(now int64) {
	limits := s.alg.Limits()
	if len(s.waiting) == 0 {
		s.limited, limits = false, pacer.Limits{{}}
	}
	paused := s.alg.Paused()
	s.alg = pacer.NewSchedule(limits...)
	s.alg.SetPaused(now, paused)
	s.turn, s.grants = now, 0
}

// idle reports whether nobody waits, and the bucket is full: nothing but the limit would be forgotten.
func (s *state) idle(now int64) bool {
	if len(s.granted)+len(s.waiting) > 0 {
		return false
	}
	return s.alg.Idle(now) || !s.limited && s.alg.Forgettable(now)
}

// void forgets the schedule, and all who were in it: it was made on a clock that says nothing here. The bucket starts
// empty as of e, so that whatever has been granted until then is made up for. So long after the state was written the clock
// was read that says now; what is left of a cooldown stays.
func (s *state) void(now, e, elapsed int64, boot [16]byte) {
	left := int64(0)
	if until, ok := s.alg.Until(s.bootAt); ok {
		left = until - s.bootAt - elapsed
	}
	s.alg.Restart(now, e, time.Duration(left))
	s.boot = boot
	s.bootAt, s.swept, s.turn, s.cursor = 0, 0, 0, 0
	s.forget()
}

// forget empties the queue: those who were in it ask again.
func (s *state) forget() {
	s.granted, s.waiting, s.reshaped = nil, nil, true
}

// rebase makes the state one of this boot, at now on its clock and wall on the wall clock.
//
// What another boot has granted lies before this one began, which is 0 on the boot clock: so the bucket was empty then
// at the worst. That holds whatever the wall clock says. Where that puts the last grant into this boot, the state is
// rather that of another host which shares the file, and the bucket was empty as of that grant. What is left of a cooldown only
// the wall clock can tell; it is no longer than it was at first.
func (s *state) rebase(now, wall int64, boot [16]byte) {
	last, ok := s.alg.Last()
	if !ok {
		last = s.bootAt
	}
	elapsed := wall - s.wallAt
	s.void(now, min(max(now-elapsed-(s.bootAt-last), 0), now), elapsed, boot)
}

func find(entries []entry, p place) (i int, ok bool) {
	i, ok = slices.BinarySearchFunc(entries, p.ticket, func(e entry, t uint64) int { return cmp.Compare(e.ticket, t) })
	return i, ok && entries[i].owner == p.owner
}
