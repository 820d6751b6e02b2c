//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package rowfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

const (
	appendFlag   = os.O_APPEND
	seekToAppend = false
)

// lock takes the lock of an open file, which ends with the process at the latest.
func lock(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	err = conn.Control(func(fd uintptr) {
		for {
			lockErr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB)
			if !errors.Is(lockErr, unix.EINTR) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	if errors.Is(lockErr, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return lockErr
}

// Alive reports whether there is a process of that number.
func Alive(pid int) bool {
	err := unix.Kill(pid, 0)
	return pid > 0 && (err == nil || errors.Is(err, unix.EPERM))
}
