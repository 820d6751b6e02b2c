package lockfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// A clock is that of a host: it counts from its boot, never steps, goes on in suspend, and is the same for all processes.
type clock struct {
	boot [16]byte     // tells boots, and hosts, apart
	now  func() int64 // ns since boot
	// both returns now and the wall clock of the same instant, in ns since 1970. It is called with mu held.
	both func() (now, wall int64)
}

// A waker ends the sleep of other processes. Where there is none (nil) they look more often.
type waker interface {
	// sleep returns a channel that is closed when the wake counter is not seen any more, when d has passed, or earlier. It is nil if
	// so many sleep that one more has to do without.
	sleep(seen uint32, d time.Duration) <-chan struct{}
	// wake ends the sleep of those who have seen another value than the counter has now.
	wake()
	close()
}

// owners know which of those who have entries in the queue are alive. An open file is one owner, with a number.
type owners interface {
	// claim makes a number ours, for as long as the file is open. It is errTaken if it is that of another.
	claim(owner uint32) error
	// alive reports whether another open file has claimed the number, and its process lives. When in doubt it does.
	alive(owner uint32) bool
	close()
}

var errTaken = errors.New("number is taken")

// fileOwners keep a lock on a small file for each owner, beside the state. That works where locks on parts of a file
// are not what is needed, and costs a file for each process that waits.
type fileOwners struct {
	path string
	held handle
	name string // of the file that is held
}

func newFileOwners(path string) owners { return &fileOwners{path: path, held: noHandle} }

const ownerSuffix = ".owner"

func (o *fileOwners) nameOf(owner uint32) string {
	return fmt.Sprintf("%s.%d%s", o.path, owner, ownerSuffix)
}

func (o *fileOwners) claim(owner uint32) error {
	name := o.nameOf(owner)
	h, err := newFile(name, 0o644)
	if errors.Is(err, fs.ErrExist) {
		h, err = openFile(name, false)
	}
	if err != nil {
		return err
	}
	switch ok, err := h.tryLock(); {
	case err != nil:
		_ = h.close()
		return err
	case !ok:
		_ = h.close()
		return errTaken
	}
	o.held, o.name = h, name
	return nil
}

func (o *fileOwners) alive(owner uint32) bool {
	name := o.nameOf(owner)
	h, err := openFile(name, false)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer h.close() //nolint:errcheck // nothing was written
	free, err := h.tryRLock()
	if free {
		_ = os.Remove(name) // its owner is dead; where we may not, somebody else will
	}
	return !free || err != nil
}

func (o *fileOwners) close() {
	if o.held != noHandle {
		_ = os.Remove(o.name)
		_ = o.held.close()
		o.held = noHandle
	}
}
