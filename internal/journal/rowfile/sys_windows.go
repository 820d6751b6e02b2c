package rowfile

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// A file that is opened for appending can't be cut here.
const (
	appendFlag   = 0
	seekToAppend = true
)

// lock takes the lock of an open file, which ends with the process at the latest. It is a lock on a byte far behind the
// end, since what is locked here can't be read by others.
func lock(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = conn.Control(func(fd uintptr) {
		at := &windows.Overlapped{OffsetHigh: 1 << 30}
		lockErr = windows.LockFileEx(windows.Handle(fd), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	})
	if err != nil {
		return err
	}
	if errors.Is(lockErr, windows.ERROR_LOCK_VIOLATION) || errors.Is(lockErr, windows.ERROR_IO_PENDING) {
		return ErrLocked
	}
	return lockErr
}

// Alive reports whether there may be a process of that number.
func Alive(pid int) bool { return pid > 0 }
