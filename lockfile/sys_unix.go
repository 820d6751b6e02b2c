//go:build linux || darwin

package lockfile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

func parseBoot(id string) (boot [16]byte, err error) {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(id), "-", ""))
	if err != nil || len(b) != len(boot) {
		return boot, fmt.Errorf("boot id %q is not a UUID", id)
	}
	copy(boot[:], b)
	return boot, nil
}

// A handle is an open file. It is not an *os.File, which would be put into the runtime's poller: half of the cost of
// opening and using it.
type handle int

const noHandle handle = -1

// A fileInfo is what matters of a file's attributes.
type fileInfo struct {
	id      fileID
	links   uint64 // 0: it was removed
	regular bool
	owner   uint32
	perm    fs.FileMode
}

// A fileID tells files of one host apart.
type fileID struct{ dev, ino uint64 }

func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// openFile opens an existing file. A symbolic link is an error, and a pipe or device does not block.
func openFile(path string, write bool) (h handle, err error) {
	flags := unix.O_RDONLY
	if write {
		flags = unix.O_RDWR
	}
	err = retry(func() error {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		h = handle(fd)
		return err
	})
	if errors.Is(err, unix.ELOOP) {
		err = unsafeError("it is a symbolic link")
	}
	return h, err
}

// newFile creates a file that must not exist.
func newFile(path string, perm fs.FileMode) (h handle, err error) {
	err = retry(func() error {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC|unix.O_NOFOLLOW, uint32(perm))
		h = handle(fd)
		return err
	})
	return h, err
}

func (h handle) close() error { return unix.Close(int(h)) }

func (h handle) stat() (fileInfo, error) {
	var s unix.Stat_t
	err := unix.Fstat(int(h), &s)
	return infoOf(&s), err
}

func statPath(path string) (fileInfo, error) {
	var s unix.Stat_t
	err := unix.Lstat(path, &s)
	return infoOf(&s), err
}

// number is for fields whose types differ from system to system.
func number[T int32 | uint16 | uint32 | uint64](n T) uint64 { return uint64(n) }

func infoOf(s *unix.Stat_t) fileInfo {
	return fileInfo{
		id:      fileID{number(s.Dev), s.Ino},
		links:   number(s.Nlink),
		regular: s.Mode&unix.S_IFMT == unix.S_IFREG,
		owner:   s.Uid,
		perm:    fs.FileMode(s.Mode & 0o7777),
	}
}

// lock takes the lock of the file, and waits for it. It is a lock of the open file: it ends with the process, at the
// latest.
func (h handle) lock() error { return retry(func() error { return unix.Flock(int(h), unix.LOCK_EX) }) }

// tryLock takes the lock if nobody has it.
func (h handle) tryLock() (bool, error) { return h.tryFlock(unix.LOCK_EX) }

// tryRLock takes the lock if nobody but readers has it.
func (h handle) tryRLock() (bool, error) { return h.tryFlock(unix.LOCK_SH) }

func (h handle) tryFlock(how int) (bool, error) {
	err := unix.Flock(int(h), how|unix.LOCK_NB)
	for errors.Is(err, unix.EINTR) {
		err = unix.Flock(int(h), how|unix.LOCK_NB)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func (h handle) unlock() error { return unix.Flock(int(h), unix.LOCK_UN) }

// readAt reads up to len(b) bytes, fewer at the end of the file.
func (h handle) readAt(b []byte, off int64) (n int, err error) {
	for n < len(b) {
		m, err := unix.Pread(int(h), b[n:], off+int64(n))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return n, err
		case m == 0:
			return n, nil
		default:
			n += m
		}
	}
	return n, nil
}

// writeAt writes all of b, or returns an error.
func (h handle) writeAt(b []byte, off int64) error {
	for len(b) > 0 {
		n, err := unix.Pwrite(int(h), b, off)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case n == 0:
			return unix.ENOSPC
		default:
			b, off = b[n:], off+int64(n)
		}
	}
	return nil
}

func link(from, to string) error { return unix.Link(from, to) }

func me() uint32 { return uint32(os.Geteuid()) }
