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
}

// A waker ends the sleep of other processes. Where there is none (nil) they look more often.
type waker interface {
	// sleep returns a channel that is closed when the wake counter is not seen any more, when d has passed, or earlier.
	sleep(seen uint32, d time.Duration) <-chan struct{}
	// wake ends the sleep of those who have seen another value than the counter has now.
	wake()
	close()
}

// owners know which tickets have an owner that is alive.
type owners interface {
	// claim makes a ticket one of ours. It is errTaken if the owner of one with the same number is alive, which left the
	// queue when the file was damaged.
	claim(ticket uint64) error
	// alive reports whether another open file has claimed the ticket, and its process lives. When in doubt it is.
	alive(ticket uint64) bool
	release(ticket uint64)
	close()
}

var errTaken = errors.New("ticket is taken")

// fileOwners keep a lock on a small file for each ticket, beside the state. That works where locks on parts of a file
// are not what is needed, and costs a file for each who waits.
type fileOwners struct {
	path string
	held map[uint64]handle
}

func newFileOwners(path string) owners { return &fileOwners{path: path, held: map[uint64]handle{}} }

const ownerSuffix = ".owner"

func (o *fileOwners) name(ticket uint64) string {
	return fmt.Sprintf("%s.%d%s", o.path, ticket, ownerSuffix)
}

func (o *fileOwners) claim(ticket uint64) error {
	h, err := newFile(o.name(ticket), 0o644)
	if errors.Is(err, fs.ErrExist) {
		h, err = openFile(o.name(ticket), false)
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
	o.held[ticket] = h
	return nil
}

func (o *fileOwners) alive(ticket uint64) bool {
	h, err := openFile(o.name(ticket), false)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer h.close() //nolint:errcheck // nothing was written
	free, err := h.tryRLock()
	if free {
		_ = os.Remove(o.name(ticket)) // its owner is dead; where we may not, somebody else will
	}
	return !free || err != nil
}

func (o *fileOwners) release(ticket uint64) {
	if h, ok := o.held[ticket]; ok {
		delete(o.held, ticket)
		_ = os.Remove(o.name(ticket))
		_ = h.close()
	}
}

func (o *fileOwners) close() {
	for ticket := range o.held {
		o.release(ticket)
	}
}
