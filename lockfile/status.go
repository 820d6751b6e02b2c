package lockfile

import (
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// A Status is how the key of a file stands.
type Status struct {
	pacer.Status
	Path string

	idle bool // nobody waits, and the bucket is full
}

// A Waiter is one who waits, as of a Status.
type Waiter = pacer.Waiter

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
	s := Status{Path: f.path, idle: t.idle(t.now), Status: pacer.Status{
		Key: key, Limited: t.limited, Limit: t.alg.Limit(), Bytes: t.bytes, Grants: t.grants,
		Effective: t.alg.Effective(t.now), Paused: t.alg.Paused(), Throttled: t.alg.Events(),
	}}
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
