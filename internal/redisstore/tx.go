package redisstore

import (
	"context"
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A tx is the state as the server had it, and what becomes of it. It is the same arithmetic over the same queue as that of
// the script, by package pacer, which knows all cases.
type tx struct {
	s       *Store
	now     int64 // on the clock of the key
	version int64 // 0: there is no state
	turn    int64 // when the head came to the front
	grants  int64
	offset  int64 // the clock of the key minus that of the server
	seen    int64 // when the state was last written
	limited bool
	bytes   bool
	alg     pacer.Schedule
	waiting []entry
	got     time.Time

	write   bool
	anew    bool // what sliding windows remember is not in the state as it is here
	granted []entry
	removed []entry
	asked   *entry // one more who waits
	notes   []error
	after   []func() // once it is written
}

// An entry is one who waits; once it is a grant at is its slot.
type entry struct {
	member, owner, pid string
	number             string
	cost, at           int64
}

func parseEntry(member string) (e entry, ok bool) {
	p := strings.Split(member, ":")
	if len(p) != 7 {
		return e, false
	}
	e = entry{member: member, owner: p[2], number: p[3], pid: p[4]}
	cost, err := strconv.ParseInt(p[1], 10, 64)
	h, err1 := strconv.ParseInt(p[5], 10, 64)
	l, err2 := strconv.ParseInt(p[6], 10, 64)
	e.cost, e.at = cost, h<<32+l
	return e, err == nil && err1 == nil && err2 == nil && cost > 0
}

// parse reads the state from an answer of kind "H", of which slots can be computed.
func (s *Store) parse(a *answer) (*tx, error) {
	t, err := s.read(a)
	if err == nil {
		if bad := t.alg.Err(); bad != nil { // a time zone that is not known here
			return nil, &ServerError{s.name, bad}
		}
	}
	return t, err
}

// read reads the state from an answer of kind "H".
func (s *Store) read(a *answer) (*tx, error) {
	t := &tx{s: s, got: a.got}
	t.now, t.version, t.turn, t.grants = a.time(), a.int(), a.time(), a.int()
	t.offset = a.time()
	blob, names := a.text(), a.text()
	for _, member := range a.list() {
		e, ok := parseEntry(member)
		if !ok {
			return nil, &ServerError{s.name, ErrForeign}
		}
		t.waiting = append(t.waiting, e)
	}
	runs := a.list()
	t.seen = a.time()
	t.limited, t.bytes = names != "", strings.HasPrefix(names, "bytes ")
	if t.version == 0 {
		t.waiting, t.alg, t.anew = nil, pacer.NewSchedule(pacer.Limit{}), true
	} else if t.alg.UnmarshalBinary([]byte(blob)) != nil {
		return nil, &ServerError{s.name, ErrForeign}
	}
	t.alg.SetWall(-t.offset)
	if t.alg.HasRing() && t.version != 0 {
		t.recall(runs)
	}
	return t, nil
}

// recall gives the sliding windows back what they remember.
func (t *tx) recall(runs []string) {
	known := make(map[string]string, len(runs)/2)
	for i := 0; i+1 < len(runs); i += 2 {
		known[runs[i]] = runs[i+1]
	}
	for i := range t.alg.Len() {
		r := t.alg.Ring(i)
		if r == nil {
			continue
		}
		from, to := t.alg.Recall(i, nil)
		ok := true
		for at := from; at < to && ok; at++ {
			b := known[runName(i, at)]
			ok = len(b) == 16 && r.Put(at, int64(binary.LittleEndian.Uint64([]byte(b))), int64(binary.LittleEndian.Uint64([]byte(b[8:]))))
		}
		if !ok || !r.Sound() {
			t.alg.Forget(i)
			t.alg.Empty(t.now)
			t.write, t.anew = true, true
			t.notes = append(t.notes, &DamageError{t.s.name, "what a sliding window remembers is missing: going on as if it were full"})
		}
	}
}

func runName(i int, at uint64) string { return strconv.Itoa(i+1) + ":" + strconv.FormatUint(at, 10) }

// settle makes a grant of every slot that has come.
func (t *tx) settle() {
	for len(t.waiting) > 0 {
		head := t.waiting[0]
		from := t.since()
		at, ok := t.alg.Slot(from, head.cost)
		if !ok || at > t.now {
			break
		}
		t.take(from, head.cost)
		head.at = at
		t.granted = append(t.granted, head)
		t.waiting = t.waiting[1:]
	}
	before, step := t.alg.Scheduled()
	if step != 0 && len(t.waiting) > 0 {
		return // the slot of the head is computed over all steps from when it was asked for: the one that is in force then is needed
	}
	t.alg.Advance(t.now)
	if c, s := t.alg.Scheduled(); c != before || s != step {
		t.write = true
	}
}

// since returns the time from which the slot of the first in the queue counts, or of one who asks now if nobody waits.
func (t *tx) since() int64 {
	if len(t.waiting) == 0 {
		return t.now
	}
	return max(t.waiting[0].at, t.turn)
}

func (t *tx) take(from, n int64) {
	t.turn, _ = t.alg.Slot(from, n)
	t.alg.Take(from, n)
	t.grants++
	t.write, t.anew = true, true
}

// fold returns the slot of n units behind the first i who wait, or of the last of those for an n of 0.
func (t *tx) fold(i int, n int64) (at int64, ok bool) {
	return t.alg.Fold(t.since(), func(yield func(n int64) bool) {
		for _, e := range t.waiting[:i] {
			if !yield(e.cost) {
				return
			}
		}
		if n > 0 {
			yield(n)
		}
	})
}

// find returns where one stands who waits, or -1.
func (t *tx) find(member string) int {
	return slices.IndexFunc(t.waiting, func(e entry) bool { return e.member == member })
}

// leave has the i-th who waits leave. If that is the head the next one comes to the front now, or when its slot came.
func (t *tx) leave(i int) {
	if i == 0 && len(t.waiting) > 1 {
		front := t.now
		if next, ok := t.alg.Bound(t.since(), t.waiting[0].cost+t.waiting[1].cost); ok {
			front = min(front, next)
		}
		t.turn = max(t.turn, front)
	}
	t.removed = append(t.removed, t.waiting[i])
	t.waiting = slices.Delete(slices.Clone(t.waiting), i, i+1)
	t.write = true
	t.settle()
}

// timeOf returns the time here of an instant on the clock of the key.
func (t *tx) timeOf(at int64) time.Time { return t.got.Add(time.Duration(at - t.now)) }

// join brings the limits that were given together with those stored, before the first grant is asked for.
func (t *tx) join() error {
	s := t.s
	s.mu.Lock()
	limits, joined, warned, last, until := s.limits, s.joined, s.warned, s.last, s.until
	s.mu.Unlock()
	given := s.opts.Limits
	if t.limited && !joined && given != nil && s.opts.As != nil {
		given = s.opts.As(t.alg.Limits())
	}
	switch {
	case !t.limited: // nobody has given it a limit, or it was lost, or reset: what was last in force goes on
		if limits == nil {
			return pacer.ErrNoLimit
		}
		t.setLimits(limits)
		t.follow(last, until)
	case given != nil && s.opts.Bytes != t.bytes:
		return pacer.ErrUnit
	case joined || given == nil || s.opts.Adopt || given.Equal(t.alg.Limits()):
	default:
		stored := t.alg.Limits()
		holds := stored.Stricter(given)
		if err := holds.Validate(); err != nil {
			return err
		}
		if !warned {
			t.notes = append(t.notes, &pacer.ConflictError{Stored: stored, Given: given, Holds: holds})
			t.after = append(t.after, func() {
				s.mu.Lock()
				s.warned = true
				s.mu.Unlock()
			})
		}
		if !holds.Equal(stored) {
			t.alg.Restrict(t.now, holds)
			t.write, t.anew = true, true
		}
	}
	t.after = append(t.after, s.join)
	t.settle()
	return nil
}

// follow has a state that is new go on from one that was lost: what we know to be granted there counts as if it had emptied the
// bucket, and the cooldown that we know of goes on.
func (t *tx) follow(last, until int64) {
	if t.version != 0 {
		return
	}
	if last > 0 {
		t.alg.Empty(min(last, t.now))
	}
	if until > t.now {
		t.alg.Cool(t.now, time.Duration(until-t.now))
	}
}

func (s *Store) join() {
	s.mu.Lock()
	s.joined = true
	s.mu.Unlock()
}

func (t *tx) setLimits(limits pacer.Limits) {
	t.alg.SetLimits(t.now, limits)
	t.limited, t.bytes = true, t.s.opts.Bytes
	t.write, t.anew = true, true
}

// ask takes a grant of n units, or else a place in the queue.
func (t *tx) ask(n int64, number string, most int) (standing, error) {
	if len(t.waiting) == 0 && t.alg.Grab(t.now, n) {
		t.turn = t.now
		t.grants++
		t.write, t.anew = true, true
		return standing{phase: granted, slot: t.now, some: true}, nil
	}
	if len(t.waiting) >= most {
		return standing{}, &pacer.FullError{Most: most}
	}
	t.write = true
	t.asked = &entry{cost: n, at: t.now, number: number, pid: t.s.pid}
	at, ok := t.fold(len(t.waiting), n)
	return standing{slot: at, some: ok, exact: true, due: t.timeOf(at), ahead: len(t.waiting), as: t.got}, nil
}

// commit writes what has become of the state, unless it has changed meanwhile: then it returns false.
func (t *tx) commit(ctx context.Context) (ok bool, member string, err error) {
	blob, _ := t.alg.AppendBinary(nil) // the error is always nil
	names := ""
	if t.limited {
		names = namesOf(t.alg.Limits(), t.bytes)
	}
	th, tl := split(t.turn)
	args := []any{t.version, th, tl, t.grants, blob, t.describe(blob), names}
	if t.anew {
		args = t.appendRuns(append(args, 1))
	} else {
		args = append(args, 0)
	}
	args = append(args, len(t.granted))
	for _, e := range t.granted {
		args = append(args, e.member, pair(e.at))
	}
	args = append(args, len(t.removed))
	for _, e := range t.removed {
		args = append(args, e.member)
	}
	if e := t.asked; e != nil {
		h, l := split(e.at)
		args = append(args, 1, e.cost, e.number, e.pid, h, l)
	} else {
		args = append(args, 0)
	}
	late := func(a *answer) {
		switch {
		case a == nil:
			t.s.abandonNumber(t.asked.number)
		case a.kind == "K":
			t.s.abandon(a.text())
		}
	}
	if t.asked == nil {
		late = nil
	}
	var a *answer
	if t.s.isClosed() { // it gives back what it had
		a, err = t.s.send(ctx, "commit", args...)
	} else {
		a, err = t.s.call(ctx, late, "commit", args...)
	}
	if err != nil || a.kind != "K" {
		return false, "", err
	}
	for _, note := range t.notes {
		t.s.warn(note)
	}
	for _, do := range t.after {
		do()
	}
	t.s.adopt(names)
	return true, a.text(), nil
}

func (t *tx) appendRuns(args []any) []any {
	var runs []any
	for i := range t.alg.Len() {
		r := t.alg.Ring(i)
		if r == nil {
			continue
		}
		for at, end := r.Span(); at < end; at++ {
			slot, units := r.Run(at)
			b := binary.LittleEndian.AppendUint64(nil, uint64(slot))
			runs = append(runs, runName(i, at), binary.LittleEndian.AppendUint64(b, uint64(units)))
		}
	}
	return append(append(args, len(runs)/2), runs...)
}

// Kinds of limits, as the script has them.
const (
	kindNone    = 0 // no slot
	kindBucket  = 1
	kindSliding = 2
	kindFixed   = 3
	kindDated   = 4 // a fixed window of a calendar: the client opens it
	kindOpen    = 5 // holds nobody up
	kindHard    = 9 // numbers too large for doubles: the client computes
)

// exactMost is how large a number may be that the script computes with, so that sums of two are exact.
const exactMost = 1 << 52

// describe returns the limits as the script has them: doubles, each a whole number.
func (t *tx) describe(blob []byte) []byte {
	parts := t.alg.Parts()
	cool, step := t.alg.Scheduled()
	paused := 0.0
	if t.alg.Paused() {
		paused = 1
	}
	most := int64(exactMost)
	for _, p := range parts {
		if p.Limit.Events > 0 && p.Limit.Per > 0 {
			most = min(most, p.Units())
		}
	}
	ch, cl := split(cool)
	sh, sl := split(step)
	b := doubles(nil, float64(len(parts)), paused, float64(most), float64(ch), float64(cl), float64(sh), float64(sl),
		math.Ceil(float64(matters(parts, blob))/1e9))
	for _, p := range parts {
		b = describePart(b, p)
	}
	return b
}

// matters returns until when what was granted matters by limits that the script does not compute.
func matters(parts []pacer.Part, blob []byte) (until int64) {
	at := func(i int) int64 { return int64(binary.LittleEndian.Uint64(blob[i:])) }
	for _, p := range parts {
		end := at(p.At) // of a bucket
		switch p.Limit.Algorithm {
		case pacer.SlidingWindow:
			end = at(p.At + 24)
			end += min(int64(p.Limit.Per), math.MaxInt64-end)
		case pacer.FixedWindow:
			end = at(p.At + 8)
		case pacer.Paced, pacer.TokenBucket:
		}
		until = max(until, end)
	}
	return until
}

func describePart(b []byte, p pacer.Part) []byte {
	l, burst := p.Limit, p.Units()
	kind, grain := kindBucket, int64(0)
	var q, r, whole, rest int64
	switch {
	case l.Events <= 0:
		kind = kindNone
	case l.Per == 0:
		kind = kindOpen
	case l.Events >= exactMost || int64(l.Per) >= exactMost && l.Algorithm != pacer.Paced && l.Algorithm != pacer.TokenBucket:
		kind = kindHard
	case p.Calendar:
		kind = kindDated
	case l.Algorithm == pacer.FixedWindow:
		kind = kindFixed
	case l.Algorithm == pacer.SlidingWindow:
		kind = kindSliding
		if l.Events > pacer.RunsMost/2 {
			grain = int64(l.Per) / (pacer.RunsMost / 2)
		}
	default:
		q, r = int64(l.Per)/l.Events, int64(l.Per)%l.Events
		hi, lo := bits.Mul64(uint64(burst), uint64(l.Per))
		if hi >= uint64(l.Events) || q >= exactMost || burst >= exactMost {
			kind = kindHard
			break
		}
		w, x := bits.Div64(hi, lo, uint64(l.Events))
		if w >= 1<<61 {
			kind = kindHard
			break
		}
		whole, rest = int64(w), int64(x)
	}
	h, l2 := split(whole)
	return doubles(b, float64(kind), float64(p.At+1), float64(l.Events), float64(l.Events), float64(q), float64(r), float64(burst),
		float64(h), float64(l2), float64(rest), float64(l.Per), float64(grain))
}

func doubles(b []byte, values ...float64) []byte {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// update has change work on the state, and writes what comes of it, as often as it takes until nobody is there in between.
func (s *Store) update(ctx context.Context, change func(*tx) error) error {
	for try := 0; ; try++ {
		a, err := s.readOrHold(ctx, try)
		if err != nil {
			return err
		}
		if a.kind != "B" {
			t, err := s.parse(a)
			if err != nil {
				return err
			}
			t.settle()
			if err := change(t); err != nil {
				return err
			}
			if !t.write {
				return nil
			}
			if ok, _, err := t.commit(ctx); ok || err != nil {
				return err
			}
		}
		if err := s.pause(ctx, try); err != nil {
			return err
		}
	}
}

const (
	// holdAfter is how often others may be there in between before the key is held: with the grants of a busy key, and a server that is
	// far away, that would go on for ever.
	holdAfter = 4
	// holdLeast and holdMost are for how long.
	holdLeast, holdMost = 20 * time.Millisecond, 500 * time.Millisecond
)

// readOrHold reads the state. Who has tried often has the key held until it has written what it computes: the answer is of kind "B" if
// somebody else has.
func (s *Store) readOrHold(ctx context.Context, try int) (*answer, error) {
	sent := time.Now()
	var a *answer
	var err error
	if try < holdAfter {
		a, err = s.call(ctx, nil, "read")
	} else {
		a, err = s.call(ctx, nil, "hold", min(max(4*time.Duration(s.trip.Load()), holdLeast), holdMost).Microseconds())
	}
	s.trip.Store(int64(time.Since(sent)))
	return a, err
}

// pause waits for a moment, so that of several who are in each other's way one gets through.
func (s *Store) pause(ctx context.Context, try int) error {
	d := time.Duration(rand.Int64N(int64(time.Millisecond) << min(try, 5)))
	return s.sleep(ctx, d)
}

// sleep returns nil after d, ErrClosed, or the cause of ctx.
func (s *Store) sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.done:
		return ErrClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// SetLimits changes the limits of the key, from now on and for those who wait. The units in a bucket stay, up to the new burst, and
// so does what lies in a window. A rate that was cut by feedback is so no more; a cooldown stays.
func (s *Store) SetLimits(ctx context.Context, limits pacer.Limits) error {
	if err := limits.Validate(); err != nil {
		return err
	}
	return s.ChangeLimits(ctx, func(pacer.Limits) (pacer.Limits, error) { return limits, nil })
}

// ChangeLimits is SetLimits with limits that follow from those stored: nobody else changes them in between. Change gets nil if
// none are stored, and is called again if somebody was there in between; if it returns an error nothing is written.
func (s *Store) ChangeLimits(ctx context.Context, change func(stored pacer.Limits) (pacer.Limits, error)) error {
	return s.change(ctx, func(t *tx) error {
		var stored pacer.Limits
		if t.limited {
			if s.opts.Bytes != t.bytes {
				return pacer.ErrUnit
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
		t.setLimits(limits)
		s.mu.Lock()
		last, until := s.last, s.until
		s.mu.Unlock()
		t.follow(last, until)
		t.after = append(t.after, s.join)
		return nil
	})
}

// SetPaused pauses the key, or resumes. While it is paused nobody has a grant; those who wait keep their places, and who asks
// gets one.
func (s *Store) SetPaused(ctx context.Context, paused bool) error {
	return s.change(ctx, func(t *tx) error {
		t.alg.SetPaused(t.now, paused)
		return nil
	})
}

// SetCooldown makes the cooldown of the key end d from now, whatever it was. A d of 0 ends it.
func (s *Store) SetCooldown(ctx context.Context, d time.Duration) error {
	return s.change(ctx, func(t *tx) error {
		t.alg.Cool(t.now, d)
		return nil
	})
}

func (s *Store) change(ctx context.Context, do func(*tx) error) error {
	return s.patiently(ctx, func() error {
		return s.update(ctx, func(t *tx) error {
			if err := do(t); err != nil {
				return err
			}
			t.settle()
			t.write = true
			return nil
		})
	})
}

// Reset forgets what was granted, and what the remote has said: the bucket is full, and there is no cooldown. Those who wait
// stay, and keep their limit; if nobody does the limit is forgotten, too. A pause stays.
func (s *Store) Reset(ctx context.Context) error {
	return s.change(ctx, func(t *tx) error {
		limits := t.alg.Limits()
		if len(t.waiting) == 0 {
			t.limited, limits = false, pacer.Limits{{}}
		}
		paused := t.alg.Paused()
		t.alg = pacer.NewSchedule(limits...)
		t.alg.SetWall(-t.offset)
		t.alg.SetPaused(t.now, paused)
		t.turn, t.grants, t.anew = t.now, 0, true
		limited := t.limited
		t.after = append(t.after, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.last = 0; !limited {
				s.limits, s.joined, s.names = s.opts.Limits, false, ""
			}
		})
		return nil
	})
}
