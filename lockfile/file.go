// Package lockfile shares a limit between the processes of a host, strictly first come, first served.
//
// The state of a key, what was granted and who waits, is in one file. Whoever asks takes the lock of the file, reads the
// clock, reads the state, writes the state and gives the lock back; it sleeps until its slot without the lock. Slots
// are those of package pacer: exact, counted from the slot before. The place of one who is killed while waiting is given
// back, a changed limit moves all who wait at once, and a process that dies at any instruction leaves the state as it
// was, or with its grant made. docs/shared-state.md says what happens in each kind of trouble.
//
//	dir, err := lockfile.DefaultDir(os.Getenv)
//	f, err := lockfile.Open(lockfile.PathOf(dir, "github"), "github", lockfile.Options{Limit: pacer.Per(10, time.Second)})
//	err = f.Wait(ctx) // in any number of goroutines of any number of processes
package lockfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/throttle-cli/throttle/pacer"
)

// Options say how a file is opened. The zero Options adopt the limit that is stored.
type Options struct {
	// Limits are the limits of the key. If others are stored then both hold, from the first call on that asks for a grant, and
	// Warn gets a *ConflictError. Without any, those stored are adopted; if there are none, asking for a grant is ErrNoLimit.
	Limits pacer.Limits
	// As returns Limits as they are where others are stored, for those who leave open what they do not say of them. It is called
	// under the lock, and must not call the File. Nil leaves nothing open.
	As func(stored pacer.Limits) pacer.Limits
	// Limit is short for Limits with one. The zero Limit is none.
	Limit pacer.Limit
	// Queue is how many may wait at the most when we ask for a grant that is not due: otherwise it is a *pacer.FullError. 0 is
	// as many as there is room for; below that nobody may. Of the goroutines that Wait in line only ours are counted.
	Queue int
	// Bytes says that Limit, or that of SetLimit, counts bytes. It is stored with a limit, and one that counts something else
	// is ErrUnit.
	Bytes bool
	// Debt lets a grant cost more than a limit can grant at once, as pacer.WithDebt does.
	Debt bool
	// Shared is for a file that several users share. It may belong to anybody and be writable by its group, but not by all.
	// It is created with the permissions that the umask leaves of 0660, in a directory that must exist. Otherwise the file and
	// its directory must be ours and writable by nobody else; they are created with 0600 and 0700.
	Shared bool
	// MustExist makes it an error, fs.ErrNotExist, if there is no file.
	MustExist bool
	// Warn is called with a *ConflictError, *DamageError or *RemoteError when one is found, each once. Nil ignores them. It
	// must not call the File, or its reservations.
	Warn func(error)

	hooks hooks
}

// Hooks are for the tests.
type hooks struct {
	clock    clock            // where now is nil: that of the host
	wall     func() time.Time // nil is time.Now
	portable bool             // do as on a system that has neither locks of open files on bytes nor futexes
}

// A File is the shared state of a key. Its methods may be called by any number of goroutines.
type File struct {
	path, key string
	opts      Options
	clock     clock
	wall      func() time.Time

	line line // of the goroutines that Wait

	// mu is held by whoever sends to it, and guards what follows. It is taken before the lock of the file.
	mu       chan struct{}
	closed   bool
	h        handle
	id       fileID
	owners   owners
	owner    uint32              // our number as an owner; 0 as long as we have none
	owner0   uint32              // the one we had in a file that is gone
	waker    waker               // nil as long as nobody has slept or been woken, or where there is none
	mine     map[uint64]struct{} // our tickets
	known    queue               // the queue as of the last look; its entries may have changed since, what is in the file has not
	joined   bool                // our limit has been brought together with the one stored
	warned   bool                // a conflict of limits was reported
	limits   pacer.Limits        // those of the key when we last looked; nil is none
	windows  windows             // what the sliding windows remember, as of the last look
	linked   int64               // when we last looked whether the file still has a name
	checked  int64               // when we last looked whether path is still this file
	lost     *history            // of a file that is gone, until it is made up for in the one that is there now
	portable bool
	distant  bool                 // the file may be on another host
	head     [keyAt + KeyMax]byte // a header that is intact: one that is the same need not be checked, which is 2 % of a grant
	headKey  string               // the key in it
	headed   bool                 // whether there is one
	entries  []entry              // the room that known is in, as a rule
	done     chan struct{}        // closed by Close
}

// Open opens the state file of a key, and creates it if need be. The key is stored in the file, so that those who may
// read it can tell what it is; it may be empty, and is at most KeyMax bytes long.
//
// Errors are *fs.PathError: ErrUnsafe, ErrForeign, ErrVersion, and those of the system.
func Open(path, key string, o Options) (*File, error) {
	if len(key) > KeyMax {
		return nil, fmt.Errorf("key of %d bytes: the longest is %d", len(key), KeyMax)
	}
	if o.Limits == nil && o.Limit != (pacer.Limit{}) {
		o.Limits = pacer.Limits{o.Limit}
	}
	if o.Limits != nil {
		if err := o.Limits.Validate(); err != nil {
			return nil, err
		}
	}
	path, err := filepath.Abs(path) // the file may have to be opened again, in another working directory
	if err != nil {
		return nil, err
	}
	f := &File{
		path: path, key: key, opts: o, h: noHandle, limits: o.Limits,
		mu: make(chan struct{}, 1), done: make(chan struct{}), mine: map[uint64]struct{}{},
	}
	if err := f.setClocks(o.hooks); err != nil {
		return nil, pathError(path, err)
	}
	if err := f.open(); err != nil {
		return nil, pathError(path, err)
	}
	f.opts.MustExist = false // one that is removed from now on is made again: those who wait go on in it
	t := f.begin()
	n, err := f.h.readAt(t.page[:], 0)
	if err == nil {
		_, _, err = f.header(t.page[:n])
	}
	t.end()
	if err != nil {
		_ = f.Close()
		return nil, pathError(path, err)
	}
	if name := f.h.remote(); name != "" {
		f.warn(&RemoteError{Path: path, FileSystem: name})
	}
	return f, nil
}

// setClocks gives the File the clocks of the host, or those of a test.
func (f *File) setClocks(h hooks) (err error) {
	f.clock, f.wall = h.clock, h.wall
	if f.wall == nil {
		f.wall = time.Now
	}
	if f.clock.now == nil {
		f.clock, err = newClock()
	}
	if f.clock.both == nil || h.wall != nil {
		f.clock.both = func() (now, wall int64) { return f.clock.now(), f.wall().UnixNano() }
	}
	return err
}

// open opens or creates the file at path. It is called with mu held, or by Open.
func (f *File) open() error {
	h, info, err := openState(f.path, true, f.opts.Shared)
	for try := 0; errors.Is(err, fs.ErrNotExist) && !f.opts.MustExist && try < 3; try++ { // somebody may be removing it
		if err = f.create(); err == nil || errors.Is(err, fs.ErrExist) {
			h, info, err = openState(f.path, true, f.opts.Shared)
		}
	}
	if err != nil {
		return err
	}
	f.h, f.id, f.checked = h, info.id, f.clock.now()
	f.linked = f.checked
	f.distant = h.remote() != ""
	f.portable = f.opts.hooks.portable || f.distant
	f.owners = newOwners(h, f.path, f.portable)
	return nil
}

// create puts a new state file at path, whole, unless there is one by then: fs.ErrExist.
func (f *File) create() error {
	perm := fs.FileMode(0o600)
	if f.opts.Shared {
		perm = 0o660
	} else {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return err
		}
		if err := safeDir(f.path); err != nil { // before a file of ours is in the way of its owner
			return err
		}
	}
	now, wall := f.clock.now(), f.wall().UnixNano()
	temp := fmt.Sprintf("%s.%d-%d%s", f.path, os.Getpid(), now, tempSuffix)
	h, err := newFile(temp, perm)
	if err != nil {
		return err
	}
	defer os.Remove(temp) //nolint:errcheck // its name is of no more use
	defer h.close()       //nolint:errcheck // what was written is read below
	st := newState(f.clock.boot)
	st.bootAt, st.wallAt = now, wall
	if err := h.writeAt(newPage(f.key, &st, 1, 0), 0); err != nil {
		return err
	}
	return link(temp, f.path)
}

const tempSuffix = ".new"

// newPage returns the first page of a file with the state in both records. Its queue must be empty, or written after.
func newPage(key string, st *state, seq uint64, wake uint32) []byte {
	page := make([]byte, pageSize)
	putHeader(page, key)
	binary.LittleEndian.PutUint32(page[wakeAt:], wake)
	empty := *st
	empty.granted, empty.waiting = nil, nil
	for side := range 2 {
		empty.put(page[recordAt(side):][:recordRoom], seq+uint64(side), nil)
	}
	return page
}

// header returns the key in the file, and whether the header is intact; if it is not the next update makes the file one of
// ours, again. It returns an error if the file is none of ours. The page is what could be read of the first one.
func (f *File) header(page []byte) (key string, intact bool, err error) {
	if f.headed && sameHeader(page, f.head[:]) {
		return f.headKey, true, nil
	}
	key, err = parseHeader(page)
	if err == nil {
		copy(f.head[:], page)
		f.headKey, f.headed = key, true
	}
	switch {
	case err == nil && key != "" && f.key != "" && key != f.key:
		return "", false, ErrForeign
	case errors.Is(err, errDamaged), errors.Is(err, ErrForeign) && f.blank(page):
		return "", false, nil
	}
	return key, err == nil, err
}

// blank reports whether the file has no contents: it is empty, or a first page of zeros, which is what the crash of a
// host may leave of it.
func (f *File) blank(page []byte) bool {
	var next [1]byte
	n, err := f.h.readAt(next[:], pageSize)
	return err == nil && n == 0 && allZero(page)
}

// Close gives back the places of those who wait, and ends their Wait with ErrClosed. Calls after it are ErrClosed. If the
// lock is held by a process that was stopped it gives up after a second; the end of this process does the rest.
func (f *File) Close() error {
	select {
	case f.mu <- struct{}{}:
	case <-time.After(patience):
		return pathError(f.path, errStuck)
	}
	defer func() { <-f.mu }()
	if f.closed {
		return nil
	}
	f.closed = true
	close(f.done)
	if f.waker != nil {
		defer f.waker.close()
		if len(f.mine) > 0 { // those behind may look at once
			defer f.waker.wake()
		}
	}
	return f.drop()
}

// patience is how long Cancel and Close wait for the lock.
const patience = time.Second

var errStuck = errors.New("the lock is held, by a process that was stopped?")

// drop closes the file, which leaves all of our tickets without an owner.
func (f *File) drop() error {
	clear(f.mine)
	f.owner0 = max(f.owner0, f.owner)
	f.owner, f.known, f.windows = 0, queue{}, windows{}
	if f.h == noHandle {
		return nil
	}
	f.owners.close()
	h := f.h
	f.h = noHandle
	return pathError(f.path, h.close())
}

func (f *File) warn(err error) {
	if f.opts.Warn != nil {
		f.opts.Warn(err)
	}
}

// openWaker sees to it that there is a waker, where there can be one.
func (f *File) openWaker() (err error) {
	if f.waker == nil && !f.portable {
		f.waker, err = newWaker(f.h, f.portable)
	}
	return err
}

// timeOf returns the time on the wall clock, and on the monotonic one, of an instant on the boot clock.
func (f *File) timeOf(at int64) time.Time { return f.wall().Add(time.Duration(at - f.clock.now())) }

func pathError(path string, err error) error {
	var pe *fs.PathError
	if err == nil || errors.As(err, &pe) {
		return err
	}
	return &fs.PathError{Op: "state", Path: path, Err: err}
}

// Limit returns the limit of the key, of several that with the lowest rate, as of the last look at the file, or else of those
// given to Open.
func (f *File) Limit() pacer.Limit { return f.Limits().Slowest() }

// Limits returns the limits of the key, as of the last look at the file, or else those given to Open.
func (f *File) Limits() pacer.Limits {
	f.mu <- struct{}{}
	defer func() { <-f.mu }()
	return slices.Clone(f.limits)
}

// adopt keeps in mind which limits the key has.
func (f *File) adopt(s *pacer.Schedule) {
	if !s.Has(f.limits) {
		f.limits = s.Limits()
	}
}
