package lockfile

import (
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A Status is how a key stands.
type Status struct {
	Path    string
	Key     string       // empty for a file that has none
	Limited bool         // whether a limit is stored
	Limit   pacer.Limit  // of several that with the lowest rate
	Limits  pacer.Limits // all of them
	Bytes   bool         // whether they count bytes
	// What is in force of the limit: all of it, unless feedback has cut it.
	Effective pacer.Limit
	Usage     []pacer.Usage // of each limit, those who wait left out
	Cooldown  time.Time     // the end of the cooldown; zero if there is none
	Paused    bool
	Throttled uint64    // how many events there have been at which the remote has throttled attempts, counted as Grants are
	Grants    uint64    // how many there have been since the file was made, or reset
	Last      time.Time // the slot of the last grant; zero if there has been none, or it is not known as the host was booted
	Next      time.Time // when a unit asked for now would be due; zero if there is no slot
	Updated   time.Time // when the file was last written, on the wall clock
	Waiting   []Waiter  // in order
	Damage    string    // what is wrong with the file, if anything: "a record is damaged"; or with its limits here, so that there is no slot

	idle bool // nobody waits, and the bucket is full
}

// A Waiter is one who waits, as of a Status.
type Waiter struct {
	PID   int // in the PID namespace that it is in
	Cost  int
	Since time.Time
	Slot  time.Time // zero if there is none, as the limit allows no events or the key is paused
}

// Status returns how the key stands. It does as Read does.
func (f *File) Status() (Status, error) { return read(f.path, f.opts.hooks) }

// Read returns how the key of a state file stands. It takes no lock, so it waits for nobody, and it writes and creates
// nothing. It reads the file of another user, too, where permissions allow it. Errors are *fs.PathError.
func Read(path string) (Status, error) { return read(path, hooks{}) }

func read(path string, hooks hooks) (Status, error) {
	h, err := openFile(path, false)
	if err != nil {
		return Status{}, pathError(path, err)
	}
	defer h.close() //nolint:errcheck // nothing was written
	if info, err := h.stat(); err != nil || !info.regular {
		if err == nil {
			err = unsafeError("it is not a regular file")
		}
		return Status{}, pathError(path, err)
	}
	s, err := inspect(h, path, hooks)
	return s, pathError(path, err)
}

// readTries is how often a file is read again that was written in between, and readPause the time from one to the next.
const (
	readTries = 30
	readPause = time.Millisecond
)

// inspect reads the state without a lock: both checksums match, or it was read while it was written.
func inspect(h handle, path string, hooks hooks) (Status, error) {
	f := &File{path: path, h: h}
	if err := f.setClocks(hooks); err != nil {
		return Status{}, err
	}
	f.owners = newOwners(h, path, hooks.portable || h.remote() != "")
	t := f.begin()
	defer t.end()
	var key string
	for try := range readTries {
		if try > 0 {
			<-time.After(readPause)
			t.again()
		}
		t.now, t.wall = f.clock.both()
		var err error
		if key, err = t.read(); err != nil {
			return Status{}, err
		}
		if len(t.notes) == 0 {
			break
		}
	}
	updated := t.wallAt
	t.settle(t.now, f.alive)
	return f.status(t, key, updated), nil
}

func (f *File) status(t *tx, key string, updated int64) Status {
	s := Status{
		Path: f.path, Key: key, Limited: t.limited, Limit: t.alg.Limit(), Bytes: t.bytes, Grants: t.grants,
		Effective: t.alg.Effective(t.now), Paused: t.alg.Paused(), Throttled: t.alg.Events(),
	}
	if at, ok := t.alg.Until(t.now); ok {
		s.Cooldown = f.timeOf(at)
	}
	if updated != 0 {
		s.Updated = time.Unix(0, updated)
	}
	if at, ok := t.alg.Last(); ok && t.grants > 0 {
		s.Last = f.timeOf(at)
	}
	if at, ok := t.slotBehind(t.now, 1); ok {
		s.Next = f.timeOf(at)
	}
	if t.limited {
		s.Limits, s.Usage = t.alg.Limits(), t.alg.Usage(t.now)
	}
	s.idle = t.idle(t.now)
	for _, e := range t.waiting {
		w := Waiter{PID: int(e.pid), Cost: int(e.cost), Since: f.timeOf(e.at)}
		since := max(e.at, t.turn)
		if at, ok := t.alg.Slot(since, int64(e.cost)); ok {
			w.Slot = f.timeOf(at)
			t.take(since, int64(e.cost)) // nobody but us sees it
		}
		s.Waiting = append(s.Waiting, w)
	}
	if err := t.alg.Err(); err != nil {
		s.Damage = err.Error()
	}
	for _, note := range t.notes {
		if s.Damage != "" {
			s.Damage += "; "
		}
		s.Damage += note.(*DamageError).What //nolint:errorlint,forcetypeassert // read notes nothing else
	}
	return s
}
