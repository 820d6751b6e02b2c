package dynamostore

import (
	"slices"

	"github.com/throttle-cli/throttle/pacer"
)

// A state is what is known of a key: what has been granted, and who waits, in order. Its methods are pure: they take the time, in ns since
// 1970. The slots of those who wait are not in it. They are the arithmetic of the limits over the queue, so that one who leaves is
// dropped, and no more.
type state struct {
	limited bool // whether alg has a limit
	bytes   bool // whether that counts bytes
	alg     pacer.Schedule
	seen    int64  // when it was written
	turn    int64  // when the head came to the front: the slot of the grant before it, or when that one left
	amnesty int64  // nobody is taken for dead before
	grants  uint64 // how many there have been
	waiting []entry
	granted []entry // those who waited, and may not know it yet
}

// An entry is one who waits. An owner has each number once.
type entry struct {
	owner  owner
	number uint64
	pid    uint32 // for people
	cost   int64
	at     int64 // when it was asked for; once it is a grant, its slot
}

// settle makes a grant of every slot that has come, whether or not its owner knows, and reports whether there was one.
func (s *state) settle(now int64) (changed bool) {
	for len(s.waiting) > 0 {
		head := s.waiting[0]
		from := s.since(now)
		at, ok := s.alg.Slot(from, head.cost)
		if !ok || at > now {
			break
		}
		s.take(from, head.cost)
		head.at = at
		s.granted = append(s.granted, head)
		s.waiting = s.waiting[1:]
		changed = true
	}
	return changed
}

// since returns the time from which the slot of the first in the queue counts, or of one who asks now if nobody waits.
func (s *state) since(now int64) int64 {
	if len(s.waiting) == 0 {
		return now
	}
	return max(s.waiting[0].at, s.turn)
}

func (s *state) take(from, n int64) {
	s.turn, _ = s.alg.Slot(from, n)
	s.alg.Take(from, n)
	s.grants++
}

// grab makes a grant of n units to one who asks now, if nobody waits and the slot has come.
func (s *state) grab(now, n int64) bool {
	if len(s.waiting) > 0 || !s.alg.Grab(now, n) {
		return false
	}
	s.turn = now
	s.grants++
	return true
}

// fold returns the slot of n units behind the first i who wait, or of the last of those for an n of 0.
func (s *state) fold(now int64, i int, n int64) (at int64, ok bool) {
	return s.alg.Fold(s.since(now), func(yield func(n int64) bool) {
		for _, e := range s.waiting[:i] {
			if !yield(e.cost) {
				return
			}
		}
		if n > 0 {
			yield(n)
		}
	})
}

// leave has the i-th who waits leave. If that is the head the next one comes to the front now, so that it gets no slot in the past. What
// is due has been settled.
func (s *state) leave(now int64, i int) {
	if i == 0 && len(s.waiting) > 1 {
		s.turn = max(s.turn, now)
	}
	s.waiting = slices.Delete(slices.Clone(s.waiting), i, i+1)
}

// drop has all leave of whom leaves says so, and reports whether there were any.
func (s *state) drop(now int64, leaves func(entry) bool) (changed bool) {
	for i := 0; i < len(s.waiting); {
		if !leaves(s.waiting[i]) {
			i++
			continue
		}
		s.leave(now, i)
		changed = true
	}
	return changed
}

func (s *state) setLimits(now int64, limits pacer.Limits, bytes bool) {
	s.alg.SetLimits(now, limits)
	s.limited, s.bytes = true, bytes
}

// reset forgets what was granted, and what the remote has said. The limits go with it, unless somebody waits for them. A pause stays.
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

func find(list []entry, o owner, number uint64) (i int, ok bool) {
	i = slices.IndexFunc(list, func(e entry) bool { return e.number == number && e.owner == o })
	return i, i >= 0
}

// lasts returns until when what was granted, or will be to those who wait, matters: an instant that is no earlier.
func (s *state) lasts(now int64) int64 {
	end := now
	if last, ok := s.alg.Last(); ok {
		end = max(end, last)
	}
	if at, ok := s.fold(now, len(s.waiting), 0); ok {
		end = max(end, at)
	}
	longest := 0.0
	for _, l := range s.alg.EffectiveLimits(now) {
		if l.Events <= 0 || l.Per <= 0 {
			continue
		}
		periods := 1.0 // a window, and what follows of one that was longer than it says
		if l.Algorithm == pacer.Paced || l.Algorithm == pacer.TokenBucket && l.Burst > 0 {
			periods = float64(max(l.Burst, 1)) / float64(l.Events)
		}
		longest = max(longest, periods*float64(l.Per))
	}
	if left := longest * 1.1; left < float64(lastsMost) {
		end = addTo(end, int64(left))
	} else {
		end = addTo(end, lastsMost)
	}
	if until, ok := s.alg.Until(now); ok {
		end = max(end, until)
	}
	return min(end, addTo(now, lastsMost))
}

// lastsMost is 100 years.
const lastsMost = 100 * 365 * 24 * int64(3600e9)

// addTo returns the sum, or the latest instant there is.
func addTo(t, d int64) int64 {
	if sum := t + d; d < 0 || sum >= t {
		return sum
	}
	return 1<<63 - 1
}
