package lockfile

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newClock returns the clock of the host: CLOCK_BOOTTIME, without the offset of a time namespace.
func newClock() (clock, error) {
	h := thisHost.Load()
	if h == nil {
		var err error
		if h, err = readHost(); err != nil {
			return clock{}, err
		}
		thisHost.Store(h)
	}
	quick := &quickClock{offset: h.offset}
	return clock{boot: h.boot, now: quick.slow, both: quick.now}, nil
}

// A hostInfo is what the kernel says of the host: it stays the same as long as a process lives.
type hostInfo struct {
	boot   [16]byte
	offset int64 // of the time namespace
}

// thisHost is that of this process, once it is known. To read it is a third of opening a file.
var thisHost atomic.Pointer[hostInfo] //nolint:gochecknoglobals // there is one

func readHost() (*hostInfo, error) {
	id, err := readProc("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	h := &hostInfo{}
	if h.boot, err = parseBoot(id); err != nil {
		return nil, err
	}
	offsets, err := readProc("/proc/self/timens_offsets")
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a kernel that has no time namespaces has no such file
		return nil, err
	}
	h.offset = bootOffset(offsets)
	return h, nil
}

// A quickClock is CLOCK_BOOTTIME without a system call each time, which is a tenth of a grant. Go reads the wall clock and
// the monotonic clock without one. The boot clock is the monotonic clock and the time in suspend, and where that has become
// more the wall clock has run ahead of the monotonic clock by as much. So as long as those two are as far apart as they were when
// the boot clock was last read, it has gone on as the monotonic clock has; a wall clock that was stepped is no more than a
// reason to read it again.
type quickClock struct {
	offset int64     // of a time namespace
	at     time.Time // when the boot clock was last read, or up to quickMost later
	wall   int64     // the same on the wall clock
	boot   int64     // what it said
	known  bool      // whether that is close enough to go on from
}

// quickMost is how far apart readings of clocks may be that count as one. A quickClock is late by that at the most, and never
// early.
const quickMost = time.Microsecond

// slow returns the boot clock by a system call.
func (c *quickClock) slow() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &t) // fails on a wrong clock or address only
	return t.Nano() - c.offset
}

// now returns the boot clock and the wall clock. It is not for several goroutines at once.
func (c *quickClock) now() (now, wall int64) {
	t := time.Now()
	if wall = t.UnixNano(); c.known && c.along(t, wall) {
		return c.boot + int64(t.Sub(c.at)), wall
	}
	c.boot = c.slow()
	before, beforeWall := t, wall
	c.at = time.Now()
	c.wall = c.at.UnixNano()
	c.known = c.at.Sub(before) < quickMost && c.along(before, beforeWall)
	return c.boot, c.wall
}

// along reports whether the wall clock and the monotonic clock are as far apart at t as when the boot clock was read.
func (c *quickClock) along(t time.Time, wall int64) bool {
	apart := time.Duration(wall-c.wall) - t.Sub(c.at)
	return -quickMost < apart && apart < quickMost
}

// readProc returns the contents of a small file of /proc.
func readProc(path string) (string, error) {
	h, err := openFile(path, false)
	if err != nil {
		return "", pathError(path, err)
	}
	defer h.close() //nolint:errcheck // nothing was written
	var b [256]byte
	n, err := h.readAt(b[:], 0)
	return string(b[:n]), pathError(path, err)
}

// bootOffset returns the offset of the boot clock in lines such as "boottime 86400 0", in ns.
func bootOffset(lines string) int64 {
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) == 3 && f[0] == "boottime" {
			sec, _ := strconv.ParseInt(f[1], 10, 64)
			ns, _ := strconv.ParseInt(f[2], 10, 64)
			return sec*1e9 + ns
		}
	}
	return 0
}

// remote returns the name of the file system of a file if other hosts may share it, or if it may not know locks.
func (h handle) remote() string {
	var s unix.Statfs_t
	if unix.Fstatfs(int(h), &s) != nil {
		return ""
	}
	switch uint32(s.Type) {
	case unix.NFS_SUPER_MAGIC:
		return "nfs"
	case unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.SMB_SUPER_MAGIC:
		return "smb"
	case unix.CEPH_SUPER_MAGIC:
		return "ceph"
	case unix.AFS_SUPER_MAGIC:
		return "afs"
	case unix.CODA_SUPER_MAGIC:
		return "coda"
	case unix.V9FS_MAGIC:
		return "9p"
	case unix.FUSE_SUPER_MAGIC:
		return "fuse"
	}
	return ""
}

// Owners are known to be alive by a lock on a byte of their own, far behind the end of the file. It belongs to the open
// file description, so it goes when the last descriptor of that is closed: when the process ends, however it does. There is
// one for each open file, and not for each who waits, since the kernel goes through a list of them.
type byteOwners struct{ h handle }

const ownersAt = 1 << 40

func newOwners(h handle, path string, portable bool) owners {
	if portable {
		return newFileOwners(path)
	}
	return byteOwners{h}
}

func (o byteOwners) fcntl(cmd int, kind int16, owner uint32, n int64) (unix.Flock_t, error) {
	l := unix.Flock_t{Type: kind, Start: ownersAt + int64(owner), Len: n}
	err := unix.FcntlFlock(uintptr(o.h), cmd, &l)
	for errors.Is(err, unix.EINTR) {
		err = unix.FcntlFlock(uintptr(o.h), cmd, &l)
	}
	return l, err
}

func (o byteOwners) claim(owner uint32) error {
	_, err := o.fcntl(unix.F_OFD_SETLK, unix.F_WRLCK, owner, 1)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return errTaken
	}
	return err
}

func (o byteOwners) alive(owner uint32) bool {
	l, err := o.fcntl(unix.F_OFD_GETLK, unix.F_WRLCK, owner, 1)
	return err != nil || l.Type != unix.F_UNLCK // when in doubt: its slot may be lost, but is not given twice
}

// close releases the number. Closing the file would not do: a mapping of it that somebody sleeps on holds it, too.
func (o byteOwners) close() { _, _ = o.fcntl(unix.F_OFD_SETLK, unix.F_UNLCK, 0, 0) }

// A futex is the wake counter of a file, mapped to wait for it. The memory is never read: the kernel reads it, and says
// EFAULT where reading it would raise SIGBUS, as the file was truncated.
type futex struct {
	mu    sync.Mutex
	mem   []byte
	users int
	dead  bool
}

func newWaker(h handle, portable bool) (waker, error) {
	if portable {
		return nil, nil
	}
	mem, err := unix.Mmap(int(h), 0, pageSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &futex{mem: mem}, nil
}

// sleepersMost is how many may sleep on futexes in this process: each takes a thread, of which Go has 10,000 at the most, and keeps
// others from a core until the Go scheduler notices, which takes it longer than most of what we do. More are there only where a process
// has many keys, or many reservations: they poll.
const sleepersMost = 8

// sleepers is how many do.
var sleepers atomic.Int32 //nolint:gochecknoglobals // threads belong to the process

// sleep returns a channel that is closed when the counter is not seen any more, or d has passed, or a signal came.
func (f *futex) sleep(seen uint32, d time.Duration) <-chan struct{} {
	if sleepers.Add(1) > sleepersMost {
		sleepers.Add(-1)
		return nil
	}
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	until := unix.NsecToTimespec(t.Nano() + int64(d))
	done := make(chan struct{})
	if !f.use() {
		sleepers.Add(-1)
		close(done)
		return done
	}
	go func() {
		defer close(done)
		defer sleepers.Add(-1)
		defer f.unuse()
		_, _, _ = syscall.Syscall6(unix.SYS_FUTEX, f.addr(), futexWaitBitset, uintptr(seen), uintptr(unsafe.Pointer(&until)), 0, futexAny)
	}()
	return done
}

// The operations of futex(2), not private: other processes have the word at other addresses.
const (
	futexWake       = 1
	futexWaitBitset = 9
	futexAny        = 0xffffffff
)

// wake ends the sleep of all who have seen less.
func (f *futex) wake() {
	if f.use() {
		_, _, _ = syscall.Syscall6(unix.SYS_FUTEX, f.addr(), futexWake, 1<<31-1, 0, 0, 0)
		f.unuse()
	}
}

func (f *futex) addr() uintptr { return uintptr(unsafe.Pointer(&f.mem[wakeAt])) }

func (f *futex) use() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return false
	}
	f.users++
	return true
}

func (f *futex) unuse() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users--
	f.unmap()
}

// close gives the mapping back, once nobody sleeps on it: within lookEvery.
func (f *futex) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dead = true
	f.unmap()
}

func (f *futex) unmap() {
	if f.dead && f.users == 0 {
		_ = unix.Munmap(f.mem)
	}
}
