package pacer

import (
	"time"
)

// RunsMost is how many runs a sliding window remembers at the most. It has more than half of them only while it was made larger
// and longer lately. Where that is not enough a grant counts as one with the grant before it.
const RunsMost = 2 * runsMost

// The windows. N is how many units one has room for, W how long it is, n the cost of a grant, t when it was asked for, or the slot
// of the one before it, if later. A window is half-open: what lies exactly W back is no longer in it.
//
// A grant of more than N units has, as that of a bucket above the burst, the slot that the last of its units would have if they
// were asked for one by one, and it counts as these units, each at its own slot: it borrows whole windows to come.

// A run is n units that were granted at one instant, or in a sliding window for many units at nearly one: at the last.
type run struct{ at, n int64 }

// runsMost is how many runs a sliding window needs at the most. Where it has room for more units than that, grants that
// are closer than W/runsMost count as one, as of the last of them: it is never early, and that much late at the most.
const runsMost = 1 << 14

// A Ring is the state of a sliding window: the runs that lie no further back than W before the newest, in order. Positions
// count up, and what was granted once is changed only if it is the newest. A grant costs the same however many there are.
//
//	slot = max(t, newest, slot of the (N-n+1)-th newest unit + W)
type Ring struct {
	first, end uint64 // positions: of the oldest run, and behind the newest
	total      int64  // units in them
	begin      int64  // when the first of the units of the newest run was granted
	runs       []run  // the run at a position is at that modulo its length, which is a power of two
	split      uint64 // of a copy: from this position on runs are in tail
	tail       []run
	isCopy     bool
}

// fork returns a copy. As long as it is used the original must not change; its runs are shared.
func (s *Ring) fork() *Ring {
	c := *s
	c.isCopy, c.split, c.tail = true, s.end, nil
	if s.isCopy {
		c.split, c.tail = s.split, append([]run(nil), s.tail...)
	}
	return &c
}

func (s *Ring) run(at uint64) run {
	if s.isCopy && at >= s.split {
		return s.tail[at-s.split]
	}
	return s.runs[at&uint64(len(s.runs)-1)]
}

// newest returns the newest run; there is one.
func (s *Ring) newest() run { return s.run(s.end - 1) }

// Span returns the positions of its runs: that of the oldest, and that behind the newest. Positions count up. A run stays as it is
// when there is one behind it.
func (s *Ring) Span() (first, end uint64) { return s.first, s.end }

// Run returns the run at a position: when its units were granted, and how many.
func (s *Ring) Run(at uint64) (slot, units int64) {
	r := s.run(at)
	return r.at, r.n
}

// Put gives the ring a run back that Recall has found missing. It reports whether that can be one: positions have to be given in
// order, and slots do not go back.
func (s *Ring) Put(at uint64, slot, units int64) bool {
	if at < s.first || at+1 >= s.end || units < 1 || slot > s.newest().at || at > s.first && slot < s.run(at-1).at {
		return false
	}
	s.set(at, run{slot, units})
	return true
}

// Sound reports whether the runs have as many units as there are in the window.
func (s *Ring) Sound() bool {
	total := int64(0)
	for at := s.first; at < s.end; at++ {
		if total += s.run(at).n; total < 0 {
			return false
		}
	}
	return total == s.total
}

// Rebase moves the runs to other positions, from base on.
func (s *Ring) Rebase(base uint64) {
	runs := make([]run, placesFor(s.end-s.first))
	for at := s.first; at < s.end; at++ {
		runs[(base+at-s.first)&uint64(len(runs)-1)] = s.run(at)
	}
	s.runs, s.first, s.end = runs, base, base+s.end-s.first
}

func placesFor(n uint64) uint64 {
	places := uint64(8)
	for places < n {
		places *= 2
	}
	return places
}

// from returns the earliest instant from t on that is no earlier than the newest grant.
func (s *Ring) from(t int64) int64 {
	if s.end > s.first {
		return max(t, s.newest().at)
	}
	return t
}

func (s *Ring) slot(t, n, room int64, per time.Duration) int64 {
	if n > room {
		whole := (n - 1) / room
		return later(s.slot(t, n-whole*room, room, per), mulDiv(whole, int64(per), 1))
	}
	t = s.from(t)
	if s.total <= room-n {
		return t
	}
	over := s.total - (room - n) // so many units have to be out of it
	for at := s.first; ; at++ {
		r := s.run(at)
		if over -= r.n; over <= 0 {
			return max(t, later(r.at, int64(per)))
		}
	}
}

// take makes a grant of n units at an instant that is no earlier than their slot, for which they were asked for at t.
func (s *Ring) take(t, n, at, room int64, per time.Duration) {
	if n > room {
		if s.slot(t, n, room, per) == at {
			s.borrow(t, n, room, per)
			return
		}
		n = room // others have had it come later: the window is full then
	}
	s.push(at, n, room, per)
}

func (s *Ring) push(at, n, room int64, per time.Duration) {
	for s.first < s.end && later(s.run(s.first).at, int64(per)) <= at {
		s.drop()
	}
	s.total += n
	if s.first < s.end {
		newest := s.newest()
		if newest.at == at || room > runsMost && at-s.begin < int64(per)/runsMost || s.end-s.first >= RunsMost {
			s.set(s.end-1, run{at, newest.n + n})
			return
		}
	}
	s.begin = at
	s.append(run{at, n})
}

func (s *Ring) drop() {
	s.total -= s.run(s.first).n
	s.first++
}

func (s *Ring) set(at uint64, r run) {
	switch {
	case !s.isCopy:
		s.runs[at&uint64(len(s.runs)-1)] = r
	case at >= s.split:
		s.tail[at-s.split] = r
	default: // the newest run of the original: the copy has one of its own instead
		s.split, s.tail = at, []run{r}
	}
}

func (s *Ring) append(r run) {
	if s.isCopy {
		s.tail = append(s.tail, r)
		s.end++
		return
	}
	if n := s.end - s.first; n == uint64(len(s.runs)) {
		runs := make([]run, placesFor(n+1))
		for at := s.first; at < s.end; at++ {
			runs[at&uint64(len(runs)-1)] = s.run(at)
		}
		s.runs = runs
	}
	s.runs[s.end&uint64(len(s.runs)-1)] = r
	s.end++
}

// borrow makes a grant of more units than there is room for, asked for at t, at its slot.
func (s *Ring) borrow(t, n, room int64, per time.Duration) {
	t = s.from(t)
	var units []run // the first of them, as many as there is room for, each at its slot
	if free := room - s.total; free > 0 {
		units = append(units, run{t, free})
	}
	aged := max(s.total-room, 0) // units that count no more, as the room has become less
	for at := s.first; at < s.end; at++ {
		r := s.run(at)
		gone := min(aged, r.n)
		aged -= gone
		if r.n -= gone; r.n > 0 {
			units = append(units, run{max(t, later(r.at, int64(per))), r.n})
		}
	}
	whole := (n - 1) / room
	last := n - whole*room // of the last window; before it there are the last of the one before
	for round, skip := range [...]int64{last, 0} {
		left := room - last
		if round == 1 {
			left = last
		}
		for _, r := range units {
			gone := min(skip, r.n)
			skip -= gone
			if k := min(r.n-gone, left); k > 0 {
				left -= k
				s.push(later(r.at, mulDiv(whole-1+int64(round), int64(per), 1)), k, room, per)
			}
		}
	}
}

// shift moves all of it to another clock.
func (s *Ring) shift(d int64) {
	for at := s.first; at < s.end; at++ {
		r := s.run(at)
		r.at += d
		s.set(at, r)
	}
	s.begin += d
}

// Ring returns what the i-th limit remembers, if it is a sliding window, otherwise nil.
func (s *Schedule) Ring(i int) *Ring { return s.at(i).ring }

// HasRing reports whether a limit is a sliding window.
func (s *Schedule) HasRing() bool {
	for i := range s.count {
		if s.at(i).ring != nil {
			return true
		}
	}
	return false
}

// Recall gives the ring of the i-th limit its runs, where UnmarshalBinary has left the newest only: from known, which was its ring
// before, and may be nil. Known is no longer to be used. It returns the positions that are missing still.
func (s *Schedule) Recall(i int, known *Ring) (from, to uint64) {
	r := s.at(i).ring
	if r.end-r.first < 2 {
		return 0, 0
	}
	newest := r.newest()
	from, to = r.first, r.end-1
	if known != nil && known.first <= r.first && r.first < known.end && known.end <= r.end {
		from = known.end - 1 // the newest may have got more units since, or have been another one
		r.runs = known.runs
		have := known.end - r.first
		if places := placesFor(r.end - r.first); places > uint64(len(r.runs)) {
			runs := make([]run, places)
			for at := r.first; at < r.first+have; at++ {
				runs[at&(places-1)] = known.run(at)
			}
			r.runs = runs
		}
		if known.end == r.end {
			from = to
		}
	} else {
		r.runs = make([]run, placesFor(r.end-r.first))
	}
	r.set(r.end-1, newest)
	return from, to
}

// Forget has the i-th limit, a sliding window, remember nothing.
func (s *Schedule) Forget(i int) { s.at(i).ring = &Ring{} }

// A fixed is the state of a fixed window: the one in which the last grant lies.
//
// Where windows are those of a calendar the end of one is computed when it is opened, and stands then on the clock that does not
// step. So a step of the wall clock can neither open one nor keep it open: the next one begins when this one was to end, and
// lasts until the calendar says; a wall clock that was set back meanwhile counts as being at the end that it had told.
type fixed struct {
	start, end int64 // end is 0 if there never was one
	count      int64 // units granted in it
	wall       int64 // its end on the wall clock, in ns since 1970, where it is of a calendar
}

// A frame is what a fixed window is computed with.
type frame struct {
	room int64
	per  time.Duration
	cal  *calendar
	wall int64 // the wall clock minus the clock of slots, in ns
}

// open returns the window that a grant at t opens, without the grant.
func (w *fixed) open(t int64, f *frame) fixed {
	if f.cal == nil {
		return fixed{start: t, end: later(t, int64(f.per))}
	}
	wall := max(t+f.wall, w.wall)
	next := f.cal.next(wall)
	return fixed{start: t, end: later(t, next-wall), wall: next}
}

// after returns the slot of n units, and the window as it is when they have been granted then.
func (w *fixed) after(t, n int64, f *frame) (at int64, next fixed) {
	next, at = *w, max(t, w.start)
	if at >= w.end {
		next = w.open(at, f)
	}
	rest := f.room - next.count
	switch {
	case n <= rest:
		next.count += n
		return at, next
	case n > f.room: // one by one: what is left of this one, and of those behind it
		n -= max(rest, 0)
	}
	skip := (n - 1) / f.room
	if f.cal == nil || skip > 1000 {
		next.end = later(next.end, mulDiv(skip, int64(f.per), 1))
		skip = 0
	}
	for ; skip >= 0; skip-- {
		next = next.open(next.end, f)
	}
	next.count = n - (n-1)/f.room*f.room
	return next.start, next
}

func (w *fixed) take(t, n, at int64, f *frame) {
	own, next := w.after(t, n, f)
	switch {
	case own == at:
	case n <= f.room: // others have had it come later
		_, next = w.after(at, n, f)
	default: // and nothing is left of the window then
		if at >= next.end {
			next = next.open(at, f)
		}
		next.count = f.room
	}
	*w = next
}
