package redisstore

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

const (
	// lookEvery is how often one who waits looks how things stand: nobody tells it.
	lookEvery = 500 * time.Millisecond
	// lookFirst is the same for the first of those who wait.
	lookFirst = 250 * time.Millisecond
	first     = 8
	// stale is how long after its slot one who slept may find out. One who does later was stopped, or the server was, or the clock
	// of that was set, and maybe all who waited with it: that they all go at once is what a limit is there to prevent.
	stale = time.Second
)

// Wait waits for a grant of one unit, as WaitN does.
func (s *Store) Wait(ctx context.Context) error { return s.WaitN(ctx, 1) }

// WaitN waits for one grant that costs n units, n > 0. Goroutines of a Store are served in the order in which they call it, and
// take turns with other processes: only the first of them has a place in the queue. If ctx ends first the place is given back
// and the cause of ctx returned. A cost above what the limit can grant at once is a *pacer.CostError, unless Options.Debt is set.
// Other errors are pacer.ErrNoLimit, ErrFull, ErrClosed, and *ServerError.
func (s *Store) WaitN(ctx context.Context, n int) error {
	_, err := s.Grant(ctx, n)
	return err
}

// Grant is WaitN, and returns the grant.
func (s *Store) Grant(ctx context.Context, n int) (*Reservation, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	select {
	case s.line <- struct{}{}: // nobody is in line
	default:
		if n := int(s.lined.Add(1)); s.opts.Queue != 0 && n >= s.most() { // and the one that they wait for
			s.lined.Add(-1)
			return nil, &pacer.FullError{Most: s.most()}
		}
		defer s.lined.Add(-1)
		select {
		case s.line <- struct{}{}:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-s.done:
			return nil, ErrClosed
		}
	}
	defer func() { <-s.line }()
	r, err := s.Reserve(ctx, n)
	if err == nil {
		err = r.Wait(ctx)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Try grants n units if nobody waits and they are due now. If not it writes nothing, and returns how long it would take
// for one who asks now; negative if there's no end to it: the limit allows no events, or the key is paused.
func (s *Store) Try(ctx context.Context, n int) (granted bool, wait time.Duration, err error) {
	within := time.Duration(0)
	select {
	case s.line <- struct{}{}:
		defer func() { <-s.line }()
	default:
		within = -1 // a goroutine of ours waits
	}
	_, err = s.ReserveWithin(ctx, n, within)
	var late *pacer.LateError
	if errors.As(err, &late) {
		return false, late.Wait, nil
	}
	return err == nil, 0, err
}

// Reserve takes a place in the queue of the key for n units, at once: it does not stand in the line of those who Wait. Errors are
// those of WaitN.
func (s *Store) Reserve(ctx context.Context, n int) (*Reservation, error) {
	return s.ReserveWithin(ctx, n, math.MaxInt64)
}

// ReserveWithin is Reserve if the slot, as things stand, is no more than d away. If it is, the error is a *pacer.LateError and
// nothing was written.
func (s *Store) ReserveWithin(ctx context.Context, n int, d time.Duration) (*Reservation, error) {
	if int64(n) > math.MaxUint32 {
		return nil, &pacer.CostError{Cost: int64(n), Burst: math.MaxUint32}
	}
	r := &Reservation{s: s, n: int64(n)}
	st, err := s.ask(ctx, r.n, d, s.most())
	if err != nil {
		return nil, err
	}
	r.standing = st
	return r, nil
}

// most returns how many may wait.
func (s *Store) most() int {
	if s.opts.Queue == 0 {
		return queueMost
	}
	return max(s.opts.Queue, 0)
}

// A standing is how a reservation stands.
type standing struct {
	phase  phase
	member string    // its place, while it waits
	slot   int64     // on the clock of the key, as of the last look; of one that waits, no later than that
	some   bool      // whether there is a slot
	exact  bool      // whether that is the slot
	due    time.Time // when that is here
	ahead  int       // how many wait before it
	as     time.Time // as of when
}

type phase int

const (
	waiting phase = iota
	granted
	cancelled
)

// ask takes a grant of n units, or else a place in the queue, and puts up with a server that is away.
func (s *Store) ask(ctx context.Context, n int64, within time.Duration, most int) (st standing, err error) {
	s.mu.Lock()
	s.number++
	number := strconv.FormatUint(s.number, 10)
	s.mu.Unlock()
	ghost := ""
	err = s.patiently(ctx, func() (err error) {
		st, err = s.askOnce(ctx, n, within, most, number, ghost)
		ghost = number // whether it was heard we do not know
		return err
	})
	if err != nil && IsAway(err) {
		s.abandonNumber(number)
	}
	return st, err
}

// patiently does something again as long as the server is away, and Options.Away is not over.
func (s *Store) patiently(ctx context.Context, do func() error) error {
	start := time.Now()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := do()
		if !IsAway(err) || s.opts.Away <= 0 || time.Since(start) > s.opts.Away {
			return err
		}
		if e := s.sleep(ctx, pause/2+rand.N(pause/2)); e != nil {
			return e
		}
	}
}

func (s *Store) askOnce(ctx context.Context, n int64, within time.Duration, most int, number, ghost string) (standing, error) {
	limit := ""
	if within < math.MaxInt64 {
		limit = pair(int64(within))
	}
	debt := "0"
	if s.opts.Debt {
		debt = "1"
	}
	late := func(a *answer) {
		switch {
		case a == nil:
			s.abandonNumber(number)
		case a.kind == "W":
			_, _, _ = a.time(), a.time(), a.int()
			s.abandon(a.text())
		}
	}
	for try := 0; ; try++ {
		s.mu.Lock()
		names := ""
		if !s.joined && s.opts.Limits != nil && !s.opts.Adopt {
			names = namesOf(s.opts.Limits, s.opts.Bytes)
		}
		s.mu.Unlock()
		a, err := s.tell(ctx, late, n, names, func(ghost string) string {
			return number + " " + s.pid + " " + strconv.Itoa(most) + " " + debt + " " + ghost + " " + limit
		}, number, ghost)
		if err != nil {
			return standing{}, err
		}
		switch a.kind {
		case "G", "g", "W":
			s.join()
			if ghost != "" && a.late() > stale { // we have overslept
				ghost = ""
				break
			}
			return s.stands(a), nil
		case "L":
			wait := time.Duration(a.time())
			if paused := a.int() == 1; wait < 0 {
				return standing{}, &pacer.LateError{Wait: -1, Paused: paused}
			}
			return standing{}, &pacer.LateError{Wait: wait, Slot: a.got.Add(wait)}
		case "F":
			return standing{}, &pacer.FullError{Most: most}
		case "H":
			st, ok, err := s.askHere(ctx, a, n, within, most, number)
			if ok || err != nil {
				return st, err
			}
			if try < holdAfter {
				break
			}
			if a, err = s.readOrHold(ctx, try); err != nil {
				return standing{}, err
			}
			if a.kind == "B" {
				break
			}
			if st, ok, err = s.askHere(ctx, a, n, within, most, number); ok || err != nil {
				return st, err
			}
		case "B": // somebody else has it held
		default:
			return standing{}, &ServerError{s.name, errOdd}
		}
		if err := s.pause(ctx, try); err != nil {
			return standing{}, err
		}
	}
}

const (
	// streakLong is after how many grants that were due the next one is expected to be.
	streakLong = 8
	// quickMost is how long one who asks can then be held up by a server that does not answer although its ctx has ended.
	quickMost = 500 * time.Millisecond
)

// tell asks for a grant. While grants are due one after another it does so in this goroutine, since another one, which could be left
// alone with the call, takes longer than half of the grants; and it asks for no more than the short way: the keys of the others take time.
func (s *Store) tell(ctx context.Context, late func(*answer), n int64, names string, rest func(ghost string) string, number, ghost string) (*answer, error) {
	op := "ask"
	if n == 1 && ghost == "" {
		op = "one"
	}
	if op == "one" && s.streak.Load() >= streakLong && s.begin() {
		a, err := s.sendWithin(ctx, min(quickMost, s.opts.Timeout), 1, op, names)
		s.tasks.Done()
		switch {
		case err == nil && a.kind == "?": // nothing was done
		case err == nil || !isSlow(err):
			return a, err
		default:
			ghost = number // whether it was heard we do not know
		}
		op = "ask"
		s.streak.Store(0)
	}
	return s.callFor(ctx, late, func() (*answer, error) {
		return s.sendWithin(ctx, s.opts.Timeout, len(s.keys), op, names, s.who, n, rest(ghost))
	})
}

// askHere is ask where the script has left it to us. It returns false if somebody was there in between.
func (s *Store) askHere(ctx context.Context, a *answer, n int64, within time.Duration, most int, number string) (st standing, ok bool, err error) {
	t, err := s.parse(a)
	if err != nil {
		return st, false, err
	}
	t.settle()
	if err := t.join(); err != nil {
		return st, false, err
	}
	if err := t.alg.CheckCost(n, s.opts.Debt); err != nil {
		return st, false, err
	}
	if within < math.MaxInt64 {
		switch at, ok := t.fold(len(t.waiting), n); {
		case !ok:
			return st, false, &pacer.LateError{Wait: -1, Paused: t.alg.Paused()}
		case at-t.now > int64(within):
			return st, false, &pacer.LateError{Wait: time.Duration(at - t.now), Slot: t.timeOf(at)}
		}
	}
	if st, err = t.ask(n, number, most); err != nil {
		return st, false, err
	}
	ok, member, err := t.commit(ctx)
	if !ok || err != nil {
		return st, false, err
	}
	if st.phase == granted {
		s.know(st.slot)
	} else {
		st.member = member
		s.wait(member)
	}
	return st, true, nil
}

// stands returns what an answer says of how one stands.
func (s *Store) stands(a *answer) (st standing) {
	if a.kind == "g" {
		at := a.int()*int64(time.Second) + a.int()
		s.know(at)
		s.adopt(a.text())
		return standing{phase: granted, slot: at, some: true, exact: true, due: a.got}
	}
	now := a.time()
	switch a.kind {
	case "G":
		st = standing{phase: granted, slot: a.time(), some: true}
		st.due = a.got.Add(time.Duration(st.slot - now))
		s.know(st.slot)
	default:
		h, l := a.int(), a.int()
		st = standing{as: a.got, slot: h<<32 + l, some: h >= 0, ahead: int(a.int()), member: a.text()}
		st.due = a.got.Add(time.Duration(st.slot - now))
		s.wait(st.member)
	}
	s.adopt(a.text())
	st.exact = st.phase == granted || a.int() == 1
	if !st.some {
		st.slot = 0
	}
	return st
}

// know keeps in mind the last grant that we know of.
func (s *Store) know(slot int64) {
	s.mu.Lock()
	s.last = max(s.last, slot)
	s.mu.Unlock()
}

// wait says that we have a place, and sees to it that the server hears of us as long as that is so.
func (s *Store) wait(member string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mine[member], s.heard = struct{}{}, time.Now()
	if s.beating || s.closed {
		return
	}
	s.beating = true
	s.tasks.Add(1)
	go s.beat()
}

// beat tells the server that we live, as long as we have places.
func (s *Store) beat() {
	defer s.tasks.Done()
	every := s.opts.Heartbeat / 4
	for {
		s.mu.Lock()
		if len(s.mine) == 0 || s.closed {
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
		if _, err := s.send(context.Background(), "beat"); err != nil { // those who wait find out themselves
			_ = s.sleep(context.Background(), every/4)
		}
	}
}

// only returns "1" if we have no other place.
func (s *Store) only(member string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for place := range s.mine {
		if place != member {
			return ""
		}
	}
	return "1"
}

func (s *Store) forget(member string) {
	s.mu.Lock()
	delete(s.mine, member)
	s.mu.Unlock()
}

// abandon gives a place back that nobody has any more. It is called where somebody waits for s.tasks.
func (s *Store) abandon(member string) {
	s.forget(member)
	if member == "" {
		return
	}
	if err := s.leaveNow(context.Background(), member); IsAway(err) { // as long as we live nobody takes it for that of a dead one
		e, _ := parseEntry(member)
		s.abandonNumber(e.number)
	}
}

// leaveNow gives a place back, whether or not the Store is closed.
func (s *Store) leaveNow(ctx context.Context, member string) error {
	for range holdMost / holdLeast {
		a, err := s.send(ctx, "leave", member, "")
		if err == nil && a.kind == "H" { // the script has left it to us
			var ok bool
			if ok, err = s.leave(ctx, a, member); err == nil && !ok {
				continue
			}
			return err
		}
		if err != nil || a.kind != "B" {
			return err
		}
		select { // somebody else has it held
		case <-time.After(holdLeast):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// abandonNumber gives back the place of one that has asked, where we do not know whether the server has heard it.
func (s *Store) abandonNumber(number string) {
	if !s.begin() {
		return
	}
	go func() {
		defer s.tasks.Done()
		for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
			if s.sleep(context.Background(), pause) != nil {
				return
			}
			a, err := s.send(context.Background(), "read")
			if err != nil {
				continue
			}
			t, err := s.parse(a)
			if err != nil {
				return
			}
			i := slices.IndexFunc(t.waiting, func(e entry) bool { return e.owner == s.owner && e.number == number })
			if i >= 0 && IsAway(s.leaveNow(context.Background(), t.waiting[i].member)) {
				continue
			}
			return
		}
	}()
}

// A Reservation is a place in the queue of a key, with the time of its slot. When that has come it is a grant, whether or
// not anybody waits for it. It keeps its place as long as its Store is open, and the server hears of that. Its methods may be
// called by several goroutines.
type Reservation struct {
	s *Store
	n int64

	mu sync.Mutex
	standing
}

func (r *Reservation) now() standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.standing
}

// Wait returns nil when the reservation is a grant, also if it has long been one. If ctx ends first the place is given
// back and the cause of ctx returned; so it is with an error of the server, which is a *ServerError. ErrClosed says that the
// Store was closed, or the reservation cancelled.
func (r *Reservation) Wait(ctx context.Context) error {
	for {
		st := r.now()
		switch st.phase {
		case granted:
			return nil
		case cancelled:
			return ErrClosed
		}
		d := lookEvery
		if st.ahead < first {
			d = lookFirst
		}
		d -= time.Since(st.as)
		ahead := false
		if st.some {
			left := time.Until(st.due)
			ahead = left > 0
			d = min(d, left)
		}
		err := r.s.sleep(ctx, d)
		if err == nil {
			err = r.s.patiently(ctx, func() error { return r.look(ctx, ahead) })
		}
		if err != nil {
			if !r.Cancel() && r.now().phase == granted {
				return nil
			}
			return err
		}
	}
}

// look finds out how things stand, and collects the grant if it is one. One who slept, when the slot was still ahead, and
// overslept it has lost it and asks again.
func (r *Reservation) look(ctx context.Context, slept bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != waiting {
		return nil
	}
	for try := 0; ; try++ {
		done, err := r.lookOnce(ctx, slept)
		if done || err != nil {
			return err
		}
		if try > 0 {
			if err := r.s.pause(ctx, try); err != nil {
				return err
			}
		}
	}
}

// lookOnce is look. It returns false if somebody was there in between, or there is a grant to be collected now.
func (r *Reservation) lookOnce(ctx context.Context, slept bool) (done bool, err error) {
	s, old := r.s, r.member
	a, err := s.call(ctx, nil, "look", old, s.only(old))
	if err != nil {
		return false, err
	}
	switch a.kind {
	case "B": // somebody else has it held
		return false, nil
	case "W":
		r.standing = s.stands(a)
		return true, nil
	case "G":
		if slept && a.late() > stale {
			break
		}
		s.forget(old)
		r.standing = s.stands(a)
		return true, nil
	case "H":
		t, err := s.parse(a)
		if err != nil {
			return false, err
		}
		if t.version == 0 {
			break
		}
		t.settle()
		i := t.find(old)
		if t.write {
			if ok, _, err := t.commit(ctx); err != nil || !ok {
				return false, err
			}
		}
		if i < 0 {
			return false, nil
		}
		r.ahead, r.as = i, t.got
		r.slot, r.some = t.fold(i+1, 0)
		r.exact, r.due = true, t.timeOf(r.slot)
		return true, nil
	}
	// The state was lost, or the server has not heard of us for long, or we have overslept: ask again.
	s.forget(old)
	st, err := s.ask(ctx, r.n, math.MaxInt64, queueMost)
	if err == nil {
		r.standing = st
	}
	return true, err
}

// Cancel gives the place back, so that those behind move up. It reports false if there is nothing to give back, as the
// slot has come or the reservation was cancelled before.
func (r *Reservation) Cancel() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != waiting {
		return false
	}
	s, old := r.s, r.member
	s.forget(old)
	ctx, stop := context.WithTimeout(context.Background(), min(s.opts.Timeout, leaveMost))
	defer stop()
	for try := 0; ; try++ {
		a, err := s.call(ctx, nil, "leave", old, s.only(old))
		switch {
		case err != nil:
			if e, ok := parseEntry(old); ok {
				s.abandonNumber(e.number)
			}
		case a.kind == "G":
			r.standing = s.stands(a)
			return false
		case a.kind == "B":
			_ = s.pause(context.Background(), try)
			continue
		case a.kind == "H":
			ok, err := s.leave(ctx, a, old)
			if e, known := parseEntry(old); err != nil && known {
				s.abandonNumber(e.number)
			}
			if err == nil && !ok {
				_ = s.pause(ctx, try)
				continue
			}
		}
		r.standing = standing{phase: cancelled}
		return true
	}
}

// leave gives a place back where the script has left it to us. It returns false if it has to be looked at again.
func (s *Store) leave(ctx context.Context, a *answer, member string) (ok bool, err error) {
	t, err := s.parse(a)
	if err != nil {
		return false, err
	}
	t.settle()
	i := t.find(member)
	if i >= 0 {
		t.leave(i)
	}
	if t.write {
		if ok, _, err := t.commit(ctx); err != nil || !ok {
			return false, err
		}
	}
	return i >= 0 || !t.write, nil
}

// Throttled says that the attempt which this grant was for was throttled by the remote: nobody has a grant before the
// cooldown is over, in no process of no host, those who wait already included. It returns what came of it. A reservation that is
// no grant has no attempt: nothing comes of it.
func (r *Reservation) Throttled(ctx context.Context, f pacer.Feedback) (pacer.Cooldown, error) {
	st, random := r.now(), rand.Uint64()
	var c pacer.Cooldown
	throttled := func(t *tx) error {
		c = pacer.Cooldown{}
		before, _ := t.alg.Until(0)
		events := t.alg.Events()
		if st.phase == granted {
			c.New = t.alg.Throttled(t.now, st.slot, f, random)
		}
		until, _ := t.alg.Until(0)
		t.write = t.write || until != before || t.alg.Events() != events
		t.anew = t.anew || t.write
		c.Rate = t.alg.Effective(t.now)
		if at, ok := t.alg.Until(t.now); ok {
			c.Until, c.Length = t.timeOf(at), time.Duration(at-t.now)
		}
		t.after = append(t.after, func() {
			r.s.mu.Lock()
			r.s.until = max(r.s.until, until)
			r.s.mu.Unlock()
		})
		return nil
	}
	if err := r.s.patiently(ctx, func() error { return r.s.update(ctx, throttled) }); err != nil {
		return pacer.Cooldown{}, err
	}
	return c, nil
}

// Slot returns when the grant is due as things stand, or was due once it is made, on the clock of this host. It is the zero time
// if there is no slot: the limit allows no events, the key is paused, or the reservation was given back.
func (r *Reservation) Slot() time.Time {
	if at := r.Since1970(); at == 0 {
		return time.Time{}
	}
	return r.now().due
}

// Since1970 is Slot on the clock of the key, which is that of the server as long as that was not set back: the clock on which slots
// are computed, exact to the nanosecond, which all clients can compare. It is 0 if there is no slot.
func (r *Reservation) Since1970() time.Duration {
	ctx, stop := context.WithTimeout(context.Background(), r.s.opts.Timeout)
	defer stop()
	for range 3 {
		if r.look(ctx, false) != nil { // what was known before is good enough
			break
		}
		if st := r.now(); st.exact || st.phase != waiting || r.exactly(ctx) {
			break
		}
	}
	st := r.now()
	if !st.some {
		return 0
	}
	return time.Duration(st.slot)
}

// exactly finds out the slot of one that waits.
func (r *Reservation) exactly(ctx context.Context) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, err := r.s.call(ctx, nil, "read")
	if err != nil {
		return true
	}
	t, err := r.s.parse(a)
	if err != nil {
		return true
	}
	t.settle()
	i := t.find(r.member)
	if i < 0 {
		return false
	}
	r.slot, r.some = t.fold(i+1, 0)
	r.exact, r.due, r.ahead, r.as = true, t.timeOf(r.slot), i, t.got
	return true
}
