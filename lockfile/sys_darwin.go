package lockfile

import (
	"golang.org/x/sys/unix"
)

// newClock returns the clock of the host: the one that counts sleep, too, and that nobody sets.
func newClock() (clock, error) {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return clock{}, err
	}
	c := clock{}
	if c.boot, err = parseBoot(id); err != nil {
		return clock{}, err
	}
	c.now = func() int64 {
		var t unix.Timespec
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC_RAW, &t)
		return t.Nano()
	}
	return c, nil
}

// remote returns the name of the file system of a file if it is not on this host.
func (h handle) remote() string {
	var s unix.Statfs_t
	if unix.Fstatfs(int(h), &s) != nil || s.Flags&unix.MNT_LOCAL != 0 {
		return ""
	}
	return unix.ByteSliceToString(s.Fstypename[:])
}

// Locks on byte ranges and flock exclude each other here, and there is no futex to share.

func newOwners(_ handle, path string, _ bool) owners { return newFileOwners(path) }

func newWaker(handle, bool) (waker, error) { return nil, nil }
