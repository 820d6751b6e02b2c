package lockfile

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A tx is the state while the lock is held, or one looks without it.
type tx struct {
	record // the one in force
	f      *File
	*scratch
	now  int64 // on the boot clock, read after the lock was taken
	wall int64 // on the wall clock at that time, in ns since 1970

	write bool // the state has changed
	moved bool // slots of those who wait have changed: wake them

	side    int    // of the record in force
	wake    uint32 // the wake counter
	rebuild bool   // the whole page has to be written
	notes   []error
	joining bool // the limit given has been applied

	left   uint64 // a ticket of ours to give up once the state is written
	failed uint64 // one to give up if it can't be
}

// A scratch is where what is read and written is put. A process that has thousands of files open needs only as many as it looks at.
type scratch struct {
	tx     tx
	page   [pageSize]byte
	buffer []byte
	room   [recordRoom]byte // for a record, and its grants
}

// scratches are those not in use.
var scratches = sync.Pool{New: func() any { return new(scratch) }} //nolint:gochecknoglobals // it is for all files

// begin returns a tx that knows nothing yet. It has to be given back by end.
func (f *File) begin() *tx {
	s := scratches.Get().(*scratch) //nolint:forcetypeassert // there is nothing else in it
	s.tx.f, s.tx.scratch = f, s
	return &s.tx
}

func (t *tx) end() {
	s := t.scratch
	*t = tx{} // what it refers to can go
	scratches.Put(s)
}

// again has it know nothing, as begin does.
func (t *tx) again() { *t = tx{f: t.f, scratch: t.scratch} }

// update has change work on the state as of now, and writes it, in one step under the lock. If change returns an error
// nothing is written.
func (f *File) update(ctx context.Context, change func(*tx) error) (err error) {
	if err := f.lock(ctx); err != nil {
		return f.named(err)
	}
	t := f.begin()
	err = t.load()
	if err == nil && t.write { // what was found wrong is put right whatever comes of change: else it would be found anew
		err = t.store()
	}
	if err == nil {
		err = t.run(change)
	}
	if err == nil {
		delete(f.mine, t.left)
	} else {
		delete(f.mine, t.failed)
	}
	if t.reshaped { // and not written: what we know was changed on the way
		f.known = queue{}
	}
	if err != nil && t.write { // the same, unless it is as it was
		f.windows.forget()
	}
	var waker waker
	notes := t.notes
	if t.moved && err == nil && f.openWaker() == nil { // else they find out when they look
		waker = f.waker
	}
	t.end()
	if e := f.unlock(); err == nil {
		err = e
	}
	if waker != nil {
		waker.wake()
	}
	for _, note := range notes {
		f.warn(note)
	}
	return f.named(err)
}

// named returns an error of the system, or about the file, with the path.
func (f *File) named(err error) error {
	if err == nil {
		return nil
	}
	var errno syscall.Errno
	if errors.As(err, &errno) || errors.Is(err, ErrForeign) || errors.Is(err, ErrVersion) || errors.Is(err, ErrUnsafe) {
		return pathError(f.path, err)
	}
	return err
}

func (t *tx) run(change func(*tx) error) error {
	if changed, moved := t.settle(t.now, t.f.alive); changed {
		t.write, t.moved = true, t.moved || moved
	}
	if err := change(t); err != nil {
		return err
	}
	if t.write {
		if err := t.store(); err != nil {
			return err
		}
	}
	if t.limited {
		t.f.adopt(&t.alg)
	}
	t.f.joined = t.f.joined || t.joining
	return nil
}

// load reads the clock and the state, as of now. If the file that is locked is not the one at its path any more, as that was
// removed or replaced, it goes over to the one that is there, or creates it.
func (t *tx) load() error {
	f := t.f
	for range 100 {
		t.now, t.wall = f.clock.both()
		gone := f.gone(t.now)
		if !gone {
			if _, err := t.read(); err != nil {
				return err
			}
			gone = t.retired
		}
		if !gone {
			if f.lost != nil {
				t.follow(f.lost)
			}
			if err := t.alg.Err(); err != nil {
				return pathError(f.path, err)
			}
			return nil
		}
		if f.lost == nil {
			f.lost = t.history()
		}
		if err := f.reopen(); err != nil {
			return err
		}
		if err := f.h.lock(); err != nil { // it is new: nobody can have been stopped in it for long
			return err
		}
		t.again()
	}
	return errors.New("it is replaced again and again")
}

// linkedEvery is how often it is looked whether a file was removed: a fifth of the cost of a grant.
const linkedEvery = 10 * time.Millisecond

// gone reports whether path has another file than the one that is open, or none. Whether it was removed it looks every
// linkedEvery, and whether another one was put in its place every lookEvery; whoever removes a file by the rules says so
// in it, too.
func (f *File) gone(now int64) bool {
	if now-f.linked >= int64(linkedEvery) {
		f.linked = now
		if info, err := f.h.stat(); err != nil || info.links == 0 {
			return true
		}
	}
	if now-f.checked < int64(lookEvery) {
		return false
	}
	f.checked = now
	info, err := statPath(f.path)
	return err != nil || info.id != f.id
}

// read finds the state in force, as of now, and returns the key in the file.
func (t *tx) read() (key string, err error) {
	f := t.f
	n, err := f.h.readAt(t.page[:], 0)
	if err != nil {
		return "", err
	}
	page := t.page[:n]
	key, intact, err := f.header(page)
	if err != nil {
		return "", err
	}
	clear(t.page[n:])
	t.wake = binary.LittleEndian.Uint32(t.page[wakeAt:])
	empty := !intact && allZero(page)
	switch {
	case empty:
		t.note("it is empty: starting from an empty bucket")
	case !intact:
		t.note("its head is damaged: writing a new one")
	}
	if !intact {
		t.rebuild, t.write = true, true
	}
	return key, t.readState(page, empty)
}

func (t *tx) readState(page []byte, empty bool) error {
	f := t.f
	side, err := newest(page, &t.record)
	t.side = max(side, 0)
	switch {
	case side < 0:
		t.state = newState(f.clock.boot)
		t.alg.Empty(t.now)
		t.rebuild = true
		if !empty {
			t.note("both of its records are damaged: starting from an empty bucket")
		}
	case err != nil:
		t.note("a record is damaged: going on from an empty bucket")
	}
	if side < 0 {
		f.known = queue{}
		f.windows.forget()
	} else if err := t.readQueue(); err != nil {
		return err
	}
	if t.alg.HasCalendar() {
		t.setWall()
	}
	intact, bad := t.readWindows()
	switch {
	case bad != nil:
		return bad
	case !intact:
		t.note("what a sliding window remembers is damaged: going on as if it were full")
		t.alg.Empty(t.now)
		t.write = true
	}
	if t.boot != f.clock.boot {
		t.rebase(t.now, t.wall, f.clock.boot)
		t.write = true
	}
	switch ahead := t.bootAt - t.now; {
	case ahead > int64(time.Second):
		t.note("it is " + time.Duration(ahead).String() + " ahead of the clock: going on from an empty bucket")
		t.void(t.now, t.now, 0, f.clock.boot)
		t.write = true
	case ahead > 0:
		t.now = t.bootAt
	}
	if err != nil {
		t.alg.Empty(t.now) // the last update may be the one that is damaged
		t.write, t.reshaped = true, true
		f.windows.forget() // it may have written runs
	}
	return nil
}

// setWall tells the limits what the wall clock says, for windows of a calendar.
func (t *tx) setWall() { t.alg.SetWall(t.wall - t.now) }

func (t *tx) note(what string) {
	t.notes = append(t.notes, &DamageError{Path: t.f.path, What: what})
}

// store writes the state to the side that is not in force.
func (t *tx) store() error {
	f := t.f
	t.bootAt, t.wallAt = t.now, t.wall
	if err := t.writeWindows(); err != nil {
		return err
	}
	if t.rebuild {
		if err := f.h.writeAt(newPage(f.key, &t.state, t.seq+1, t.wake), 0); err != nil {
			return err
		}
		t.seq, t.side, t.rebuild, t.reshaped = t.seq+2, 1, false, true
	}
	side := 1 - t.side
	if err := t.writeQueue(); err != nil {
		return err
	}
	var record []byte
	record, t.buffer = t.put(t.room[:], t.seq+1, t.buffer[:0])
	if len(t.granted) <= grantsMost(len(record)) {
		record = append(record, t.buffer...)
	} else if err := f.h.writeAt(t.buffer, grantedAt(side)); err != nil {
		return err
	}
	if err := f.h.writeAt(record, recordAt(side)); err != nil {
		return err
	}
	f.known.ring, f.known.first, f.known.entries = t.ring, t.first, t.waiting
	t.reshaped = false
	t.seq, t.side, t.write, f.lost = t.seq+1, side, false, nil
	if t.moved {
		t.wake++
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], t.wake)
		return f.h.writeAt(b[:], wakeAt)
	}
	return nil
}

// A history is what is known of a file that is gone.
type history struct {
	limits pacer.Limits
	last   int64 // the slot of the last grant
	any    bool
	until  int64 // the end of the cooldown; 0: there was none
}

// reopen goes over to the file at path. Our tickets are gone: those who have one ask again.
func (f *File) reopen() error {
	if f.waker != nil {
		f.waker.wake()
		f.waker.close()
		f.waker = nil
	}
	if err := f.drop(); err != nil {
		return err
	}
	return f.open() // where it fails, the next call tries again
}

// history returns what the file that is open knows.
func (t *tx) history() *history {
	f := t.f
	n, _ := f.h.readAt(t.page[:], 0)
	var r record
	side, _ := newest(t.page[:n], &r)
	if side < 0 || r.boot != f.clock.boot {
		return nil
	}
	h := &history{}
	if r.limited {
		h.limits = r.alg.Limits()
	}
	h.last, h.any = r.alg.Last()
	h.until, _ = r.alg.Until(0)
	return h
}

// follow has the state go on from that of a file that is gone: what was granted there counts as if it had emptied the
// bucket, and its cooldown goes on.
func (t *tx) follow(lost *history) {
	if !t.limited && lost.limits != nil {
		t.setWall()
		t.setLimits(t.now, lost.limits)
	}
	if lost.any {
		t.alg.Empty(min(lost.last, t.now))
	}
	if until, _ := t.alg.Until(t.now); lost.until > max(until, t.now) {
		t.alg.Cool(t.now, time.Duration(lost.until-t.now))
	}
	t.write = true
}

// join brings the limit that was given together with the one stored, before the first grant is asked for. After that the
// one stored holds, whatever becomes of it.
func (t *tx) join() error {
	f := t.f
	given := f.opts.Limits
	if t.limited && !f.joined && given != nil && f.opts.As != nil {
		given = f.opts.As(t.alg.Limits())
	}
	switch {
	case !t.limited:
		// nobody has given it a limit, or it was lost, or reset: what was last in force goes on
		if f.limits == nil {
			return ErrNoLimit
		}
		t.setWall()
		t.setLimits(t.now, f.limits)
		t.bytes = f.opts.Bytes
		t.write = true
	case given != nil && f.opts.Bytes != t.bytes:
		return ErrUnit
	case f.joined || given == nil || given.Equal(t.alg.Limits()):
	default:
		stored := t.alg.Limits()
		holds := stored.Stricter(given)
		if err := holds.Validate(); err != nil {
			return err
		}
		if !f.warned {
			f.warned = true
			t.notes = append(t.notes, &ConflictError{Stored: stored, Given: given, Holds: holds})
		}
		if !holds.Equal(stored) {
			t.setWall()
			t.alg.Restrict(t.now, holds)
			t.write, t.moved = true, true
		}
	}
	t.joining = true
	changed, moved := t.settle(t.now, f.alive)
	t.write, t.moved = t.write || changed, t.moved || moved
	return nil
}

// SetLimit makes a limit the only one of the key, as SetLimits does.
func (f *File) SetLimit(ctx context.Context, limit pacer.Limit) error {
	return f.SetLimits(ctx, pacer.Limits{limit})
}

// SetLimits changes the limits of the key, from now on and for those who wait: they move at once. The units in a bucket stay, up
// to the new burst, and so does what lies in a window. A rate that was cut by feedback is so no more; a cooldown stays.
func (f *File) SetLimits(ctx context.Context, limits pacer.Limits) error {
	if err := limits.Validate(); err != nil { // whatever the file has
		return err
	}
	return f.ChangeLimits(ctx, func(pacer.Limits) (pacer.Limits, error) { return limits, nil })
}

// ChangeLimits is SetLimits with limits that follow from those stored: nobody else changes them in between. Change is called
// under the lock, with nil if none are stored, and must not call the File; if it returns an error nothing is written.
func (f *File) ChangeLimits(ctx context.Context, change func(stored pacer.Limits) (pacer.Limits, error)) error {
	return f.update(ctx, func(t *tx) error {
		var stored pacer.Limits
		if t.limited {
			if f.opts.Bytes != t.bytes {
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
		t.bytes = f.opts.Bytes
		t.setWall()
		t.setLimits(t.now, limits)
		t.settle(t.now, f.alive)
		t.write, t.moved, t.joining = true, true, true
		return nil
	})
}

// SetPaused pauses the key, or resumes. While it is paused nobody has a grant; those who wait keep their places, and who asks
// gets one. Grants go on at once when it is resumed, as after idle time.
func (f *File) SetPaused(ctx context.Context, paused bool) error {
	return f.change(ctx, func(t *tx) { t.alg.SetPaused(t.now, paused) })
}

// SetCooldown makes the cooldown of the key end d from now, whatever it was. A d of 0 ends it.
func (f *File) SetCooldown(ctx context.Context, d time.Duration) error {
	return f.change(ctx, func(t *tx) { t.alg.Cool(t.now, d) })
}

// change does something to the schedule, and lets all who wait know.
func (f *File) change(ctx context.Context, do func(*tx)) error {
	return f.update(ctx, func(t *tx) error {
		do(t)
		t.settle(t.now, f.alive)
		t.write, t.moved = true, true
		return nil
	})
}

// Reset forgets what was granted, and what the remote has said: the bucket is full, and there is no cooldown. Those who wait
// stay, and keep their limit; if nobody does the limit is forgotten, too. A pause stays.
func (f *File) Reset(ctx context.Context) error {
	return f.update(ctx, func(t *tx) error {
		t.reset(t.now)
		t.settle(t.now, f.alive)
		t.write, t.moved = true, true
		if !t.limited {
			f.limits, f.joined = f.opts.Limits, false
		}
		return nil
	})
}
